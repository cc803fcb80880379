"""A minute of the soak: in CI with scorers that load nothing; the long form is `make soak`."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest


def soaked(*arguments, calls):
    run = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("soak.py")), "--seconds", "60", *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=850,
    )
    assert run.returncode == 0, run.stdout + run.stderr[-2000:]
    found = json.loads(run.stdout)
    assert found["calls"] > calls
    assert (found["wrong"], found["lost"], found["failed"]) == (0, 0, 0), found
    assert (found["engine_threads_after_close"], found["files_left_open"]) == (0, 0), found
    return found


@pytest.mark.long
@pytest.mark.timeout(900)  # on a machine that does much else
def test_a_minute_of_everything_at_once_gives_no_wrong_answer_and_loses_none():
    assert soaked(calls=500)["growth_percent"] < 10  # `make soak` is long enough for a bound of 2


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_minute_without_models_gives_no_wrong_answer_and_loses_none():
    found = soaked("--without-models", calls=10_000)
    assert found["closed"] == 0  # every scorer opens again
    assert found["growth_percent"] < 5, found
