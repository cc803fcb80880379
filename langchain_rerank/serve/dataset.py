"""Offline reranking of whole files with Ray Data: in parts, streamed, and restartable."""

from __future__ import annotations

import json
import pickle
import shutil
from collections.abc import Mapping, Sequence
from functools import partial
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any, NamedTuple

from langchain_rerank.checks import whole_number
from langchain_rerank.errors import ConfigurationError, RerankError, ScorerUnavailableError
from langchain_rerank.optional import require
from langchain_rerank.scorers.cross_encoder import DEFAULT_MODEL, CrossEncoderScorer
from langchain_rerank.scorers.engine.model_files import content_of
from langchain_rerank.scorers.ray.actors import model_name, resources_of
from langchain_rerank.serve import files

PART_PAIRS = 4096


class Plan(NamedTuple):
    """What every actor knows: where pairs are read, where parts go, how they are scored."""

    source: str
    form: str
    folder: str
    model: str
    load_settings: Mapping[str, Any]


def rerank_dataset(
    source: str | Path,
    out: str | Path,
    *,
    model: str = DEFAULT_MODEL,
    collection: str | Path | None = None,
    num_actors: int = 2,
    num_cpus: float = 1.0,
    num_gpus: float = 0.0,
    part_pairs: int = PART_PAIRS,
    **load_settings: Any,
) -> int:
    """Return how many pairs were scored into `out`, a file of the kind of `source`.

    Parquet and JSONL have a row for each pair with "query" and "text"; what else it has is kept,
    and "score" is added. A TREC run gets new scores and ranks; its texts come from `collection`.
    The rows are cut into parts. Actors score parts and write each beside `out` when it is whole, so
    that a run which is killed goes on where it was and ends with the same file; an actor that dies
    costs the part it was at. All machines must see the same files.

    Args:
        source: A `.parquet` or `.jsonl` file, or a TREC run under any other name.
        out: Where the result goes; replaced when it is complete.
        model: A hub name, a folder that all machines have, or "embedded".
        collection: The folder in BEIR layout that a TREC run is about.
        num_actors: Copies of the model.
        num_cpus: CPU cores of each.
        num_gpus: GPUs of each; 0.5 puts two copies on one.
        part_pairs: Pairs of a part.
        **load_settings: As `CrossEncoderScorer` takes them: `dtype`, `max_length`, and so on.

    Raises:
        ConfigurationError: Kinds of file that do not go together, or another run's parts.
        DataFileError: A row is not what it should be.
        MissingExtraError: Ray is not installed.
        ScorerError: The model could not be loaded or could not score.
    """
    ray = require("ray", extra="ray")
    ray_data = require("ray.data", extra="ray")
    source, out = Path(source).absolute(), Path(out).absolute()
    form = files.form_of(source)
    if files.form_of(out) != form:
        raise ConfigurationError(
            f"{source.name} is {form} and {out.name} would be {files.form_of(out)}; the result has "
            f"the form of the source: give it the same ending."
        )
    if (form == files.TREC) != (collection is not None):
        raise ConfigurationError(
            "A TREC run needs the folder of its collection, in BEIR layout; Parquet and JSONL have "
            "their texts with them and need none."
        )
    # Impossible settings are refused here, at once.
    num_actors = whole_number(num_actors, "num_actors")
    part_pairs = whole_number(part_pairs, "part_pairs")
    resources = resources_of(num_cpus=num_cpus, num_gpus=num_gpus)
    local = CrossEncoderScorer(model_name(model), **load_settings)
    # Whatever decides the scores: parts of another state of it must not be mixed in.
    settings = {
        "source": files.fingerprint(source),
        "model": model,
        "state of the model": content_of(local.settings),
        "part_pairs": part_pairs,
        "load_settings": repr(sorted(load_settings.items())),
    }
    folder = out.with_name(f"{out.name}.parts")
    folder.mkdir(parents=True, exist_ok=True)
    pairs, read_as = source, form
    if form == files.TREC:
        pairs, read_as = folder / "pairs.jsonl", files.JSONL
        settings["collection"] = files.write_pairs(source, Path(str(collection)), pairs)
    _same_run(folder, settings)
    parts = files.parts_of(pairs, read_as, part_pairs)
    missing = [part for part in parts if not files.part_path(folder, part["part"]).exists()]
    if missing:
        if not ray.is_initialized():
            ray.init(log_to_driver=False, include_dashboard=False)
        plan = Plan(str(pairs), read_as, str(folder), model, load_settings)
        _score(ray, ray_data, plan, missing, num_actors, resources)
    numbers = [part["part"] for part in parts]
    files.join(pairs, folder, numbers, read_as, out, as_run=form == files.TREC)
    shutil.rmtree(folder)
    return sum(part["pairs"] for part in parts)


def _score(
    ray: Any,
    ray_data: Any,
    plan: Plan,
    parts: Sequence[dict[str, int]],
    num_actors: int,
    resources: Mapping[str, float],
) -> None:
    ray_data.DataContext.get_current().enable_progress_bars = False
    dataset = ray_data.from_items(list(parts), override_num_blocks=len(parts)).map_batches(
        _PartScorer,
        batch_size=1,
        compute=ray_data.ActorPoolStrategy(size=min(num_actors, len(parts))),
        fn_constructor_args=[plan],
        **resources,
    )
    try:
        for row in dataset.iter_rows():
            if row["failure"]:
                raise pickle.loads(row["failure"])  # noqa: S301 - our own actors wrote it
    except ray.exceptions.RayError as error:
        raise ScorerUnavailableError(
            f"Ray could not finish: {type(error).__name__}: {error}"[:500]
        ) from error


class _PartScorer:
    """Scores parts; Ray Data keeps a pool of them and gives a part to another where one dies.

    Errors of this package are handed back as results: raised, Ray would wrap and retry them.
    """

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._scorer = CrossEncoderScorer(plan.model, **plan.load_settings)
        self._failure = b""
        try:
            self._scorer.load()
        except RerankError as error:
            self._failure = pickle.dumps(error)

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        failures = []
        for row in range(len(batch["part"])):
            part = {name: int(column[row]) for name, column in batch.items()}
            failures.append(self._failure or self._written(part))
        return {"part": batch["part"], "failure": failures}

    def _written(self, part: Mapping[str, int]) -> bytes:
        try:
            files.write_part(Path(self._plan.folder), part, self._scored(part), self._plan.form)
        except RerankError as error:
            return pickle.dumps(error)
        return b""

    def _scored(self, part: Mapping[str, int]) -> tuple[Any, list[float]]:
        rows, pairs = files.read_part(Path(self._plan.source), part, self._plan.form)
        by_query = groupby(pairs, key=itemgetter(0))
        requests = [(query, [text for _, text in group]) for query, group in by_query]
        answers = self._scorer.score_many(requests)
        return rows, [score for scores in answers for score in scores]


def _same_run(folder: Path, settings: Mapping[str, Any]) -> None:
    """Refuse to go on with parts that another model or another source gave."""
    note = folder / "settings.json"
    if note.exists():
        kept = json.loads(note.read_text(encoding="utf-8"))
        changed = sorted(name for name in settings if kept.get(name) != settings[name])
        if changed:
            raise ConfigurationError(
                f"{folder} has the parts of an interrupted run with another {', '.join(changed)}. "
                f"Run it to its end as it was started, delete the folder, or write elsewhere."
            )
    write = partial(Path.write_text, data=json.dumps(settings), encoding="utf-8")
    files.write_atomically(note, write)
