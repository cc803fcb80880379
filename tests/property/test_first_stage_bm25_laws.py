"""Laws of BM25 retrieval, on both packages."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.documents import Document

from langchain_rerank.first_stage import BM25Retriever

# Few words, so that documents share them, tie and repeat.
WORDS = st.lists(st.sampled_from(["cat", "dog", "owl", "bee", "ant"]), max_size=6)
CORPUS = st.lists(WORDS, min_size=1, max_size=8).filter(any)


def build(corpus, backend, **settings):
    documents = [Document(" ".join(words), id=str(i)) for i, words in enumerate(corpus)]
    return BM25Retriever.from_documents(
        documents, backend=backend, preprocess_func=str.split, **settings
    )


def ranked(found):
    return [(document.id, document.metadata["first_stage_score"]) for document in found]


@given(CORPUS, WORDS, st.floats(0.1, 3), st.floats(0, 1))
def test_both_packages_give_the_same_order_and_scores(corpus, query, k1, b):
    one, other = (
        ranked(build(corpus, backend, k1=k1, b=b).invoke(" ".join(query)))
        for backend in ("rank_bm25", "bm25s")
    )
    assert [name for name, _ in one] == [name for name, _ in other]
    assert [score for _, score in one] == pytest.approx([score for _, score in other])


@given(CORPUS, WORDS, st.integers(1, 8))
def test_the_best_k_begin_every_longer_result(corpus, query, k):
    retriever = build(corpus, "bm25s")
    everything = ranked(retriever.invoke(" ".join(query), k=100))
    assert ranked(retriever.invoke(" ".join(query), k=k)) == everything[:k]
    assert ranked(retriever.invoke(" ".join(query), k=k, filter=lambda d: True)) == everything[:k]


@given(CORPUS, WORDS)
def test_exactly_the_documents_with_a_term_of_the_query_come_back(corpus, query):
    found = build(corpus, "bm25s").invoke(" ".join(query))
    expected = {str(i) for i, words in enumerate(corpus) if set(words) & set(query)}
    assert {document.id for document in found} == expected


@given(CORPUS, WORDS)
def test_equal_documents_keep_their_order(corpus, query):
    doubled = build([*corpus, *corpus], "bm25s").invoke(" ".join(query))
    ids = [int(document.id) for document in doubled]
    for i in ids:
        if i < len(corpus):
            assert ids.index(i) < ids.index(i + len(corpus))
