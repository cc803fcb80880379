"""The mixture: a hybrid's dense scores in the order, and any scorer beside a bi-encoder."""

from __future__ import annotations

import math

import pytest
from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings
from langchain_core.runnables import ConfigurableField, RunnableLambda
from langchain_core.vectorstores import InMemoryVectorStore

from langchain_rerank.cli.loading import FirstStage
from langchain_rerank.cli.models import default_weight
from langchain_rerank.compressor import CrossEncoderReranker
from langchain_rerank.errors import ConfigurationError, ScorerContractError
from langchain_rerank.evaluation import compare_rerank, sweep_k, tune_first_stage_weight
from langchain_rerank.first_stage import (
    DenseRetriever,
    HybridRetriever,
    IndexRetriever,
    hybrid_retriever,
)
from langchain_rerank.retriever import CrossEncoderRerankRetriever
from langchain_rerank.scorers.cross_encoder import CrossEncoderScorer
from langchain_rerank.testing import CountingScorer, WordOverlapScorer
from langchain_rerank.wrappers import CachedScorer, MixedScorer

ANGLES = {"q": 0.0, "near": 0.2, "middle": 0.7, "far": 1.2, "opposite": 3.0}


class Directions(Embeddings):
    """Each text is a direction in the plane: its cosine with "q" is known."""

    def embed_query(self, text):
        angle = ANGLES[text]
        return [math.cos(angle), math.sin(angle)]

    def embed_documents(self, texts):
        return [self.embed_query(text) for text in texts]


def cosine(text):
    return math.cos(ANGLES[text])


def docs(*texts):
    return [Document(text, id=text) for text in texts]


def listing(*texts):
    return RunnableLambda(lambda query: docs(*texts))


def dense(*texts, k=10):
    store = InMemoryVectorStore(Directions())
    store.add_documents(docs(*texts))
    return DenseRetriever(vectorstore=store, k=k)


def dense_scores(found):
    return {one.id: one.metadata.get("dense_score") for one in found}


class Constant:
    """Scores every text the same, so that the first stage alone decides a mixture."""

    def score(self, query, texts):
        return [0.5] * len(texts)


class TestTheDenseScoresOfAHybrid:
    def test_every_document_that_the_embeddings_found_keeps_its_cosine(self):
        hybrid = HybridRetriever(retrievers=[listing("far", "near"), dense("near", "far")])
        found = hybrid.invoke("q")
        assert dense_scores(found) == pytest.approx({"near": cosine("near"), "far": cosine("far")})

    def test_one_that_they_did_not_find_gets_their_lowest(self):
        stage = dense("near", "middle", "far", k=2)
        hybrid = HybridRetriever(retrievers=[listing("far"), stage], k=2)
        assert dense_scores(hybrid.invoke("q", k=3))["far"] == pytest.approx(cosine("far"))
        lonely = HybridRetriever(retrievers=[listing("opposite"), stage])
        scores = dense_scores(lonely.invoke("q"))
        assert scores["opposite"] == min(scores.values()) == pytest.approx(cosine("far"))

    def test_the_stage_may_be_bound_or_retried(self):
        stage = dense("near", "far").with_retry().with_config(tags=["dense"])
        hybrid = HybridRetriever(retrievers=[listing("far"), stage])
        assert dense_scores(hybrid.invoke("q"))["far"] == pytest.approx(cosine("far"))

    @pytest.mark.parametrize("kind", ["dense", "hybrid"])
    def test_the_stage_may_be_a_kept_index(self, kind, tmp_path):
        for name in ("near", "middle"):
            (tmp_path / f"{name}.md").write_text(name, encoding="utf-8")
        index = IndexRetriever.from_files(
            tmp_path, kind=kind, embeddings=Directions(), embedding_key="directions", store=None
        )
        hybrid = HybridRetriever(retrievers=[listing("far"), index])
        assert dense_scores(hybrid.invoke("q")) == pytest.approx(
            {"near.md#1": cosine("near"), "middle.md#1": cosine("middle"), "far": cosine("middle")}
        )

    def test_a_kept_index_of_words_has_none(self, tmp_path):
        (tmp_path / "far.md").write_text("far", encoding="utf-8")
        index = IndexRetriever.from_files(tmp_path, kind="bm25", store=None)
        hybrid = HybridRetriever(retrievers=[listing("near"), index])
        assert set(dense_scores(hybrid.invoke("far")).values()) == {None}

    def test_the_stage_may_have_fields_of_a_config_or_fallbacks(self):
        stage = dense("near", "far")
        for one in (
            stage.configurable_fields(k=ConfigurableField(id="k")),
            stage.with_fallbacks([dense("near")]),
        ):
            hybrid = HybridRetriever(retrievers=[listing("far"), one])
            assert dense_scores(hybrid.invoke("q"))["far"] == pytest.approx(cosine("far"))
        mixed = HybridRetriever(
            retrievers=[listing("far"), stage.with_fallbacks([listing("near")])]
        )
        assert set(dense_scores(mixed.invoke("q")).values()) == {None}

    def test_a_hybrid_inside_a_hybrid_passes_them_on(self):
        inner = HybridRetriever(retrievers=[listing("far"), dense("near", "far")])
        outer = HybridRetriever(retrievers=[listing("middle", "far"), inner])
        assert dense_scores(outer.invoke("q")) == pytest.approx(
            {"near": cosine("near"), "far": cosine("far"), "middle": cosine("far")}
        )

    def test_two_embeddings_have_no_common_scale_so_that_none_is_kept(self):
        hybrid = HybridRetriever(retrievers=[dense("near", "far"), dense("near", "middle")])
        assert set(dense_scores(hybrid.invoke("q")).values()) == {None}

    def test_without_embeddings_there_is_none_also_not_a_stale_one(self):
        stale = RunnableLambda(lambda query: [Document("x", id="x", metadata={"dense_score": "?"})])
        hybrid = HybridRetriever(retrievers=[listing("near"), stale])
        assert dense_scores(hybrid.invoke("q")) == {"near": None, "x": None}

    def test_stored_documents_stay_as_they_are(self):
        stage = dense("near", "far")
        HybridRetriever(retrievers=[listing("far"), stage]).invoke("q")
        assert all("dense_score" not in one.metadata for one in stage.invoke("q"))

    def test_async_gives_the_same(self):
        import asyncio

        hybrid = HybridRetriever(retrievers=[listing("far"), dense("near", "far")])
        assert dense_scores(asyncio.run(hybrid.ainvoke("q"))) == dense_scores(hybrid.invoke("q"))


class TestWhatIsMixed:
    def test_a_hybrids_cosines_are_mixed_and_not_its_fused_ranks(self):
        # Fused, "far" is first: both stages have it.
        hybrid = HybridRetriever(
            retrievers=[listing("far", "middle"), dense("near", "middle", "far")]
        )
        assert hybrid.invoke("q")[0].id != "near"
        mixed = CrossEncoderRerankRetriever(
            base_retriever=hybrid, model=Constant(), first_stage_weight=1.0, top_n=None
        )
        assert [one.id for one in mixed.invoke("q")] == ["near", "middle", "far"]

    def test_a_partial_dense_score_is_not_mixed(self):
        given = docs("far", "near")
        given[1].metadata["dense_score"] = 1.0
        reranker = CrossEncoderReranker(model=Constant(), first_stage_weight=1.0)
        kept = reranker.compress_documents(given, "q")
        assert [one.id for one in kept] == ["far", "near"]

    def test_tuning_tries_what_the_retriever_will_mix(self):
        texts = ["near", "middle", "far"]
        hybrid = HybridRetriever(retrievers=[listing("far", "middle"), dense(*texts)])
        records = [{"id": f"{n}", "question": "q", "qrels": {"near": 1}} for n in range(12)]
        found = tune_first_stage_weight(
            hybrid, Constant(), records, weights=[0.0, 1.0], measure="RR@1", progress=False
        )
        assert found.points[1].mean == 1.0

    @pytest.mark.parametrize("weight", [0.0, 0.4, 1.0])
    def test_an_evaluation_judges_the_order_that_the_retriever_gives(self, weight):
        texts = ["near", "middle", "far", "opposite"]

        class Table:
            def score(self, query, given):
                return [{"near": 0.1, "middle": 0.2, "far": 0.9, "opposite": 0.4}[t] for t in given]

        hybrid = HybridRetriever(retrievers=[listing("far", "middle"), dense(*texts)])
        retriever = CrossEncoderRerankRetriever(
            base_retriever=hybrid, model=Table(), first_stage_weight=weight, top_n=None
        )
        expected = tuple(one.id for one in retriever.invoke("q"))
        records = [{"id": "1", "question": "q", "qrels": {"near": 1}}]
        report = compare_rerank(
            hybrid, Table(), records, first_stage_weight=weight, progress=False, measures=["RR@4"]
        )
        assert report.queries[0].systems["reranked"].document_ids == expected
        assert report.settings["first_stage_weight"] == weight
        swept = sweep_k(
            hybrid, Table(), records, [4], first_stage_weight=weight, progress=False,
            measures=["RR@4"], latency_queries=0,
        )  # fmt: skip
        assert swept.queries[0].systems["reranked"].document_ids == expected

    @pytest.mark.parametrize("weight", [-0.1, 1.5, "half", None])
    def test_an_evaluation_refuses_an_impossible_weight(self, weight):
        records = [{"id": "1", "question": "q", "qrels": {"near": 1}}]
        for evaluate in (compare_rerank, sweep_k):
            with pytest.raises(ConfigurationError, match="first_stage_weight"):
                evaluate(dense("near"), Constant(), records, first_stage_weight=weight)

    def test_what_has_an_order_of_its_own_is_not_mixed_again(self):
        records = [{"id": "1", "question": "q", "qrels": {"near": 1}}]
        reranker = CrossEncoderReranker(model=Constant())
        for evaluate in (compare_rerank, sweep_k):
            with pytest.raises(ConfigurationError, match="CrossEncoderReranker"):
                evaluate(dense("near"), reranker, records, first_stage_weight=0.3)

    def test_the_command_line_mixes_where_the_embedded_model_has_cosines_at_hand(self):
        embedded, other = CrossEncoderScorer("embedded"), CrossEncoderScorer("./mine")
        chosen = {
            (scorer.name, stage): default_weight(scorer, stage)
            for scorer in (embedded, other)
            for stage in FirstStage
        }
        assert {key for key, weight in chosen.items() if weight} == {
            (embedded.name, FirstStage.dense),
            (embedded.name, FirstStage.hybrid),
        }

    def test_the_usual_hybrid_has_dense_scores(self):
        found = hybrid_retriever(docs("near", "far"), Directions(), k=2).invoke("near")
        assert all(isinstance(one.metadata["dense_score"], float) for one in found)


class TestMixedScorer:
    def test_weight_0_is_the_scorers_order_and_weight_1_the_cosines(self):
        texts = ["far", "near", "middle"]

        class Alphabet:
            def score(self, query, texts):
                return [float(-ord(text[0])) for text in texts]

        by = {
            weight: MixedScorer(Alphabet(), Directions(), weight=weight).score("q", texts)
            for weight in (0.0, 0.5, 1.0)
        }
        assert sorted(texts, key=dict(zip(texts, by[0.0], strict=True)).get) == [
            "near",
            "middle",
            "far",
        ]
        assert sorted(texts, key=dict(zip(texts, by[1.0], strict=True)).get) == [
            "far",
            "middle",
            "near",
        ]
        assert by[0.5] == pytest.approx(
            [(a + b) / 2 for a, b in zip(by[0.0], by[1.0], strict=True)]
        )

    def test_it_orders_as_a_dense_first_stage_with_the_same_weight_does(self):
        texts = ["near", "middle", "far", "opposite"]

        class Table:
            def score(self, query, given):
                return [{"near": 0.1, "middle": 0.2, "far": 0.9, "opposite": 0.4}[t] for t in given]

        stage = CrossEncoderRerankRetriever(
            base_retriever=dense(*texts), model=Table(), first_stage_weight=0.4, top_n=None
        )
        found = stage.invoke("q")
        scorer = MixedScorer(Table(), Directions(), weight=0.4)
        assert scorer.score("q", [one.page_content for one in found]) == pytest.approx(
            [one.metadata["interpolated_score"] for one in found]
        )

    def test_equal_texts_are_embedded_once_and_tie(self):
        embedded = []

        class Recording(Directions):
            def embed_documents(self, texts):
                embedded.append(texts)
                return super().embed_documents(texts)

        scores = MixedScorer(Constant(), Recording()).score("q", ["near", "far", "near"])
        assert embedded == [["near", "far"]]
        assert scores[0] == scores[2] > scores[1]

    def test_a_vector_of_length_0_has_cosine_0(self):
        class Nothing(Directions):
            def embed_documents(self, texts):
                return [[0.0, 0.0] for _ in texts]

        assert MixedScorer(Constant(), Nothing()).score("q", ["near", "far"]) == [0.0, 0.0]

    def test_several_requests_share_one_call_of_the_scorer(self):
        counting = CountingScorer(WordOverlapScorer())
        mixed = MixedScorer(counting, Directions())
        mixed.score_many([("q", ["near", "far"]), ("near", ["far"])])
        assert counting.calls == 1

    def test_its_scores_depend_on_the_other_texts_so_that_a_cache_refuses_it(self):
        with pytest.raises(ConfigurationError, match="pointwise"):
            CachedScorer(MixedScorer(WordOverlapScorer(), Directions()))

    def test_it_has_an_identity_only_where_the_bi_encoder_has_one(self):
        named = Directions()
        assert MixedScorer(CountingScorer(WordOverlapScorer()), named).identity is None
        named.identity = "directions"
        identity = MixedScorer(WordOverlapScorer(), named, weight=0.2).identity
        assert identity["embeddings"] == "directions"
        assert identity["weight"] == 0.2

    @pytest.mark.parametrize("weight", [-0.1, 1.1, math.nan])
    def test_a_weight_outside_0_to_1_is_refused(self, weight):
        with pytest.raises(ConfigurationError, match="0 to 1"):
            MixedScorer(WordOverlapScorer(), Directions(), weight=weight)

    def test_what_cannot_embed_is_refused(self):
        with pytest.raises(ConfigurationError, match="embed_query"):
            MixedScorer(WordOverlapScorer(), object())

    @pytest.mark.parametrize(
        "given",
        [[], [[1.0]], [[1.0, 2.0]], [[math.nan, 0.0]] * 2, [["x", "y"]] * 2, [[1.0], [1, 2]]],
    )
    def test_vectors_that_do_not_fit_are_the_bi_encoders_fault(self, given):
        class Broken(Directions):
            def embed_documents(self, texts):
                return given

        with pytest.raises(ScorerContractError, match="bi-encoder"):
            MixedScorer(Constant(), Broken()).score("q", ["near", "far"])
