"""int8 by name: close scores from a model that is rounded once and kept, or the next precision."""

from __future__ import annotations

import logging
import os
import pickle
import sys
from contextlib import closing

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr
from sentence_transformers import CrossEncoder

from langchain_rerank import CrossEncoderReranker, CrossEncoderScorer
from langchain_rerank.embedded import CORPUS_FOLDER
from langchain_rerank.errors import ConfigurationError, InputTypeError, MissingExtraError
from langchain_rerank.optional import version_of
from langchain_rerank.resolving import resolve_scorer
from langchain_rerank.scorers.engine import loading, model_files, registry
from langchain_rerank.scorers.engine.forward import (
    choice,
    comparison,
    int8,
    openvino,
    openvino_package,
    verdicts,
)
from langchain_rerank.scorers.ray import scorer as ray_scorer
from langchain_rerank.user_cache import cache_folder
from langchain_rerank.wrappers import CachedScorer

pytestmark = pytest.mark.usefixtures("module_cache")  # Rounding takes seconds.

QUERY = "How much memory does QLoRA save?"
TEXTS = ["QLoRA saves memory.", "Cats sleep all day.", "", "Zürich 北京", "vitamin C " * 300]

OWN_TEXTS = ["The harbour opens at nine.", "Ferries leave every hour.", "Tickets are sold on deck."]


@pytest.fixture
def lenient(monkeypatch):
    """Random weights say nothing about order; what is tested is what happens around it."""
    monkeypatch.setattr(comparison, "_LEAST_ORDER", -1.0)


def rounded_models(caplog):
    return [one for one in caplog.messages if "is rounded to int8" in one]


def test_a_model_is_rounded_once_and_gives_close_scores(bert, lenient, caplog):
    weights = CrossEncoder(str(bert), device="cpu")
    expected = weights.predict([(QUERY, text) for text in TEXTS])
    answers = []
    for _ in range(2):
        with CrossEncoderScorer(bert, dtype="int8") as scorer:
            answers.append(scorer.score(QUERY, TEXTS))
            assert (scorer.path, scorer.dtype, scorer.device) == ("openvino", "int8", "cpu")
            assert scorer.identity["dtype"] == "int8"
            [loaded] = [one for one in registry.loaded_models() if one.dtype == "int8"]
            assert loaded.bytes == sum(one.numel() for one in weights.parameters())
        registry.unload_idle()
    assert len(rounded_models(caplog)) == 1
    assert answers[0] == answers[1]
    assert answers[0] == pytest.approx(expected.tolist(), abs=0.25)  # a logit, at most
    assert answers[0] != pytest.approx(expected.tolist(), abs=1e-5)
    assert answers[0].truncated == 1


@pytest.mark.slow
def test_other_calibration_texts_are_another_model(bert, lenient, caplog):
    own = CrossEncoderScorer(bert, dtype="int8", calibration_texts=iter(OWN_TEXTS))
    with own, pickle.loads(pickle.dumps(own)) as copy:
        assert own.score(QUERY, TEXTS[:2]) == copy.score(QUERY, TEXTS[:2])
        assert own.identity == copy.identity
    assert len(rounded_models(caplog)) == 1
    shipped = CrossEncoderScorer(bert, dtype="int8")
    assert shipped.identity != own.identity
    assert shipped.settings.backend == "openvino"


@pytest.mark.slow
def test_a_model_whose_order_suffers_computes_in_the_next_precision_with_one_warning(
    bert, lenient, caplog, monkeypatch
):
    monkeypatch.setattr(comparison, "_MOST_OFF", 1e-9)
    before = set(cache_folder("openvino").glob("*"))
    with CrossEncoderScorer(bert, dtype="int8", calibration_texts=["Other texts."]) as scorer:
        scores = scorer.score(QUERY, TEXTS)
        assert scorer.path == "openvino"
        assert scorer.dtype in {"float32", "bfloat16"}
    expected = CrossEncoder(str(bert), device="cpu").predict([(QUERY, text) for text in TEXTS])
    assert scores == pytest.approx(expected.tolist(), abs=0.02)
    (warning,) = [one for one in caplog.messages if "more slowly" in one]
    assert "int8, since its logits are up to" in warning
    kept = set(cache_folder("openvino").glob("*")) - before
    assert not any("FakeQuantize" in (one / "model.xml").read_text() for one in kept)

    caplog.clear()
    verdicts._written.clear()  # as another process would find it
    registry.unload_idle()
    built = []
    monkeypatch.setattr(choice, "_openvino", lambda *_, calibration=(): built.append(calibration))
    with CrossEncoderScorer(bert, dtype="int8", calibration_texts=["Other texts."]) as again:
        again.load()
    assert built == [()]  # Rounding again, for a minute, only to be refused, is spared.
    assert any("int8, since its scores were too far off" in one for one in caplog.messages)


def test_a_verdict_is_of_the_versions_that_rounded(bert):
    def about(**settings):
        settings = CrossEncoderScorer(bert, **settings).settings
        return model_files.verdict_key(settings, torch.device("cpu"), torch.float32, 384)

    assert f"nncf {version_of('nncf')}" in about(dtype="int8")["converted_by"]
    assert "openvino" in about(backend="openvino")["converted_by"]
    assert not about()["converted_by"]


@pytest.mark.slow
def test_what_cannot_be_rounded_computes_in_the_next_precision(bert, caplog, monkeypatch):
    monkeypatch.setattr(int8, "_ROUND", "raise SystemExit('no such layer')")
    with CrossEncoderScorer(bert, dtype="int8", calibration_texts=["No layer."]) as scorer:
        scorer.score(QUERY, TEXTS[:1])
        assert scorer.dtype in {"float32", "bfloat16"}
    assert any("NNCF failed (exit status 1): no such layer" in one for one in caplog.messages)


@pytest.mark.slow
def test_a_cache_keeps_the_scores_of_a_refused_model_as_what_they_are(bert, tmp_path, monkeypatch):
    monkeypatch.setattr(int8, "_ROUND", "raise SystemExit('no such layer')")

    def scorer():
        return CrossEncoderScorer(bert, dtype="int8", calibration_texts=["No layer."])

    first, file = scorer(), tmp_path / "scores.sqlite"
    with closing(CachedScorer(first, path=file)) as cached:
        scores = cached.score(QUERY, TEXTS)
        assert first.metrics().texts == len(TEXTS)
        assert cached.score(QUERY, TEXTS) == scores
        assert first.metrics().texts == len(TEXTS)
    assert first.identity["dtype"] != "int8"

    second = scorer()  # Were it rounded, what the file holds would not be its scores.
    assert second.identity["dtype"] == "int8"
    with closing(CachedScorer(second, path=file)) as cached:
        assert cached.score(QUERY, TEXTS) == scores
        assert second.loaded


@pytest.mark.slow
def test_modules_in_the_working_folder_are_not_taken(bert, lenient, tmp_path, monkeypatch):
    (tmp_path / "numpy.py").write_text("raise RuntimeError('not NumPy')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [one for one in sys.path if one])
    with CrossEncoderScorer(bert, dtype="int8", calibration_texts=OWN_TEXTS[:1]) as scorer:
        scorer.load()
        assert scorer.dtype == "int8"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="Windows cannot fork")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_forked_child_has_locks_of_its_own():
    with openvino._converting(), openvino_package._importing():
        child = os.fork()
        if not child:
            held = openvino._converting().locked() or openvino_package._importing().locked()
            os._exit(int(held))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


@pytest.mark.slow
def test_nothing_of_the_rounding_reaches_this_process(bert, lenient, capfd, caplog):
    logger = logging.getLoggerClass()
    with CrossEncoderScorer(bert, dtype="int8", calibration_texts=["Quiet.", "Still."]) as scorer:
        scorer.load()
        assert scorer.dtype == "int8"
    assert capfd.readouterr().out == ""
    assert logging.getLoggerClass() is logger
    assert len(rounded_models(caplog)) == 1


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"device": "cuda"}, "computes on the CPU"),
        ({"dtype": "float32", "calibration_texts": ["a"]}, "calibration_texts"),
        ({"calibration_texts": []}, "calibration_texts"),
        ({"calibration_texts": ["a", " "]}, "calibration_texts"),
        ({"calibration_texts": [1]}, "calibration_texts"),
    ],
    ids=str,
)
def test_settings_that_do_not_go_with_it_are_refused(settings, said):
    with pytest.raises(ConfigurationError, match=said):
        CrossEncoderScorer("embedded", **({"dtype": "int8"} | settings))


def test_a_model_that_was_passed_in_is_not_rounded(bert):
    with pytest.raises(ConfigurationError, match="loaded by its name"):
        CrossEncoderScorer(CrossEncoder(str(bert), device="cpu"), dtype="int8")


def test_without_the_extra_the_command_to_install_it_is_named(bert, monkeypatch):
    monkeypatch.setattr(loading, "require_installed", _missing)
    with (
        CrossEncoderScorer(bert, dtype=torch.int8) as scorer,
        pytest.raises(MissingExtraError, match=r"langchain-rerank\[int8\]"),
    ):
        scorer.load()


def test_what_is_installed_meanwhile_is_found(tmp_path, monkeypatch):
    assert version_of("installed-meanwhile") is None
    folder = tmp_path / "installed_meanwhile-1.2.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: installed-meanwhile\nVersion: 1.2"
    )
    monkeypatch.syspath_prepend(tmp_path)
    assert version_of("installed-meanwhile") == "1.2"


def test_texts_count_as_what_they_say_whatever_holds_them(bert):
    as_list, as_array = (
        CrossEncoderScorer(bert, dtype="int8", calibration_texts=one)
        for one in (OWN_TEXTS, np.array(OWN_TEXTS))
    )
    assert as_list.identity == as_array.identity
    assert as_list.settings == as_array.settings
    with pytest.raises(InputTypeError, match="in order, got set"):
        CrossEncoderReranker(model=str(bert), dtype="int8", calibration_texts=set(OWN_TEXTS))
    with pytest.raises(ConfigurationError, match="calibration_texts cannot be applied"):
        resolve_scorer(as_list, calibration_texts=np.array(OWN_TEXTS))


def test_what_actors_compute_in_is_not_known_beforehand(bert, monkeypatch):
    monkeypatch.setattr(ray_scorer, "require", lambda *_, **__: None)  # Nothing of Ray is used.
    scorer = ray_scorer.RayScorer(str(bert), dtype="int8", calibration_texts=iter(OWN_TEXTS))
    assert scorer.identity is None
    assert scorer._load_settings["calibration_texts"] == OWN_TEXTS


def _missing(package, *, extra):
    from langchain_rerank.optional import require_installed

    require_installed(f"no-{package}", extra=extra)


@pytest.mark.slow
def test_the_compressor_takes_it_as_a_setting(bert, lenient, documents):
    settings = {"dtype": "int8", "calibration_texts": OWN_TEXTS}
    with CrossEncoderReranker(model=str(bert), **settings) as reranker:
        found = reranker.compress_documents(documents, QUERY)
    with CrossEncoderScorer(bert, **settings) as scorer:
        scores = scorer.score(QUERY, [one.page_content for one in documents])
    assert [one.metadata["relevance_score"] for one in found] == sorted(scores, reverse=True)[:5]


@pytest.mark.slow
def test_the_embedded_model_keeps_its_order_in_int8():
    passages = [
        " ".join(paragraph.split())
        for path in sorted(CORPUS_FOLDER.glob("*.md"))
        for paragraph in path.read_text("utf-8").split("\n\n")
        if len(paragraph) > 100
    ][:60]
    with CrossEncoderScorer("embedded", dtype="float32") as exact:
        expected = exact.score(QUERY, passages)
    with CrossEncoderScorer("embedded", dtype="int8") as scorer:
        scores = scorer.score(QUERY, passages)
        assert (scorer.path, scorer.dtype) == ("openvino", "int8")
    assert spearmanr(scores, expected).statistic >= 0.98
