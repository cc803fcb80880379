"""Answer although the model fails: another scorer steps in, or the first stage's order stays."""

import logging
from collections.abc import Sequence

from guides import documents

from langchain_rerank import BM25Retriever, CrossEncoderRerankRetriever, CrossEncoderScorer
from langchain_rerank.errors import ScorerUnavailableError
from langchain_rerank.wrappers import FallbackScorer

QUESTION = "Why can LLMs not count the letters in a word reliably?"
logging.getLogger("langchain_rerank").setLevel(logging.ERROR)  # it has the tracebacks: hidden here


class RemoteScorer:
    """Stands for a server that does not answer."""

    def score(self, query: str, texts: Sequence[str]) -> list[float]:
        """Raise what a client raises when its server is down."""
        raise ScorerUnavailableError(f"No answer to {query!r} and {len(texts)} texts.")


base = BM25Retriever.from_documents(documents())
guarded = CrossEncoderRerankRetriever(
    base_retriever=base,
    model=FallbackScorer(RemoteScorer(), CrossEncoderScorer("embedded")),
    top_n=3,
)
result = guarded.search(QUESTION)
print(result.summary())
assert len(result.scores) == 3

unranked = CrossEncoderRerankRetriever(
    base_retriever=base, model=RemoteScorer(), top_n=3, on_error="first_stage"
)
result = unranked.search(QUESTION)
print(result.summary())
assert isinstance(result.error, ScorerUnavailableError)
assert result.first_stage_ranks == [1, 2, 3]
