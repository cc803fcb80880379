"""What an evaluating command works on: the questions and the first stage, from its options."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import typer
from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever
from rich.console import Console

from langchain_rerank.cli import options
from langchain_rerank.cli.kept_embeddings import KeptEmbeddings
from langchain_rerank.cli.loading import FirstStage, build_first_stage
from langchain_rerank.cli.model_names import check_scorer
from langchain_rerank.cli.models import load
from langchain_rerank.cli.run_candidates import run_retriever
from langchain_rerank.errors import ConfigurationError
from langchain_rerank.evaluation.data.beir import load_collection
from langchain_rerank.evaluation.data.files import load_dataset
from langchain_rerank.evaluation.data.questions import Dataset, some
from langchain_rerank.evaluation.data.relevance import Relevance
from langchain_rerank.files import load_documents
from langchain_rerank.first_stage.embeddings import default_embeddings, embedding_name
from langchain_rerank.first_stage.kept.store import default_store
from langchain_rerank.first_stage.terms import ENGLISH, Terms
from langchain_rerank.reading import Form
from langchain_rerank.scorers.contract import Scorer
from langchain_rerank.scorers.engine.model_files import fingerprint

JOURNAL = "journal.jsonl"
INTERRUPTED = 130  # what shells report of a program that Ctrl-C stopped


@dataclass
class Source:
    """Where the candidates come from, as the options say.

    Attributes:
        first_stage: Kind of first stage; None is BM25, or the run.
        run: A TREC run whose candidates are reranked, in place of a first stage.
        embedding_model: Embeddings of dense and hybrid; None is the default one.
        k: How many candidates a question gets at most.
        language: What `--language` was given.
        content: Checksums of what was read, by name, from `open_first_stage`.

    Raises:
        ConfigurationError: A run and a first stage at once, or no such language.
    """

    first_stage: FirstStage | None
    run: Path | None
    embedding_model: str | None
    k: int
    language: str | None = None
    content: dict[str, str] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        given = [
            f"--first-stage {self.first_stage.value}" if self.first_stage is not None else "",
            f"--language {self.language}" if self.language is not None else "",
        ]
        if self.run is not None and any(given):
            raise ConfigurationError(
                f"--run {self.run} brings its candidates; leave out "
                f"{' and '.join(filter(None, given))}, or leave out --run."
            )
        Terms(options.language(self.language))  # refused before minutes of reading

    @property
    def settings(self) -> dict[str, str]:
        """What a report should say about it, and what a resumed run must not change."""
        if self.run is not None:
            return {"run": self.run.name, **self.content}
        kind = self.first_stage or FirstStage.bm25
        found = {"candidates": kind.value}
        if kind is not FirstStage.bm25:
            found["embedding_model"] = embedding_name(self.embedding_model)
        terms = Terms(options.language(self.language))
        if kind is not FirstStage.dense and terms.language != ENGLISH:
            found["language"] = terms.language or "none"
        return {**found, **self.content}


def open_inputs(
    documents: Sequence[Document],
    dataset: Dataset,
    source: Source,
    scorers: Collection[Scorer],
    notes: Console,
    *,
    fail_on_unmatched: bool,
) -> tuple[BaseRetriever, Relevance]:
    """Return the first stage and what is relevant; what is cheap to get wrong is checked first.

    Raises:
        ConfigurationError: Labels none of which belongs to a document.
        DataFileError: The run does not fit the documents and questions.
        ModelLoadError: A model is not there, or is not a cross-encoder.
        Exit: A label belongs to no document, and that is to fail.
    """
    for scorer in scorers:
        check_scorer(scorer)  # before anything is embedded
    relevance = Relevance(corpus=documents)
    asked = [(one, ()) for one in dataset.usable]
    relevance.check(asked)
    unmatched = relevance.unmatched(asked) if fail_on_unmatched else None
    if unmatched is not None:
        notes.print(f"Failed: {unmatched.message}")
        raise typer.Exit(1)
    # What the first stage embeds is kept, so that a model that cannot be loaded loses nothing.
    retriever = open_first_stage(source, documents, dataset, notes)
    for scorer in scorers:
        load(scorer, notes)
    return retriever, relevance


def open_data(
    collection: Path | None,
    docs: Sequence[Path] | None,
    questions: Path | None,
    *,
    form: Form | None = None,
    chunk_size: int | None = None,
    follow_symlinks: bool = False,
) -> tuple[Sequence[Document], Dataset]:
    """Return the documents and the questions that the options name.

    Raises:
        ConfigurationError: Neither or both of a collection, and documents with questions.
        DataFileError: A file is missing or malformed.
    """
    form = form or Form()
    if collection is not None:
        if docs or questions is not None:
            raise ConfigurationError(
                f"The collection {collection} brings its own documents and questions; "
                f"leave out --docs and --questions, or leave out the collection."
            )
        opened = load_collection(collection, split=form.split)
        return opened.documents, opened.dataset
    if not docs or questions is None:
        raise ConfigurationError(
            "There is nothing to evaluate on: give a folder in BEIR layout, or --docs with "
            "--questions."
        )
    dataset = load_dataset(
        questions, encoding=form.encoding, delimiter=form.delimiter, split=form.split
    )
    documents = load_documents(
        docs, chunk_size=chunk_size, form=form, follow_symlinks=follow_symlinks
    )
    return documents, dataset


def open_first_stage(
    source: Source, documents: Sequence[Document], dataset: Dataset, notes: Console
) -> BaseRetriever:
    """Return the first stage over `documents` that `source` says.

    The settings of `source` name the content from then on: other documents or another run under
    the same names are another evaluation, whose journal is not to be resumed.

    Raises:
        DataFileError: The run does not fit the documents and questions.
    """
    source.content["documents_sha256"] = _checksum(
        part for one in documents for part in (one.id or "", one.page_content)
    )
    if source.run is not None:
        retriever = run_retriever(source.run, documents, dataset, k=source.k)
        asked = dataset.usable
        silent = [one.id for one in asked if one.question not in retriever.candidates]
        if silent:
            notes.print(
                f"{source.run} answers {len(asked) - len(silent)} of {len(asked)} questions. The "
                f"others ({some(silent)}) have no candidates and count 0."
            )
        source.content["run_sha256"] = hashlib.sha256(source.run.read_bytes()).hexdigest()
        return retriever
    kind = source.first_stage or FirstStage.bm25
    with notes.status(f"Indexing {len(documents)} documents ({kind.value})…") as status:
        embeddings = None
        if kind is not FirstStage.bm25:
            embeddings = KeptEmbeddings(
                default_embeddings(source.embedding_model),
                model=fingerprint(embedding_name(source.embedding_model)),
                store=default_store(),
                progress=lambda what, done, total: status.update(f"{what}: {done:,} of {total:,}…"),
            )
        language = options.language(source.language)
        return build_first_stage(
            kind, documents, k=source.k, embeddings=embeddings, language=language
        )


def _checksum(texts: Iterable[str]) -> str:
    found = hashlib.sha256()
    for text in texts:
        data = text.encode("utf-8", "surrogatepass")
        found.update(b"%d:" % len(data))  # so that no text can be taken for a part of the next
        found.update(data)
    return found.hexdigest()


@contextmanager
def resumable(out: Path, notes: Console) -> Iterator[None]:
    """Say how to go on when Ctrl-C stops what runs inside."""
    try:
        yield
    except KeyboardInterrupt:
        text = "\nInterrupted before any query was finished."
        if (out / JOURNAL).exists():
            text = (
                f"\nInterrupted. Finished queries are in {out / JOURNAL}; run the same command "
                f"with --resume to go on."
            )
        notes.print(text)
        raise typer.Exit(INTERRUPTED) from None


def say_where(out: Path, notes: Console) -> None:
    """Say where a report was written to."""
    notes.print(f"Written to {out}; open {out / 'report.html'} in a browser.")
