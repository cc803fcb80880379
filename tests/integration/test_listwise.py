"""A listwise model is scored by its own rerank, and nothing treats its scores as pointwise."""

from __future__ import annotations

import copy
import json
import pickle

import pytest

from langchain_rerank import CrossEncoderReranker, CrossEncoderScorer
from langchain_rerank.errors import (
    ConfigurationError,
    ModelLoadError,
    ScorerContractError,
    ScorerError,
)
from langchain_rerank.scorers.listwise import ListwiseScorer
from langchain_rerank.testing import Samples, WordOverlapScorer, check_scorer
from langchain_rerank.testing.tiny_models import build_tiny_model
from langchain_rerank.wrappers import (
    CachedScorer,
    CascadeScorer,
    LongDocumentScorer,
    ShardedScorer,
    is_pointwise,
)

CODE = """
import torch
from transformers import PretrainedConfig, PreTrainedModel


class TinyListConfig(PretrainedConfig):
    model_type = "tiny-list"


class TinyListModel(PreTrainedModel):
    config_class = TinyListConfig

    def __init__(self, config):
        super().__init__(config)
        self.scale = torch.nn.Parameter(torch.full((1,), 3.0))
        self.post_init()

    def rerank(self, query, documents, top_n=None):
        if "fail" in query:
            raise RuntimeError("no such query")
        words = set(query.casefold().split())
        hits = [len(words & set(text.casefold().split())) + len(text) / 1e4 for text in documents]
        shares = torch.softmax(self.scale.float() * torch.tensor(hits), dim=0).tolist()
        order = sorted(range(len(documents)), key=lambda i: -shares[i])
        if "cut" in query:
            order = order[:2]
        return [
            {"index": i, "relevance_score": shares[i], "document": documents[i]} for i in order
        ]
"""
QUERY, TEXTS = "red fox", ["a hen", "a fox", "the red fox", "the river"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("listwise")
    (folder / "tiny_listwise.py").write_text(CODE)
    names = {"AutoConfig": "TinyListConfig", "AutoModel": "TinyListModel"}
    config = {
        "model_type": "tiny-list",
        "architectures": ["TinyListModel"],
        "auto_map": {auto: f"tiny_listwise.{name}" for auto, name in names.items()},
    }
    (folder / "config.json").write_text(json.dumps(config))
    from safetensors.torch import save_file
    from torch import full

    save_file({"scale": full((1,), 3.0)}, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


@pytest.fixture
def scorer(folder):
    with ListwiseScorer(folder, device="cpu", dtype="float32", trust_remote_code=True) as scorer:
        yield scorer
    assert not scorer.loaded


def test_its_scores_are_those_of_its_own_rerank_in_the_order_of_the_texts(scorer):
    scores = scorer.score(QUERY, TEXTS)
    assert scores.index(max(scores)) == 2
    assert sum(scores) == pytest.approx(1.0)
    assert scorer.score(QUERY, TEXTS[1:2]) == pytest.approx([1.0])  # Alone it is the best.
    assert scorer.score(QUERY, []) == []


def test_it_keeps_the_contract_of_a_scorer_that_is_not_pointwise(folder):
    check_scorer(
        lambda: ListwiseScorer(folder, device="cpu", dtype="float32", trust_remote_code=True),
        Samples(queries=("red fox", "a river", "hen"), texts=tuple(TEXTS), tolerance=1e-6),
    )


def test_a_reranker_takes_it(scorer):
    from langchain_core.documents import Document

    reranker = CrossEncoderReranker(model=scorer, top_n=1)
    [best] = reranker.compress_documents([Document(text) for text in TEXTS], QUERY)
    assert best.page_content == "the red fox"


def test_copies_and_pickles_load_for_themselves(scorer):
    expected = scorer.score(QUERY, TEXTS)
    for other in (copy.deepcopy(scorer), pickle.loads(pickle.dumps(scorer))):
        assert not other.loaded
        assert other.score(QUERY, TEXTS) == expected


def test_no_code_runs_without_leave(folder):
    with pytest.raises(ConfigurationError, match=r"Read the code .* trust_remote_code=True"):
        ListwiseScorer(folder)


def test_the_ordinary_scorer_says_that_it_is_listwise(folder):
    for trust in (False, True):
        scorer = CrossEncoderScorer(folder, device="cpu", trust_remote_code=trust)
        with pytest.raises(ModelLoadError, match=r"is a listwise reranker: .*ListwiseScorer\("):
            scorer.load()


def test_a_model_without_rerank_is_not_listwise(tmp_path):
    build_tiny_model("bert", tmp_path)
    scorer = ListwiseScorer(tmp_path, device="cpu", trust_remote_code=True)
    with pytest.raises(ModelLoadError, match=r"offers no rerank.* Use CrossEncoderScorer\("):
        scorer.load()


def test_what_its_code_raises_or_leaves_out_is_a_scorers_error(scorer):
    with pytest.raises(ScorerError, match="could not rank 4 texts: RuntimeError: no such query"):
        scorer.score("fail", TEXTS)
    with pytest.raises(ScorerContractError, match=r"gave no score to the documents \[0, 1\] of 4"):
        scorer.score("cut", ["a", "b", "c cut", "d cut"])


def test_a_cache_refuses_it(scorer):
    with pytest.raises(ConfigurationError, match=r"cannot be cached: .*pointwise=False"):
        CachedScorer(scorer)


def test_copies_of_it_never_share_a_call(folder, scorer):
    texts = [f"text {number} about a fox" for number in range(150)] + ["the red fox"]
    other = ListwiseScorer(folder, device="cpu", dtype="float32", trust_remote_code=True)
    sharded = ShardedScorer(scorer, other)
    assert not is_pointwise(sharded)
    assert sharded.score(QUERY, texts) == pytest.approx(scorer.score(QUERY, texts), abs=1e-9)


def test_a_cascade_ranks_by_it_and_says_that_it_is_not_pointwise(scorer):
    cascade = CascadeScorer(WordOverlapScorer(), scorer, keep=2)
    assert not is_pointwise(cascade)
    scores = cascade.score(QUERY, TEXTS)
    assert scores[2] > scores[1] > max(scores[0], scores[3])
    assert [scores[1], scores[2]] == scorer.score(QUERY, [TEXTS[1], TEXTS[2]])


def test_passages_of_long_texts_compete_and_the_mark_goes_through(scorer):
    long = LongDocumentScorer(scorer, passage_words=3, overlap_words=0)
    assert not is_pointwise(long)
    scores = long.score(QUERY, ["a b c the red fox", "a hen"])
    assert scores[0] > scores[1]
