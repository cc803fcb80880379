"""What a search result looks like: in terminals of any width, as plain text, in a notebook."""

from __future__ import annotations

import io
import json
import unicodedata

import pytest
from langchain_core.documents import Document
from rich.cells import cell_len
from rich.console import Console

from langchain_rerank.result import RerankResult

QUERY = "How do adapters save memory?"
FOUND = [  # source, score, rank before, text
    ("notes/a/README.md", 0.91123, 4, "Adapters save memory since few parameters are trained."),
    ("notes/b/README.md", 0.5, 2, "QLoRA keeps the base model in four bits. " * 20),
    ("a-very-long-folder-name/for/my/research/notes/on/models/lora.md", -11.25, 1, "LoRA. " * 90),
    (None, 0.0001, 3, "低秩适配器只训练很少的参数因此节省显存" * 20),
]
EVIL = "x\x1b[31mRED\x1b[0m \x1b]0;pwned\x07 \x9b2J\x00end\nline"


def a_result(found=FOUND, query=QUERY, **fields):
    documents = [
        Document(
            text,
            metadata={"relevance_score": score, "first_stage_rank": before}
            | ({"source": source} if source else {}),
        )
        for source, score, before, text in found
    ]
    settings = {"model": "embedded", "candidates": 8, "timings": {"total": 12.0}, **fields}
    return RerankResult(query=query, documents=documents, **settings)


def printed(result, width, *, terminal=True, **settings):
    console = Console(
        file=io.StringIO(), width=width, force_terminal=terminal, color_system=None, **settings
    )
    console.print(result, soft_wrap=not terminal)
    return console.file.getvalue()


@pytest.mark.parametrize("width", [30, 40, 60, 80, 110, 120, 200])
def test_at_any_width_scores_and_text_are_whole(width):
    shown = printed(a_result(), width)
    lines = shown.splitlines()
    assert max(map(cell_len, lines)) <= width
    assert "│" not in shown
    for score in ("0.9112", "0.5000", "-11.2500", "0.0001"):
        assert any(score in line.split() for line in lines)
    for rank in "1234":
        assert any(line.startswith(f"{rank}  ") for line in lines)
    assert "↑3 (was 4)" in shown
    assert "↓2 (was 1)" in shown
    # The first text fits in two lines, at any of these widths but the smallest.
    if width > 30:
        assert FOUND[0][3] in " ".join(shown.split())
    assert "4 of 8 candidates, embedded" in " ".join(shown.split())


@pytest.mark.parametrize("width", [40, 60, 80, 110, 120, 200])
def test_a_long_text_has_two_full_lines_and_says_that_it_goes_on(width):
    lines = printed(a_result(), width).splitlines()
    heads = [at for at, line in enumerate(lines) if line.startswith(("2  ", "3  ", "4  "))]
    assert len(heads) == 3
    for at in heads:
        own_line = lines[at + 1].endswith("lora.md")  # of the source
        first, second, following = lines[at + own_line + 1 : at + own_line + 4]
        assert first.startswith("   ")
        assert second.endswith("…")
        assert cell_len(first) > 0.7 * width
        assert cell_len(second) > 0.7 * width
        assert not following.startswith("   ")


@pytest.mark.parametrize("width", [40, 60, 80, 120, 200])
def test_sources_of_one_name_stay_apart_and_give_way_from_the_left(width):
    shown = printed(a_result(), width)
    assert "a/README.md" in shown
    assert "b/README.md" in shown
    assert "lora.md" in shown
    if width < 120:
        assert "…" in next(line for line in shown.splitlines() if "lora.md" in line)


def test_ranks_of_two_digits_stand_below_each_other():
    shown = printed(a_result(FOUND[:1] * 10), 80).splitlines()
    assert [line[:2] for line in shown if "0.9112" in line] == [
        *(f" {n}" for n in range(1, 10)),
        "10",
    ]
    assert "    Adapters save" in "\n".join(shown)


@pytest.mark.parametrize("width", [40, 80, 120])
def test_a_result_without_documents_says_so(width):
    empty = a_result([])
    assert printed(empty, width).splitlines()[:2] == [QUERY, "Nothing found."]
    assert str(empty).splitlines()[1] == "Nothing found."
    assert "Nothing found." in empty._repr_html_()
    assert "<table>" not in empty._repr_html_()
    assert "0 of 8 candidates" in str(empty)


def test_documents_that_were_not_scored_have_a_dash_and_the_reason_follows():
    result = RerankResult(
        query=QUERY,
        documents=[Document("LoRA.", id="d1", metadata={"first_stage_rank": 1})],
        model="remote",
        candidates=1,
        error=OSError("the server\nis down"),
    )
    for shown in (str(result), printed(result, 80)):
        assert "1  -  =  d1" in shown
        assert "NOT reranked: the server is down" in shown


def test_plain_text_is_what_a_terminal_of_80_columns_shows():
    western = a_result(FOUND[:3])
    shown = printed(western, 80).splitlines()
    assert str(western).splitlines() == shown


@pytest.mark.parametrize("width", [40, 80, 120])
def test_control_characters_of_documents_do_not_reach_the_terminal(width):
    result = a_result([(EVIL, 0.5, 1, EVIL)], query=EVIL, model=EVIL, error=ValueError(EVIL))
    for shown in (printed(result, width), str(result), result._repr_html_()):
        found = {one for one in shown if unicodedata.category(one) == "Cc"} - {"\n"}
        assert found == set()
        assert "pwned" in shown
    assert "x [31mRED [0m ]0;pwned 2J end line" in str(result)


def test_what_json_has_no_number_for_becomes_null():
    result = a_result(FOUND[:1])
    result.documents[0].metadata.update(price=float("nan"), limits=[float("inf"), 1.5])
    metadata = json.loads(json.dumps(result.to_dict(), allow_nan=False))["documents"][0]["metadata"]
    assert metadata["price"] is None
    assert metadata["limits"] == [None, 1.5]


def test_the_footer_says_the_two_stages_and_the_total_and_not_the_parts_of_a_stage():
    times = {"first_stage": 1.2, "rerank": 30.4, "waiting": 0.3, "computing": 29.0, "total": 31.6}
    shown = a_result(timings=times).summary()
    assert shown == "4 of 8 candidates, embedded (first_stage 1 ms, rerank 30 ms, total 32 ms)"


def test_in_a_pipe_a_path_is_whole_on_one_line():
    source = "/a/very/long/folder/" + "of many parts/" * 8 + "lora.md"
    result = a_result([(source, 0.5, 1, "LoRA.")])
    piped = printed(result, 80, terminal=False).splitlines()
    assert piped[1] == f"1  0.5000  =  {source}"
    assert "…" in printed(result, 80).splitlines()[1]


def test_the_footer_says_that_the_first_stage_is_mixed_in():
    """Else scores that do not fall look like a fault."""
    shown = a_result(first_stage_weight=0.3).summary()
    assert shown == "4 of 8 candidates, embedded mixed with 30 % of the first stage (total 12 ms)"
    failed = a_result(first_stage_weight=0.3, error=OSError("down")).summary()
    assert failed == "4 of 8 candidates, embedded (total 12 ms); NOT reranked: down"
