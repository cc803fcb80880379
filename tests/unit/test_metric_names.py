"""The guide's one list of metrics has every name that is counted, and no other."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest

from langchain_rerank.scorers.engine.metrics import Metrics
from langchain_rerank.serve import metrics as serve

ROOT = Path(__file__).parents[2]
PREFIX = "langchain_rerank_"


def column(number):
    guide = (ROOT / "docs/guides/web-service.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\|(.+)\|$", guide.split("## Metrics")[1], re.MULTILINE)[2:]
    cells = [row.split("|")[number].strip() for row in rows]
    return [cell.strip("`") for cell in cells if cell]


def test_the_list_has_what_a_scorer_counts():
    assert sorted(column(1)) == sorted(field.name for field in dataclasses.fields(Metrics))


def test_the_example_puts_its_prefix_before_the_same_names():
    assert column(2) == [PREFIX + name for name in column(1)]
    assert f'"{PREFIX}{{name}} {{value}}' in (ROOT / "examples/web_service.py").read_text("utf-8")


def test_the_list_has_what_a_server_counts():
    pytest.importorskip("prometheus_client", reason="needs the extra ray")
    counted = serve.Metrics("one")
    page = counted.page(None).decode()
    found = re.findall(r"^# TYPE (\S+) ", page, re.MULTILINE)
    assert sorted(column(3)) == sorted(name for name in found if not name.endswith("_created"))
