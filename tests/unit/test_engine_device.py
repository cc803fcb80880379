"""Where to compute, in which precision, in how large batches."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from langchain_rerank.errors import ConfigurationError
from langchain_rerank.scorers.engine import device, memory
from langchain_rerank.scorers.engine.forward import packed_attention
from langchain_rerank.scorers.engine.memory import TokenBudget, initial_budget, is_out_of_memory

CPU, CUDA, MPS = torch.device("cpu"), torch.device("cuda", 0), torch.device("mps")
LARGE = SimpleNamespace(hidden_size=1024, intermediate_size=4096)
GIB = 2**30


@pytest.fixture
def gpu(monkeypatch):
    """A machine with a GPU, as far as torch's questions about it go."""
    answers = SimpleNamespace(capability=(9, 0), free=100 * GIB, integrated=False)
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    monkeypatch.setattr("torch.cuda.current_device", lambda: 1)
    monkeypatch.setattr("torch.cuda.get_device_capability", lambda _=None: answers.capability)
    monkeypatch.setattr("torch.cuda.mem_get_info", lambda _=None: (answers.free, 128 * GIB))
    monkeypatch.setattr(
        "torch.cuda.get_device_properties",
        lambda _=None: SimpleNamespace(is_integrated=answers.integrated),
    )
    return answers


def test_auto_takes_the_current_gpu(gpu):
    assert device.choose_device("auto") == torch.device("cuda", 1)


def test_a_gpu_by_number_must_be_there(gpu):
    assert device.choose_device("cuda") == torch.device("cuda", 0)
    assert device.choose_device("cuda:1") == torch.device("cuda", 1)
    with pytest.raises(ConfigurationError, match="sees 2 CUDA devices"):
        device.choose_device("cuda:2")


@pytest.mark.parametrize(
    ("capability", "dtype"), [((9, 0), torch.bfloat16), ((7, 5), torch.float16)]
)
def test_auto_precision_on_a_gpu_is_the_one_it_has_in_hardware(gpu, capability, dtype):
    gpu.capability = capability
    assert device.choose_dtype("auto", CUDA) == dtype


@pytest.mark.parametrize("has", [True, False])
def test_auto_precision_on_a_cpu_needs_its_instructions(monkeypatch, has):
    monkeypatch.setattr("torch.cpu._is_amx_tile_supported", lambda: False)
    monkeypatch.setattr("torch.cpu._is_avx512_bf16_supported", lambda: has)
    assert device.choose_dtype("auto", CPU) == (torch.bfloat16 if has else torch.float32)


def test_an_asked_for_precision_is_taken_as_it_is():
    assert device.choose_dtype("float32", CUDA) == torch.float32
    with pytest.raises(ConfigurationError, match="dtype='half' is unknown"):
        device.choose_dtype("half", CPU)


def test_packed_attention_needs_half_precision_and_ampere_on_a_gpu(gpu):
    assert packed_attention.has_kernel(CPU, torch.float32)
    assert packed_attention.has_kernel(CUDA, torch.bfloat16)
    assert not packed_attention.has_kernel(CUDA, torch.float32)
    assert not packed_attention.has_kernel(MPS, torch.float16)
    gpu.capability = (7, 5)
    assert not packed_attention.has_kernel(CUDA, torch.float16)


def test_the_budget_follows_the_free_memory_within_bounds(gpu):
    assert initial_budget(CPU, LARGE, 2) == memory.CPU_TOKENS
    assert initial_budget(CUDA, LARGE, 2) == memory.MAX_GPU_TOKENS
    gpu.free = GIB
    per_token = 2 * (12 * 1024 + 3 * 4096)
    assert initial_budget(CUDA, LARGE, 2) == GIB // 2 // per_token
    gpu.free = 2**20
    assert initial_budget(CUDA, LARGE, 2) == memory.MIN_GPU_TOKENS


def test_memory_shared_with_the_system_counts_what_the_system_has_free(gpu, monkeypatch):
    gpu.integrated, gpu.free = True, 2**20
    monkeypatch.setattr(memory, "_available_system_bytes", lambda: GIB)
    assert memory._free_bytes(CUDA) == GIB


def test_the_budget_only_shrinks():
    budget = TokenBudget(1000)
    budget.shrink(600)
    assert budget.tokens == 300
    budget.shrink(5000)
    assert budget.tokens == 300
    for _ in range(20):
        budget.shrink(budget.tokens)
    assert budget.tokens == 1


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (torch.OutOfMemoryError("CUDA out of memory."), True),
        (MemoryError(), True),
        (RuntimeError("MPS backend out of memory (MPS allocated: 1 GB)"), True),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to"), True),
        (RuntimeError("size mismatch"), False),
        (ValueError("out of memory"), False),
    ],
)
def test_running_out_of_memory_is_told_from_other_errors(error, expected):
    assert is_out_of_memory(error) == expected
