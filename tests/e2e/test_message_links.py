"""Messages that send their reader to the documentation send them to a section that is there."""

from __future__ import annotations

import ast
import html
import re
from pathlib import Path

import pytest

from langchain_rerank.errors import MESSAGES_PAGE, see
from langchain_rerank.optional import require

markdown = pytest.importorskip("markdown", reason="needs the group docs")

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/guides/messages.md"
# Those that no message leads to: nothing is raised or logged there.
WITHOUT_MESSAGE = {"messages-and-what-to-do", "everything-in-one-place"}


def sections_linked_to():
    """Return every argument of `see` in the package; one that is no literal fails the test."""
    found = {}
    for path in sorted((ROOT / "langchain_rerank").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "see":
                [argument] = node.args
                assert isinstance(argument, ast.Constant), (path, node.lineno)
                found.setdefault(argument.value, []).append(f"{path}:{node.lineno}")
    return found


def sections_there():
    # As mkdocs names them: its `toc` extension is that of Python-Markdown.
    page = markdown.markdown(PAGE.read_text(encoding="utf-8"), extensions=["toc", "fenced_code"])
    return {html.unescape(name) for name in re.findall(r'<h[1-6] id="([^"]+)"', page)}


def test_every_section_that_a_message_names_is_on_the_page():
    linked = sections_linked_to()
    assert len(linked) >= 10
    assert {name: where for name, where in linked.items() if name not in sections_there()} == {}


def test_every_section_about_a_message_is_linked_to_by_one():
    assert sections_there() - WITHOUT_MESSAGE == sections_linked_to().keys()


def test_the_link_leads_to_the_site_that_is_configured():
    [site] = re.findall(r"^site_url: (\S+)$", (ROOT / "mkdocs.yml").read_text(), re.MULTILINE)
    place = PAGE.relative_to(ROOT / "docs").with_suffix("").as_posix()
    assert f"{site}{place}/" == MESSAGES_PAGE


def test_a_message_ends_with_its_link():
    with pytest.raises(ImportError) as caught:
        require("no_such_package", extra="bm25")
    assert str(caught.value).endswith(see("a-package-is-missing"))
