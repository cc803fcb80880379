"""`langchain-rerank bench`: how fast is it here, beside the other ways to run the same model."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.box import SIMPLE
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from langchain_rerank.bench.shapes import Shape
from langchain_rerank.bench.workload import Lengths
from langchain_rerank.cli.json_output import SCREEN, JsonOption, check_json, write_json
from langchain_rerank.errors import ConfigurationError
from langchain_rerank.scorers.engine.settings import INT8

if TYPE_CHECKING:
    from langchain_rerank.bench.setup import Bench, Settings
    from langchain_rerank.bench.summary import Row, Spread


def bench(
    model: Annotated[
        str | None,
        typer.Option(help="Cross-encoder: hub name or path. Without it, --shape is built."),
    ] = None,
    shape: Annotated[
        list[Shape] | None,
        typer.Option(
            help="Real shape to build with random weights, offline: minilm-l6, or with --alone "
            "all of them. Repeatable with --alone."
        ),
    ] = None,
    alone: Annotated[
        bool,
        typer.Option(
            "--alone",
            help="This package without its peers: what one query costs, with a row a model.",
        ),
    ] = False,
    device: Annotated[str, typer.Option(help='"auto" or a torch device, such as cuda:1.')] = "auto",
    dtype: Annotated[
        str, typer.Option(help='Precision beside float32; "auto" is the device\'s own.')
    ] = "auto",
    rounds: Annotated[int, typer.Option(min=1, help="Rounds, interleaved.")] = 3,
    queries: Annotated[int, typer.Option(min=1, help="Queries of one caller in a round.")] = 1,
    candidates: Annotated[int, typer.Option(min=1, help="Passages of a query.")] = 50,
    callers: Annotated[int, typer.Option(min=0, help="Concurrent callers; 0 for none.")] = 32,
    caller_candidates: Annotated[
        int, typer.Option(min=1, help="Passages that each concurrent caller asks for.")
    ] = 5,
    min_tokens: Annotated[int, typer.Option(min=1, help="Tokens of the shortest passage.")] = 20,
    max_tokens: Annotated[int, typer.Option(min=1, help="Tokens of the longest passage.")] = 400,
    lengths: Annotated[
        Lengths,
        typer.Option(help="Lengths spread evenly, or by their logarithm: more padding elsewhere."),
    ] = Lengths.even,
    seed: Annotated[int, typer.Option(help="Seed of the generated requests.")] = 0,
    json_file: JsonOption = None,
) -> None:
    """Measure the engine beside LangChain's own path and others, with medians and spread.

    Ctrl-C stops and shows what was measured so far.
    """
    from langchain_rerank.bench.machine import PeakMemory, describe
    from langchain_rerank.bench.rounds import Measured, measure, scenarios
    from langchain_rerank.bench.setup import Settings, prepared
    from langchain_rerank.bench.summary import rows
    from langchain_rerank.bench.workload import Sizes
    from langchain_rerank.cli.console import notes_console

    check_json(json_file)
    if shape and len(shape) > 1 and not alone:
        raise ConfigurationError(
            f"--shape was given {len(shape)} times, and beside its peers one model is measured: "
            f"give one shape, or --alone for a row each."
        )
    if dtype == INT8 and not alone:
        raise ConfigurationError(
            "--dtype int8: beside its peers a model that --model names has a row in int8 anyway; "
            "leave it out, or give --alone."
        )
    settings = Settings(
        model=model,
        shape=shape[0] if shape else Shape.minilm_l6,
        device=device,
        dtype=dtype,
        sizes=Sizes(queries, candidates, min_tokens, max_tokens, lengths),
        callers=callers,
        caller_candidates=caller_candidates,
        rounds=rounds,
        seed=seed,
    )
    # What is not the result goes to stderr, so that `--json -` can be piped.
    notes = notes_console()
    if alone:
        from langchain_rerank.cli.bench_alone import bench_alone

        bench_alone(shape or list(Shape), settings, notes, json_file)
        return
    measured: Measured = {}
    interrupted = False
    with prepared(settings, lambda what: notes.print(f"{what}…", style="dim")) as ready:
        total = sum(len(scenarios(s, r)) for r in ready.rounds for s in ready.systems)
        steps = measure(ready.systems, ready.rounds, PeakMemory(ready.device), measured)
        with Progress(console=notes, disable=not notes.is_terminal, transient=True) as progress:
            task = progress.add_task("Measuring", total=total)
            try:
                for system, scenario in steps:
                    progress.update(task, advance=1, description=f"{system.name}, {scenario.value}")
            except KeyboardInterrupt:
                interrupted = True
                notes.print("Interrupted: this is what was measured so far.", style="yellow")
        result = rows(measured, ready.work, ready.ceilings)
        about = describe(ready.device)
    if json_file != SCREEN:
        _show(ready, result, about)
    if json_file is not None:
        write_json(_report(settings, ready, about, result, not interrupted), json_file)
    if interrupted:
        raise typer.Exit(130)


def _show(ready: Bench, result: Sequence[Row], about: dict[str, Any]) -> None:
    console = Console()
    if not console.is_terminal:
        console.width = 140  # a file has no width of its own
    for table in _tables(result):
        console.print(table)
    for line in _remarks(ready, about):
        console.print(line, style="dim")


def _tables(result: Sequence[Row]) -> Iterator[Table]:
    from langchain_rerank.bench.rounds import Scenario

    for scenario in Scenario:
        of_scenario = [row for row in result if row.scenario is scenario]
        if of_scenario:
            yield _table(scenario.value, _SPEED, of_scenario)
    judged = [row for row in result if row.rank_correlation is not None]
    if judged:
        yield _table("scores against float32", _AGREEMENT, judged)
    crowded = [row for row in result if row.times_bulk is not None]
    if crowded:
        yield _table("concurrent callers against one call with everything", _SHARING, crowded)


_SPEED: dict[str, Callable[[Row], str]] = {
    "system": lambda row: row.system,
    "pairs/s": lambda row: _range(row.pairs_per_second, "{:.3g}"),
    "times": lambda row: _range(row.times_reference, "{:.2f}"),
    "tokens/s": lambda row: f"{row.tokens_per_second.median:.0f}",
    "p50 ms": lambda row: f"{row.p50_ms:.1f}",
    "p95": lambda row: f"{row.p95_ms:.1f}",
    "p99": lambda row: f"{row.p99_ms:.1f}",
    "MB": lambda row: _value(row.peak_mb, "{:.0f}"),
    "ceiling": lambda row: _value(row.ceiling_share, "{:.0%}"),
}
_AGREEMENT: dict[str, Callable[[Row], str]] = {
    "system": lambda row: row.system,
    "documents": lambda row: row.scenario.value,
    "rank correlation": lambda row: _value(row.rank_correlation, "{:.5f}"),
    "greatest difference": lambda row: _value(row.max_difference, "{:.1e}"),
}
_SHARING: dict[str, Callable[[Row], str]] = {
    "system": lambda row: row.system,
    "throughput": lambda row: _value(row.times_bulk, "{:.2f}"),
    "p99 / ideal": lambda row: _value(row.p99_over_ideal, "{:.2f}"),
}


def _table(title: str, columns: dict[str, Callable[[Row], str]], result: Sequence[Row]) -> Table:
    table = Table(title=title, title_justify="left", box=SIMPLE)
    for name in columns:
        table.add_column(name, justify="left" if name in {"system", "documents"} else "right")
    for row in result:
        table.add_row(*(cell(row) for cell in columns.values()))
    return table


def _value(value: float | None, form: str) -> str:
    return "-" if value is None else form.format(value)


def _range(spread: Spread | None, form: str) -> str:
    if spread is None:
        return "-"
    low, high = form.format(spread.low), form.format(spread.high)
    return f"{form.format(spread.median)} ({low}-{high})"


def _remarks(ready: Bench, about: dict[str, Any]) -> list[str]:
    from langchain_rerank.bench.systems import REFERENCE

    versions = ", ".join(f"{name} {value}" for name, value in about.items())
    ceilings = sorted({(s.dtype, ready.ceilings[s.name]) for s in ready.systems})
    measured = ", ".join(f"{dtype} {flop / 1e12:.3g} TFLOP/s" for dtype, flop in ceilings)
    legend = (
        f"Medians over the rounds (quartiles); times: against {REFERENCE}; MB: peak "
        f"on top of what was loaded; ceiling: share of {measured}, all tokens of all layers "
        f"counted as work and padding not; {ready.padding:.0%} of what {REFERENCE} computes for "
        f"one caller is padding."
    )
    return [
        f"{ready.model} on {ready.device}; {versions}.",
        legend,
        *(f"Left out: {skipped.name}, since {skipped.reason}." for skipped in ready.skipped),
    ]


def _report(
    settings: Settings, ready: Bench, about: dict[str, Any], result: Sequence[Row], complete: bool
) -> dict[str, Any]:
    return {
        "model": ready.model,
        "device": ready.device,
        "machine": about,
        "settings": asdict(settings),
        "complete": complete,
        "padding_of_reference": ready.padding,
        "ceilings_flop_per_second": ready.ceilings,
        "skipped": [asdict(skipped) for skipped in ready.skipped],
        "rows": [asdict(row) for row in result],
    }
