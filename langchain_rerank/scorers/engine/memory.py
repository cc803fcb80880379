"""Memory: how many tokens are computed at once, and what was freed goes back to the system."""

from __future__ import annotations

import ctypes
import functools
import logging
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from langchain_rerank.errors import see

if TYPE_CHECKING:
    import torch

logger = logging.getLogger(__name__)

# Small batches pay for every layer's start, large ones leave the caches: on two cores MiniLM-L6
# gained from 1024 to 2048, and bge-base nothing beyond.
CPU_TOKENS = 2048
MPS_TOKENS = 8192
# Batches launched before the scores of the first are waited for, where launching does not compute.
IN_FLIGHT = 3
MIN_GPU_TOKENS = 2048
# A batch that takes a GPU less time than the host takes to launch it leaves the GPU idle, so those
# of small models have more tokens. Beyond that a GPU gains little, and requests wait longer for
# their turn.
_BATCH_FLOP = 10**13
MIN_BATCH_TOKENS, MAX_BATCH_TOKENS = 16_384, 65_536

# Batches that went well before a budget that shrank is doubled, and the most that this becomes.
GOOD_BATCHES = 32
MAX_GOOD_BATCHES = 4096

# What a RuntimeError says where memory ran out.
_SIGNS = ("out of memory", "can't allocate memory", "CUBLAS_STATUS_ALLOC_FAILED")


class TokenBudget:
    """The tokens that are computed at once; less after memory ran out, more again after a while.

    What did not fit once may fit later, when another process has let its memory go. So the budget
    doubles, up to what it was at first, after a number of batches that used it well. Each time that
    this proves too much, the next try waits twice as long, so that failing costs ever less.

    Args:
        tokens: What is right at first, and the most there will be.
    """

    def __init__(self, tokens: int) -> None:
        self.tokens = self._most = tokens
        self._good = 0
        self._patience = GOOD_BATCHES
        self._grown = False

    def shrink(self, failed: int) -> None:
        """Remember that `failed` tokens did not fit."""
        tokens = max(1, min(self.tokens, failed // 2))
        self._good = 0
        if self._grown:
            self._patience = min(2 * self._patience, MAX_GOOD_BATCHES)
            self._grown = False
        if tokens < self.tokens:
            self.tokens = tokens
            logger.warning(
                "Out of memory with %d tokens at once; from now on %d are tried, and more again "
                "when that went well for a while. %s",
                failed,
                tokens,
                see("out-of-memory"),
            )

    def fitted(self, tokens: int) -> None:
        """Count a batch after which `tokens` were computed at once, without trouble."""
        if self.tokens == self._most or 2 * tokens < self.tokens:
            return  # Nothing to win back, or a small batch, which proves nothing.
        self._good += 1
        if self._good >= self._patience:
            self.tokens = min(self._most, 2 * self.tokens)
            self._good, self._grown = 0, True


def initial_budget(
    device: torch.device, config: Any, bytes_per_value: int, linear_weights: int
) -> int:
    """Return the tokens that the device has memory and use for, in all batches under way.

    Args:
        device: Where the model computes.
        config: The model's config, for its width.
        bytes_per_value: Bytes of one activation.
        linear_weights: Weights by which each token is multiplied.
    """
    if device.type == "cpu":
        return CPU_TOKENS
    if device.type == "mps":
        return MPS_TOKENS
    hidden = getattr(config, "hidden_size", None) or 1024
    inner = getattr(config, "intermediate_size", None) or 4 * hidden
    # Residual, queries, keys, values, context and norms of one layer, then the wide part of its
    # feed-forward block (twice for gated ones); nothing is kept between layers in inference.
    per_token = bytes_per_value * (12 * hidden + 3 * inner)
    fitting = int(free_bytes(device) * 0.5) // per_token
    worthwhile = _BATCH_FLOP // (2 * max(1, linear_weights))
    batch = max(MIN_BATCH_TOKENS, min(MAX_BATCH_TOKENS, worthwhile))
    return max(MIN_GPU_TOKENS, min(IN_FLIGHT * batch, fitting))


def free_bytes(device: torch.device) -> int:
    """Return the bytes of a GPU that are free, with those that torch keeps for what comes next."""
    import torch

    free, _ = torch.cuda.mem_get_info(device)
    free += torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    if getattr(torch.cuda.get_device_properties(device), "is_integrated", False):
        # The GPU shares the system's memory: what the page cache holds is free as well.
        return max(free, _available_system_bytes())
    return int(free)


def _available_system_bytes() -> int:
    meminfo = Path("/proc/meminfo")
    if not meminfo.exists():
        return 0
    for line in meminfo.read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return 0


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether `error` says that a device ran out of memory.

    CUDA has a class for it; the CPU's and MPS's allocators raise a bare RuntimeError, and so does
    cuBLAS where its workspace does not fit.
    """
    import torch

    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(sign in str(error) for sign in _SIGNS)


def give_back_freed() -> None:
    """Give what was freed back to the system, where the C library keeps it for itself.

    glibc keeps what lies between two pieces that are in use, and oneDNN's machine code for a new
    length, which stays, lies between the values of a layer, which do not. So a process grows by
    much more than it uses. Other C libraries have no such call; nothing happens there.
    """
    trim = _malloc_trim()
    if trim is not None:
        trim(0)


@functools.cache
def _malloc_trim() -> Callable[[int], int] | None:
    try:
        found: Callable[[int], int] = ctypes.CDLL(None).malloc_trim
    except (OSError, TypeError, AttributeError):  # Windows has no library without a name.
        return None
    return found
