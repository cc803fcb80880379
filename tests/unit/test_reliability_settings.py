"""Every public door refuses odd settings alike, with an error of this package."""

from __future__ import annotations

import sys
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest
import torch
from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings
from langchain_core.runnables import RunnableLambda
from langchain_core.vectorstores import InMemoryVectorStore
from pydantic import ValidationError

from langchain_rerank import (
    BM25Retriever,
    CrossEncoderReranker,
    CrossEncoderRerankRetriever,
    CrossEncoderScorer,
    DenseRetriever,
    HybridRetriever,
    ListwiseScorer,
    RemoteScorer,
    RerankPrompt,
    hybrid_retriever,
)
from langchain_rerank.errors import ConfigurationError, RerankError
from langchain_rerank.evaluation import compare_rerank
from langchain_rerank.first_stage import reciprocal_rank_fusion
from langchain_rerank.ranking import z_scores
from langchain_rerank.testing import WordOverlapScorer
from langchain_rerank.wrappers import (
    CachedScorer,
    CascadeScorer,
    FallbackScorer,
    LongDocumentScorer,
    MixedScorer,
    ShardedScorer,
)


class Lengths(Embeddings):
    def embed_query(self, text):
        return [1.0, float(len(text))]

    def embed_documents(self, texts):
        return [self.embed_query(text) for text in texts]


WORDS = WordOverlapScorer()
DOCUMENTS = [Document(f"red fox {number}", id=str(number)) for number in range(4)]
EMBEDDINGS = Lengths()
STORE = InMemoryVectorStore(EMBEDDINGS)
STORE.add_documents(DOCUMENTS)
BM25 = BM25Retriever.from_documents(DOCUMENTS)
QUESTIONS = [{"id": "1", "question": "red fox", "reference_context_ids": ["1"]}]


class Refuses:
    def __repr__(self):
        raise RuntimeError("not shown")


def nested(levels):
    value = []
    for _ in range(levels):
        value = [value]
    return value


ODD = {
    "True": True,
    "NumPy's True": np.True_,
    "torch's True": torch.tensor(True),
    "text": "3",
    "bytes": b"3",
    "nan": float("nan"),
    "infinity": float("inf"),
    "huge": 10**5000,
    "negative": -1,
    "array": np.array([1, 2]),
    "series": pd.Series([1.0, 2.0]),
    "dictionary": {"a": 1},
    "set": {1},
    "object": object(),
    "missing": pd.NA,
    "decimal": Decimal(3),
    "deep": nested(5000),
    "class": int,
    "half a character": "\ud800",
    "complex": 1j,
    "tensor": torch.tensor(3),
    "no repr": Refuses(),
}

# By door: a call with one argument, and what that argument takes of the values above.
DOORS = {
    "CrossEncoderScorer": (
        lambda **one: CrossEncoderScorer(**{"model": "embedded", **one}),
        {
            "model": {"text", "half a character"},
            "device": {"text", "half a character"},
            "dtype": set(),
            "backend": set(),
            "max_length": set(),
            "max_batch_tokens": {"tensor"},
            "instruction": {"text", "half a character"},
            "prompt": set(),
            "revision": set(),
            "trust_remote_code": set(),
            "model_kwargs": set(),
        },
    ),
    "ListwiseScorer": (
        lambda **one: ListwiseScorer(**{"model": "m", "trust_remote_code": True, **one}),
        {
            "model": {"text", "half a character"},
            "device": {"text", "half a character"},
            "dtype": set(),
            "revision": {"text", "half a character"},
            "trust_remote_code": {"True", "NumPy's True", "torch's True"},
            "model_kwargs": {"dictionary"},
        },
    ),
    "RemoteScorer": (
        lambda **one: RemoteScorer(**{"url": "http://server", "dialect": "tei", **one}),
        {
            "dialect": set(),
            "model": {"text", "half a character"},
            "revision": {"text", "half a character"},
            "timeout": {"tensor", "decimal"},
            "max_attempts": {"tensor"},
            "max_texts": {"tensor"},
            "pointwise": {"True", "NumPy's True", "torch's True"},
            "extra_body": {"dictionary"},
        },
    ),
    "RerankPrompt": (
        lambda **one: RerankPrompt(**{"template": "{query} {text}", **one}),
        {
            "template": set(),
            "true_token": {"text", "half a character"},
            "false_token": set(),
            "instruction": {"text", "half a character"},
        },
    ),
    "CrossEncoderReranker": (
        lambda **one: CrossEncoderReranker(**{"model": "embedded", **one}),
        {
            "top_n": {"tensor"},
            "score_threshold": {"tensor", "decimal", "negative", "infinity"},
            "first_stage_weight": set(),
            "max_candidates": {"tensor"},
            "max_batch_tokens": {"tensor"},
            "timeout": {"tensor", "decimal"},
            "trust_remote_code": set(),
            "dtype": set(),
            "deduplicate": set(),
        },
    ),
    "CrossEncoderRerankRetriever": (
        lambda **one: CrossEncoderRerankRetriever(
            **{"model": WORDS, "base_retriever": RunnableLambda(lambda _: DOCUMENTS), **one}
        ),
        {"first_stage_k": {"tensor"}, "base_retriever": set()},
    ),
    "a call": (
        lambda **one: CrossEncoderRerankRetriever(model=WORDS, base_retriever=BM25).invoke(
            "fox", **one
        ),
        {
            "top_n": {"tensor"},
            "first_stage_k": {"tensor"},
            "score_threshold": {"tensor", "decimal", "negative", "infinity"},
        },
    ),
    "rerank": (
        lambda documents: CrossEncoderReranker(model=WORDS).rerank(documents, "fox"),
        {"documents": set()},
    ),
    "score": (lambda **one: WORDS.score(**{"query": "fox", "texts": [], **one}), {"texts": set()}),
    "CachedScorer": (
        lambda **one: CachedScorer(**{"scorer": WORDS, **one}),
        {"scorer": set(), "max_entries": {"tensor"}},
    ),
    "CascadeScorer": (
        lambda **one: CascadeScorer(**{"small": WORDS, "large": WORDS, **one}),
        {"small": set(), "large": set(), "keep": {"tensor"}},
    ),
    "FallbackScorer": (
        lambda **one: FallbackScorer(**{"primary": WORDS, "secondary": WORDS, **one}),
        {"primary": set(), "secondary": set(), "timeout": {"tensor", "decimal"}},
    ),
    "LongDocumentScorer": (
        lambda **one: LongDocumentScorer(**{"scorer": WORDS, "overlap_words": 0, **one}),
        {"scorer": set(), "passage_words": {"tensor"}, "aggregate": set()},
    ),
    "MixedScorer": (
        lambda **one: MixedScorer(**{"scorer": WORDS, "embeddings": EMBEDDINGS, **one}),
        {"scorer": set(), "embeddings": set(), "weight": set()},
    ),
    "ShardedScorer": (lambda one: ShardedScorer(WORDS, one), {"one": set()}),
    "BM25Retriever": (
        lambda **one: BM25Retriever.from_documents(**{"documents": DOCUMENTS, **one}),
        {
            "documents": set(),
            "k": {"tensor"},
            "k1": {"tensor", "decimal"},
            "b": set(),
            "backend": set(),
            "language": set(),
        },
    ),
    "BM25Retriever.from_texts": (
        lambda **one: BM25Retriever.from_texts(**{"texts": ["red fox"], **one}),
        {"texts": set(), "metadatas": set(), "ids": set()},
    ),
    "DenseRetriever": (
        lambda **one: DenseRetriever(**{"vectorstore": STORE, **one}),
        {"k": {"tensor"}, "vectorstore": set()},
    ),
    "a call of DenseRetriever": (
        lambda **one: DenseRetriever(vectorstore=STORE).invoke(**{"input": "fox", **one}),
        {"input": {"text", "half a character"}, "k": {"tensor"}},
    ),
    "HybridRetriever": (
        lambda **one: HybridRetriever(**{"retrievers": [BM25, BM25], **one}),
        {
            "k": {"tensor"},
            "c": {"tensor", "decimal"},
            "weights": {"array", "series"},
            "depths": {"array"},
        },
    ),
    "a weight of HybridRetriever": (
        lambda weight: HybridRetriever(retrievers=[BM25, BM25], weights=[weight, 1.0]),
        {"weight": {"tensor", "decimal"}},
    ),
    "a depth of HybridRetriever": (
        lambda depth: HybridRetriever(retrievers=[BM25, BM25], depths=[depth, None]),
        {"depth": {"tensor"}},
    ),
    "hybrid_retriever": (
        lambda **one: hybrid_retriever(**{"documents": DOCUMENTS, "embeddings": EMBEDDINGS, **one}),
        {
            "documents": set(),
            "embeddings": set(),
            "weights": {"array", "series"},
            "depths": {"array"},
        },
    ),
    "reciprocal_rank_fusion": (
        lambda **one: reciprocal_rank_fusion(**{"rankings": [["a"], ["b"]], **one}),
        {"rankings": set(), "weights": {"array", "series"}, "c": {"tensor", "decimal"}},
    ),
    "compare_rerank": (
        lambda **one: compare_rerank(BM25, WORDS, QUESTIONS, measures=["RR"], **one),
        {
            "first_stage_k": {"tensor"},
            "top_n": {"tensor"},
            "seed": {"tensor"},
            "resume": {"True", "NumPy's True", "torch's True"},
            "journal": {"text"},
            "relevance": set(),
            "metadata_fields": set(),
            "first_stage_weight": set(),
        },
    ),
}
CASES = [(door, argument) for door, (_, taken) in DOORS.items() for argument in taken]


@pytest.mark.filterwarnings("ignore::langchain_rerank.RerankWarning")
@pytest.mark.parametrize(("door", "argument"), CASES, ids=[f"{d}, {a}" for d, a in CASES])
def test_an_odd_value_is_refused_with_an_error_of_ours_at_every_door(
    door, argument, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)  # a text may be the name of a file to write
    call, taken = DOORS[door]
    accepted = set()
    for name, value in ODD.items():
        try:
            call(**{argument: value})
        except (RerankError, ValidationError):
            continue
        accepted.add(name)
    assert accepted == taken[argument]


def test_numbers_of_numpy_are_settings_of_every_first_stage_and_scorer():
    three = np.int64(3)
    hybrid = HybridRetriever(
        retrievers=[BM25, BM25], k=three, depths=[three, None], weights=np.array([1, 2]), c=three
    )
    assert (hybrid.k, hybrid.depths, hybrid.weights, hybrid.c) == (3, [3, None], [1.0, 2.0], 3.0)
    assert type(hybrid.k) is type(DenseRetriever(vectorstore=STORE, k=three).k) is int
    scorer = CrossEncoderScorer(
        "embedded",
        max_length=np.int16(128),
        max_batch_tokens=np.int64(4096),
        device=torch.device("cpu"),
        dtype=torch.float32,
    )
    assert (scorer.max_length, scorer.device, scorer.dtype) == (128, "cpu", "float32")


@pytest.mark.parametrize(
    ("retriever", "name"),
    [
        (BM25, "k"),
        (DenseRetriever(vectorstore=STORE), "k"),
        (HybridRetriever(retrievers=[BM25, BM25]), "weights"),
        (HybridRetriever(retrievers=[BM25, BM25]), "depths"),
    ],
)
@pytest.mark.parametrize("value", [True, 0, "3", [1.0], object()])
def test_a_first_stage_stays_as_it_was_where_an_assignment_is_refused(retriever, name, value):
    before = dict(retriever.__dict__)
    with pytest.raises((ValidationError, RerankError)):
        setattr(retriever, name, value)
    with pytest.raises(ConfigurationError):
        retriever.model_copy(update={name: value})
    assert retriever.__dict__ == before
    assert retriever.invoke("fox")


def test_a_seed_that_is_none_is_refused_before_anything_is_scored():
    asked = []

    class Keeping(WordOverlapScorer):
        def score(self, query, texts):
            asked.append(query)
            return super().score(query, texts)

    with pytest.raises(ConfigurationError, match="seed='a': it must be a whole number"):
        compare_rerank(BM25, Keeping(), QUESTIONS, seed="a")
    assert asked == []


def test_more_documents_than_any_list_holds_are_too_many_to_ask_for():
    with pytest.raises(ConfigurationError, match=f"k=an integer .* at most {sys.maxsize}"):
        BM25.invoke("fox", k=10**5000)
    assert len(BM25.invoke("fox", k=sys.maxsize)) == 4


@pytest.mark.parametrize("values", [[5e-324, 0.0], [1e-200, 3e-200], [1e-15, 2e-15]])
def test_scores_that_are_tiny_still_differ(values):
    assert z_scores(values) == z_scores([value * 2.0**40 for value in values])
    assert sorted(z_scores(values)) == [-1.0, 1.0]


def test_metadata_in_another_order_is_the_same_document():
    one = Document("fox", metadata={"nested": {"a": 1, "b": {"c": 2, "d": 3}}})
    other = Document("fox", metadata={"nested": {"b": {"d": 3, "c": 2}, "a": 1}})
    assert one == other
    found = CrossEncoderReranker(model=WORDS).rerank([one, other], "fox")
    assert found.candidates == 1


@pytest.mark.parametrize("texts", [np.array(["a fox", "a hen"]), pd.Series(["a fox", "a hen"])])
def test_a_remote_scorer_takes_arrays_of_texts_as_the_local_one_does(texts):
    remote = RemoteScorer("http://127.0.0.1:9", dialect="tei", max_attempts=1)
    sent = []

    class Connection:
        def submit(self, work):
            sent.extend(work.args[1])
            raise InterruptedError

    remote._open_connection = Connection
    with pytest.raises(InterruptedError):
        remote.score("fox", texts)
    assert sent == [("fox", ["a fox", "a hen"])]
