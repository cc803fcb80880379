"""Where a model computes and in which precision."""

from __future__ import annotations

from typing import TYPE_CHECKING

from langchain_rerank.errors import ConfigurationError, see

if TYPE_CHECKING:
    import torch

DTYPES = ("auto", "float32", "bfloat16", "float16")


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
        if torch.cuda.is_available():
            return torch.device("cuda", torch.cuda.current_device())
        if torch.backends.mps.is_available():
            return torch.device("mps")
        return torch.device("cpu")
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
        return torch.device("cuda", device.index or 0)
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise ConfigurationError("device='mps' was asked for, but this machine has none.")
    if device.type not in {"cpu", "mps"}:
        raise ConfigurationError(
            f"device={requested!r} is not supported; use 'auto', 'cpu', 'cuda' or 'mps'."
        )
    return device


def choose_dtype(requested: str, device: torch.device) -> torch.dtype:
    """Return the precision of the model's weights and matrix products.

    Args:
        requested: "auto", "float32", "bfloat16" or "float16". "auto" is bfloat16 where the device
            computes in it natively, else float16 on GPUs and float32 on CPUs.
        device: Where the model computes.

    Raises:
        ConfigurationError: An unknown precision.
    """
    import torch

    if requested not in DTYPES:
        raise ConfigurationError(f"dtype={requested!r} is unknown; use one of {', '.join(DTYPES)}.")
    if requested != "auto":
        chosen: torch.dtype = getattr(torch, requested)
        return chosen
    if device.type == "cuda":
        # Emulated bfloat16 (before Ampere) is slower than float16.
        native = torch.cuda.get_device_capability(device) >= (8, 0)
        return torch.bfloat16 if native else torch.float16
    if device.type == "mps":
        return torch.float16
    return torch.bfloat16 if cpu_has_bfloat16() else torch.float32


def cpu_has_bfloat16() -> bool:
    """Return whether the CPU multiplies bfloat16 matrices in hardware.

    Without such instructions bfloat16 is several times slower than float32.
    """
    import torch

    # Not part of torch's public interface before 2.12, hence the guards.
    checks = ("_is_amx_tile_supported", "_is_avx512_bf16_supported")
    return any(getattr(torch.cpu, check, bool)() for check in checks)
