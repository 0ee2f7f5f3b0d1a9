"""On a GPU: forms agree, no kernel is lost, large maps, determinism.

Skipped where PyTorch sees no CUDA device. What ``auto`` picks on a GPU is
tested without one in ``test_fused.py``.
"""

import copy
import os

import pytest
import torch
from cases import CASES
from forms import derivatives, each_form, scalars, tokens
from torch.nn.attention import SDPBackend

from attnlib.functional import (
    concatenation_attention,
    fused,
    softmax_attention,
)

if not torch.cuda.is_available():
    pytest.skip("needs a GPU that CUDA can use", allow_module_level=True)

# cuBLAS reads it when it starts; deterministic algorithms ask for it.
os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
DEVICE = "cuda"
HALF = (torch.float16, torch.bfloat16)
EACH_FORM = [(case, impl) for case in CASES for impl in case.build().impls]


def leaves(tensors, dtype=None):
    return [
        t.detach().to(DEVICE, dtype or t.dtype).requires_grad_()
        for t in tensors
    ]


def pairs(function, inputs, impl):
    """Value and gradients of a form, and those of the formula in float64."""
    double = leaves(inputs, torch.float64)
    exact = derivatives(lambda *a: function(*a, impl="reference"), double)
    found = derivatives(lambda *a: function(*a, impl=impl), inputs)
    return list(zip(found, exact, strict=True))


# Several tiles of a GPU both ways, unequal widths
SHAPES = [(3, 70, 90, 16, 16), (1, 2100, 4200, 24, 24), (2, 300, 400, 8, 40)]


@each_form
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_float64(function, inputs, impl, shape):
    args = leaves(inputs(shape))
    if impl == "sdpa":
        with pytest.raises(ValueError, match="no fused CUDA kernel"):
            function(*args, impl=impl)
        return
    for found, exact in pairs(function, args, impl):
        close = {"rtol": 1e-10, "atol": 1e-12 * float(exact.abs().max())}
        torch.testing.assert_close(found, exact, **close)


@each_form
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_float32(function, inputs, impl, shape):
    """Products in TF32 would be off by 1e-3."""
    args = leaves(inputs(shape, scale=0.5), torch.float32)
    for found, exact in pairs(function, args, impl):
        assert found.dtype == torch.float32
        assert (found - exact).norm() <= 1e-5 * exact.norm()


@each_form
@pytest.mark.parametrize("dtype", HALF, ids=str)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_half_precision(function, inputs, impl, dtype, shape):
    """At most twice the error of the formula, or of rounding the result."""
    args = leaves(inputs(shape, scale=0.5), dtype)
    fast = pairs(function, args, impl)
    plain = pairs(function, args, "reference")
    for (found, exact), (formula, _) in zip(fast, plain, strict=True):
        assert found.dtype == dtype
        rounding = exact.norm() * torch.finfo(dtype).eps / 2
        allowed = torch.maximum((formula - exact).norm(), rounding)
        assert (found - exact).norm() <= 2 * allowed


@pytest.mark.parametrize("dtype", [torch.float32, *HALF], ids=str)
@pytest.mark.parametrize("width", [3, 8, 64, 128, 192, 256, 512])
def test_kernel_of_wide_heads(monkeypatch, record_property, width, dtype):
    """Never the N x M map; which one it is depends on the GPU: recorded."""
    seen = []
    original = fused.F.scaled_dot_product_attention

    def spy(q, k, v, *, scale):
        choice = torch._fused_sdp_choice(q, k, v, scale=scale)
        seen.append(SDPBackend(choice))
        assert q.shape[-1] % 8 == 0  # numbers that a kernel loads at a time
        return original(q, k, v, scale=scale)

    monkeypatch.setattr(fused.F, "scaled_dot_product_attention", spy)
    shape = (2, 300, 260, width, width)
    args = leaves(tokens(shape, scale=width**-0.25), dtype)
    for found, exact in pairs(softmax_attention, args, "sdpa"):
        bound = 4 * torch.finfo(dtype).eps if dtype in HALF else 1e-5
        assert (found - exact).norm() <= bound * exact.norm()
    assert seen[0] in fused._FUSED_KERNELS
    record_property("kernel", seen[0].name)
    print(f"{torch.cuda.get_device_name()}, {dtype}, {width}: {seen[0].name}")


def test_more_scores_than_an_int32_can_count():
    """N M > 2^31: rows on both sides of the limit, without the map."""
    n, d = 47_000, 16
    limit = 2**31 // n
    assert 0 < limit < n - 1
    rows = [0, 1, 2047, 2048, limit - 1, limit, limit + 1, n - 1]
    torch.manual_seed(0)
    q, k, v = leaves(torch.randn(3, 1, n, d))
    probe = torch.randn(1, len(rows), d).to(DEVICE)
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    y = softmax_attention(q, k, v, scale=d**-0.5, impl="chunked")
    (y[:, rows] * probe).sum().backward()
    peak = torch.cuda.max_memory_allocated() - before
    assert peak < 4 * n * n / 32  # bytes: a part of one map

    few, keys, values = leaves((q[:, rows], k, v), torch.float64)
    exact = softmax_attention(
        few, keys, values, scale=d**-0.5, impl="reference"
    )
    (exact * probe).sum().backward()
    for found, want in (
        (y[:, rows], exact),
        (q.grad[:, rows], few.grad),
        (k.grad, keys.grad),
        (v.grad, values.grad),
    ):
        assert (found - want).norm() <= 1e-5 * want.norm()
    q.grad[:, rows] = 0
    assert not q.grad.any()  # the other rows have no part in the sum


@pytest.fixture
def deterministic():
    before = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(True)
    yield
    torch.use_deterministic_algorithms(before)


@pytest.mark.parametrize(
    ("function", "inputs", "impl", "dtype"),
    [
        (softmax_attention, tokens, "sdpa", torch.float16),
        (softmax_attention, tokens, "sdpa", torch.float32),
        (softmax_attention, tokens, "chunked", torch.float16),
        (softmax_attention, tokens, "chunked", torch.float32),
        (concatenation_attention, scalars, "sorted", torch.float32),
    ],
    ids=lambda value: getattr(value, "__name__", str(value)),
)
def test_deterministic_algorithms(
    deterministic, function, inputs, impl, dtype
):
    """Runs without refusal, and two runs give the same bits."""
    args = leaves(inputs((2, 2100, 2500, 32, 32)), dtype)

    def once():
        return derivatives(lambda *a: function(*a, impl=impl), args)

    try:
        first, second = once(), once()
    except RuntimeError as error:
        if impl == "sorted" and "cumsum" in str(error):
            pytest.skip(f"this PyTorch refuses: {error}")
        raise
    for one, other in zip(first, second, strict=True):
        assert one.isfinite().all()
        assert torch.equal(one, other)


# Whole blocks.


def on(device, block, x):
    block, x = copy.deepcopy(block).to(device), x.detach().to(device)
    y = block(x.requires_grad_())
    y.square().sum().backward()
    gradients = [p.grad for p in block.parameters() if p.requires_grad]
    return [t.detach().cpu() for t in (y, x.grad, *gradients)]


@pytest.mark.parametrize(
    ("case", "impl"),
    [(case, impl) for case, impl in EACH_FORM if impl != "sdpa"],
    ids=str,
)
def test_block_gives_the_same_as_on_the_cpu(case, impl):
    block, x = case.build(impl=impl), case.input()
    results = zip(on(DEVICE, block, x), on("cpu", block, x), strict=True)
    for found, expected in results:
        largest = max(1.0, float(expected.abs().max()))
        close = {"rtol": 1e-9, "atol": 1e-11 * largest}
        torch.testing.assert_close(found, expected, **close)


@pytest.mark.parametrize(("case", "impl"), EACH_FORM, ids=str)
@pytest.mark.parametrize("dtype", HALF, ids=str)
def test_block_under_autocast(case, impl, dtype):
    block = case.build(dtype=torch.float32, impl=impl).to(DEVICE)
    x = case.input(dtype=torch.float32).to(DEVICE)
    with torch.no_grad():
        exact = case.build(impl="reference").to(DEVICE)(x.double())
    with torch.autocast(DEVICE, dtype=dtype):
        y = block(x)
    error = (y - exact).abs().max() / exact.abs().max()
    assert error < 16 * torch.finfo(dtype).eps  # a few roundings in series
    y.float().sum().backward()
    trained = [p for p in block.parameters() if p.requires_grad]
    assert all(p.grad.isfinite().all() for p in trained)
