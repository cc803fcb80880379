"""A TREC run as a first stage: whatever produced it, its candidates can be reranked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from langchain_core.callbacks import CallbackManagerForRetrieverRun
from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever
from pydantic import ConfigDict

from langchain_rerank.documents import with_scores
from langchain_rerank.errors import ConfigurationError, DataFileError
from langchain_rerank.evaluation.data.questions import Dataset, some
from langchain_rerank.evaluation.data.trec import as_written, read_run


class RunRetriever(BaseRetriever):
    """Retriever that answers known questions with the documents that a run has for them.

    A question that the run does not answer gets no document.
    """

    candidates: Mapping[str, Sequence[tuple[Document, float]]]
    """Documents and scores, best first, by question."""
    k: int
    """How many documents to return at most."""

    model_config = ConfigDict(extra="forbid")

    def _get_relevant_documents(
        self,
        query: str,
        *,
        run_manager: CallbackManagerForRetrieverRun,  # noqa: ARG002 - one step, no child
    ) -> list[Document]:
        found = self.candidates.get(query, ())[: self.k]
        return with_scores([document for document, _ in found], [score for _, score in found])


def run_retriever(
    path: Path, documents: Sequence[Document], dataset: Dataset, *, k: int
) -> RunRetriever:
    """Return the candidates of a TREC run as a first stage.

    Raises:
        DataFileError: The run answers no question of the data set, or names a document that the
            corpus has not.
        ConfigurationError: Two questions have the same words and other candidates.
    """
    run = read_run(path)
    corpus = {str(document.id): document for document in documents}
    # Runs that this program wrote have ids without white space.
    written = {as_written(one): one for one in corpus}
    candidates: dict[str, list[tuple[Document, float]]] = {}
    asked: dict[str, str] = {}
    for record in dataset.records:
        query = record.id if record.id in run else as_written(record.id)
        if query not in run:
            continue
        found = []
        for one, score in run[query]:
            document = corpus.get(one) or corpus.get(written.get(one, ""))
            if document is None:
                raise DataFileError(
                    f"the run has the document {one!r} under the query {record.id!r}, which is "
                    f"missing from the corpus of {len(corpus)} documents; give the corpus that the "
                    f"run is from, and of a report by sources or texts the run in document_runs",
                    path=path,
                )
            if one in corpus and written.get(one, one) != one:
                raise DataFileError(
                    f"the run has the document {one!r}, which may be {one!r} or "
                    f"{written[one]!r} of the corpus; rename one of them",
                    path=path,
                )
            found.append((document, score))
        earlier = asked.setdefault(record.question, query)
        if earlier != query and run[earlier] != run[query]:
            raise ConfigurationError(
                f"The queries {earlier!r} and {record.id!r} ask the same words "
                f"({record.question!r}) and have other candidates in {path}; remove one of them."
            )
        candidates[record.question] = found
    if not candidates:
        raise DataFileError(
            f"the run answers none of the {len(dataset)} queries: it has "
            f"{some(run)}, the data set has {some(one.id for one in dataset.records)}",
            path=path,
        )
    return RunRetriever(candidates=candidates, k=k)
