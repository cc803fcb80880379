"""The scorer's life: settings, loading, sharing, copying, closing, and its error messages."""

from __future__ import annotations

import asyncio
import copy
import gc
import logging
import os
import pickle
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
from sentence_transformers import CrossEncoder

from langchain_rerank import loaded_models
from langchain_rerank.errors import ConfigurationError, InputTypeError, ModelLoadError
from langchain_rerank.scorers import contract
from langchain_rerank.scorers.cross_encoder import DEFAULT_MODEL, CrossEncoderScorer
from langchain_rerank.scorers.engine import registry
from langchain_rerank.scorers.engine.tokens import templates
from langchain_rerank.testing.tiny_models import build_tiny_model

QUERY, TEXTS = "vitamin C", ["sailors and scurvy", "the river Seine", "lemons contain vitamin C"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return build_tiny_model("bert", tmp_path_factory.mktemp("bert"), max_length=64)


@pytest.fixture
def scorer(folder):
    with CrossEncoderScorer(folder, device="cpu", dtype="float32") as scorer:
        yield scorer


@pytest.fixture(autouse=True)
def no_model_stays_loaded():
    yield
    gc.collect()
    registry.close_all()


def test_constructing_loads_nothing_and_names_the_model():
    scorer = CrossEncoderScorer()
    assert (scorer.name, scorer.loaded) == (DEFAULT_MODEL, False)
    assert (scorer.device, scorer.dtype, scorer.path) == ("auto", "auto", None)


def test_it_is_a_scorer(scorer):
    assert isinstance(scorer, contract.Scorer)


def test_no_texts_give_no_scores_and_load_nothing():
    scorer = CrossEncoderScorer("there is/no such model")
    assert scorer.score(QUERY, []) == []
    assert scorer.score_many([(QUERY, []), ("other", [])]) == [[], []]
    assert asyncio.run(scorer.ascore(QUERY, [])) == []
    assert not scorer.loaded


def test_after_loading_it_says_where_and_how_it_computes(scorer):
    scorer.load()
    assert scorer.loaded
    assert (scorer.device, scorer.dtype, scorer.path) == ("cpu", "float32", "packed")
    assert "device='cpu'" in repr(scorer)


def test_auto_says_once_that_there_is_no_gpu(folder, caplog, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.setattr("torch.backends.mps.is_available", lambda: False)
    with caplog.at_level(logging.INFO, "langchain_rerank"), CrossEncoderScorer(folder) as scorer:
        scorer.score(QUERY, TEXTS)
        scorer.score(QUERY, TEXTS)
        assert scorer.device == "cpu"
    [record] = caplog.records
    assert record.message.startswith(
        "No GPU found: cross-encoder scoring runs on the CPU (device='cpu')."
    )


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"device": "cuda:99"}, "device='cuda:99' was asked for, but torch"),
        ({"device": "gpu"}, "device='gpu' is not a device; use 'auto'"),
        ({"device": "meta"}, "device='meta' is not supported"),
        ({"max_length": 65}, "max_length=65, but .* reads at most 64 tokens"),
    ],
)
def test_settings_that_the_machine_or_model_cannot_meet(folder, settings, message):
    with pytest.raises(ConfigurationError, match=message):
        CrossEncoderScorer(folder, **({"device": "cpu"} | settings)).load()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"dtype": "int4"}, "dtype='int4' is unknown; use one of auto"),
        ({"max_length": 3}, "max_length=3: it must be a whole number of at least 16"),
        ({"backend": "onnx"}, "backend='onnx' is unknown; use one of torch, openvino"),
        ({"backend": "openvino", "device": "cuda"}, "on the CPU .* but device='cuda'"),
        ({"backend": "openvino", "dtype": "float16"}, "float32 or bfloat16, but .*'float16'"),
        ({"model_kwargs": {"dtype": "auto"}}, "model_kwargs has 'dtype'; set it with .* dtype="),
        ({"model_kwargs": {"device_map": {}}}, "model_kwargs has 'device_map'; .* device="),
    ],
)
def test_impossible_settings_are_refused_at_once(settings, message):
    with pytest.raises(ConfigurationError, match=message):
        CrossEncoderScorer("any", **settings)


def test_settings_of_the_hub_are_refused_where_they_would_be_ignored():
    with pytest.raises(ConfigurationError, match="are for models that are loaded from the hub"):
        CrossEncoderScorer("embedded", revision="main")


def test_a_missing_model_says_what_was_tried_and_what_to_do(monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(ModelLoadError) as caught:
        CrossEncoderScorer("nobody/no-such-reranker").load()
    message = str(caught.value)
    for part in ("'nobody/no-such-reranker'", "no such local folder", "spelling", "embedded"):
        assert part in message


def test_a_folder_that_holds_no_model_is_named(tmp_path):
    with pytest.raises(ModelLoadError, match="from this local folder"):
        CrossEncoderScorer(tmp_path).load()


def test_a_plain_encoder_is_no_cross_encoder(folder, tmp_path):
    model = CrossEncoder(str(folder), device="cpu")
    model.model.bert.save_pretrained(tmp_path)
    model.tokenizer.save_pretrained(tmp_path)
    with pytest.raises(ModelLoadError, match=r"is not a cross-encoder: .*BertModel"):
        CrossEncoderScorer(tmp_path, device="cpu").load()


def test_a_classifier_with_several_labels_is_refused(tmp_path):
    build_tiny_model("bert", tmp_path, num_labels=3)
    with pytest.raises(ModelLoadError, match="gives 3 numbers per pair; a reranker gives one"):
        CrossEncoderScorer(tmp_path, device="cpu").load()


def test_a_failed_load_can_be_tried_again(tmp_path):
    scorer = CrossEncoderScorer(tmp_path / "later", device="cpu", dtype="float32")
    with pytest.raises(ModelLoadError):
        scorer.load()
    build_tiny_model("bert", tmp_path / "later")
    assert len(scorer.score(QUERY, TEXTS)) == 3
    scorer.close()


@pytest.mark.parametrize(("query", "texts"), [(None, ["a"]), ("q", ["a", 3]), ("q", "abc")])
def test_what_is_no_text_is_refused(scorer, query, texts):
    with pytest.raises(InputTypeError):
        scorer.score(query, texts)


def test_equal_settings_share_one_model_and_others_do_not(folder, scorer):
    scorer.load()
    with (
        CrossEncoderScorer(str(folder), device="cpu", dtype="float32", instruction="i ") as same,
        CrossEncoderScorer(folder, device="cpu", dtype="bfloat16") as other,
    ):
        same.load()
        other.load()
        assert same._engine is scorer._engine
        assert other._engine is not scorer._engine
        assert same.score(QUERY, TEXTS) != scorer.score(QUERY, TEXTS)


def test_many_threads_load_one_model(scorer):
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda _: scorer.score(QUERY, TEXTS), range(16)))
    assert answers == [pytest.approx(answers[0], abs=1e-6)] * 16
    assert [model.users for model in loaded_models()] == [1]


def test_the_last_close_unloads_and_the_next_use_loads_again(folder, scorer):
    other = CrossEncoderScorer(folder, device="cpu", dtype="float32")
    scores = scorer.score(QUERY, TEXTS)
    assert other.score(QUERY, TEXTS) == scores
    other.close()
    assert not other.loaded
    assert scorer.score(QUERY, TEXTS) == scores
    scorer.close()
    scorer.close()
    assert not loaded_models()
    assert scorer.score(QUERY, TEXTS) == scores


def test_a_forgotten_scorer_leaves_the_model_for_the_next_one(folder):
    first = CrossEncoderScorer(folder, device="cpu", dtype="float32")
    first.load()
    engine = first._engine
    del first
    gc.collect()
    with CrossEncoderScorer(folder, device="cpu", dtype="float32") as second:
        second.load()
        assert second._engine is engine
    assert not loaded_models()


def test_copies_and_pickles_share_the_model(scorer):
    scores = scorer.score(QUERY, TEXTS)
    for copied in (copy.deepcopy(scorer), pickle.loads(pickle.dumps(scorer))):
        assert not copied.loaded
        assert copied.score(QUERY, TEXTS) == scores
        assert copied._engine is scorer._engine
        copied.close()
    assert scorer.loaded


@pytest.mark.parametrize("first", ["open", "closed", "forgotten"])
def test_a_folder_in_which_a_model_was_trained_again_is_loaded_again(tmp_path, first):
    folder = tmp_path / "model"
    settings = {"device": "cpu", "dtype": "float32"}
    build_tiny_model("bert", folder, seed=1)
    old = CrossEncoderScorer(folder, **settings)
    before = old.score("fox", ["a fox"])
    old_identity = old.identity
    if first == "closed":
        old.close()
    if first == "forgotten":
        del old
        gc.collect()
    shutil.rmtree(folder)
    build_tiny_model("bert", folder, seed=2)
    with CrossEncoderScorer(folder, **settings) as new:
        assert new.identity != old_identity
        after = new.score("fox", ["a fox"])
        assert new.identity != old_identity
    with CrossEncoderScorer(shutil.copytree(folder, tmp_path / "copy"), **settings) as fresh:
        assert after == fresh.score("fox", ["a fox"]) != before
    if first == "open":
        assert old.score("fox", ["a fox"]) == before
        assert old.identity == old_identity
        old.close()
    assert not loaded_models()


def test_a_relative_path_is_the_folder_that_it_leads_to(tmp_path, monkeypatch):
    scores = []
    for seed in (1, 2):
        build_tiny_model("bert", tmp_path / str(seed) / "model", seed=seed)
        monkeypatch.chdir(tmp_path / str(seed))
        scorer = CrossEncoderScorer("model", device="cpu", dtype="float32")
        scores.append(scorer.score("fox", ["a fox"]))
    assert scores[0] != scores[1]


def test_another_instruction_is_another_identity(folder):
    scorer = CrossEncoderScorer(folder, device="cpu", instruction="one")
    before = scorer.identity
    scorer.instruction = "two"
    assert scorer.identity != before


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
def test_a_forked_child_scores_although_its_parent_used_several_threads(folder):
    program = f"""
import os
from langchain_rerank import CrossEncoderScorer
scorer = CrossEncoderScorer({str(folder)!r}, device="cpu", dtype="float32")
texts = ["a fox " * 30] * 40
expected = scorer.score("fox", texts)
child = os.fork()
if child == 0:
    same = max(abs(a - b) for a, b in zip(scorer.score("fox", texts), expected)) < 1e-5
    os._exit(0 if same else 3)
print("child", os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program],
        env={**os.environ, "OMP_NUM_THREADS": "2"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.stdout == "child 0\n", done.stderr
    assert "computes on one thread" in done.stderr


def test_different_model_kwargs_are_different_models(folder):
    kwargs = {"attn_implementation": {"": "eager"}}  # A value without a hash.
    with (
        CrossEncoderScorer(folder, device="cpu", dtype="float32", model_kwargs=kwargs) as eager,
        CrossEncoderScorer(folder, device="cpu", dtype="float32") as plain,
    ):
        assert eager.settings != plain.settings
        assert eager.score(QUERY, TEXTS) == pytest.approx(plain.score(QUERY, TEXTS), abs=1e-6)
        assert len(loaded_models()) == 2


def test_a_worker_that_died_is_replaced_on_the_next_use(scorer):
    scores = scorer.score(QUERY, TEXTS)
    dead = scorer._engine
    dead._worker.close()  # As in a forked process, which has the object but not the thread.
    dead._worker.join()
    assert scorer.score(QUERY, TEXTS) == scores
    assert scorer._engine is not dead
    assert [model.users for model in loaded_models()] == [1]


def test_a_packed_path_that_scores_wrongly_is_not_taken(folder, monkeypatch, caplog):
    from langchain_rerank.scorers.engine.forward import packed_attention

    right = packed_attention.packed_attention

    def across_texts(module, query, key, value, mask, **settings):
        layout = settings["layout"]
        whole = [layout.cu_seqlens[0], layout.cu_seqlens[-1]]
        wrong = layout._replace(cu_seqlens=whole, key_cu_seqlens=whole)
        return right(module, query, key, value, mask, **(settings | {"layout": wrong}))

    with CrossEncoderScorer(folder, device="cpu", dtype="bfloat16") as scorer:
        expected = scorer.score(QUERY, TEXTS)
    monkeypatch.setattr(packed_attention, "packed_attention", across_texts)
    with (
        caplog.at_level(logging.WARNING, "langchain_rerank"),
        CrossEncoderScorer(folder, device="cpu", dtype="bfloat16") as scorer,
    ):
        assert scorer.score(QUERY, TEXTS) == pytest.approx(expected, abs=0.02)
        assert scorer.path == "padded"
    assert len(caplog.records) == 1
    assert "without padding, since scores differ from its own by" in caplog.records[0].message
    monkeypatch.undo()
    packed_attention.register()


def test_a_template_that_cannot_be_taken_apart_is_tokenised_whole(folder, monkeypatch, caplog):
    monkeypatch.setattr(templates, "_frames", lambda *_: [])
    model = CrossEncoder(str(folder), device="cpu")
    with (
        caplog.at_level(logging.WARNING, "langchain_rerank"),
        CrossEncoderScorer(model, device="cpu", dtype="float32") as scorer,
    ):
        scores = scorer.score(QUERY, [*TEXTS, "sailors " * 100])
    expected = model.predict([(QUERY, text) for text in [*TEXTS, "sailors " * 100]]).tolist()
    assert scores == pytest.approx(expected, abs=1e-6)
    assert scores.truncated == 1
    assert "could not be told apart" in caplog.text


def test_truncated_texts_are_counted(scorer):
    scores = scorer.score(QUERY, ["short", "sailors " * 100, "river " * 100])
    assert scores.truncated == 2


def test_only_the_text_is_cut(scorer, folder):
    model = CrossEncoder(str(folder), device="cpu")
    long_query = "vitamin C " * 14  # 28 tokens of 64: more than a third, less than half.
    kept = 64 - 3 - 28
    text = "sailors " * 100
    expected = model.predict([(long_query, "sailors " * kept)]).tolist()
    assert scorer.score(long_query, [text]) == pytest.approx(expected, abs=1e-6)


def test_a_query_beyond_half_of_the_length_is_cut_to_it_with_one_warning(scorer, caplog):
    templates._warned.clear()
    text = ["sailors"]
    with caplog.at_level(logging.WARNING, "langchain_rerank"):
        scores = [scorer.score("vitamin " * length, text) for length in (32, 33, 500, 10**5)]
    assert scores == [pytest.approx(scores[0], abs=1e-6)] * 4
    assert len(caplog.records) == 1
    assert "cut to 32 tokens" in caplog.records[0].message


@pytest.mark.parametrize("family", ["bert", "roberta", "xlm-roberta"])
def test_a_million_characters_score_like_their_beginning(tmp_path, family):
    build_tiny_model(family, tmp_path, max_length=64)
    texts = ["vitamin C. " * 100_000, "x" * 10**6, " " * 10**6, "\n" * 1000 + "C " * 500_000]
    with CrossEncoderScorer(tmp_path, device="cpu", dtype="float32") as scorer:
        scores = scorer.score(QUERY, texts)
        beginnings = scorer.score(QUERY, [text[:20_000] for text in texts])
    assert scores == pytest.approx(beginnings, abs=1e-6)


def test_a_text_with_half_a_character_is_scored_as_what_can_be_read_of_it(scorer):
    broken = ["a \ud83d fox", "a fox", "a \ud83d\ude42 fox"]
    readable = ["a \ufffd fox", "a fox", "a \N{SLIGHTLY SMILING FACE} fox"]
    assert scorer.score("fox \udc00", broken) == scorer.score("fox \ufffd", readable)
    assert scorer.score("fox", broken) == scorer.score("fox", readable)


def test_an_instruction_that_a_chat_template_leaves_out_is_refused(tmp_path):
    build_tiny_model("qwen3", tmp_path)
    template = tmp_path / "chat_template.jinja"
    template.write_text(
        "Query: {{ (messages | selectattr('role', 'eq', 'query') | first).content }} Document: "
        "{{ (messages | selectattr('role', 'eq', 'document') | first).content }}<|im_end|>"
    )
    with (
        CrossEncoderScorer(tmp_path, device="cpu", instruction="be strict") as scorer,
        pytest.raises(ConfigurationError, match="leaves the instruction out"),
    ):
        scorer.score(QUERY, TEXTS)


def test_cancelling_an_async_call_leaves_the_scorer_usable(scorer):
    async def cancel_and_score():
        task = asyncio.ensure_future(scorer.ascore(QUERY, TEXTS * 200))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return await scorer.ascore(QUERY, TEXTS)

    scorer.load()
    assert asyncio.run(cancel_and_score()) == pytest.approx(scorer.score(QUERY, TEXTS), abs=1e-6)
