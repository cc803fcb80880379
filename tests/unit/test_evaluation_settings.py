"""The settings that the doors of an evaluation share are stated once, and none is ignored."""

import inspect

import pytest
from langchain_core.documents import BaseDocumentCompressor

from langchain_rerank.errors import ConfigurationError
from langchain_rerank.evaluation import (
    EvaluationChain,
    ajudge_relevance,
    compare_models,
    compare_rerank,
    judge_relevance,
    sweep_k,
    tune_first_stage_weight,
)
from langchain_rerank.evaluation.ragas import RagasEvaluation
from langchain_rerank.evaluation.run.setting import RerankingSettings, RunSettings, Setting
from langchain_rerank.resolving import LOAD_SETTINGS, ModelSettings
from langchain_rerank.testing import WordOverlapScorer

QUESTIONS = [{"question": "What is LoRA?", "qrels": {"a": 1}}]


class Reversing(BaseDocumentCompressor):
    def compress_documents(self, documents, query, callbacks=None):
        return list(documents)[::-1]


def nothing(question):
    return []


def test_models_are_loaded_by_the_settings_of_their_scorer():
    assert set(ModelSettings.__annotations__) == set(LOAD_SETTINGS)


def test_every_setting_of_a_run_reaches_it():
    given = {
        "top_n": 3,
        "relevance": None,
        "seed": 7,
        "journal": "j",
        "resume": True,
        "progress": False,
        "settings": {"a": 1},
        "identity": "m",
    }
    assert set(given) == set(RunSettings.__annotations__)
    found = Setting.of(**given)
    assert (found.top_n, found.seed, found.journal, found.resume) == (3, 7, "j", True)
    assert (found.progress, found.stated, found.identity) == (False, {"a": 1}, "m")


def test_every_setting_of_rerankers_reaches_them():
    given = {"metadata_fields": ["title"], "config": {"tags": ["t"]}, "device": "cpu", "top_n": 2}
    assert set(given) <= set(RerankingSettings.__annotations__)
    found = Setting.of_reranking(nothing, QUESTIONS, 5, **given)
    assert (found.metadata_fields, found.config) == (("title",), {"tags": ["t"]})
    assert (found.load_settings, found.top_n, found.k) == ({"device": "cpu"}, 2, 5)


@pytest.mark.parametrize("model", [WordOverlapScorer(), Reversing(), "embedded"])
@pytest.mark.parametrize("door", [compare_rerank, sweep_k, tune_first_stage_weight])
def test_an_unknown_setting_is_an_error_whatever_the_model_is(door, model):
    with pytest.raises(TypeError, match="first_stage_depth"):
        door(nothing, model, QUESTIONS, first_stage_depth=5)


def test_a_setting_of_another_door_is_an_error():
    with pytest.raises(TypeError, match="first_stage_weight"):
        tune_first_stage_weight(nothing, WordOverlapScorer(), QUESTIONS, first_stage_weight=0.5)
    with pytest.raises(TypeError, match="device"):
        EvaluationChain({"a": nothing}, device="cpu")
    with pytest.raises(TypeError, match="config"):
        RagasEvaluation(nothing, config={})
    with pytest.raises(TypeError, match="max_concurrency"):
        compare_models(nothing, {"a": WordOverlapScorer()}, QUESTIONS, max_concurrency=2)


@pytest.mark.parametrize("number", [0, 1.5, True])
@pytest.mark.parametrize("door", [EvaluationChain, RagasEvaluation])
def test_how_many_are_asked_at_once_is_a_whole_number(door, number):
    with pytest.raises(ConfigurationError, match="max_concurrency"):
        door({"a": nothing}, max_concurrency=number)


def test_judging_has_the_same_arguments_from_synchronous_and_asynchronous_code():
    assert inspect.signature(judge_relevance) == inspect.signature(ajudge_relevance)
    assert not inspect.iscoroutinefunction(judge_relevance)
    assert judge_relevance.__name__ == "judge_relevance"


@pytest.mark.parametrize(
    "setting",
    [
        {"settings": ["a", 1]},
        {"identity": 7},
        {"progress": "bar"},
        {"config": "tags"},
        {"config": 0},
        {"relevance": "answers"},
        {"journal": 1},
    ],
    ids=str,
)
def test_a_setting_of_another_kind_is_refused_before_anything_is_scored(setting):
    (name,) = setting
    with pytest.raises(ConfigurationError, match=f"{name}="):
        compare_rerank(nothing, WordOverlapScorer(), QUESTIONS, **setting)
