"""Two nodes: the scorer's actors and the parts of a file are spread over both."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

pytest.importorskip("ray", reason="needs the extra `ray`: make ray")

pytestmark = [pytest.mark.ray, pytest.mark.enable_socket]

SCRIPT = """
import json, sys, threading
import ray
from ray.cluster_utils import Cluster
from langchain_rerank import CrossEncoderScorer, RayScorer, rerank_dataset
from langchain_rerank.scorers import deadline

model, source, out = sys.argv[1:]
settings = {"dtype": "float32", "device": "cpu"}
cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
second = cluster.add_node(num_cpus=1)
ray.init(address=cluster.address, log_to_driver=False)
assert len([node for node in ray.nodes() if node["Alive"]]) == 2
requests = [(f"query {i}", [f"text {i} {j}" for j in range(40)]) for i in range(20)]
with RayScorer(model, num_actors=2, **settings) as scorer:
    scorer.load()
    # Each node has one core, so that the two actors cannot share one.
    scores = scorer.score_many(requests)
expected = CrossEncoderScorer(model, **settings).score_many(requests)

def check(scores, requests):
    assert len(scores) == len(requests)
    for mine, theirs in zip(scores, expected * len(requests)):
        assert max(abs(a - b) for a, b in zip(mine, theirs, strict=True)) < 1e-5

check(scores, requests)
pairs = rerank_dataset(source, out, model=model, num_actors=2, part_pairs=10, **settings)
with RayScorer(model, num_actors=2, **settings) as scorer:
    scorer.load()
    # A machine is lost during a call: the other one does its work, in this call and later.
    loss = threading.Timer(0.5, cluster.remove_node, [second], {"allow_graceful": False})
    loss.start()
    while loss.is_alive():
        check(deadline.within(100, "", lambda: scorer.score_many(requests * 5)), requests * 5)
    for _ in range(3):
        check(deadline.within(100, "", lambda: scorer.score_many(requests)), requests)
ray.shutdown()
cluster.shutdown()
print(json.dumps({"pairs": pairs}))
"""


def test_a_cluster_of_two_nodes_runs_both_and_the_scorer_outlives_one(tiny_model, tmp_path):
    source, out = tmp_path / "pairs.jsonl", tmp_path / "scored.jsonl"
    rows = [{"query": f"query {i // 10}", "text": f"text {i}"} for i in range(60)]
    source.write_text("".join(json.dumps(row) + "\n" for row in rows))
    # A process of its own: the other tests have a Ray of one node in this one.
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, tiny_model, source, out],
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert json.loads(done.stdout.splitlines()[-1]) == {"pairs": 60}
    scored = [json.loads(line) for line in out.read_text().splitlines()]
    assert [{k: v for k, v in row.items() if k != "score"} for row in scored] == rows
