"""`langchain-rerank demo`: what a cross-encoder changes, on guides that ship with the package."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from langchain_rerank.cli import options
from langchain_rerank.documents import FIRST_STAGE_RANK, FIRST_STAGE_SCORE, RELEVANCE_SCORE
from langchain_rerank.plain_text import printable

if TYPE_CHECKING:
    from langchain_core.documents import Document
    from rich.console import Console

    from langchain_rerank.evaluation.data.questions import Dataset
    from langchain_rerank.evaluation.report.report import Report
    from langchain_rerank.evaluation.score.summaries import Comparison, SweepPoint
    from langchain_rerank.result import RerankResult

KS = (10, 20, 30, 50, 75, 100)
MEASURES = ("R@1", "R@3", "R@5")
TIMED_QUESTIONS = 4


def demo(
    model: Annotated[
        str | None,
        typer.Option(help='Cross-encoder: hub name, path, or "embedded" (default).'),
    ] = None,
    model_url: options.ModelUrlOption = None,
    dialect: options.DialectOption = None,
    docs: Annotated[
        list[Path] | None,
        typer.Option(help="Search these files in place of the six guides. Repeatable."),
    ] = None,
    questions: Annotated[
        Path | None,
        typer.Option(
            help="Questions with their expected source or passage (JSONL or CSV), for --docs."
        ),
    ] = None,
    limit: Annotated[
        int,
        typer.Option(min=1, help="How many of the questions are asked, evenly spread over them."),
    ] = 40,
) -> None:
    """Show, offline, what reranking changes: scores, ranks, recall, latency, the best depth."""
    from rich.console import Console

    from langchain_rerank.cli.loading import FirstStage, build_first_stage
    from langchain_rerank.cli.models import default_weight, open_scorer
    from langchain_rerank.embedded import CORPUS_FOLDER, QUESTIONS_FILE
    from langchain_rerank.errors import ConfigurationError
    from langchain_rerank.evaluation.data.files import load_dataset
    from langchain_rerank.evaluation.sweep import sweep_k
    from langchain_rerank.files import load_documents
    from langchain_rerank.retriever import CrossEncoderRerankRetriever
    from langchain_rerank.scorers.contract import scorer_name

    if docs and not questions:
        raise ConfigurationError(
            "--docs needs --questions too: recall is measured on questions about these documents."
        )
    scorer = open_scorer(model, default="embedded", model_url=model_url, dialect=dialect)
    name, weight = scorer_name(scorer), default_weight(scorer, FirstStage.dense)
    console = Console()
    documents = load_documents(docs or [CORPUS_FOLDER])
    dataset = _spread(load_dataset(questions or QUESTIONS_FILE), limit)
    console.print(
        f"[bold]{len(documents)}[/] passages, [bold]{len(dataset)}[/] questions. First stage: "
        f"all-MiniLM-L6-v2, a bi-encoder. Second stage: [bold]{name}[/], a cross-encoder."
        + (f" Its order keeps {weight:.0%} of the first stage's." if weight else "")
    )
    # Beyond the corpus there is nothing more to retrieve.
    depths = [k for k in KS if k < len(documents)] or [len(documents)]
    base = build_first_stage("dense", documents, k=depths[-1])
    with CrossEncoderRerankRetriever(
        base_retriever=base,
        model=scorer,
        first_stage_k=depths[-1],
        top_n=None,
        first_stage_weight=weight,
    ) as retriever:
        console.print(f"Scoring up to {depths[-1]} candidates a question, once for all of this…")
        report = sweep_k(
            base,
            retriever.scorer,
            dataset,
            depths,
            measures=MEASURES,
            first_stage_weight=weight,
            latency_queries=TIMED_QUESTIONS,
        )
        gained = _comparison(report, MEASURES[0]).gained
        question = gained[0].question if gained else report.queries[0].question
        result = retriever.search(question)
        _show_pair(console, result)
        _show_search(console, result)
        _show_recall(console, report)
        _show_depths(console, report)


def _spread(dataset: Dataset, limit: int) -> Dataset:
    """Return `limit` of the questions at even distances, so that easy and hard ones stay mixed."""
    total = len(dataset)
    if total <= limit:
        return dataset
    return replace(
        dataset, records=tuple(dataset.records[n * total // limit] for n in range(limit))
    )


def _show_pair(console: Console, result: RerankResult) -> None:
    from rich.table import Table
    from rich.text import Text

    _heading(console, "1. Bi-encoder against cross-encoder: one question, two texts")
    pair = [_by_first_stage(result)[0], result.documents[0]]
    columns = [
        [float(document.metadata[key]) for document in pair]
        for key in (FIRST_STAGE_SCORE, RELEVANCE_SCORE)
    ]
    # Text, not str: square brackets in a document are no markup.
    table = Table(title=Text(printable(result.query)), title_justify="left", show_lines=True)
    for heading in ("text", "bi-encoder", "cross-encoder"):
        table.add_column(heading, justify="left" if heading == "text" else "right")
    for row, document in enumerate(pair):
        cells = [_marked(column[row], max(column)) for column in columns]
        text = " ".join(printable(document.page_content).split())
        table.add_row(Text(text, overflow="ellipsis"), *cells)
    console.print(table)
    console.print(
        "The bi-encoder compares two vectors that were made apart; the cross-encoder reads the "
        "question and the text together. Each column has a scale of its own."
    )


def _show_search(console: Console, result: RerankResult) -> None:
    _heading(console, "2. One search, without and with reranking")
    console.print("Without:", highlight=False)
    for rank, document in enumerate(_by_first_stage(result)[:5], start=1):
        text = " ".join(document.page_content.split())
        console.print(
            printable(f"  {rank}  {document.metadata['source']}  {text}"),
            markup=False,
            highlight=False,
            no_wrap=True,
            overflow="ellipsis",
        )
    console.print("\nWith (↑ and ↓ count the ranks moved):")
    console.print(replace(result, documents=result.documents[:5]))


def _by_first_stage(result: RerankResult) -> list[Document]:
    return sorted(result.documents, key=lambda one: int(one.metadata[FIRST_STAGE_RANK]))


def _show_recall(console: Console, report: Report) -> None:
    from rich.table import Table

    from langchain_rerank.evaluation.report.rendering.words import between, fraction, signed

    _heading(console, f"3. Recall and latency over {len(report.queries)} questions")
    before, after = report.systems["first_stage"], report.systems["reranked"]
    table = Table()
    table.add_column("")
    for heading in ("first stage", f"reranked (K={report.settings['first_stage_k']})", "change"):
        table.add_column(heading, justify="right")
    for measure in MEASURES:
        compared = _comparison(report, measure)
        percent = compared.improvement_percent
        table.add_row(
            measure.replace("R@", "recall@"),
            fraction(compared.baseline_mean),
            fraction(compared.mean),
            ("" if percent is None else f"{percent:+.0f} %, ")
            + signed(compared.difference)
            + ("" if compared.ci is None else f" {between(compared.ci, signed)}"),
        )
    table.add_row(
        "mean latency",
        f"{before.latency['total'].mean:.0f} ms",
        f"{after.latency['total'].mean:.0f} ms",
        f"{after.latency['total'].mean - before.latency['total'].mean:+.0f} ms",
    )
    console.print(table)
    console.print("In brackets: 95 % interval of the difference, over questions.")


def _show_depths(console: Console, report: Report) -> None:
    from rich.table import Table
    from rich.text import Text

    from langchain_rerank.evaluation.report.rendering.sentences import headlines

    sweep = report.sweep
    if sweep is None:
        return
    _heading(console, "4. How many candidates to rerank")
    slowest = max(_latency(point) for point in sweep.points)
    table = Table()
    table.add_column("K", justify="right")
    table.add_column("recall@1 (K=0: not reranked)")
    table.add_column("latency (median)")
    for point in sweep.points:
        mean = point.measures[sweep.measure].mean or 0.0
        style = "bold green" if point.k == sweep.recommended_k else ""
        table.add_row(
            f"{point.k}",
            f"{_bar(mean, console)} {mean:.3f}",
            f"{_bar(_latency(point) / slowest, console)} {_latency(point):.0f} ms",
            style=style,
        )
    console.print(table)
    answer, reason, *_ = headlines(report)
    console.print(Text(answer, style="bold"), Text(reason))


def _comparison(report: Report, measure: str) -> Comparison:
    return next(one for one in report.comparisons if one.measure == measure)


def _latency(point: SweepPoint) -> float:
    return point.latency["total"].p50


def _bar(share: float, console: Console, width: int = 20) -> str:
    # Both would be question marks on a screen that lacks them.
    full, empty = "█░" if console.encoding.startswith("utf") else "#."
    return (full * round(share * width)).ljust(width, empty)


def _heading(console: Console, text: str) -> None:
    console.print()
    console.rule(f"[bold]{text}", align="left")


def _marked(value: float, best: float) -> str:
    return f"[bold green]{value:.3f}[/]" if value == best else f"{value:.3f}"
