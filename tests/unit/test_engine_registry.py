"""Which scorers share a model, who unloads it, and what a failed load does to those who wait."""

from __future__ import annotations

import asyncio
import gc
import os
import shutil
import subprocess
import sys
import threading
import time
import weakref
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from langchain_core.documents import Document
from sentence_transformers import CrossEncoder

from langchain_rerank import CrossEncoderReranker, loaded_models, unload_idle
from langchain_rerank.errors import (
    ConfigurationError,
    ModelLoadError,
    ScorerClosedError,
    ScorerOutOfMemoryError,
)
from langchain_rerank.scorers.cross_encoder import CrossEncoderScorer
from langchain_rerank.scorers.engine import device, registry
from langchain_rerank.testing.tiny_models import build_tiny_model

QUERY, TEXTS = "vitamin C", ["sailors and scurvy", "the river Seine", "lemons contain vitamin C"]
WAIT = 60


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return build_tiny_model("bert", tmp_path_factory.mktemp("bert"), max_length=64)


@pytest.fixture(autouse=True)
def nothing_stays_loaded():
    registry.close_all()
    yield
    registry.close_all()
    registry._state.failures.clear()


def eventually(condition):
    end = time.monotonic() + WAIT
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.01)


@pytest.fixture
def loads(monkeypatch):
    """The names of the models that were loaded, one entry a load."""
    made = []
    build = registry.Engine

    def engine(settings):
        made.append(settings.name)
        return build(settings)

    monkeypatch.setattr(registry, "Engine", engine)
    return made


def test_weights_are_loaded_once_however_they_are_read_and_whatever_the_device_is_called(
    folder, loads
):
    settings = [
        {},
        {"device": "cpu"},
        {"dtype": str(device.precision("auto", "cpu"))},
        {"max_length": 32},
        {"max_length": 16},
        {"instruction": "find vitamins "},
        {"max_batch_tokens": 100},
    ]
    scorers = [CrossEncoderScorer(folder, **one) for one in settings]
    for scorer in scorers:
        scorer.load()
    assert loads == [str(folder)]
    [model] = loaded_models()
    assert (model.users, model.device, model.path) == (len(settings), "cpu", "packed")
    assert [scorer.max_length for scorer in scorers[2:5]] == [64, 32, 16]


def test_each_request_is_cut_to_its_own_max_length(folder):
    text = ["sailors " * 60]
    together = [CrossEncoderScorer(folder, device="cpu", max_length=n) for n in (16, 32, 64)]
    with ThreadPoolExecutor(3) as threads:
        scores = list(threads.map(lambda one: one.score(QUERY, text)[0], together))
    assert len(loaded_models()) == 1
    registry.close_all()
    alone = []
    for one in together:
        alone += one.score(QUERY, text)
        one.close()
    assert scores == pytest.approx(alone, abs=0.01)
    assert len(set(scores)) == 3


def test_a_max_length_that_the_model_cannot_read_is_refused_though_it_is_loaded(folder):
    CrossEncoderScorer(folder, device="cpu").load()
    with pytest.raises(ConfigurationError, match=r"max_length=65, but .* reads at most 64 tokens"):
        CrossEncoderScorer(folder, device="cpu", max_length=65).score(QUERY, TEXTS)


def test_what_lies_beside_the_weights_makes_no_other_model_and_what_is_read_does(
    folder, tmp_path, loads
):
    mine = shutil.copytree(folder, tmp_path / "model")
    CrossEncoderScorer(mine, device="cpu").load()
    (mine / "training.log").write_text("loss .1")
    (mine / "README.md").write_text("# A model")
    (mine / "trainer_state.json").write_text("{}")
    (mine / "checkpoint-100").mkdir()
    (mine / "checkpoint-100" / "model.safetensors").write_bytes(b"")
    CrossEncoderScorer(mine, device="cpu").load()
    assert len(loads) == 1
    config = mine / "config.json"
    config.write_text(config.read_text() + "\n")
    CrossEncoderScorer(mine, device="cpu").load()
    assert len(loads) == 2


def test_two_names_of_one_folder_are_one_model(folder, tmp_path, loads):
    (tmp_path / "link").symlink_to(folder)
    for name in (folder, f"{folder}/", tmp_path / "link"):
        CrossEncoderScorer(name, device="cpu").load()
    assert len(loads) == 1


class Hub:
    """A hub that answers late, and then that it is down."""

    def __init__(self, error):
        self.asked, self.error = 0, error
        self.gate = threading.Event()

    def __call__(self, *_, **__):
        self.asked += 1
        assert self.gate.wait(WAIT)
        raise self.error


def test_a_hub_that_is_down_is_asked_once_for_all_who_wait_and_not_again_at_once(monkeypatch):
    hub = Hub(ConnectionError("no route to host"))
    monkeypatch.setattr("sentence_transformers.CrossEncoder", hub)
    scorers = [CrossEncoderScorer("some/reranker", device="cpu") for _ in range(8)]
    with ThreadPoolExecutor(8) as threads:
        answers = [threads.submit(one.score, QUERY, TEXTS) for one in scorers]
        eventually(lambda: sum(e.users for e in registry._state.entries.values()) == 8)
        hub.gate.set()
        for answer in answers:
            with pytest.raises(ModelLoadError, match="no route to host"):
                answer.result(WAIT)
    with pytest.raises(ModelLoadError, match="no route to host") as again:
        scorers[0].score(QUERY, TEXTS)
    assert isinstance(again.value.__cause__, ConnectionError)
    assert hub.asked == 1
    monkeypatch.setattr(registry, "REMEMBERED_SECONDS", 0.0)
    registry._state.failures.clear()
    for times in (2, 3):
        with pytest.raises(ModelLoadError):
            scorers[0].score(QUERY, TEXTS)
        assert hub.asked == times


def test_a_mistake_that_can_be_mended_at_once_is_not_remembered(folder, tmp_path):
    model = tmp_path / "model"
    shutil.copytree(folder, model)
    weights = (model / "model.safetensors").read_bytes()
    (model / "model.safetensors").write_bytes(weights[:100])
    scorer = CrossEncoderScorer(model, device="cpu")
    with pytest.raises(ModelLoadError):
        scorer.load()
    (model / "model.safetensors").write_bytes(weights)
    assert len(scorer.score(QUERY, TEXTS)) == 3


def test_a_load_that_runs_out_of_memory_unloads_what_nobody_uses_and_tries_again(
    folder, tmp_path, monkeypatch, caplog
):
    first, second = (shutil.copytree(folder, tmp_path / name) for name in ("forgotten", "used"))
    CrossEncoderScorer(first, device="cpu").load()  # Forgotten at once.
    used = CrossEncoderScorer(second, device="cpu")
    used.load()
    gc.collect()
    build = registry.Engine

    def engine(settings):
        if len(loaded_models()) == 2:
            raise ScorerOutOfMemoryError("full")
        return build(settings)

    monkeypatch.setattr(registry, "Engine", engine)
    third = CrossEncoderScorer(folder, device="cpu")
    third.load()
    assert {model.name for model in loaded_models()} == {str(second), str(folder)}
    assert "Unloaded" in caplog.text
    with pytest.raises(ScorerOutOfMemoryError, match="full"):  # Both are in use now.
        CrossEncoderScorer(first, device="cpu").load()


def test_idle_models_are_told_and_unloaded(folder):
    scorer = CrossEncoderScorer(folder, device="cpu", dtype="float32")
    scorer.load()
    parameters = CrossEncoder(str(folder), device="cpu").parameters()
    [model] = loaded_models()
    assert (model.name, model.dtype, model.users) == (str(folder), "float32", 1)
    assert model.bytes == 4 * sum(parameter.numel() for parameter in parameters)
    assert unload_idle() == []
    worker = scorer._engine._worker
    del scorer, model
    gc.collect()
    [unloaded] = unload_idle()
    assert (unloaded.name, unloaded.users) == (str(folder), 0)
    assert loaded_models() == []
    assert not worker.alive


def passed_in(folder):
    return CrossEncoder(str(folder), device="cpu")


def test_a_passed_in_model_lives_no_longer_than_its_owner_wants(folder):
    model = passed_in(folder)
    scorer = CrossEncoderScorer(model, device="cpu", dtype="float32")
    scores = scorer.score(QUERY, [*TEXTS, "sailors " * 100])
    assert scores == pytest.approx(
        model.predict([(QUERY, text) for text in TEXTS]).tolist() + scores[3:], abs=1e-5
    )
    thread, engine = scorer._engine._worker._thread, weakref.ref(scorer._engine)
    weights = weakref.ref(next(model.model.parameters()))
    owner = weakref.ref(model)
    del scorer
    gc.collect()
    assert thread.is_alive()
    assert len(loaded_models()) == 1
    del model
    gc.collect()
    assert owner() is None
    assert weights() is None or thread.is_alive()  # The engine may still be closing.
    thread.join(WAIT)
    eventually(lambda: gc.collect() >= 0 and engine() is None and weights() is None)
    assert loaded_models() == []


@pytest.mark.parametrize("path", ["packed", "predict"])
def test_nothing_of_an_engine_refers_to_the_model_that_was_passed_in(folder, monkeypatch, path):
    if path == "predict":
        monkeypatch.setattr(
            "langchain_rerank.scorers.engine.forward.choice._view_and_read_out",
            lambda *_: (None, None),
        )
    model = passed_in(folder)
    scorer = CrossEncoderScorer(model, device="cpu", dtype="float32")
    scorer.load()
    assert scorer.path == path
    engine, owner = scorer._engine, weakref.ref(model)
    assert engine.alive
    del scorer, model
    gc.collect()
    assert owner() is None


async def test_a_retriever_per_request_over_one_model_makes_one_engine(folder, loads):
    model = passed_in(folder)
    documents = [Document(text) for text in TEXTS]
    for _ in range(5):
        reranker = CrossEncoderReranker(model=model, device="cpu")
        assert await reranker.acompress_documents(documents, QUERY)
        del reranker
        gc.collect()
    assert len(loads) == 1


async def test_a_call_that_is_given_up_leaves_no_gap_in_the_event_loop(folder):
    scorer = CrossEncoderScorer(passed_in(folder), device="cpu")
    scorer.load()
    forward = scorer._engine._worker._forward
    launch, entered = forward.launch, threading.Event()

    def slow(pairs):
        entered.set()
        time.sleep(0.5)
        return launch(pairs)

    forward.launch = slow
    gaps = []

    async def watch():
        last = time.perf_counter()
        while True:
            await asyncio.sleep(0.005)
            now = time.perf_counter()
            gaps.append(now - last)
            last = now

    watching = asyncio.create_task(watch())
    task = asyncio.create_task(scorer.ascore(QUERY, TEXTS))
    await asyncio.to_thread(entered.wait, WAIT)
    gc.disable()  # Its own pauses are not what is measured.
    try:
        gaps.clear()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        del task, scorer, forward  # The last that held the scorer and the model.
        await asyncio.sleep(0.1)
    finally:
        gc.enable()
    watching.cancel()
    # The batch that runs takes .5 s; a few of the loop's own rounds may be late on a busy machine.
    assert max(gaps) < 0.25
    assert sorted(gaps)[len(gaps) // 2] < 0.05


def test_a_collection_in_the_middle_of_a_load_changes_nothing_that_is_being_read(folder, tmp_path):
    """Finalizers run wherever memory is allocated: in the middle of the registry's own loops."""
    copies = [shutil.copytree(folder, tmp_path / str(number)) for number in range(2)]
    for copy in copies:
        CrossEncoderScorer(copy, device="cpu").load()
    models = [passed_in(folder) for _ in range(2)]
    scorers = [CrossEncoderScorer(model, device="cpu") for model in models]
    for one in scorers:
        one.load()
    del one

    class Entries(dict):
        def values(self):
            for value in super().values():
                if models:
                    models.clear()
                    scorers.clear()
                    gc.collect()
                yield value

    registry._state.entries = Entries(registry._state.entries)
    assert CrossEncoderScorer(folder, device="cpu").score(QUERY, TEXTS)
    assert len(loaded_models()) >= 3
    eventually(lambda: len(loaded_models()) == 3)


def test_closing_during_the_first_use_leaves_nothing_loaded(folder, monkeypatch):
    entered, gate = threading.Event(), threading.Event()
    build = registry.Engine

    def engine(settings):
        entered.set()
        assert gate.wait(WAIT)
        return build(settings)

    monkeypatch.setattr(registry, "Engine", engine)
    scorer = CrossEncoderScorer(folder, device="cpu")
    with ThreadPoolExecutor(1) as threads:
        first = threads.submit(scorer.score, QUERY, TEXTS)
        assert entered.wait(WAIT)
        scorer.close()
        gate.set()
        with pytest.raises(ScorerClosedError, match="was closed while it loaded"):
            first.result(WAIT)
    assert not scorer.loaded
    assert loaded_models() == []
    assert len(scorer.score(QUERY, TEXTS)) == 3


async def test_giving_up_a_load_leaves_it_to_those_who_still_wait(folder, loads):
    scorers = [CrossEncoderScorer(folder, device="cpu") for _ in range(3)]
    tasks = [asyncio.create_task(one.ascore(QUERY, TEXTS)) for one in scorers]
    await asyncio.sleep(0.01)
    tasks[0].cancel()
    with pytest.raises(asyncio.CancelledError):
        await tasks[0]
    assert await tasks[1] == pytest.approx(await tasks[2], abs=0.01)
    assert len(loads) == 1


def test_closing_frees_the_weights_at_once(folder):
    gc.collect()
    gc.disable()  # What is free must not depend on when the collector runs next.
    try:
        scorer = CrossEncoderScorer(folder, device="cpu", dtype="float32")
        scorer.load()
        base = weakref.ref(scorer._engine._worker._forward._read.base)
        scorer.close()
        assert base() is None
    finally:
        gc.enable()


def test_a_worker_that_died_is_not_alive_though_its_thread_still_ends(folder):
    scorer = CrossEncoderScorer(folder, device="cpu")
    scores = scorer.score(QUERY, TEXTS)
    engine = scorer._engine
    engine._worker._closed = True
    assert not engine.alive
    assert scorer.score(QUERY, TEXTS) == scores
    assert scorer._engine is not engine


def test_identity_starts_no_cuda_in_this_process(folder, monkeypatch):
    def started(*_):
        raise AssertionError("CUDA was started")

    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 1)
    for name in ("current_device", "get_device_capability", "mem_get_info", "init", "_lazy_init"):
        monkeypatch.setattr(f"torch.cuda.{name}", started)
    device._precision_elsewhere.cache_clear()
    identity = CrossEncoderScorer(folder).identity
    device._precision_elsewhere.cache_clear()
    # The other process has no such GPU, so it answers for the CPU.
    monkeypatch.undo()
    assert identity["dtype"] == str(device.choose_dtype("auto", torch.device("cpu")))[6:]


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
def test_a_child_forked_during_a_load_loads_and_scores(folder):
    program = f"""
import os, threading
from langchain_rerank.scorers.cross_encoder import CrossEncoderScorer
from langchain_rerank.scorers.engine import registry

entered = threading.Event()
build = registry.Engine
def engine(settings):
    if os.getpid() == parent:
        with registry._state.lock:  # Whatever is held at the fork is held for ever in the child.
            entered.set()
            release.wait()
    return build(settings)

parent, release = os.getpid(), threading.Event()
registry.Engine = engine
scorer = CrossEncoderScorer({str(folder)!r}, device="cpu", dtype="float32")
loading = threading.Thread(target=scorer.load)
loading.start()
entered.wait()
child = os.fork()
if child == 0:
    os._exit(0 if len(scorer.score("fox", ["a fox", "no fox"])) == 2 else 3)
release.set()
print("child", os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
loading.join()
print("parent", len(scorer.score("fox", ["a fox"])))
"""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.stdout == "child 0\nparent 1\n", done.stderr


async def test_a_call_given_up_before_its_load_begins_counts_as_nobodys(folder, monkeypatch):
    begin, began = registry.begin, threading.Event()

    def slowly(settings):
        time.sleep(0.2)
        found = begin(settings)
        began.set()
        return found

    monkeypatch.setattr(registry, "begin", slowly)
    scorer = CrossEncoderScorer(folder, device="cpu", dtype="float32")
    call = asyncio.ensure_future(scorer.ascore(QUERY, TEXTS))
    await asyncio.sleep(0.05)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    while not began.is_set() or not loaded_models():
        await asyncio.sleep(0.02)
    await asyncio.sleep(0.05)
    assert [model.users for model in loaded_models()] == [0]
    assert len(unload_idle()) == 1
