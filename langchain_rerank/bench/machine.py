"""What the machine can do, and how much memory a call takes on top of what is loaded."""

from __future__ import annotations

import contextlib
import os
import platform
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

_STATUS = Path("/proc/self/status")
_CLEAR = Path("/proc/self/clear_refs")


def describe(device: str) -> dict[str, Any]:
    """Return what a figure needs beside it: device, cores, versions."""
    import sentence_transformers
    import torch
    import transformers

    on_cuda = device.startswith("cuda")
    return {
        "device": torch.cuda.get_device_name(device) if on_cuda else _processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "sentence-transformers": sentence_transformers.__version__,
    }


def _processor() -> str:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text("utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def matrix_ceiling(device: str, dtype: str) -> float:
    """Return the FLOP/s of the fastest of several products of large matrices."""
    import torch

    on_cuda = device.startswith("cuda")
    size = 8192 if on_cuda else 1024
    left, right = (
        torch.randn(size, size, device=device, dtype=getattr(torch, dtype)) for _ in range(2)
    )
    wait: Callable[[], None] = torch.cuda.synchronize if on_cuda else _nothing
    best = float("inf")
    for _ in range(8):
        wait()
        begin = time.perf_counter()
        torch.mm(left, right)
        wait()
        best = min(best, time.perf_counter() - begin)
    return float(2 * size**3 / best)


def _nothing() -> None:
    pass


def flops(model: Any, lengths: list[int]) -> float:
    """Return the FLOP of the forward passes of sequences of `lengths`, without any padding.

    That is two per weight of the layers and token, and the two products of attention (in full, also
    where it is causal, and where a last layer is computed for some tokens alone).

    Args:
        model: A transformers model; heads on top of its base work on one token and count nothing.
        lengths: `(n,)` tokens of each sequence.
    """
    import torch

    linear = [part for part in model.base_model.modules() if isinstance(part, torch.nn.Linear)]
    weights = sum(part.weight.numel() for part in linear)
    config = model.config
    heads = config.num_attention_heads
    width = heads * (getattr(config, "head_dim", None) or config.hidden_size // heads)
    attention = 4 * config.num_hidden_layers * width
    return float(sum(2 * weights * n + attention * n * n for n in lengths))


class PeakMemory:
    """Measures the most memory in use since `start`, on top of what was in use then, in MB.

    On CUDA of torch's allocator; on Linux of the process; elsewhere it is not measured (None).
    """

    def __init__(self, device: str) -> None:
        self._device = device
        self._cuda = device.startswith("cuda")
        self._before = 0.0

    def start(self) -> None:
        """Forget earlier peaks."""
        if self._cuda:
            import torch

            torch.cuda.reset_peak_memory_stats(self._device)
            self._before = torch.cuda.memory_allocated(self._device) / 1e6
        else:
            with contextlib.suppress(OSError):
                _CLEAR.write_text("5", "ascii")
            self._before = _resident("VmRSS") or 0.0

    def stop(self) -> float | None:
        """Return the peak since `start`."""
        if self._cuda:
            import torch

            return torch.cuda.max_memory_allocated(self._device) / 1e6 - self._before
        peak = _resident("VmHWM")
        return None if peak is None else max(0.0, peak - self._before)


def _resident(field: str) -> float | None:
    with contextlib.suppress(OSError):
        for line in _STATUS.read_text("ascii").splitlines():
            if line.startswith(f"{field}:"):
                return float(line.split()[1]) * 1024 / 1e6
    return None
