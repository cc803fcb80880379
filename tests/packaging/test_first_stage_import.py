"""What importing the first stages loads."""

from __future__ import annotations

import subprocess
import sys


def test_importing_the_first_stages_loads_no_heavy_package():
    code = (
        "import sys, langchain_rerank.first_stage;"
        "heavy = ['torch', 'transformers', 'rank_bm25', 'bm25s', 'Stemmer', 'scipy',"
        " 'langchain_community', 'langchain_classic'];"
        "print([name for name in heavy if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
