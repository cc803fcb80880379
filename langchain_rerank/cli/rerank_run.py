"""`langchain-rerank rerank-run`: score a whole file of pairs with Ray, in parts."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from langchain_rerank.cli import options


def rerank_run(
    source: Annotated[
        Path,
        typer.Argument(
            help="Parquet or JSONL with query and text in each row, or a TREC run.", dir_okay=False
        ),
    ],
    out: Annotated[Path, typer.Option("--out", help="The result, of the same kind.")],
    collection: Annotated[
        Path | None,
        typer.Option("--collection", help="Folder in BEIR layout that a TREC run is about."),
    ] = None,
    model: options.ModelOption = None,
    model_arg: options.ModelArgOption = None,
    actors: Annotated[int, typer.Option("--actors", min=1, help="Copies of the model.")] = 2,
    cpus: Annotated[float, typer.Option("--cpus", min=0.1, help="CPU cores of each.")] = 1.0,
    gpus: Annotated[
        float, typer.Option("--gpus", min=0.0, help="GPUs of each; 0.5 puts two on one.")
    ] = 0.0,
    part_pairs: Annotated[int, typer.Option("--part-pairs", min=1, help="Pairs of a part.")] = 4096,
) -> None:
    """Rerank the pairs of SOURCE offline, with copies of a model on a Ray cluster (extra `ray`).

    Interrupted, it goes on where it was when the same command runs again.

        langchain-rerank rerank-run pairs.parquet --out scored.parquet
    """
    from time import perf_counter

    from langchain_rerank.cli.console import notes_console
    from langchain_rerank.serve.dataset import rerank_dataset

    started = perf_counter()
    pairs = rerank_dataset(
        source,
        out,
        model=model or options.MODEL,
        collection=collection,
        num_actors=actors,
        num_cpus=cpus,
        num_gpus=gpus,
        part_pairs=part_pairs,
        **options.load_settings(model_arg),
    )
    notes_console().print(
        f"{pairs:,} pairs scored in {perf_counter() - started:.0f} s. Written to {out}."
    )
