"""`langchain-rerank demo`: what a cross-encoder changes, on guides that ship with the package."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from langchain_rerank.cli import options
from langchain_rerank.documents import FIRST_STAGE_RANK, FIRST_STAGE_SCORE, RELEVANCE_SCORE
from langchain_rerank.plain_text import printable
from langchain_rerank.scorers import contract
from langchain_rerank.scorers.pairs import PairScorer

if TYPE_CHECKING:
    from langchain_core.documents import Document

    from langchain_rerank.evaluation.data.datasets import Dataset
    from langchain_rerank.evaluation.report.report import Report
    from langchain_rerank.evaluation.score.summaries import Comparison, SweepPoint
    from langchain_rerank.result import RerankResult
    from langchain_rerank.scorers.contract import Scorer, Scores

KS = (5, 10, 20, 30)
MEASURES = ("R@5", "R@3", "R@1")  # five documents are what a chain gets, so these decide
TIMED_QUESTIONS = 4
BM25_SHARE = 0.3  # as `search` gives embeddings; not chosen on these questions


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
    ] = 100,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder for the report: HTML, plots, every question."),
    ] = None,
) -> None:
    """Show, offline, what reranking changes: scores, ranks, recall, latency, the best depth."""
    from langchain_rerank.cli.models import open_scorer
    from langchain_rerank.embedded import CORPUS_FOLDER, QUESTIONS_FILE
    from langchain_rerank.errors import ConfigurationError
    from langchain_rerank.evaluation.compare import compare_rerank
    from langchain_rerank.evaluation.data.files import load_dataset
    from langchain_rerank.evaluation.sweep import sweep_k
    from langchain_rerank.files import load_documents
    from langchain_rerank.first_stage import BM25Retriever
    from langchain_rerank.retriever import CrossEncoderRerankRetriever

    if docs and not questions:
        raise ConfigurationError(
            "--docs needs --questions too: recall is measured on questions about these documents."
        )
    scorer = open_scorer(model, default="embedded", model_url=model_url, dialect=dialect)
    name = contract.scorer_name(scorer)
    console = Console()
    documents = load_documents(docs or [CORPUS_FOLDER])
    dataset = _spread(load_dataset(questions or QUESTIONS_FILE), limit)
    console.print(
        f"[bold]{len(documents)}[/] passages, [bold]{len(dataset)}[/] questions. First stage: "
        f"BM25, which counts shared words. Second stage: [bold]{name}[/], a cross-encoder."
    )
    # Beyond the corpus there is nothing more to retrieve.
    depths = [k for k in KS if k < len(documents)] or [len(documents)]
    base = BM25Retriever.from_documents(documents, k=depths[-1])
    heard = _Heard(scorer)
    with CrossEncoderRerankRetriever(
        base_retriever=base, model=scorer, first_stage_k=depths[-1], top_n=None
    ) as retriever:
        console.print(f"Scoring up to {depths[-1]} candidates a question, once for all of this…")
        report = sweep_k(
            base, heard, dataset, depths, measures=MEASURES, latency_queries=TIMED_QUESTIONS
        )
        mixed = compare_rerank(
            base,
            heard.again(),
            dataset,
            first_stage_k=report.settings["first_stage_k"],
            first_stage_weight=BM25_SHARE,
            measures=MEASURES,
        )
        gained = _comparison(report, MEASURES[-1]).gained
        question = gained[0].question if gained else report.queries[0].question
        result = retriever.search(question)
        _show_pair(console, result)
        _show_search(console, result)
        _show_recall(console, report, mixed)
        _show_depths(console, report)
    if out is not None:
        report.save(out)
        console.print(Text(f"The report is in {printable(str(out))}."), soft_wrap=True)


class _Heard:
    """A scorer whose scores are kept as they come, so that the mixture need not score again."""

    def __init__(self, scorer: Scorer) -> None:
        self._scorer = scorer
        self._known: dict[tuple[str, str], float] = {}
        self.name = contract.scorer_name(scorer)

    def score(self, query: str, texts: Sequence[str]) -> Scores:
        """Return the scorer's scores."""
        scores = contract.score(self._scorer, query, texts)
        self._known.update(zip(((query, text) for text in texts), scores, strict=True))
        return scores

    def again(self) -> Scorer:
        """Return a scorer that gives what was heard, and nothing else."""
        return PairScorer(lambda pairs: [self._known[pair] for pair in pairs], name=self.name)


def _spread(dataset: Dataset, limit: int) -> Dataset:
    """Return `limit` of the questions at even distances, so that easy and hard ones stay mixed."""
    total = len(dataset)
    if total <= limit:
        return dataset
    return replace(
        dataset, records=tuple(dataset.records[n * total // limit] for n in range(limit))
    )


def _show_pair(console: Console, result: RerankResult) -> None:
    _heading(console, "1. BM25 against cross-encoder: one question, two texts")
    pair = [_by_first_stage(result)[0], result.documents[0]]
    columns = [
        [float(document.metadata[key]) for document in pair]
        for key in (FIRST_STAGE_SCORE, RELEVANCE_SCORE)
    ]
    # Text, not str: square brackets in a document are no markup.
    table = Table(title=Text(printable(result.query)), title_justify="left", show_lines=True)
    for heading in ("text", "BM25", "cross-encoder"):
        table.add_column(heading, justify="left" if heading == "text" else "right")
    for row, document in enumerate(pair):
        cells = [
            Text(f"{column[row]:.3f}", style="bold green" if column[row] == max(column) else "")
            for column in columns
        ]
        text = " ".join(printable(document.page_content).split())
        table.add_row(Text(text, overflow="ellipsis"), *cells)
    console.print(table)
    console.print(
        "BM25 counts the words that question and text share; the cross-encoder reads the two "
        "together. Each column has a scale of its own."
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


def _show_recall(console: Console, report: Report, mixed: Report) -> None:
    from langchain_rerank.evaluation.report.rendering.words import between, fraction, signed

    depth = report.settings["first_stage_k"]
    _heading(console, f"3. Recall and latency over {len(report.queries)} questions")
    table = Table()
    table.add_column("")
    for heading in (*(one.replace("R@", "recall@") for one in MEASURES), "mean latency"):
        table.add_column(heading, justify="right")
    before, after = report.systems["first_stage"], report.systems["reranked"]
    for name, system, timed in (
        ("not reranked", before, before),
        (f"reranked, K={depth}", after, after),
        # Arithmetic on the same scores, which takes no time that could be seen.
        (f"mixed with {BM25_SHARE:.0%} BM25", mixed.systems["reranked"], after),
    ):
        means = [system.measures[one].mean for one in MEASURES]
        table.add_row(
            name,
            *("-" if mean is None else fraction(mean) for mean in means),
            f"{timed.latency['total'].mean:.0f} ms",
        )
    console.print(table)
    for measure in MEASURES:
        compared = _comparison(report, measure)
        percent = compared.improvement_percent
        console.print(
            f"{measure.replace('R@', 'recall@')}, reranked: "
            + signed(compared.difference)
            + ("" if percent is None else f" ({percent:+.0f} %)")
            + ("" if compared.ci is None else f", 95 % interval {between(compared.ci, signed)}"),
            highlight=False,
        )


def _show_depths(console: Console, report: Report) -> None:
    from langchain_rerank.evaluation.report.rendering.sentences import headlines

    sweep = report.sweep
    if sweep is None:
        return
    _heading(console, "4. How many candidates to rerank")
    slowest = max(_latency(point) for point in sweep.points)
    table = Table()
    table.add_column("K", justify="right")
    table.add_column(sweep.measure.replace("R@", "recall@"))
    table.add_column("latency (median)")
    for point in sweep.points:
        mean = point.measures[sweep.measure].mean or 0.0
        style = "bold green" if point.k == sweep.recommended_k else ""
        table.add_row(
            f"{point.k}" if point.k else "0, not reranked",
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
