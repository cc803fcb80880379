"""Ray on this machine, once for all tests, and a tiny model that its actors load."""

from __future__ import annotations

import os

import pytest

from langchain_rerank.testing.tiny_models import build_tiny_model

# Before Ray starts: no token file below the home folder, no statistics sent.
os.environ.setdefault("RAY_AUTH_MODE", "disabled")
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("RAY_worker_niceness", "0")  # the tests wait for the workers


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory):
    return str(build_tiny_model("bert", tmp_path_factory.mktemp("ray") / "tiny"))


@pytest.fixture(scope="session")
def local_ray():
    import ray

    ray.shutdown()  # An example may have started it in this process.
    ray.init(num_cpus=4, include_dashboard=False, log_to_driver=False)
    yield ray
    ray.shutdown()
