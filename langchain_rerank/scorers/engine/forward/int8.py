"""Weights and activations of a converted model rounded to int8, by texts that show their ranges.

The work is NNCF's, in a process of its own: it takes over logging, prints progress and sends usage
statistics in the one that imports it.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from langchain_rerank.embedded import CORPUS_FOLDER
from langchain_rerank.errors import ScorerError
from langchain_rerank.scorers.engine.forward.openvino_package import openvino
from langchain_rerank.scorers.engine.tokens.pairs import Pair, Tokenize

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MOST_TEXTS = 64
"""Texts that ranges are taken from; more changed nothing that was measured."""
_PARAGRAPHS = 3  # of a guide in one text, to have passages as long as people's
_QUERY = 60  # characters


def calibration_pairs(texts: Sequence[str], tokenize: Tokenize) -> list[Pair]:
    """Return the pairs whose activations set the ranges: every other one with a fitting query.

    Args:
        texts: What the model will read; the guides of this package if empty.
        tokenize: As the model reads pairs.
    """
    given = texts or _shipped()
    chosen = given[:: -(-len(given) // MOST_TEXTS)]
    return [
        pair
        for number, text in enumerate(chosen)
        for pair in tokenize(chosen[(number + number % 2) % len(chosen)][:_QUERY], [text], None)
    ]


@cache
def _shipped() -> list[str]:
    paragraphs = [
        " ".join(paragraph.split())
        for path in sorted(CORPUS_FOLDER.glob("*.md"))
        for paragraph in path.read_text("utf-8").split("\n\n")
    ]
    return [" ".join(paragraphs[i : i + _PARAGRAPHS]) for i in range(len(paragraphs))]


def rounded(model: Any, inputs: Sequence[Sequence[NDArray[np.int64]]]) -> Any:
    """Return an OpenVINO model in int8.

    Args:
        model: It, in float32.
        inputs: For every text what the model is given.

    Raises:
        ScorerError: NNCF failed.
    """
    import numpy as np

    with tempfile.TemporaryDirectory() as folder:
        source, arrays, target = (
            Path(folder, one) for one in ("float32.xml", "inputs.npz", "int8.xml")
        )
        openvino().save_model(model, source, compress_to_fp16=False)
        named = {f"{i} {j}": one for i, row in enumerate(inputs) for j, one in enumerate(row)}
        np.savez(arrays, allow_pickle=False, **named)
        # -P: no module comes from the working folder unless this process would take it from there.
        done = subprocess.run(  # noqa: S603  # this interpreter, and files of our own
            [sys.executable, "-P", "-c", _ROUND, str(source), str(arrays), str(target)],
            env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
        )
        if done.returncode:
            reason = done.stderr.strip().splitlines()[-1:] or ["it said nothing"]
            raise ScorerError(f"NNCF failed (exit status {done.returncode}): {reason[0]}")
        core = openvino().Core()
        core.set_property({"ENABLE_MMAP": False})  # The file goes.
        return core.read_model(target)


_ROUND = """
import sys
sys.modules["openvino_telemetry"] = None
import numpy, openvino, nncf
source, arrays, target = sys.argv[1:]
rows = {}
for name, array in numpy.load(arrays).items():
    rows.setdefault(name.split()[0], []).append(array)
model = nncf.quantize(
    openvino.Core().read_model(source),
    nncf.Dataset(list(rows.values())),
    preset=nncf.QuantizationPreset.MIXED,
    model_type=nncf.ModelType.TRANSFORMER,
    subset_size=len(rows),
)
openvino.save_model(model, target, compress_to_fp16=False)
"""
