"""Does a journal hold what its systems give now? A few finished questions are asked once more.

Class and settings do not say what an index, an embedding model or a server holds, so a journal
could go on with rows of another one. Nothing that is asked here is timed or kept.
"""

from __future__ import annotations

import logging
import math
import random
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from langchain_core.documents import Document
from langchain_core.runnables import RunnableConfig

from langchain_rerank.errors import ConfigurationError
from langchain_rerank.evaluation.data.questions import Record
from langchain_rerank.evaluation.run.collect import Collector, spread
from langchain_rerank.evaluation.run.journal import Journal
from langchain_rerank.evaluation.run.lines import Row
from langchain_rerank.evaluation.run.stage import Found, Stage, stopwatch

logger = logging.getLogger(__name__)

_FEWEST = 3
_MOST_MS = 1000.0  # after which no more than the fewest are asked
_CLOSE = 0.05  # by how much a score may move from machine to machine
_KEPT = "What the journal {path} has is kept. Start anew without resume to ask every question now."


@dataclass(frozen=True)
class _Change:
    """What a system gives for a question now, beside what the journal says it gave.

    Attributes:
        said: That in words.
        certain: Whether it is another thing that answers: a document was changed, or most of what
            was found is not found again.
        steady: Whether it gives the same when asked twice.
    """

    said: str
    certain: bool
    steady: bool


async def confirm(
    collector: Collector,
    stages: Sequence[Stage],
    records: Sequence[Record],
    systems: Sequence[str] = (),
) -> None:
    """Ask finished questions again, where the journal has any, and compare what is found.

    A journal that is whole mixes nothing, so there only what is known to hold something is asked.
    Nothing is asked of what holds a language model or gave an answer. What differs a little, or
    each time, is kept, and a warning of the journal. A whole journal has rows of all `systems`; of
    the stages' own where there are none.

    Raises:
        ConfigurationError: Something else is found than was.
    """
    journal = collector.journal
    config: RunnableConfig = {**collector.config, "callbacks": []}
    for stage in stages:
        notes = [journal.unsaid[name] for name in stage.names if name in journal.unsaid]
        if any(one.generates for one in notes):
            continue
        finished = [one for one in records if _finished(journal, stage, one)]
        whole = all(
            journal.has(name, one.id) for one in records for name in (*stage.names, *systems)
        )
        # What gets candidates may be a server that costs.
        if whole and (stage.given or not any(one.held for one in notes)):
            continue
        _judge(journal, stage, [one async for one in _changes(journal, stage, finished, config)])


def _finished(journal: Journal, stage: Stage, record: Record) -> bool:
    rows = [_row(journal, stage, name, record) for name in stage.names]
    return all(row is not None and not row.get("response") for row in rows)


def _row(journal: Journal, stage: Stage, name: str, record: Record) -> Row | None:
    return journal.get(name, record.id, stage.given(record) if stage.given else "")


async def _changes(
    journal: Journal, stage: Stage, finished: Sequence[Record], config: RunnableConfig
) -> AsyncIterator[_Change]:
    """Yield how systems differ from what the journal says: three questions, and more in a second.

    What fails is asked no more: each other question could take as long to say so.
    """
    elapsed = stopwatch()
    first = spread(finished, _FEWEST)
    others = [one for one in finished if one not in first]
    random.Random(0).shuffle(others)  # noqa: S311 - a sample, not a secret
    for asked, record in enumerate([*first, *others]):
        if asked >= _FEWEST and elapsed() > _MOST_MS:
            return
        found = await _asked(stage, record, config)
        if not found:
            return
        for name, now in found.items():
            then = Found.from_row(_row(journal, stage, name, record) or {"keys": ()})
            held = {key: journal.documents[key] for key in then.keys}
            altered = _altered(held, now, journal.brought(name, record.id))
            again = now.beside(journal.documents).once()
            if altered is None and again.keys == then.once().keys:
                continue
            second = (await _asked(stage, record, config)).get(name, now)
            common = len(set(then.keys) & set(again.keys))
            yield _Change(
                said=_said(name, record, then, again, altered, common),
                certain=altered is not None or 2 * common < max(len(then.keys), len(again.keys)),
                steady=second.keys == now.keys and not _altered(now.documents, second, now.keys),
            )


async def _asked(stage: Stage, record: Record, config: RunnableConfig) -> dict[str, Found]:
    """Return what the systems give; without those that fail, whose failure the real call shows."""
    try:
        found = await stage.ask(record, config)
    except Exception:  # noqa: BLE001 - anybody's system
        return {}
    return {name: one for name, one in found.items() if one.error is None}


def _altered(held: Mapping[str, Document], now: Found, whole: Sequence[str]) -> str | None:
    """Return what changed in a document that is found again; of those in `whole`, metadata too."""
    for key, one in now.documents.items():
        if key not in held:
            continue
        if one.page_content != held[key].page_content:
            return f"the document {key!r} has another text"
        if key not in whole:
            continue
        then, metadata = ({str(k): v for k, v in x.metadata.items()} for x in (held[key], one))
        for name in {**then, **metadata}:
            was, is_now = then.get(name), metadata.get(name)
            if not _same(was, is_now):
                return f"{name!r} of the document {key!r} was {was!r:.60} and is {is_now!r:.60}"
    return None


def _same(then: Any, now: Any) -> bool:
    """Return whether metadata is what JSON kept of it; what JSON does not have is not compared."""
    if isinstance(now, Mapping):
        if not isinstance(then, Mapping) or set(then) != set(map(str, now)):
            return False
        return all(_same(then[str(key)], one) for key, one in now.items())
    if isinstance(now, (list, tuple)):
        same_length = isinstance(then, (list, tuple)) and len(then) == len(now)
        return same_length and all(map(_same, then, now))
    if isinstance(now, float) and isinstance(then, (int, float)):
        close = math.isclose(then, now, rel_tol=_CLOSE, abs_tol=_CLOSE)
        return close or (math.isnan(then) and math.isnan(now))
    return then == now if isinstance(now, (str, int, float)) or now is None else True


def _said(
    name: str, record: Record, then: Found, now: Found, altered: str | None, common: int
) -> str:
    place = next(
        (i for i, pair in enumerate(zip(then.keys, now.keys, strict=False)) if len(set(pair)) > 1),
        min(len(then.keys), len(now.keys)),
    )
    was, is_now = (
        repr(keys[place]) if place < len(keys) else "nothing" for keys in (then.keys, now.keys)
    )
    order = (
        f"rank {place + 1} was {was} and is {is_now}, and {common} of {len(then.keys)} documents "
        f"are found again"
    )
    return f"For the question {record.id!r} {name} finds something else: {altered or order}."


def _judge(journal: Journal, stage: Stage, changes: Sequence[_Change]) -> None:
    """Refuse, or warn of, what changed."""
    if not changes:
        return
    path, named = journal.path, " and ".join(stage.names)
    sure = next((one for one in changes if one.certain and one.steady), None)
    if sure is not None:
        raise ConfigurationError(
            f"The journal {path} cannot be resumed: {named} answers otherwise than when it was "
            f"written, though its class and settings are the same. {sure.said} Its documents, its "
            f"index or its embeddings were changed. Use those of the first run, or start anew "
            f"without resume."
        )
    first = changes[0]
    why = (
        "Documents were added or removed, the embeddings are others, or an approximate index was "
        "built anew."
        if first.steady
        else "It gives something else each time that it is asked."
    )
    journal.warnings.append(f"{first.said} {why} {_KEPT.format(path=path)}")
    logger.warning("%s", journal.warnings[-1])
