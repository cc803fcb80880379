"""`make gpu`: what it says without a GPU, and that its measurements run at all."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
import torch

from langchain_rerank.bench import gpu
from langchain_rerank.testing.tiny_models import build_tiny_model


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU: run `make gpu`")
def test_without_a_gpu_it_says_what_it_skipped(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "langchain_rerank.bench.gpu", "--json", str(tmp_path / "gpu.json")],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "Skipped: everything: torch" in done.stdout
    report = json.loads((tmp_path / "gpu.json").read_text("utf-8"))
    assert report["goals"] == []
    assert len(report["skipped"]) == 1


@pytest.mark.slow
@pytest.mark.parametrize("measure", [gpu._bulk, gpu._one_query, gpu._warm_documents])
def test_each_goal_is_measured_as_on_a_gpu(tmp_path, monkeypatch, measure):
    monkeypatch.setattr(gpu, "build_shape", lambda _, folder: build_tiny_model("bert", folder))
    goal = measure(tmp_path, "cpu")
    assert goal.measured > 0
    assert len(goal.rounds) >= 5
    assert sorted(goal.rounds)[len(goal.rounds) // 2] == pytest.approx(goal.measured, rel=0.2)
    assert isinstance(goal.reached, bool)


@pytest.mark.slow
def test_its_tests_run_without_this_projects_fixtures(capfd):
    """Without a GPU all are skipped, which is no failure; an error of collecting would be one."""
    skipped = []
    assert gpu._run_tests(skipped) == "passed"
    assert skipped == []
    assert " skipped in " in capfd.readouterr().out or torch.cuda.is_available()
