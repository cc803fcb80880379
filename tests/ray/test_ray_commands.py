"""`serve` and `rerank-run` as people start them: processes of their own, stopped and killed."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from langchain_rerank import CrossEncoderScorer, RemoteScorer
from langchain_rerank.errors import RequestRejectedError

pytest.importorskip("ray", reason="needs the extra `ray`: make ray")

pytestmark = [pytest.mark.ray, pytest.mark.enable_socket]

COMMAND = [sys.executable, "-c", "from langchain_rerank.cli import main; main()"]
MODEL_ARGS = ("--model-arg", "dtype=float32", "--model-arg", "device=cpu")
TEXTS = [f"a fox number {i} " * (1 + i % 5) for i in range(20)]


@pytest.fixture
def environment(monkeypatch):
    """The commands start a Ray of their own, and not in that of other tests."""
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    return dict(os.environ)


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as free:
        return free.getsockname()[1]


def until_ready(server, url):
    end = time.monotonic() + 300
    while True:
        assert server.poll() is None
        assert time.monotonic() < end
        try:
            if httpx.get(f"{url}/ready").status_code == 200:
                return
        except httpx.HTTPError:
            pass
        time.sleep(0.2)


# Another team's application, and the command in the same cluster.
SHARED = """
import os, subprocess, sys
import httpx, ray
from ray import serve
from ray.cluster_utils import Cluster

model, theirs, ours = sys.argv[1:]
cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 2, "include_dashboard": False})
ray.init(address=cluster.address, log_to_driver=False)

@serve.deployment(ray_actor_options={"num_cpus": 0.1})
class Other:
    async def __call__(self, request):
        return "other"

serve.start(http_options={"port": int(theirs)})
serve.run(Other.bind(), name="other", route_prefix="/other")
command = [sys.executable, "-m", "langchain_rerank", "serve", "--model", model, "--port", ours]
done = subprocess.run(
    command, env=os.environ | {"RAY_ADDRESS": cluster.address}, capture_output=True, text=True
)
assert done.returncode == 2, done.stderr
assert "Serve runs in this cluster already, with other" in " ".join(done.stderr.split())
assert httpx.get(f"http://127.0.0.1:{theirs}/other").text == "other"
ray.shutdown()
cluster.shutdown()
"""


def started(*arguments, **settings):
    return subprocess.Popen(
        [*COMMAND, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        **settings,
    )


def run(*arguments, timeout=600):
    return subprocess.run(
        [*COMMAND, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


def test_serve_answers_with_a_key_until_it_is_told_to_end(tiny_model, environment):
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    server = started(
        *("serve", "--model", tiny_model, *MODEL_ARGS, "--port", port, "--max-documents", 30),
        env=environment | {"RERANK_SERVER_API_KEY": "sk-test"},
    )
    try:
        until_ready(server, url)
        expected = CrossEncoderScorer(tiny_model, dtype="float32", device="cpu").score("fox", TEXTS)
        with (
            RemoteScorer(url, dialect="cohere", model="m", api_key="sk-test") as scorer,
            RemoteScorer(url, dialect="cohere", model="m", api_key="other") as stranger,
        ):
            assert scorer.score("fox", TEXTS) == pytest.approx(expected, abs=1e-5)
            assert len(scorer.score("fox", ["a"] * 31)) == 31  # in two requests
            with pytest.raises(RequestRejectedError, match="HTTP 401"):
                stranger.score("fox", TEXTS)
        # It answers a moment before it says so.
        said = [server.stdout.readline()]
        while "Serving" not in said[-1]:
            said.append(server.stdout.readline())
            assert said[-1]
    finally:
        server.terminate()
        rest, _ = server.communicate(timeout=300)
    shown = "".join([*said, rest])
    assert f"Serving {tiny_model} at {url}." in shown.replace("\n", "")
    assert "Traceback" not in shown
    assert "sk-test" not in shown
    assert server.returncode == 0
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{url}/ready")


def test_serve_answers_the_requests_under_way_before_it_ends(tiny_model, environment):
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    server = started(
        *("serve", "--model", tiny_model, *MODEL_ARGS, "--port", port), env=environment
    )
    try:
        until_ready(server, url)
        body = {"query": "fox", "documents": [f"a red fox {i} " * 100 for i in range(1000)]}
        with ThreadPoolExecutor(3) as pool:
            asked = [
                pool.submit(httpx.post, f"{url}/v1/rerank", json=body, timeout=60) for _ in range(3)
            ]
            while not re.search(
                r"^rerank_under_way.* 3\.0$", httpx.get(f"{url}/metrics").text, re.MULTILINE
            ):
                assert not any(one.done() for one in asked)
            server.terminate()
            answers = [one.result() for one in asked]
        assert [one.status_code for one in answers] == [200] * 3
        assert [len(one.json()["results"]) for one in answers] == [1000] * 3
    finally:
        server.terminate()
        shown, _ = server.communicate(timeout=300)
    assert server.returncode == 0
    assert "Traceback" not in shown


def test_serve_leaves_a_cluster_alone_where_serve_runs_already(tiny_model, environment, tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", SHARED, tiny_model, str(free_port()), str(free_port())],
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]


def test_serve_says_that_its_port_is_taken(tiny_model, environment):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = run("serve", "--model", tiny_model, "--port", port)
    assert done.returncode == 2
    assert f"Nobody can listen at 127.0.0.1:{port}" in done.stderr
    assert "Traceback" not in done.stderr


def test_serve_says_that_its_model_cannot_be_loaded(tmp_path, environment):
    done = run("serve", "--model", tmp_path / "nowhere", "--port", free_port())
    assert done.returncode == 2
    assert f"{tmp_path / 'nowhere'} cannot be served:" in done.stderr
    assert "ModelLoadError" in done.stderr
    assert "Traceback" not in done.stderr


def written(path, n):
    rows = [{"query": f"query {i // 10}", "text": f"text {i} " * (1 + i % 7)} for i in range(n)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return rows


def test_rerank_run_scores_a_file_and_says_how_many_pairs(tiny_model, tmp_path, environment):
    source, out = tmp_path / "pairs.jsonl", tmp_path / "scored.jsonl"
    rows = written(source, 60)
    done = run("rerank-run", source, "--out", out, "--model", tiny_model, *MODEL_ARGS)
    assert done.returncode == 0, done.stderr
    assert "60 pairs scored in" in done.stderr
    local = CrossEncoderScorer(tiny_model, dtype="float32", device="cpu")
    got = [json.loads(line) for line in out.read_text().splitlines()]
    assert [{k: v for k, v in row.items() if k != "score"} for row in got] == rows
    assert [row["score"] for row in got] == pytest.approx(
        [local.score(row["query"], [row["text"]])[0] for row in rows], abs=1e-5
    )


def test_rerank_run_that_is_killed_goes_on_where_it_was(tiny_model, tmp_path, environment):
    source, whole, again = (tmp_path / name for name in ("p.jsonl", "whole.jsonl", "again.jsonl"))
    written(source, 2000)
    options = ("--model", tiny_model, *MODEL_ARGS, "--part-pairs", 20, "--actors", 1)
    assert run("rerank-run", source, "--out", whole, *options).returncode == 0
    parts = tmp_path / "again.jsonl.parts"
    # A group of its own: its Ray dies with it, as with a machine.
    process = started("rerank-run", source, "--out", again, *options, start_new_session=True)
    end = time.monotonic() + 300
    while len(list(parts.glob("part-??????"))) < 5 and time.monotonic() < end:
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert not again.exists()
    kept = {path.name: path.stat().st_mtime_ns for path in parts.glob("part-??????")}
    assert 5 <= len(kept) < 100
    done = run("rerank-run", source, "--out", again, *options)
    assert done.returncode == 0, done.stderr
    assert again.read_bytes() == whole.read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "again.jsonl",
        "p.jsonl",
        "whole.jsonl",
    ]


def test_rerank_run_names_the_line_that_is_no_pair(tiny_model, tmp_path, environment):
    source = tmp_path / "pairs.jsonl"
    written(source, 3)
    source.write_text(source.read_text() + '{"query": "q"}\n')
    done = run("rerank-run", source, "--out", tmp_path / "o.jsonl", "--model", tiny_model)
    assert done.returncode == 2
    assert f"{source}:4: expected an object" in done.stderr
    assert "Traceback" not in done.stderr
