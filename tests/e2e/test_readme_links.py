"""The README is read on other sites too: its links are absolute, and lead to what is there."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

markdown = pytest.importorskip("markdown", reason="needs the group docs")

ROOT = Path(__file__).parents[2]
SETTINGS = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
[SITE] = re.findall(r"^site_url: (\S+)$", SETTINGS, re.MULTILINE)
[SOURCE] = re.findall(r"^repo_url: (\S+)$", SETTINGS, re.MULTILINE)
INCLUDE = re.compile(r'^--8<-- "(.+)"$', re.MULTILINE)


def links(page):
    found = re.findall(r'(?:href|src)="([^"]+)"', markdown.markdown(page, extensions=["tables"]))
    assert len(found) > 8
    return found


README = links((ROOT / "README.md").read_text(encoding="utf-8"))


@pytest.mark.parametrize("link", README)
def test_a_link_of_the_readme_is_absolute(link):
    assert link.startswith("https://")


@pytest.mark.parametrize("link", [link for link in README if link.startswith(SITE)])
def test_a_link_to_the_site_leads_to_a_page_and_a_section_that_are_there(link):
    place, _, section = link.removeprefix(SITE).partition("#")
    place = place.rstrip("/") or "index"
    docs = ROOT / "docs"
    if Path(place).suffix:  # a figure
        assert (docs / place).is_file()
        return
    page = next(path for path in (docs / f"{place}.md", docs / f"{place}.ipynb") if path.is_file())
    if section:
        text = page.read_text(encoding="utf-8")
        text = INCLUDE.sub(lambda found: (ROOT / found[1]).read_text(encoding="utf-8"), text)
        html = markdown.markdown(text, extensions=["toc", "fenced_code", "tables"])
        assert f'id="{section}"' in html


def test_the_package_and_the_site_name_the_same_source_and_issues():
    urls = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["urls"]
    assert urls["Source"] == SOURCE
    assert urls["Issues"] == f"{SOURCE}/issues"
    assert f"Issues: {SOURCE}/issues" in SETTINGS
    assert {SOURCE, f"{SOURCE}/issues"} <= set(README)
