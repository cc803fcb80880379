"""A cache of scores: only pairs that were never scored are."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Container, Sequence
from functools import partial
from hashlib import blake2b
from os import PathLike
from pathlib import Path
from typing import Any, TypeVar

from langchain_rerank.checks import shown, whole_number
from langchain_rerank.errors import (
    ConfigurationError,
    DataFileError,
    ScorerClosedError,
    ScorerError,
)
from langchain_rerank.scorers.contract import Passage, Request, Scorer, Scores, scorer_name
from langchain_rerank.wrappers.score_stores import Entry, MemoryStore, SqliteStore
from langchain_rerank.wrappers.wrapper import Ask, Do, Steps, Wrapper, identity_of, is_pointwise

logger = logging.getLogger(__name__)

_T = TypeVar("_T")

_KEY_BYTES = 20  # 160 bits: no two pairs meet


class CachedScorer(Wrapper):
    """Keeps every score, in memory and, with `path`, in an SQLite file; scores misses only.

    A score is found again by the scorer's `identity` (model, revision, settings), the query and the
    text, hashed: the file holds no text. A pair that occurs several times in a call is scored once.
    Several threads and processes may share a file; two that miss the same pair at the same time
    both score it, and the file keeps the first score. A file that cannot be read or written later
    on (a full disk, a lock) costs one warning and time, never the scores; after a lock that stayed
    it is left alone for ten times as long. A damaged row is scored again.

    `truncated` counts among the texts scored by this call: of cached ones it is not known.

    Args:
        scorer: What scores the misses. One whose scores depend on the other texts of a call
            (`pointwise` is False: a cascade, a fallback) is refused; cache the scorers inside it.
        path: The file to keep scores in; None keeps them in memory only. It grows by about 40
            bytes a pair and is never trimmed: delete it to start afresh.
        max_entries: How many scores are kept in memory, at about 250 bytes each; those used longest
            ago go first.

    Raises:
        ConfigurationError: The scorer is not pointwise; `path` is given and the scorer has no
            `identity`, so that its scores could be taken for another one's; the identity is no
            JSON data; or `max_entries` is less than 1.
        DataFileError: The file is there and no score cache.

    Examples:
        >>> from langchain_rerank.testing import CountingScorer, WordOverlapScorer
        >>> counting = CountingScorer(WordOverlapScorer())
        >>> scorer = CachedScorer(counting)
        >>> scorer.score("red fox", ["a fox", "a fox", "a hen"])
        [0.5, 0.5, 0.0]
        >>> scorer.score("red fox", ["the red fox", "a hen"])
        [1.0, 0.0]
        >>> counting.texts
        ['a fox', 'a hen', 'the red fox']
    """

    kind = "cached"

    def __init__(
        self,
        scorer: Scorer,
        *,
        path: str | Path | None = None,
        max_entries: int = 100_000,
    ) -> None:
        max_entries = whole_number(max_entries, "max_entries")
        if not is_pointwise(scorer):
            raise ConfigurationError(
                f"{scorer_name(scorer)} cannot be cached: the score of a text depends on more than "
                f"query and text (pointwise=False). Cache the scorers inside it instead."
            )
        _check_path(path)
        if path is not None and identity_of(scorer) is None:
            raise ConfigurationError(
                f"{scorer_name(scorer)} has no identity, so its scores in {path} could be taken "
                f"for another scorer's. Give it an attribute `identity`: a string or mapping with "
                f"the model, its revision and every setting that changes scores; or leave out "
                f"`path` to cache in memory only."
            )
        _encoded(identity_of(scorer))
        super().__init__(scorer)
        self._path = path
        self._max_entries = max_entries
        self._memory = MemoryStore(max_entries)
        self._disk = SqliteStore(path) if path is not None else None
        self._warned = False

    def __reduce__(self) -> tuple[Any, ...]:
        # A copy shares the file, and starts with an empty memory: locks cannot be copied.
        make = partial(type(self), path=self._path, max_entries=self._max_entries)
        return make, self.scorers

    @property
    def identity(self) -> Any:
        """The identity of the scorer: a cache changes no score."""
        return identity_of(self.scorers[0])

    def close(self) -> None:
        """Close the file and the scorer."""
        if self._disk is not None:
            self._disk.close()
        super().close()

    def _spared(self, call: Callable[[], _T], otherwise: _T) -> _T:
        """Return what `call` of the file returns; a file that fails costs a warning and time."""
        try:
            return call()
        except ScorerClosedError:
            raise
        except (ScorerError, DataFileError) as error:
            if not self._warned:
                self._warned = True
                logger.warning(
                    "Scores go on without the cache on disk, where it fails (said once): %s", error
                )
            return otherwise

    def _steps(self, requests: Sequence[Request]) -> Steps:
        identity = self.identity
        keys = _keys(identity, requests)
        found = self._memory.get(list({key for row in keys for key in row}))
        missing = list({key for row in keys for key in row if key not in found})
        if missing and self._disk is not None:
            nothing: dict[bytes, Entry] = {}
            read = partial(self._spared, partial(self._disk.get, missing), nothing)
            on_disk = yield Do(read, self.name)
            self._memory.put(on_disk)
            found |= on_disk
        truncated: list[int | None] = [0] * len(requests)
        misses = _misses(requests, keys, found)
        if misses:
            answers = yield Ask(self.scorers[0], _asked(misses))
            if (now := self.identity) != identity:
                # It was loaded for this and is not what it was taken for, as where int8 is refused:
                # what was found is another's.
                keys, any_found, found = _keys(now, requests), bool(found), {}
                misses = _misses(requests, keys, found)
                if any_found:
                    answers = yield Ask(self.scorers[0], _asked(misses))
            fresh: dict[bytes, Entry] = {}
            for (position, _, new), scores in zip(misses, answers, strict=True):
                fresh.update(zip(new, _entries(scores), strict=True))
                truncated[position] = scores.truncated
            self._memory.put(fresh)
            if self._disk is not None:
                yield Do(partial(self._spared, partial(self._disk.put, fresh), None), self.name)
            found |= fresh
        return [
            _scores([found[key] for key in row], texts, cut)
            for row, (_, texts), cut in zip(keys, requests, truncated, strict=True)
        ]


def _check_path(path: object) -> None:
    if path is not None and (not isinstance(path, (str, PathLike)) or "\0" in str(path)):
        raise ConfigurationError(f"path={shown(path)}: it must name a file, or be None.")


def _encoded(identity: Any) -> bytes:
    try:
        return json.dumps(identity, sort_keys=True).encode()
    except (TypeError, ValueError) as error:
        raise ConfigurationError(
            f"The identity of a scorer must be plain JSON data (strings, numbers, mappings), got "
            f"{identity!r}: {error}."
        ) from error


def _keys(identity: Any, requests: Sequence[Request]) -> list[list[bytes]]:
    """Return one key per text of each request; equal keys mean equal scores."""
    scorer_hash = blake2b(_encoded(identity), digest_size=_KEY_BYTES)
    keys = []
    for query, texts in requests:
        encoded = query.encode("utf-8", "surrogatepass")
        query_hash = scorer_hash.copy()
        # The length keeps (query, text) apart from every other split of the same characters.
        query_hash.update(len(encoded).to_bytes(8, "little") + encoded)
        row = []
        for text in texts:
            pair_hash = query_hash.copy()
            pair_hash.update(text.encode("utf-8", "surrogatepass"))
            row.append(pair_hash.digest())
        keys.append(row)
    return keys


def _misses(
    requests: Sequence[Request], keys: Sequence[Sequence[bytes]], found: Container[bytes]
) -> list[tuple[int, str, dict[bytes, str]]]:
    """Return the position, the query and the texts to score of each request that has any."""
    misses = []
    asked: set[bytes] = set()
    for position, ((query, texts), row) in enumerate(zip(requests, keys, strict=True)):
        new = {
            key: text
            for key, text in zip(row, texts, strict=True)
            if key not in found and key not in asked
        }
        asked.update(new)
        if new:
            misses.append((position, query, new))
    return misses


def _asked(misses: Sequence[tuple[int, str, dict[bytes, str]]]) -> list[Request]:
    return [(query, [*new.values()]) for _, query, new in misses]


def _entries(scores: Scores) -> list[Entry]:
    return [
        Entry(score) if passage is None else Entry(score, passage.start, passage.end)
        for score, passage in zip(scores, scores.passages, strict=True)
    ]


def _scores(entries: Sequence[Entry], texts: Sequence[str], truncated: int | None) -> Scores:
    passages = [
        Passage(text[start:end], start, end) if start is not None and end is not None else None
        for (_, start, end), text in zip(entries, texts, strict=True)
    ]
    return Scores(
        (entry.score for entry in entries),
        truncated=truncated,
        best_passages=passages if any(passages) else None,
    )
