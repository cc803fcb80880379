"""Return nothing rather than something irrelevant: a lowest relevance score."""

from guides import documents, embeddings

from langchain_rerank import CrossEncoderRerankRetriever, hybrid_retriever

ON_TOPIC = "What is QLoRA?"
OFF_TOPIC = "How long should I boil an egg?"

retriever = CrossEncoderRerankRetriever(
    base_retriever=hybrid_retriever(documents(), embeddings()), model="embedded", top_n=5
)
# The scale is the model's own: look at the scores of questions you know before you choose. The
# embedded model's .5 separates relevant from not on the questions that it was calibrated on.
for question in (ON_TOPIC, OFF_TOPIC):
    print(f"{question:30}", [round(score, 3) for score in retriever.search(question).scores])

strict = retriever.model_copy(update={"score_threshold": 0.5})
kept = strict.invoke(ON_TOPIC)
print(f"Of at least 0.5: {len(kept)} documents, and {len(strict.invoke(OFF_TOPIC))}")
assert kept
assert all(document.metadata["relevance_score"] >= 0.5 for document in kept)
assert strict.invoke(OFF_TOPIC) == []

# For one call; a threshold of 0.0 is a threshold, too.
assert len(strict.invoke(OFF_TOPIC, score_threshold=0.0)) == 5
