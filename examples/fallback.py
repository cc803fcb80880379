"""Answer although the server is down: another scorer steps in, or the first stage's order stays."""

import logging

from guides import documents

from langchain_rerank import (
    BM25Retriever,
    CrossEncoderRerankRetriever,
    CrossEncoderScorer,
    RemoteScorer,
)
from langchain_rerank.errors import ScorerUnavailableError
from langchain_rerank.wrappers import FallbackScorer

QUESTION = "Why can LLMs not count the letters in a word reliably?"
logging.getLogger("langchain_rerank").setLevel(logging.ERROR)  # it has the tracebacks: hidden here


# Nobody answers at this address.
remote = RemoteScorer("http://127.0.0.1:9", dialect="tei", max_attempts=2, backoff=0.05)
base = BM25Retriever.from_documents(documents())
guarded = CrossEncoderRerankRetriever(
    base_retriever=base,
    model=FallbackScorer(remote, CrossEncoderScorer("embedded"), timeout=5),
    top_n=3,
)
result = guarded.search(QUESTION)
print(result.summary())
assert len(result.scores) == 3

unranked = CrossEncoderRerankRetriever(
    base_retriever=base, model=remote, top_n=3, on_error="first_stage"
)
result = unranked.search(QUESTION)
print(result.summary())
assert isinstance(result.error, ScorerUnavailableError)
assert result.first_stage_ranks == [1, 2, 3]
remote.close()
