"""Documents that are odd in ways that Python allows: each is read, or refused by its name."""

from __future__ import annotations

import json

import pytest
from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings
from pydantic import ConfigDict

from langchain_rerank import BM25Retriever, CrossEncoderReranker, IndexRetriever, hybrid_retriever
from langchain_rerank.errors import InputError, RerankWarning
from langchain_rerank.first_stage.embeddings import default_embeddings
from langchain_rerank.first_stage.fusion import fused_documents
from langchain_rerank.testing import WordOverlapScorer
from langchain_rerank.wrappers import CachedScorer, MixedScorer


class Refusing:
    """An object that refuses whatever it is asked."""

    def __str__(self):
        raise RuntimeError("no text")

    __repr__ = __str__

    def __eq__(self, other):
        raise RuntimeError("no comparison")

    __hash__ = object.__hash__


def nested(depth=100_000):
    found = []
    for _ in range(depth):
        found = [found]
    return found


ODD = {"a long number": 10**5000, "an object": Refusing(), "deep nesting": nested()}


def reranker(**settings):
    return CrossEncoderReranker(model=WordOverlapScorer(), **settings)


@pytest.mark.parametrize("odd", ODD.values(), ids=ODD)
def test_metadata_that_cannot_be_read_as_text_is_named_with_its_document(odd):
    documents = [Document("red fox", id="7", metadata={"part": odd})]
    with pytest.raises(InputError, match="metadata 'part' of the document '7' cannot be read"):
        reranker(metadata_fields=["part"]).compress_documents(documents, "red fox")


@pytest.mark.parametrize("odd", ODD.values(), ids=ODD)
def test_an_id_key_whose_value_cannot_be_written_tells_each_document_apart(odd):
    documents = [Document(text, metadata={"part": odd}) for text in ("a fox", "a fox", "a hen")]
    found = reranker(id_key="part").compress_documents(documents, "red fox")
    assert [one.page_content for one in found] == ["a fox", "a fox", "a hen"]


@pytest.mark.parametrize("odd", [10**5000, Refusing()], ids=["a long number", "an object"])
def test_a_key_of_metadata_that_cannot_be_written_hides_no_warning(odd):
    document = Document("red fox")
    document.metadata = {odd: 1, "title": "fox"}
    with pytest.warns(RerankWarning, match="'titel'.*The nearest key is 'title'"):
        found = reranker(metadata_fields=["titel"]).compress_documents([document], "red fox")
    assert found[0].metadata["relevance_score"] == 1.0


@pytest.mark.parametrize("odd", ODD.values(), ids=ODD)
def test_odd_metadata_stops_no_fusion(odd):
    ranking = [Document("red fox", metadata={"part": odd}), Document("a hen")]
    found = fused_documents([ranking, ranking[::-1]])
    assert {one.page_content for one in found} == {"red fox", "a hen"}


class Tagged(Document):
    """A document with a field of its own."""

    tags: list[str] = []  # noqa: RUF012 - pydantic copies it


class Open(Document):
    model_config = ConfigDict(extra="allow")


@pytest.mark.parametrize("kind", [Tagged, Open])
def test_fields_of_a_subclass_are_not_shared_with_the_corpus(kind):
    corpus = [kind(page_content="red fox", tags=["kept"])]
    (found,) = reranker().compress_documents(corpus, "red fox")
    assert isinstance(found, kind)
    assert found.tags == ["kept"]
    found.tags.append("mine")
    assert corpus[0].tags == ["kept"]
    (found,) = BM25Retriever.from_documents(corpus).invoke("fox")
    found.tags.append("mine")
    assert corpus[0].tags == ["kept"]


class Strict(Embeddings):
    """Embeds what UTF-8 can hold and nothing else, as tokenizers and servers do."""

    def embed_query(self, text):
        return [1.0, float(len(text.encode()))]

    def embed_documents(self, texts):
        return [self.embed_query(text) for text in texts]


LONE, PAIR = "red fox \ud800", "red fox \ud83d\ude00"


@pytest.mark.parametrize("embeddings", [Strict, default_embeddings])
def test_surrogates_reach_no_embedding_model(embeddings):
    model = embeddings()
    hybrid = hybrid_retriever([Document(LONE), Document("a hen"), Document(PAIR)], model)
    assert {one.page_content for one in hybrid.invoke(LONE)} == {LONE, "a hen", PAIR}
    scores = MixedScorer(WordOverlapScorer(), model).score(LONE, [LONE, PAIR, "a hen"])
    assert len(scores) == 3


def test_surrogates_are_replaced_and_joined_for_the_default_embeddings():
    lone, replaced, pair, joined = default_embeddings().embed_documents(
        [LONE, "red fox \ufffd", PAIR, "red fox \U0001f600"]
    )
    assert lone == replaced
    assert pair == joined


def test_one_broken_text_does_not_stop_the_search_of_a_folder(tmp_path):
    rows = [{"id": "1", "text": LONE}, {"id": "2", "text": "a hen"}]
    path = tmp_path / "notes.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    for _ in range(2):
        index = IndexRetriever.from_files(
            path, embeddings=Strict(), embedding_key="strict", store=tmp_path / "kept"
        )
        assert {one.id for one in index.invoke(LONE)} == {"1", "2"}


def test_a_score_of_minus_zero_is_found_again_in_the_file(tmp_path):
    class Zero:
        identity = "zero"
        asked = 0

        def score(self, query, texts):
            self.asked += 1
            return [-0.0 for _ in texts]

    for scorer in (first := Zero(), second := Zero()):
        cached = CachedScorer(scorer, path=tmp_path / "scores")
        assert cached.score("q", ["a"]) == [0.0]
        cached.close()
    assert (first.asked, second.asked) == (1, 0)
