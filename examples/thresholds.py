"""Return nothing rather than something irrelevant: the lowest relevance score, from questions."""

import json

from guides import documents, embeddings

from langchain_rerank import CrossEncoderRerankRetriever, hybrid_retriever
from langchain_rerank.embedded import QUESTIONS_FILE
from langchain_rerank.evaluation import tune_threshold

base = hybrid_retriever(documents(), embeddings())
retriever = CrossEncoderRerankRetriever(base_retriever=base, model="embedded", first_stage_k=10)

# Questions that the guides answer, and questions that they do not: nothing is relevant to these.
questions = [json.loads(line) for line in QUESTIONS_FILE.read_text("utf-8").splitlines()][:30]
elsewhere = "bread tea chess tax roses bicycles sheep opera judo Peru cheese snow rugby cats ships"
for word in elsewhere.split():
    questions.append({"question": f"What is the best of {word}?", "qrels": {"no document": 0}})

# The scale is the model's own: a threshold of another model, or of a page, drops right answers.
tuned = tune_threshold(base, "embedded", questions, first_stage_k=10)
tuned.print()
strict = tuned.apply(retriever)
assert tuned.has_gain
assert strict.invoke("What is QLoRA?")
assert strict.invoke("How long should I boil an egg?") == []

# For one call; a threshold of 0.0 is a threshold, too.
assert len(strict.invoke("How long should I boil an egg?", score_threshold=0.0)) == 5
