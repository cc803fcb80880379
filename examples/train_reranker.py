"""Fine-tune a reranker on your own data, on a laptop CPU or a GPU.

One or more folders in BEIR layout go in, a model folder comes out that
``sentence_transformers.CrossEncoder(path)`` and ``langchain_rerank`` load:

    python examples/train_reranker.py train my_data --output my_reranker
    python examples/train_reranker.py evaluate my_reranker my_data:test

A BEIR folder holds ``corpus.jsonl`` (``_id``, ``title``, ``text``), ``queries.jsonl`` (``_id``,
``text``) and ``qrels/<split>.tsv`` (query-id, corpus-id, score). ``folder:split`` names the split:
``train`` is read by training and ``test`` by evaluation unless you say otherwise.

How it learns. For every question the candidates are a mix of documents that BM25 finds, that a
bi-encoder finds, and a random one. Teachers grade each list: BM25, the bi-encoder's cosine and, if
you name one, another reranker, each standardised and added up, with a bonus for the labelled
document. The student, which reads both texts together, learns the order of the grades. What is
given with ``--unlabelled`` needs no questions: sentences and bags of rare words stand in for them.
Why so: with labels alone a small model forgets what its base knew about language.

At the end the score is calibrated on labelled questions that were held apart: about .5 separates
relevant from not.

Stop it at any time and run the same command again: it goes on from the last checkpoint.
Needs: pip install 'langchain-rerank[demo]' accelerate datasets
"""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Annotated

import typer
from reranker_training import judging
from reranker_training.lists import learnt, prepare
from reranker_training.questions import bi_encoder, judged

from langchain_rerank.embedded import FIRST_STAGE_WEIGHT
from langchain_rerank.evaluation.data.beir import Collection
from langchain_rerank.first_stage.embeddings import packaged_embedding_model

MINILM = packaged_embedding_model() or "sentence-transformers/all-MiniLM-L6-v2"

Folders = Annotated[list[str], typer.Argument(help="BEIR folders, each FOLDER or FOLDER:SPLIT")]
Model = Annotated[str, typer.Argument(help="Model folder, hub name, or 'embedded'")]
Cache = Annotated[Path, typer.Option(help="Where vectors and scores are kept")]
CACHE = Path(".reranker-cache")
BiEncoder = Annotated[str | None, typer.Option(help="Bi-encoder; default all-MiniLM-L6-v2")]
Count = Annotated[int | None, typer.Option(help="Most questions per folder, drawn at random")]
Depth = Annotated[int, typer.Option(help="Candidates of a first stage")]

app = typer.Typer(help=__doc__, rich_markup_mode=None, no_args_is_help=True)


@app.command()
def train(
    folders: Folders,
    output: Annotated[Path, typer.Option(help="Model folder to write; also holds checkpoints")],
    base: Annotated[str, typer.Option(help="Cross- or bi-encoder to start from")] = MINILM,
    embedding_model: BiEncoder = None,
    reranker: Annotated[str | None, typer.Option(help="A reranker that grades, too")] = None,
    unlabelled: Annotated[
        list[str] | None, typer.Option(help="Folder or file of plain text, Markdown or JSONL")
    ] = None,
    questions: Annotated[int, typer.Option(help="Most questions per folder")] = 3000,
    held_apart: Annotated[float, typer.Option(help="Share of them kept for calibration")] = 0.1,
    list_size: Annotated[int, typer.Option(help="Candidates per question")] = 8,
    lists_per_step: Annotated[int, typer.Option(help="Questions per optimiser step")] = 8,
    epochs: Annotated[float, typer.Option(help="Passes over the questions")] = 1.0,
    learning_rate: Annotated[float, typer.Option(help="Peak learning rate")] = 1e-4,
    max_length: Annotated[int, typer.Option(help="Tokens per pair; longer texts are cut")] = 384,
    window_words: Annotated[int, typer.Option(help="Words kept of a text, half to twice")] = 80,
    cosine_weight: Annotated[float, typer.Option(help="Weight of the cosine's grades")] = 1.0,
    bm25_weight: Annotated[float, typer.Option(help="Weight of BM25's grades")] = 1.0,
    reranker_weight: Annotated[float, typer.Option(help="Weight of the reranker's grades")] = 1.0,
    label_bonus: Annotated[float, typer.Option(help="Added to labelled documents")] = 2.0,
    seed: Annotated[int, typer.Option(help="Seed of sampling, order and the new head")] = 7,
    pause_at: Annotated[int | None, typer.Option(help="Stop at this step, to go on later")] = None,
    cache: Cache = CACHE,
) -> None:
    """Train a reranker; run the same command again to go on after a stop."""
    unlabelled = unlabelled or []
    given = {k: v for k, v in locals().items() if k not in {"output", "pause_at", "cache"}}
    options, settings = SimpleNamespace(**given), output / "training.json"
    output.mkdir(parents=True, exist_ok=True)
    if settings.exists() and json.loads(settings.read_text(encoding="utf-8")) != given:
        raise typer.BadParameter(
            f"{output} was begun with other options, see {settings}: repeat those to go on, or "
            f"name another --output"
        )
    settings.write_text(json.dumps(given, indent=2), encoding="utf-8")

    from reranker_training.learning import learn

    if learn(options, prepare(options, output, cache), output, pause_at):
        held = [learnt(spec, options)[1] for spec in folders]
        apply_calibration(output, held, embedding_model, 50, cache)


@app.command()
def calibrate(
    model: Annotated[Path, typer.Argument(help="Model folder; its head is changed")],
    folders: Folders,
    embedding_model: BiEncoder = None,
    depth: Depth = 50,
    queries: Count = None,
    cache: Cache = CACHE,
) -> None:
    """Fit scale and offset of the logit on judged questions, and fold both into the head.

    Use questions that the model was not trained on. Every folder weighs the same.
    """
    held = [judged(spec, "test", queries) for spec in folders]
    if not apply_calibration(model, held, embedding_model, depth, cache):
        raise typer.Exit(1)


def apply_calibration(
    model: Path, held: list[Collection], embedding_model: str | None, depth: int, cache: Path
) -> bool:
    """Calibrate the model in a folder and say what a threshold of .5 gives, by collection.

    The figures of a collection come from a fit on the others, where there are others. Scores that
    do not separate stay as they are, which is said; returned is whether they were calibrated.
    """
    from reranker_training.learning import fit, fold

    with closing(judging.scorer_of(str(model), cache)) as scorer:
        embeddings = bi_encoder(embedding_model, cache)
        found = {
            one.dataset.name: judging.pairs(one, scorer, embeddings, depth)
            for one in held
            if len(one.dataset)
        }
    groups = list(found.values())
    try:
        scale, offset = fit(groups)
        for name, of_one in found.items():
            slope, shift = fit([group for group in groups if group is not of_one] or groups)
            moved = [([slope * one + shift for one in scores], right) for scores, right in of_one]
            print(f"{name}, {judging.at_one_half(moved)}")
    except ValueError as error:
        print(f"{model}: the score stays as it is: {error}")
        return False
    fold(model, scale, offset)
    print(f"{model}: logit = {scale:.3f} * logit {offset:+.3f}")
    return True


@app.command()
def evaluate(
    model: Model,
    folders: Folders,
    weight: Annotated[
        float, typer.Option(help="Share of the cosine in the mixture")
    ] = FIRST_STAGE_WEIGHT,
    depth: Depth = 50,
    queries: Count = None,
    embedding_model: BiEncoder = None,
    cache: Cache = CACHE,
) -> None:
    """Rerank BM25, dense and hybrid first stages by the cosine, the model and the mixture."""
    embeddings, found = bi_encoder(embedding_model, cache), {}
    with closing(judging.scorer_of(model, cache)) as scorer:
        for spec in folders:
            one = judged(spec, "test", queries)
            found[one.dataset.name] = judging.judge(one, scorer, embeddings, weight, depth)
            passages = judging.pairs(one, scorer, embeddings, depth)
            print(f"{one.dataset.name}, {judging.at_one_half(passages)}")
            print(judging.table({one.dataset.name: found[one.dataset.name]}))
    print(judging.table(found))


if __name__ == "__main__":
    app()
