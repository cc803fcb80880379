"""Turn a RAGAS script into a comparison before and after reranking: the lines marked `added`."""

import asyncio
import json
from statistics import mean

from guides import documents, embeddings
from langchain_core.vectorstores import InMemoryVectorStore
from ragas import SingleTurnSample
from ragas.metrics import IDBasedContextRecall

from langchain_rerank import CrossEncoderRerankRetriever  # added
from langchain_rerank.embedded import QUESTIONS_FILE
from langchain_rerank.evaluation import from_ragas  # added
from langchain_rerank.evaluation.ragas import RagasEvaluation  # added

passages = documents()
store = InMemoryVectorStore.from_documents(passages, embeddings())
retriever = store.as_retriever(search_kwargs={"k": 3})
samples = []
for row in map(json.loads, QUESTIONS_FILE.read_text(encoding="utf-8").splitlines()[-12:]):
    found = retriever.invoke(row["question"])
    right = [one.id for one in passages if row["expected_passage"] in one.page_content]
    samples.append(
        SingleTurnSample(
            user_input=row["question"],
            reference=row["reference"],
            retrieved_contexts=[one.page_content for one in found],
            retrieved_context_ids=[one.id for one in found],
            reference_context_ids=right,
        )
    )
scores = [asyncio.run(IDBasedContextRecall().single_turn_ascore(one)) for one in samples]
print(f"RAGAS: id_based_context_recall {mean(scores):.3f}")

settings = {"model": "embedded", "first_stage_k": 10, "top_n": 3}  # added
reranked = CrossEncoderRerankRetriever(base_retriever=retriever, **settings)  # added
report = RagasEvaluation(reranked, corpus=passages).invoke(from_ragas(samples))  # added
report.print()  # added
before, after = (one.measures["id_based_context_recall"] for one in report.systems.values())
assert abs(before.mean - mean(scores)) < 1e-9  # what RAGAS says of the plain retriever
assert after.n == before.n == len(samples)
