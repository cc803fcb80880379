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
WEIGHTS = 302_000_000
GIB = 2**30


@pytest.fixture
def gpu(monkeypatch):
    """A machine with a GPU, as far as torch's questions about it go."""
    answers = SimpleNamespace(capability=(9, 0), free=100 * GIB, integrated=False, kept=0)
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    monkeypatch.setattr("torch.cuda.current_device", lambda: 1)
    monkeypatch.setattr("torch.cuda.get_device_capability", lambda _=None: answers.capability)
    monkeypatch.setattr("torch.cuda.mem_get_info", lambda _=None: (answers.free, 128 * GIB))
    monkeypatch.setattr("torch.cuda.memory_reserved", lambda _=None: GIB + answers.kept)
    monkeypatch.setattr("torch.cuda.memory_allocated", lambda _=None: GIB)
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


def test_packed_attention_is_what_a_gpu_has_in_a_precision(gpu, monkeypatch):
    def kernel(device, dtype):
        found = packed_attention.kernel_for(device, dtype)
        return found and found.__name__

    assert kernel(CPU, torch.float32) == "_one_by_one"
    assert kernel(CUDA, torch.bfloat16) == "_flash"
    assert kernel(CUDA, torch.float32) == "_memory_efficient"
    assert kernel(MPS, torch.float16) is None
    gpu.capability = (7, 5)
    assert kernel(CUDA, torch.float16) == "_memory_efficient"
    monkeypatch.setattr("torch.version.hip", "7.0")
    assert kernel(CUDA, torch.float16) == "_flash"
    assert kernel(CUDA, torch.float32) is None
    monkeypatch.setattr(packed_attention, "_operator", lambda _: None)
    assert kernel(CUDA, torch.float16) is None


def test_the_budget_follows_the_free_memory_within_bounds(gpu):
    assert initial_budget(CPU, LARGE, 2, WEIGHTS) == memory.CPU_TOKENS
    assert initial_budget(CUDA, LARGE, 2, WEIGHTS) == 3 * (10**13 // 2 // WEIGHTS)
    gpu.free = GIB
    per_token = 2 * (12 * 1024 + 3 * 4096)
    assert initial_budget(CUDA, LARGE, 2, WEIGHTS) == GIB // 2 // per_token
    gpu.free = 2**20
    assert initial_budget(CUDA, LARGE, 2, WEIGHTS) == memory.MIN_GPU_TOKENS
    gpu.kept = GIB  # of torch, for whatever is computed next
    assert initial_budget(CUDA, LARGE, 2, WEIGHTS) == (GIB + 2**20) // 2 // per_token


@pytest.mark.parametrize(("weights", "tokens"), [(10**7, 65_536), (4 * 10**9, 16_384)])
def test_a_batch_of_a_small_model_has_more_tokens(gpu, weights, tokens):
    small = SimpleNamespace(hidden_size=384, intermediate_size=1536)
    assert initial_budget(CUDA, small, 2, weights) == 3 * tokens


def test_memory_shared_with_the_system_counts_what_the_system_has_free(gpu, monkeypatch):
    gpu.integrated, gpu.free = True, 2**20
    monkeypatch.setattr(memory, "_available_system_bytes", lambda: GIB)
    assert memory.free_bytes(CUDA) == GIB


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
