"""The fused kernel is never lost in silence; ``auto`` says why it picks."""

import pytest
import torch
import torch.nn.functional as F
from forms import tokens
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.profiler import ProfilerActivity, profile

from attnlib.functional import explain_softmax_attention, softmax_attention
from attnlib.functional import fused as fused_module
from attnlib.functional import softmax as softmax_module


def fused_choice(q, k, v):
    return SDPBackend(torch._fused_sdp_choice(q, k, v, scale=1.0))


@pytest.fixture
def threads():
    """Set PyTorch's number of threads for one test."""
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


def test_four_ways_to_lose_the_fused_kernel():
    """What PyTorch does in silence; why the library prepares its inputs."""
    good = torch.randn(1, 1, 64, 16)
    assert fused_choice(good, good, good) == SDPBackend.FLASH_ATTENTION
    flat = good[0]  # three dimensions
    assert fused_choice(flat, flat, flat) == SDPBackend.MATH
    strided = torch.randn(1, 1, 16, 64).mT  # as flatten(2).transpose(1, 2)
    assert fused_choice(strided, strided, strided) == SDPBackend.MATH
    narrow = good[..., :8]  # value width
    assert fused_choice(good, good, narrow) == SDPBackend.MATH
    dropout = {"dropout_p": 0.1, "scale": 1.0}
    choice = torch._fused_sdp_choice(good, good, good, **dropout)
    assert SDPBackend(choice) == SDPBackend.MATH


@pytest.mark.parametrize(
    "dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16]
)
@pytest.mark.parametrize(
    "widths", [(16, 16), (8, 64), (64, 8), (1, 1), (3, 5), (512, 512)]
)
def test_sdpa_never_leaves_the_fused_kernel(monkeypatch, dtype, widths):
    d, dv = widths
    seen = []
    original = F.scaled_dot_product_attention

    def spy(q, k, v, **kw):
        seen.append(fused_choice(q, k, v))
        return original(q, k, v, **kw)

    monkeypatch.setattr(fused_module.F, "scaled_dot_product_attention", spy)
    natural = [
        torch.randn(2, w, 5, 7).to(dtype).flatten(2).transpose(1, 2)
        for w in (d, d, dv)
    ]
    with sdpa_kernel(SDPBackend.FLASH_ATTENTION):  # a fall-back would raise
        y = softmax_attention(*natural, impl="sdpa")
    expected = softmax_attention(*natural, impl="reference")
    assert y.shape == expected.shape
    assert (y - expected).abs().max() < 0.05
    assert seen == [SDPBackend.FLASH_ATTENTION]
    leaves = [t.requires_grad_() for t in natural]
    with profile(activities=[ProfilerActivity.CPU]) as record:
        softmax_attention(*leaves, impl="sdpa").sum().backward()
    called = {event.key for event in record.key_averages()}
    kernel = "aten::_scaled_dot_product_flash_attention_for_cpu"
    assert {kernel, f"{kernel}_backward"} <= called
    assert "aten::_softmax" not in called


@pytest.mark.parametrize(
    ("shape", "impl", "reason"),
    [
        ((1, 30, 30, 8, 8), "reference", "too small"),
        ((1, 400, 400, 8, 8), "sdpa", "fused kernel"),
        ((50, 40, 40, 8, 8), "sdpa", "fused kernel"),  # 80 000 in the batch
        ((1, 400, 400, 16, 8), "chunked", "value width 8, key width 16"),
        ((1, 400, 400, 8, 64), "chunked", "value width 64, key width 8"),
    ],
)
def test_auto_explains_its_choice(monkeypatch, threads, shape, impl, reason):
    threads(1)
    args = tokens(shape)
    choice = explain_softmax_attention(*args)
    assert choice.impl == impl
    assert reason in choice.reason
    called = []
    for name in ("fused_attention", "chunked_attention", "softmax_weights"):
        original = getattr(softmax_module, name)
        monkeypatch.setattr(
            softmax_module,
            name,
            lambda *a, n=name, o=original, **k: called.append(n) or o(*a, **k),
        )
    softmax_attention(*args)
    names = {
        "sdpa": "fused_attention",
        "chunked": "chunked_attention",
        "reference": "softmax_weights",
    }
    assert called == [names[impl]]


@pytest.mark.parametrize(
    ("lead", "count", "impl"),
    [
        ((1,), 1, "sdpa"),
        ((1,), 2, "chunked"),
        ((3,), 4, "chunked"),
        ((4,), 4, "sdpa"),
        ((2, 2), 4, "sdpa"),  # batch and heads: four maps
        ((1, 3), 4, "chunked"),
        ((), 2, "chunked"),
    ],
)
def test_auto_minds_idle_threads(threads, lead, count, impl):
    threads(count)
    q = torch.randn(*lead, 400, 8)
    choice = explain_softmax_attention(q, q, q)
    assert choice.impl == impl
    maps = q.shape[:-2].numel()
    told = f"{maps} map(s) < {count} threads" in choice.reason
    assert told == (impl == "chunked")


@pytest.mark.parametrize("widths", [(8, 8), (16, 8), (8, 64)], ids=str)
@pytest.mark.parametrize(
    "dtype", [torch.bfloat16, torch.float16, torch.float32, torch.float64]
)
@pytest.mark.parametrize("train", [True, False])
def test_auto_minds_dtype_and_widths(threads, train, dtype, widths):
    """On the CPU: equal widths run fused; bfloat16 always, untrained."""
    d, dv = widths
    args = tokens((1, 400, 400, d, dv), dtype)
    if not train:
        args = [t.detach() for t in args]
    threads(1)
    alone = explain_softmax_attention(*args)
    threads(4)
    idle = explain_softmax_attention(*args)
    if dtype == torch.bfloat16 and not train:
        assert alone.impl == idle.impl == "sdpa"
        assert f"key width {d}, value width {dv}" in alone.reason
    elif d == dv:
        assert (alone.impl, idle.impl) == ("sdpa", "chunked")
        assert "idle" in idle.reason
    else:
        assert alone.impl == idle.impl == "chunked"
        assert f"value width {dv}, key width {d}" in alone.reason


class Auto(torch.nn.Module):
    def forward(self, q, k, v):
        return softmax_attention(q, k, v)


@pytest.mark.parametrize(
    ("shape", "eager", "traced"),
    [
        ((1, 400, 400, 8, 8), "chunked", "scaled_dot_product"),
        ((1, 30, 30, 8, 8), "reference", "scaled_dot_product"),
        ((1, 400, 400, 16, 8), "chunked", "attention_chunked"),
        ((1, 30, 30, 16, 8), "reference", "attention_chunked"),
    ],
    ids=str,
)
def test_a_traced_graph_holds_for_every_size(threads, shape, eager, traced):
    """Neither the small map nor the idle threads of the example count."""
    threads(4)
    args = [t.detach() for t in tokens(shape)]
    assert explain_softmax_attention(*args).impl == eager
    program = torch.export.export(Auto(), tuple(args))
    operators = [str(node.target) for node in program.graph.nodes]
    forms = ("softmax", "attention_chunked", "scaled_dot_product")
    found = [form for form in forms if any(form in op for op in operators)]
    assert found == [traced]


class Trained(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.project = torch.nn.Linear(8, 8)

    def forward(self, x):
        t = self.project(x)
        return softmax_attention(t, t, t, impl="sdpa")


@pytest.mark.skipif(
    not hasattr(torch.compiler, "is_exporting"), reason="PyTorch before 2.7"
)
def test_an_exported_graph_needs_no_operator_of_ours():
    """It is for inference, and read by programs that know PyTorch's alone."""
    block, x = Trained(), torch.randn(1, 400, 8)
    program = torch.export.export(block, (x,))
    operators = [str(node.target) for node in program.graph.nodes]
    assert any("scaled_dot_product" in name for name in operators)
    assert not any("attnlib" in name for name in operators)
    torch.testing.assert_close(program.module()(x), block(x))


# What happens on a GPU, decided without one: fake tensors have no numbers.


def fake(widths, dtype=torch.float32, device="cuda"):
    return [torch.empty(1, 400, w, dtype=dtype, device=device) for w in widths]


@pytest.mark.parametrize(
    ("widths", "dtype", "impl", "reason"),
    [
        ((8, 8, 8), torch.float32, "sdpa", "the fused kernel takes them"),
        ((64, 64, 8), torch.float16, "sdpa", "the fused kernel takes them"),
        ((8, 8, 256), torch.bfloat16, "sdpa", "the fused kernel takes them"),
        ((8, 8, 264), torch.bfloat16, "chunked", "width 264 > 256"),
        ((264, 264, 8), torch.float32, "chunked", "width 264 > 256"),
        ((8, 8, 8), torch.float64, "chunked", "computes in float64"),
    ],
)
def test_auto_on_a_gpu(threads, widths, dtype, impl, reason):
    threads(4)  # of the CPU: nothing to do with it
    with FakeTensorMode():
        choice = explain_softmax_attention(*fake(widths, dtype))
    assert choice.impl == impl
    assert reason in choice.reason


def test_auto_on_another_device():
    with FakeTensorMode():
        choice = explain_softmax_attention(*fake((8, 8, 8), device="mps"))
    assert choice == (
        "chunked",
        "fused kernels on 'mps' have not been checked",
    )


def test_sdpa_refuses_a_device_without_fused_kernel(monkeypatch):
    monkeypatch.setattr(
        softmax_module, "no_fused_kernel", lambda q: "no kernel here"
    )
    monkeypatch.setattr(
        fused_module, "no_fused_kernel", lambda q: "no kernel here"
    )
    args = tokens((1, 400, 400, 8, 8))
    assert explain_softmax_attention(*args) == ("chunked", "no kernel here")
    refusal = "no kernel here.*use impl='chunked'"
    with pytest.raises(ValueError, match=refusal):
        softmax_attention(*args, impl="sdpa")
