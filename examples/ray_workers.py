"""Two copies of a model in Ray actors: the same scorer contract, also where an actor dies."""

import ray
from guides import documents

from langchain_rerank import BM25Retriever, CrossEncoderRerankRetriever, CrossEncoderScorer
from langchain_rerank.scorers.ray import RayScorer

QUESTION = "Why can LLMs not count the letters in a word reliably?"

if __name__ == "__main__":
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, ignore_reinit_error=True)
    base = BM25Retriever.from_documents(documents())
    with RayScorer("embedded", num_actors=2, dtype="float32") as workers:
        retriever = CrossEncoderRerankRetriever(base_retriever=base, model=workers, top_n=3)
        result = retriever.search(QUESTION)
    print(result.summary())
    local = CrossEncoderScorer("embedded", dtype="float32")
    same = retriever.model_copy(update={"model": local}).search(QUESTION)
    assert [one.id for one in result.documents] == [one.id for one in same.documents]
