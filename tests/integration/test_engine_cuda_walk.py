"""The CUDA path without CUDA: devices and waits on fake tensors, values by a kernel in torch."""

from __future__ import annotations

import contextlib
from unittest import mock

import numpy as np
import pytest
import torch
import transformers
from sentence_transformers import CrossEncoder
from sentence_transformers.base.modules import Dense, Transformer
from sentence_transformers.sentence_transformer.modules import Pooling
from torch._subclasses.fake_tensor import (
    DataDependentOutputException,
    FakeTensor,
    FakeTensorMode,
)
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes
from torch.utils._pytree import tree_leaves

from langchain_rerank.scorers.engine.forward import choice, model_edits, packed_attention, passes
from langchain_rerank.scorers.engine.forward.predict import Predict
from langchain_rerank.scorers.engine.tokens.templates import choose_tokenizer
from langchain_rerank.testing.tiny_models import FAMILIES, build_tiny_model

QUERY = "How many people live in Berlin?"
TEXTS = [f"Berlin and its {n} people " * n for n in (1, 30, 4, 17, 9, 2, 40)] + ["", " "]
BUILDS = [choice._packed_sharing_prefixes, choice._packed, choice._padded]
CUDA = torch.device("cuda", 0)
aten = torch.ops.aten


def _getitem(tensor, key):
    """Index by operators: C++'s own asks a build without CUDA for a device guard."""
    key = key if isinstance(key, tuple) else (key,)
    dim, picked = 0, {}
    for one in key:
        if one is Ellipsis:
            dim += tensor.ndim - sum(k is not None and k is not Ellipsis for k in key)
        elif one is None:
            tensor, dim = aten.unsqueeze.default(tensor, dim), dim + 1
        elif isinstance(one, int):
            tensor = aten.select.int(tensor, dim, one)
        elif isinstance(one, slice):
            tensor = aten.slice.Tensor(tensor, dim, one.start, one.stop, one.step or 1)
            dim += 1
        else:
            picked[dim], dim = torch.as_tensor(one), dim + 1
    if not picked:
        return tensor
    return aten.index.Tensor(tensor, [picked.get(d) for d in range(max(picked) + 1)])


class _WithoutGuard(TorchFunctionMode):
    """Does by operators what C++ does with a device guard that this build lacks."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        first = args[0] if args else None
        if func is torch.Tensor.pin_memory:
            return first
        if func is torch.empty:
            kwargs.pop("pin_memory", None)
        if isinstance(first, FakeTensor) and first.is_cuda:
            if func is torch.Tensor.__getitem__:
                return _getitem(*args)
            if func is torch.Tensor.contiguous:
                return aten.clone.default(first, memory_format=torch.contiguous_format)
        return func(*args, **kwargs)


class _Copies(TorchDispatchMode):
    """Notes copies between devices, and refuses operators that mix them."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        name = func._schema.name.split("::")[1]
        given = [t for t in tree_leaves((args, kwargs)) if isinstance(t, torch.Tensor)]
        devices = {t.device.type for t in given if t.ndim}
        if name in {"_to_copy", "copy_"}:
            devices |= {out.device.type}
            if len(devices) > 1:
                non_blocking = bool((kwargs or {}).get("non_blocking"))
                non_blocking |= name == "copy_" and args[2:3] == (True,)
                self.seen.append((out.device.type, "async" if non_blocking else "blocks"))
        else:
            assert len(devices) < 2, f"{name} mixes {devices}"
        return out


@contextlib.contextmanager
def fake_cuda(*, masks_wait):
    """Compute on fake CUDA tensors, of which reading a value raises.

    With `masks_wait`, transformers makes padded rows' masks as in tracing: it leaves out its look
    at whether anything is padded, which waits for the device. Packed rows have no masks.
    """
    copies = _Copies()
    with contextlib.ExitStack() as stack:
        for name, value in {
            "get_device_capability": lambda *_: (9, 0),
            "current_stream": lambda *_: None,
            "Event": mock.MagicMock,
        }.items():
            stack.enter_context(mock.patch.object(torch.cuda, name, value))
        # By itself transformers takes every fake tensor for tracing, and would hide what waits.
        plain = model_edits._is_plain_norm
        stack.enter_context(mock.patch.object(model_edits, "_is_plain_norm", on_values(plain)))
        tracing = "transformers.masking_utils.is_tracing"
        stack.enter_context(mock.patch(tracing, return_value=masks_wait))
        stack.enter_context(FakeTensorMode(allow_non_fake_inputs=True))
        stack.enter_context(_WithoutGuard())
        stack.enter_context(copies)
        yield copies


def on_values(function):
    """Return the function as it is without fake tensors: it decides by numbers, on the CPU."""

    def called(*args):
        with _disable_current_modes():
            return function(*args)

    return called


def chain(folder):
    """A transformer, pooling, a dense layer and a last one that gives the score."""
    build_tiny_model("modernbert", folder / "head", seed=3)
    base = folder / "base"
    transformers.AutoModel.from_pretrained(folder / "head").save_pretrained(base)
    transformers.AutoTokenizer.from_pretrained(folder / "head").save_pretrained(base)
    transformer = Transformer(str(base), transformer_task="feature-extraction")
    width = transformer.model.config.hidden_size
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        modules = [
            transformer,
            Pooling(width, "mean"),
            Dense(width, width, activation_function=torch.nn.GELU()),
            Dense(width, 1, activation_function=torch.nn.Identity(), module_output_name="scores"),
        ]
    return CrossEncoder(modules=modules, device="cpu", activation_fn=torch.nn.Identity())


@pytest.fixture(scope="module", params=[*FAMILIES, "chain"])
def model(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    if request.param == "chain":
        return chain(folder)
    build_tiny_model(request.param, folder, seed=3)
    return CrossEncoder(str(folder), device="cpu")


@pytest.fixture(scope="module")
def pairs(model):
    return choose_tokenizer(model, 256)(QUERY, TEXTS, None)


def built(build, model, device, activation):
    """Return the forward pass, on the CPU or on fake CUDA, or skip where the model takes none."""
    copied = choice._copy_of(model, device, torch.bfloat16)
    forward = build(choice._Loaded(copied, device, torch.bfloat16, own=False), activation)
    if forward is None:
        pytest.skip("the family does not take this path")
    return forward


def copies_of(build, model, pairs):
    with fake_cuda(masks_wait=build is choice._padded) as copies:
        forward = built(build, model, CUDA, torch.nn.Sigmoid())
        copies.seen.clear()
        forward.launch(pairs)  # Reading a value raises.
    return copies.seen


def expected_copies(build):
    # Ids, mask and token types of padded rows go in one by one.
    return [("cuda", "async")] * (3 if build is choice._padded else 1) + [("cpu", "async")]


@pytest.mark.parametrize("build", BUILDS)
def test_launching_on_cuda_mixes_no_devices_and_waits_for_nothing(model, pairs, build):
    if type(model.transformers_model).__name__.startswith("DebertaV2"):
        pytest.skip("it computes with TorchScript, which takes no fake tensors")
    assert copies_of(build, model, pairs) == expected_copies(build)


@pytest.mark.parametrize("model", ["bert", "modernbert", "qwen3"], indirect=True)
@pytest.mark.parametrize("build", BUILDS[:2])
def test_so_it_is_with_the_attention_of_older_gpus(model, pairs, build, monkeypatch):
    monkeypatch.setattr(packed_attention, "_flash", packed_attention._memory_efficient)
    with refused_where_it_has_windows(model):
        assert copies_of(build, model, pairs) == expected_copies(build)


def refused_where_it_has_windows(model):
    kinds = getattr(model.config.get_text_config(), "layer_types", None) or []
    if "sliding_attention" in kinds:
        return pytest.raises(NotImplementedError, match="windows need FlashAttention")
    return contextlib.nullcontext()


def kernel(
    q,
    k,
    v,
    cu_q,
    cu_k,
    max_q,
    max_k,
    dropout_p,
    is_causal,
    return_debug_mask,
    *,
    scale=None,
    window_size_left=None,
    window_size_right=None,
    **_,
):
    """FlashAttention's forward over sequences of any length, with the checks of mha_varlen_fwd."""
    assert q.dtype == k.dtype == v.dtype
    assert q.dtype in {torch.float16, torch.bfloat16}
    assert cu_q.dtype == cu_k.dtype == torch.int32
    assert cu_q.shape == cu_k.shape
    assert cu_q.is_contiguous()
    assert cu_k.is_contiguous()
    assert q.stride(-1) == k.stride(-1) == v.stride(-1) == 1
    assert q.shape[2] % 8 == 0
    assert q.shape[2] <= 256
    assert q.shape[1] % k.shape[1] == 0
    assert cu_q[-1] <= len(q)
    assert cu_k[-1] <= len(k) == len(v)
    assert max_q >= cu_q.diff().max()
    assert max_k >= cu_k.diff().max()
    assert (dropout_p, return_debug_mask) == (0.0, False)
    out, group = torch.full_like(q, torch.nan), q.shape[1] // k.shape[1]
    out[int(cu_q[-1]) :] = 0
    left = -1 if window_size_left is None else window_size_left
    right = 0 if is_causal else -1 if window_size_right is None else window_size_right
    for i in range(len(cu_q) - 1):
        rows, keys = slice(*cu_q[i : i + 2]), slice(*cu_k[i : i + 2])
        queries = q[rows].transpose(0, 1).double()
        some_keys, values = (
            x[keys].transpose(0, 1).double().repeat_interleave(group, 0) for x in (k, v)
        )
        many, few = some_keys.shape[1], queries.shape[1]
        ahead = torch.arange(many) - torch.arange(many - few, many)[:, None]
        hidden = torch.zeros_like(ahead, dtype=torch.bool)
        if left >= 0:
            hidden |= ahead < -left
        if right >= 0:
            hidden |= ahead > right
        scale_of = q.shape[2] ** -0.5 if scale is None else scale
        scores = (queries @ some_keys.mT * scale_of).masked_fill(hidden, -torch.inf)
        out[rows] = (scores.softmax(-1) @ values).transpose(0, 1).to(q.dtype)
    nothing = q.new_empty(0)
    return out, nothing, torch.zeros(2, dtype=torch.uint64), nothing, nothing


def efficient_kernel(
    q, k, v, bias, cu_q, cu_k, max_q, max_k, dropout_p, mask, lse=False, *, scale=None, **_
):
    """Memory-efficient attention over sequences of any length; 1 would be the other causal mask."""
    assert (bias, dropout_p, lse) == (None, 0.0, False)
    assert mask in {0, 2}
    assert q.ndim == k.ndim == v.ndim == 4
    assert q.shape[2:] == k.shape[2:]
    told = (cu_q, cu_k, max_q, max_k, dropout_p, mask == 2, False)
    out, *_ = kernel(*(x[0].half() for x in (q, k, v)), *told, scale=scale)
    nothing = torch.zeros((), dtype=torch.int64)
    return out[None].to(q.dtype), q.new_empty(0), nothing, nothing, max_q, max_k


@pytest.fixture
def cuda_branch_on_cpu(monkeypatch):
    library = torch.library.Library("aten", "IMPL")
    library.impl("_flash_attention_forward", kernel, "CPU")
    library.impl("_efficient_attention_forward", efficient_kernel, "CPU")
    monkeypatch.setattr(packed_attention, "_one_by_one", packed_attention._flash)
    monkeypatch.setattr(packed_attention, "reads_first_only", lambda _: False)
    yield
    library._destroy()


def differences(build, model, pairs):
    """Return how far the logits are from sentence-transformers', and from each pair alone."""
    forward = built(build, model, torch.device("cpu"), torch.nn.Identity())
    texts = [(QUERY, text) for text in TEXTS]
    expected = np.array(Predict(model, own=False).logits(texts, 256))
    found = np.array(forward.launch(pairs)())
    alone = np.array([forward.launch([pair])()[0] for pair in pairs])
    scale = max(1.0, np.abs(expected).max())
    return np.abs(found - expected).max() / scale, np.abs(found - alone).max()


@pytest.mark.parametrize("build", BUILDS[:2])
def test_the_branch_for_cuda_gives_sentence_transformers_logits(
    model, pairs, build, cuda_branch_on_cpu
):
    from_reference, from_alone = differences(build, model, pairs)
    assert from_reference <= 0.04
    assert from_alone <= 1e-2


@pytest.mark.parametrize("model", ["bert", "modernbert", "qwen3"], indirect=True)
@pytest.mark.parametrize("build", BUILDS[:2])
def test_so_does_the_branch_for_older_gpus(model, pairs, build, cuda_branch_on_cpu, monkeypatch):
    monkeypatch.setattr(packed_attention, "_one_by_one", packed_attention._memory_efficient)
    with refused_where_it_has_windows(model):
        from_reference, from_alone = differences(build, model, pairs)
        assert from_reference <= 0.04
        assert from_alone <= 1e-2


# What reading would not find: each is planted, and one of the walks above must see it.


def _types_left_on_the_host(monkeypatch):
    send = passes._send_as_one

    def sent(*arrays, device):
        parts = list(send(*arrays, device=device))
        parts[2] = torch.zeros(parts[2].shape, dtype=torch.int64)
        return parts

    monkeypatch.setattr(passes, "_send_as_one", sent)


def _a_blocking_copy(monkeypatch):
    monkeypatch.setattr(passes, "_send", lambda array, device: torch.from_numpy(array).to(device))


def _a_value_read_on_the_way(monkeypatch):
    pool = passes.pool_packed
    monkeypatch.setattr(
        passes,
        "pool_packed",
        lambda hidden, starts, kind: pool(hidden[: int(starts[-1])], starts, kind),
    )


def _a_second_copy_out(monkeypatch):
    fetch = passes.fetch

    def fetched(scores):
        fetch(scores)
        return fetch(scores)

    monkeypatch.setattr(passes, "fetch", fetched)


@pytest.mark.parametrize(
    ("plant", "family"),
    [
        (_types_left_on_the_host, "bert"),
        (_a_blocking_copy, "bert"),
        (_a_value_read_on_the_way, "qwen3"),
        (_a_second_copy_out, "bert"),
    ],
)
def test_a_mix_of_devices_or_a_wait_that_was_planted_is_found(tmp_path, monkeypatch, plant, family):
    model = CrossEncoder(str(build_tiny_model(family, tmp_path, seed=3)), device="cpu")
    pairs = choose_tokenizer(model, 256)(QUERY, TEXTS, None)
    plant(monkeypatch)
    try:
        seen = copies_of(choice._packed, model, pairs)
    except (AssertionError, RuntimeError):
        return  # It mixed devices, or read a value.
    except DataDependentOutputException:
        return
    assert seen != expected_copies(choice._packed)


def _calls(monkeypatch, change):
    """Change the arguments with which the operator is called."""
    real = packed_attention._flash

    def changed(query, key, value, layout, scaling, reach, causal):
        return real(
            **change(
                {
                    "query": query,
                    "key": key,
                    "value": value,
                    "layout": layout,
                    "scaling": scaling,
                    "reach": reach,
                    "causal": causal,
                }
            )
        )

    monkeypatch.setattr(packed_attention, "_one_by_one", changed)


def _bounds_in_int64(given):
    layout = given["layout"]
    return given | {"layout": layout._replace(device_cu_seqlens=layout.device_cu_seqlens.long())}


def _one_sequence_for_all(given):
    layout = given["layout"]
    ends = layout.device_cu_seqlens[[0, -1]]
    return given | {
        "layout": layout._replace(
            device_cu_seqlens=ends,
            device_key_cu_seqlens=ends,
            longest=layout.cu_seqlens[-1],
            longest_keys=layout.cu_seqlens[-1],
        )
    }


PLANTED = {
    "int64 bounds": ("bert", _bounds_in_int64),
    "one sequence": ("bert", _one_sequence_for_all),
    "no scale": ("bert", lambda given: given | {"scaling": 0.5}),
    "never causal": ("qwen3", lambda given: given | {"causal": False}),
    "always causal": ("bert", lambda given: given | {"causal": True}),
    "no window": ("modernbert", lambda given: given | {"reach": None}),
    "a narrow window": ("modernbert", lambda given: given | {"reach": 1}),
    "longest too short": (
        "bert",
        lambda given: given | {"layout": given["layout"]._replace(longest=3)},
    ),
}


@pytest.mark.parametrize("planted", PLANTED)
def test_a_wrong_call_of_the_kernel_that_was_planted_is_found(
    tmp_path, monkeypatch, cuda_branch_on_cpu, planted
):
    family, change = PLANTED[planted]
    settings = {"local_attention": 16} if family == "modernbert" else {}
    model = CrossEncoder(str(build_tiny_model(family, tmp_path, seed=3, **settings)), device="cpu")
    pairs = choose_tokenizer(model, 256)(QUERY, TEXTS, None)
    _calls(monkeypatch, lambda given: given)
    right, _ = differences(choice._packed, model, pairs)
    _calls(monkeypatch, change)
    try:
        wrong, _ = differences(choice._packed, model, pairs)
    except AssertionError:
        return  # The kernel's own checks refused it.
    assert wrong > 4 * max(right, 1e-3)


ARGUMENTS = (
    "Tensor query, Tensor key, Tensor value, Tensor? cum_seq_q, Tensor? cum_seq_k, SymInt max_q, "
    "SymInt max_k, float dropout_p, bool is_causal, bool return_debug_mask, *, float? scale=None, "
    "SymInt? window_size_left=None, SymInt? window_size_right=None, Tensor? seqused_k=None, "
    "Tensor? alibi_slopes=None"
)
EFFICIENT_ARGUMENTS = (
    "Tensor query, Tensor key, Tensor value, Tensor? bias, Tensor? cu_seqlens_q, Tensor? "
    "cu_seqlens_k, SymInt? max_seqlen_q, SymInt? max_seqlen_k, float dropout_p, int "
    "custom_mask_type, bool compute_log_sumexp=False, *, float? scale=None"
)
FIRST_OUTPUTS = "Tensor output, Tensor softmax_logsumexp, "
OLD_OUTPUTS = "Tensor philox_seed, Tensor philox_offset, Tensor debug_attn_mask"
NEW_OUTPUTS = "Tensor rng_state, Tensor unused, Tensor debug_attn_mask"
SCHEMAS = {
    "2.4": (ARGUMENTS, FIRST_OUTPUTS + OLD_OUTPUTS),
    "2.7": (ARGUMENTS, FIRST_OUTPUTS + NEW_OUTPUTS),
    "2.10": (ARGUMENTS, FIRST_OUTPUTS + NEW_OUTPUTS),
    "2.13": (
        ARGUMENTS + ", Tensor? block_table=None, int? num_splits=None",
        FIRST_OUTPUTS + NEW_OUTPUTS,
    ),
}


@pytest.mark.parametrize("version", SCHEMAS)
def test_the_operator_is_called_as_every_torch_from_2_4_has_it(tmp_path, monkeypatch, version):
    """A stand-in with a version's schema: torch itself refuses arguments that it does not have."""
    arguments, outputs = SCHEMAS[version]
    space = f"torch_{version.replace('.', '_')}"
    library = torch.library.Library(space, "DEF")
    library.define(f"_flash_attention_forward({arguments}) -> ({outputs})")
    library.impl("_flash_attention_forward", kernel, "CPU")
    stand_in = getattr(torch.ops, space)._flash_attention_forward
    monkeypatch.setattr(packed_attention, "_operator", lambda _: stand_in)
    monkeypatch.setattr(packed_attention, "_one_by_one", packed_attention._flash)
    monkeypatch.setattr(packed_attention, "reads_first_only", lambda _: False)
    model = CrossEncoder(str(build_tiny_model("qwen3", tmp_path, seed=3)), device="cpu")
    pairs = choose_tokenizer(model, 256)(QUERY, TEXTS, None)
    from_reference, _ = differences(choice._packed_sharing_prefixes, model, pairs)
    library._destroy()
    assert from_reference <= 0.04


@pytest.mark.parametrize(
    ("name", "arguments"),
    [(packed_attention._FLASH, ARGUMENTS), (packed_attention._EFFICIENT, EFFICIENT_ARGUMENTS)],
)
def test_the_installed_torch_has_the_operators_with_these_arguments(name, arguments):
    own = getattr(aten, name).default._schema
    stand_in = torch._C.parse_schema(
        f"aten::{name}({arguments}) -> ({', '.join(map(str, _types(own)))})"
    )
    known = len(stand_in.arguments)
    assert _arguments(own)[:known] == _arguments(stand_in)
    assert all(argument.has_default_value() for argument in own.arguments[known:])


def _types(schema):
    return [f"{output.type} {output.name}" for output in schema.returns]


def _arguments(schema):
    return [(one.name, str(one.type), one.kwarg_only) for one in schema.arguments]
