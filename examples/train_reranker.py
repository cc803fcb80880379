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

from pathlib import Path
from typing import Annotated

import typer
from reranker_training.judging import at_one_half, judge, pairs, scorer_of, table
from reranker_training.lists import Options, begin, prepare, split
from reranker_training.questions import Questions, judged

from langchain_rerank.embedded import FIRST_STAGE_WEIGHT
from langchain_rerank.first_stage.embeddings import packaged_embedding_model

MINILM = packaged_embedding_model() or "sentence-transformers/all-MiniLM-L6-v2"
MARKS = ("<!-- figures -->\n", "\n<!-- /figures -->")

Folders = Annotated[list[str], typer.Argument(help="BEIR folders, each FOLDER or FOLDER:SPLIT")]
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
    from reranker_training.learning import learn

    options = Options(
        base=base,
        labelled=folders,
        unlabelled=unlabelled or [],
        embedding_model=embedding_model,
        reranker=reranker,
        questions=questions,
        held_apart=held_apart,
        list_size=list_size,
        lists_per_step=lists_per_step,
        epochs=epochs,
        learning_rate=learning_rate,
        max_length=max_length,
        window_words=window_words,
        cosine_weight=cosine_weight,
        bm25_weight=bm25_weight,
        reranker_weight=reranker_weight,
        label_bonus=label_bonus,
        seed=seed,
    )
    if not begin(options, output):
        raise typer.BadParameter(
            f"{output} was begun with other options, see {output / 'training.json'}: "
            f"repeat those to go on, or name another --output"
        )
    if learn(options, prepare(options, output, cache), output, pause_at):
        held = [split(judged(spec, "train"), options)[1] for spec in folders]
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
    found = [judged(spec, "test").sample(queries, seed=0) for spec in folders]
    apply_calibration(model, found, embedding_model, depth, cache)


def apply_calibration(
    model: Path, held: list[Questions], embedding_model: str | None, depth: int, cache: Path
) -> None:
    """Calibrate the model in a folder and say what a threshold of .5 gives, by collection.

    The figures of a collection come from a fit on the others, where there are others.
    """
    from reranker_training.learning import fit, fold

    scorer = scorer_of(str(model), cache)
    found = {
        one.name: list(
            pairs(one, scorer, embedding_model=embedding_model, depth=depth, cache=cache)
        )
        for one in held
        if one.asked
    }
    scorer.close()
    for name, of_one in found.items():
        others = [of for other, of in found.items() if other != name] or [of_one]
        scale, offset = fit(others)
        moved = [([scale * one + offset for one in scores], right) for scores, right in of_one]
        print(f"{name}, {at_one_half(moved)}")
    scale, offset = fit(list(found.values()))
    fold(model, scale, offset)
    print(f"{model}: logit = {scale:.3f} * logit {offset:+.3f}")


@app.command()
def evaluate(
    model: Annotated[str, typer.Argument(help="Model folder, hub name, or 'embedded'")],
    folders: Folders,
    weight: Annotated[
        float, typer.Option(help="Share of the cosine in the mixture")
    ] = FIRST_STAGE_WEIGHT,
    depth: Depth = 50,
    queries: Count = None,
    embedding_model: BiEncoder = None,
    write: Annotated[
        Path | None, typer.Option(help="Markdown file whose figures the table replaces")
    ] = None,
    cache: Cache = CACHE,
) -> None:
    """Rerank BM25, dense and hybrid first stages by the cosine, the model and the mixture."""
    scorer = scorer_of(model, cache)
    found = {}
    for spec in folders:
        questions = judged(spec, "test").sample(queries, seed=0)
        found[questions.name] = judge(
            questions,
            scorer,
            weight=weight,
            embedding_model=embedding_model,
            depth=depth,
            cache=cache,
        )
        print(table({questions.name: found[questions.name]}))
    print(figures := table(found))
    if write is not None:
        before, begun, rest = write.read_text(encoding="utf-8").partition(MARKS[0])
        _, ended, after = rest.partition(MARKS[1])
        if not begun or not ended:
            raise typer.BadParameter(f"{write} has no place for the figures: {MARKS}")
        write.write_text(f"{before}{begun}{figures}{ended}{after}", encoding="utf-8")


if __name__ == "__main__":
    app()
