"""`langchain-rerank bench --alone`: what one query costs, a row a model."""

from __future__ import annotations

import json

import pytest
import typer
from typer.testing import CliRunner

from langchain_rerank.bench import alone
from langchain_rerank.bench.shapes import LIKE, Shape
from langchain_rerank.cli.bench import bench
from langchain_rerank.errors import ConfigurationError
from langchain_rerank.scorers.engine.registry import loaded_models
from langchain_rerank.testing.tiny_models import build_tiny_model

SMALL = ["--alone", "--device", "cpu", "--candidates", "4", "--max-tokens", "30", "--rounds", "2"]

app = typer.Typer()
app.command()(bench)


@pytest.fixture
def tiny_shapes(monkeypatch):
    """Makes every shape a small model: what is tested is the table."""
    monkeypatch.setattr(
        alone, "build_shape", lambda shape, folder: build_tiny_model("bert", folder)
    )


def run(*arguments):
    return CliRunner().invoke(app, [*SMALL, *map(str, arguments)])


def test_each_shape_has_a_row_with_its_time_and_what_it_stands_for(tiny_shapes, tmp_path):
    file = tmp_path / "costs.json"
    result = run("--shape", "bge-base", "--shape", "ettin-17m", "--json", file)
    assert result.exit_code == 0, result.output
    report = json.loads(file.read_text())
    assert report["complete"]
    assert [row["model"] for row in report["rows"]] == ["bge-base", "ettin-17m"]
    for row in report["rows"]:
        assert row["like"] == LIKE[Shape(row["model"])]
        assert row["queries"] == 2
        assert 0 < row["seconds"]["low"] <= row["seconds"]["median"] <= row["seconds"]["high"]
        assert row["load_seconds"] > row["seconds"]["low"]
        assert 20 < row["tokens"] < 60
        assert row["parameters"] * (4 if row["dtype"] == "float32" else 2) == row["megabytes"] * 1e6
        line = next(one for one in result.output.splitlines() if f"| {row['model']} " in one)
        assert row["like"] in line
        assert row["dtype"] in line
    assert "Weights are random" in result.output
    assert not [one for one in loaded_models() if "bench-" in one.name]


def test_without_a_shape_every_shape_is_measured(tiny_shapes):
    result = run("--json", "-")
    assert result.exit_code == 0, result.output
    rows = json.loads(result.stdout)["rows"]
    assert [row["model"] for row in rows] == [shape.value for shape in Shape] == [*LIKE]


def test_a_model_that_computes_long_enough_begins_no_other_round(tiny_shapes, monkeypatch):
    monkeypatch.setattr(alone, "ENOUGH_SECONDS", 0.0)
    result = run("--shape", "bge-base", "--rounds", "50", "--json", "-")
    assert [row["queries"] for row in json.loads(result.stdout)["rows"]] == [1]


def test_a_real_model_is_measured_and_said_to_be_no_shape(tmp_path):
    model = build_tiny_model("bert", tmp_path)
    result = run("--model", model)
    assert result.exit_code == 0, result.output
    assert "random" not in result.output
    result = run("--model", "embedded", "--rounds", "1", "--json", "-")
    (row,) = json.loads(result.stdout)["rows"]
    assert (row["model"], row["like"]) == ("embedded", "")
    assert 22_000_000 < row["parameters"] < 23_000_000


def test_an_interrupt_shows_what_was_measured_so_far(monkeypatch):
    built = []

    def interrupted_in_the_second(shape, folder):
        built.append(shape)
        if len(built) == 2:
            raise KeyboardInterrupt
        return build_tiny_model("bert", folder)

    monkeypatch.setattr(alone, "build_shape", interrupted_in_the_second)
    result = run("--shape", "bge-base", "--shape", "bge-large")
    assert result.exit_code == 130
    assert "Interrupted" in result.output
    assert "| bge-base " in result.output
    assert "| bge-large " not in result.output


def test_several_shapes_beside_the_peers_are_refused_before_anything_is_built():
    result = CliRunner().invoke(app, ["--shape", "bge-base", "--shape", "bge-large"])
    assert isinstance(result.exception, ConfigurationError)
    assert "--shape was given 2 times" in str(result.exception)
    assert "--alone" in str(result.exception)
