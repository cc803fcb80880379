"""A disk that is full or cannot be written, on every kind of file that the package writes."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from langchain_core.documents import Document

from langchain_rerank import BM25Retriever
from langchain_rerank.errors import RerankError
from langchain_rerank.evaluation import Report, compare_rerank
from langchain_rerank.testing import WordOverlapScorer
from langchain_rerank.wrappers import CachedScorer

QUESTIONS = [
    {"id": str(n), "question": f"red fox {n}", "reference_context_ids": [str(n)]} for n in range(20)
]


@contextlib.contextmanager
def mounted(folder: Path, options: str):
    folder.mkdir()
    mount, umount = shutil.which("mount"), shutil.which("umount")
    if mount is None or umount is None or not hasattr(os, "geteuid") or os.geteuid():
        pytest.skip("needs root, to mount a small file system")
    command = [mount, "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("may not mount a small file system here")
    try:
        yield folder
    finally:
        subprocess.run([umount, "-l", str(folder)], check=True)


@pytest.fixture
def small_disk(tmp_path):
    with mounted(tmp_path / "small", "size=96k") as folder:
        yield folder


@pytest.fixture
def read_only(tmp_path):
    with mounted(tmp_path / "readonly", "size=64k,ro") as folder:
        yield folder


def fill(folder):
    with contextlib.suppress(OSError), (folder / "filler").open("wb") as file:
        while True:
            file.write(b"x" * 4096)
            file.flush()


def evaluate(**settings):
    documents = [Document(f"a red fox {n}", id=str(n)) for n in range(20)]
    return compare_rerank(
        BM25Retriever.from_documents(documents), WordOverlapScorer(), QUESTIONS, **settings
    )


def test_a_score_cache_on_a_disk_that_fills_up_costs_no_score(small_disk, caplog):
    cached = CachedScorer(WordOverlapScorer(), path=small_disk / "scores.db")
    assert cached.score("fox", ["a fox"]) == [1.0]
    fill(small_disk)
    texts = [f"fox {n}" for n in range(3000)]
    assert cached.score("fox", texts) == [1.0] * 3000
    assert cached.score("fox", texts) == [1.0] * 3000
    assert caplog.text.count("Scores go on without the cache on disk") == 1
    cached.close()


def test_a_score_cache_that_cannot_be_made_says_so_when_it_is_made(read_only):
    with pytest.raises(RerankError, match=r"scores\.db"):
        CachedScorer(WordOverlapScorer(), path=read_only / "scores.db")


def test_a_report_that_does_not_fit_leaves_the_earlier_one_whole(small_disk, tmp_path):
    report = evaluate()
    out = small_disk / "results"
    (small_disk / "filler").write_bytes(b"x" * 60_000)
    with pytest.raises((OSError, RerankError)):
        report.save(out)  # plots and page need more than is left
    report.save(tmp_path / "elsewhere")  # nothing computed is lost
    assert Report.load(tmp_path / "elsewhere").measures == report.measures
    assert not (out / "report.json").exists()


def test_a_report_into_a_read_only_folder_names_it(read_only):
    with pytest.raises((OSError, RerankError), match="readonly"):
        evaluate().save(read_only / "results")
