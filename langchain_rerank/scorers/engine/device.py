"""Where a model computes and in which precision."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from functools import cache
from typing import TYPE_CHECKING

from langchain_rerank.errors import ConfigurationError, see
from langchain_rerank.scorers.engine.settings import DTYPES, INT8

if TYPE_CHECKING:
    import torch

logger = logging.getLogger(__name__)


def choose_device(requested: str) -> torch.device:
    """Return the device to compute on.

    Args:
        requested: "auto" (CUDA, else Apple's MPS, else the CPU), or a torch
            device: "cpu", "cuda", "cuda:1", "mps".

    Raises:
        ConfigurationError: No such device, or it is not there.
    """
    import torch

    if requested == "auto":
        return _best_device()
    try:
        device = torch.device(requested)
    except (RuntimeError, TypeError) as error:
        raise ConfigurationError(
            f"device={requested!r} is not a device; use 'auto', 'cpu', 'cuda', 'cuda:1' or 'mps'."
        ) from error
    if device.type == "cuda":
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if (device.index or 0) >= count:
            raise ConfigurationError(
                f"device={requested!r} was asked for, but torch {torch.__version__} sees {count} "
                f"CUDA devices. Check the driver and that torch was installed with CUDA, or use "
                f"device='auto'. {see('no-gpu-was-found')}"
            )
        device = torch.device("cuda", device.index or 0)
        if missing := _missing_kernels(device):
            raise ConfigurationError(f"{missing} Or use device='cpu'.")
        return device
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise ConfigurationError("device='mps' was asked for, but this machine has none.")
    if device.type not in {"cpu", "mps"}:
        raise ConfigurationError(
            f"device={requested!r} is not supported; use 'auto', 'cpu', 'cuda' or 'mps'."
        )
    return device


def _best_device() -> torch.device:
    import torch

    if torch.cuda.is_available():
        found = torch.device("cuda", torch.cuda.current_device())
        if not (missing := _missing_kernels(found)):
            return found
        logger.warning("%s The CPU is used instead.", missing)
    if torch.backends.mps.is_available():
        return torch.device("mps")
    return torch.device("cpu")


def _missing_kernels(device: torch.device) -> str:
    """Return what to say where this torch has no kernels for the GPU, or "" where it has."""
    import torch

    try:
        built_for = torch.cuda.get_arch_list()
    except (AttributeError, RuntimeError):
        return ""  # It does not say.
    if not built_for or torch.version.hip:
        return ""  # ROCm's torch says so itself when it starts.
    major, minor = torch.cuda.get_device_capability(device)
    if any(_runs_on(kernel, major, minor) for kernel in built_for):
        return ""
    return (
        f"torch {torch.__version__} has kernels for {', '.join(built_for)}, and none for the GPU "
        f"{torch.cuda.get_device_name(device)} (sm_{major}{minor}). Install a torch that was built "
        f"for it. {see('no-gpu-was-found')}"
    )


def _runs_on(kernel: str, major: int, minor: int) -> bool:
    """Return whether a kernel as torch names it (sm_86, sm_90a, compute_90) runs on a GPU."""
    kind, _, number = kernel.partition("_")
    digits = "".join(filter(str.isdigit, number))
    if len(digits) < 2:
        return True  # Not a name that is known here; torch knows better.
    built = int(digits[:-1]), int(digits[-1])
    if kind == "compute":  # Compiled by the driver, for this GPU and newer ones.
        return built <= (major, minor)
    return built[0] == major and built[1] <= minor


def precision(dtype: str, device: str) -> str:
    """Return the name of the precision in which a model would be loaded.

    CUDA is not started for it: a process in which it has started can fork no child that uses it.

    Args:
        dtype: As `choose_dtype` takes it.
        device: As `choose_device` takes it.

    Raises:
        ConfigurationError: The device is not there.
    """
    import torch

    if dtype != "auto":
        return dtype
    # Counting asks the driver's management library, which starts nothing.
    started: bool = torch.cuda.is_initialized()  # type: ignore[no-untyped-call]  # torch leaves it untyped
    if device != "cpu" and not started and torch.cuda.device_count() and sys.executable:
        return _precision_elsewhere(device)
    return str(choose_dtype(dtype, choose_device(device))).removeprefix("torch.")


_ASK = """
import sys
from langchain_rerank.scorers.engine.device import choose_device, choose_dtype
print(choose_dtype("auto", choose_device(sys.argv[1])))
"""


@cache
def _precision_elsewhere(device: str) -> str:
    """Return the answer of another process, which may start CUDA."""
    asked = subprocess.run(  # noqa: S603  # this interpreter, and a device as its only argument
        [sys.executable, "-P", "-c", _ASK, device],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
    )
    if asked.returncode:
        reason = asked.stderr.strip().splitlines()[-1:] or ["it said nothing"]
        raise ConfigurationError(
            f"The precision on device={device!r} could not be found out: {reason[0]} Set dtype=."
        )
    return asked.stdout.split()[-1].removeprefix("torch.")


def warn_of_slow_tokenising(device: torch.device) -> None:
    """Say once that a GPU will wait for tokens where tokenizers may use one thread alone."""
    setting = os.environ.get("TOKENIZERS_PARALLELISM", "").lower()
    if device.type == "cuda" and setting in {"false", "off", "no", "n", "f", "0"}:
        _say_once(
            f"TOKENIZERS_PARALLELISM={setting} makes tokenizers use one of {os.cpu_count()} cores, "
            f"and the GPU wait for tokens. Unset it, unless this process forks."
        )


@cache
def _say_once(warning: str) -> None:
    logger.warning("%s", warning)


def choose_dtype(requested: str, device: torch.device) -> torch.dtype:
    """Return the precision of the model's weights and matrix products.

    Args:
        requested: "auto", "float32", "bfloat16" or "float16". "auto" is bfloat16 where the device
            computes in it natively, else float16 on GPUs and float32 on CPUs. "int8" is "auto" for
            what is not rounded.
        device: Where the model computes.

    Raises:
        ConfigurationError: An unknown precision.
    """
    import torch

    if requested not in (*DTYPES, INT8):
        known = ", ".join((*DTYPES, INT8))
        raise ConfigurationError(f"dtype={requested!r} is unknown; use one of {known}.")
    if requested not in {"auto", INT8}:
        chosen: torch.dtype = getattr(torch, requested)
        return chosen
    if device.type == "cuda":
        # Emulated bfloat16 (before Ampere) is slower than float16.
        native = torch.cuda.get_device_capability(device) >= (8, 0)
        return torch.bfloat16 if native else torch.float16
    if device.type == "mps":
        return torch.float16
    return torch.bfloat16 if cpu_has_bfloat16() else torch.float32


def float32_products() -> str:
    """Return in which precision this process multiplies float32: "highest" is float32 itself."""
    import torch

    try:
        return torch.get_float32_matmul_precision()
    except RuntimeError:  # It was set for each device by itself.
        return "mixed"


def cpu_has_bfloat16() -> bool:
    """Return whether the CPU multiplies bfloat16 matrices in hardware.

    Without such instructions bfloat16 is several times slower than float32.
    """
    import torch

    # Not part of torch's public interface before 2.12, hence the guards.
    checks = ("_is_amx_tile_supported", "_is_avx512_bf16_supported")
    return any(getattr(torch.cpu, check, bool)() for check in checks)
