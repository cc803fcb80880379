"""The import of ragas: with the langchain-community at hand, quiet, and leaving nothing behind."""

import os
import subprocess
import sys

import pytest

WITHOUT_VERTEXAI = """
import sys

class Without:
    "A finder for an environment where langchain-community is 0.4.2."
    def __init__(self, finder):
        self.finder = finder
    def __getattr__(self, name):
        return getattr(self.finder, name)
    def find_spec(self, name, *rest):
        if name == "langchain_community.chat_models.vertexai":
            return None
        return self.finder.find_spec(name, *rest)

sys.meta_path[:] = [Without(one) for one in sys.meta_path]
"""
IMPORT = """
import asyncio, os, sys, warnings
plain = asyncio.run
warnings.simplefilter("error")
from langchain_rerank.evaluation.ragas import import_ragas
assert "ragas" not in sys.modules
metrics = import_ragas("ragas.metrics.collections")
assert metrics.Faithfulness.__name__ == "Faithfulness"
assert asyncio.run is plain and not hasattr(asyncio, "_nest_patched")
from ragas._analytics import do_not_track
print(os.environ["RAGAS_DO_NOT_TRACK"], do_not_track())
"""
GONE = 'assert "langchain_community.chat_models.vertexai" not in sys.modules'


def python(code, **settings):
    given = {key: one for key, one in os.environ.items() if key != "RAGAS_DO_NOT_TRACK"}
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**given, **settings},
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_it_works_without_the_module_that_langchain_community_dropped():
    assert python(WITHOUT_VERTEXAI + IMPORT + GONE) == ["true", "True"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        # RAGAS itself takes "1" for no.
        ("1", ["true", "True"]),
        ("", ["true", "True"]),
        ("false", ["false", "False"]),
    ],
)
def test_a_users_own_setting_of_the_telemetry_is_respected(setting, expected):
    assert python(IMPORT, RAGAS_DO_NOT_TRACK=setting) == expected


@pytest.mark.slow
def test_telemetry_goes_off_where_ragas_was_imported_before():
    code = (
        "import warnings\n"
        "with warnings.catch_warnings():\n"
        "    warnings.simplefilter('ignore')\n"
        "    import ragas\n"
        "from ragas._analytics import do_not_track\n"
        "assert not do_not_track()\n"
        "from langchain_rerank.evaluation.ragas import import_ragas\n"
        "assert import_ragas() is ragas\n"
        "print(do_not_track())"
    )
    assert python(code) == ["True"]
