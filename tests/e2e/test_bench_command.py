"""`langchain-rerank bench`, from the command line to the table and the file."""

from __future__ import annotations

import json

import pytest
import typer
from typer.testing import CliRunner

from langchain_rerank.bench import setup, systems
from langchain_rerank.bench.rounds import Scenario
from langchain_rerank.bench.shapes import Shape, build_shape
from langchain_rerank.bench.systems import REFERENCE
from langchain_rerank.cli.bench import bench
from langchain_rerank.errors import ConfigurationError
from langchain_rerank.testing.tiny_models import build_tiny_model

pytestmark = pytest.mark.usefixtures("module_cache")  # Converting takes a second.

SMALL = ["--device", "cpu", "--candidates", "4", "--max-tokens", "30", "--rounds", "2"]

app = typer.Typer()
app.command()(bench)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return str(build_tiny_model("bert", tmp_path_factory.mktemp("bert"), activation="Identity"))


def run(*arguments):
    return CliRunner().invoke(app, [*SMALL, *arguments])


@pytest.mark.slow
def test_every_figure_is_in_the_file_and_the_table_on_the_screen(model, tmp_path):
    file = tmp_path / "bench.json"
    result = run("--model", model, "--callers", "3", "--caller-candidates", "2", "--json", file)
    assert result.exit_code == 0, result.output
    report = json.loads(file.read_text())
    assert report["complete"]
    assert report["settings"]["sizes"]["candidates"] == 4
    assert report["settings"]["sizes"]["lengths"] == "even"
    assert 0 < report["padding_of_reference"] < 1
    assert f"{report['padding_of_reference']:.0%} of what {REFERENCE}" in " ".join(
        result.output.split()
    )
    assert all(ceiling > 0 for ceiling in report["ceilings_flop_per_second"].values())
    by_key = {(row["system"], row["scenario"]): row for row in report["rows"]}
    ours = [by_key["langchain-rerank fp32", scenario.value] for scenario in Scenario]
    for row in [*ours, by_key[REFERENCE, "one caller"], by_key[REFERENCE, "concurrent callers"]]:
        assert row["rounds"] == 2
        assert row["pairs_per_second"]["low"] > 0
        assert 0 < row["p50_ms"] <= row["p95_ms"] <= row["p99_ms"]
        assert row["ceiling_share"] > 0
    assert ours[0]["max_difference"] < 1e-5
    assert ours[0]["rank_correlation"] == 1.0
    assert ours[3]["times_bulk"] > 0
    assert ours[3]["p99_over_ideal"] > 0
    for scenario in Scenario:
        assert scenario.value in result.output
    for name in {system for system, _ in by_key}:
        assert name in result.output
    assert all(f"Left out: {skipped['name']}" in result.output for skipped in report["skipped"])


@pytest.mark.slow
def test_without_callers_and_in_float32_there_is_less_to_measure(model):
    result = run("--model", model, "--callers", "0", "--dtype", "float32", "--json", "-")
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    assert {row["scenario"] for row in report["rows"]} == {
        Scenario.one.value,
        Scenario.seen.value,
    }
    assert {row["system"] for row in report["rows"] if row["system"].startswith("langchain")} == {
        "langchain-rerank fp32",
        "langchain-rerank fp32, OpenVINO",
    }
    one_caller = [row for row in report["rows"] if row["scenario"] == Scenario.one.value]
    assert all(row["max_difference"] < 1e-5 for row in one_caller)


@pytest.mark.slow
def test_an_interrupt_shows_what_was_measured_so_far(model, monkeypatch, tmp_path):
    one_batch_system = systems.one_batch_system

    def interrupted_in_the_second_round(cross_encoder):
        system = one_batch_system(cross_encoder)
        calls = []

        def score(query, texts):
            calls.append(query)
            if len(calls) == 3:  # after the warm-up and the first round
                raise KeyboardInterrupt
            return system.score(query, texts)

        return systems.System(system.name, system.dtype, score)

    monkeypatch.setattr(systems, "one_batch_system", interrupted_in_the_second_round)
    file = tmp_path / "bench.json"
    result = run("--model", model, "--callers", "0", "--json", file)
    assert result.exit_code == 130
    assert "Interrupted" in result.output
    report = json.loads(file.read_text())
    assert not report["complete"]
    counts = {row["system"]: row["rounds"] for row in report["rows"]}
    assert counts["one padded batch, as FlashRank"] == 1
    assert counts[REFERENCE] in {1, 2}


def test_a_model_that_is_not_there_says_so(tmp_path):
    result = run("--model", str(tmp_path / "nothing"))
    assert result.exit_code == 1
    assert "nothing" in str(result.exception)


@pytest.mark.slow
def test_a_shape_has_the_size_of_the_real_model(tmp_path):
    import sentence_transformers

    model = sentence_transformers.CrossEncoder(str(build_shape(Shape.minilm_l6, tmp_path)))
    assert sum(p.numel() for p in model.model.parameters()) == 22_713_601
    assert model.predict([("which fox", "the fox"), ("which fox", "a rank of adapters")]).std() > 0


def test_int8_is_a_row_of_its_own_and_not_the_precision_of_the_others(model):
    result = run("--model", model, "--dtype", "int8")
    assert isinstance(result.exception, ConfigurationError)
    assert "--alone" in str(result.exception)


def test_random_weights_are_not_rounded(model, monkeypatch):
    monkeypatch.setattr(setup, "build_shape", lambda *_: model)
    result = run("--callers", "0", "--json", "-")
    assert result.exit_code == 0, result.output
    skipped = {one["name"]: one["reason"] for one in json.loads(result.stdout)["skipped"]}
    assert "random weights" in skipped["int8"]
