"""What every block of the catalogue owes its user, whatever it computes."""

import copy
import inspect
import io
import pickle
import shutil

import pytest
import torch
from cases import CASES, CHANNELS, IMPL_CASES, TRACED, randomise

from attnlib import create_block
from attnlib.catalog import CATALOG

each = pytest.mark.parametrize("case", CASES, ids=str)
each_impl = pytest.mark.parametrize(
    ("case", "impl"),
    IMPL_CASES,
    ids=[f"{case}-{impl}" for case, impl in IMPL_CASES],
)
each_traced = pytest.mark.parametrize(
    ("case", "impl"),
    TRACED,
    ids=[f"{case}-{impl}" for case, impl in TRACED],
)


@each
def test_randomised_block_is_no_identity(case):
    x = case.input()
    assert (case.build()(x) - x).abs().max() > 0.01


@each
@pytest.mark.parametrize("batch", [0, 1, 3])
def test_shape_and_dtype(case, batch):
    x = case.input(batch)
    y = case.build()(x)
    assert y.shape == x.shape
    assert y.dtype == x.dtype


@each
def test_thin_maps(case):
    """1 x N and N x 1 maps work; pooling of one pixel is refused by name."""
    block = case.build()
    for axis in range(case.dims):
        size = list(case.size)
        size[axis] = 1
        x = torch.randn(2, CHANNELS, *size, dtype=torch.float64)
        small = case.pooled and axis >= case.dims - 2
        if small or "border" in case.traits:
            with pytest.raises(ValueError, match=r"at least [23]"):
                block(x)
        else:
            assert block(x).shape == x.shape


@each
def test_one_pixel(case):
    x = torch.randn(2, CHANNELS, *[1] * case.dims, dtype=torch.float64)
    if case.pooled or "border" in case.traits:
        with pytest.raises(ValueError, match=r"at least [23]"):
            case.build()(x)
    else:
        assert case.build()(x).isfinite().all()


@each
def test_one_channel(case):
    if "wide" in case.traits:
        with pytest.raises(ValueError, match="in_channels must be"):
            create_block(case.key, 1, **case.options)
        return
    wider = ("reduction", "inter_channels", "value_channels", "share")
    options = {k: v for k, v in case.options.items() if k not in wider}
    block = create_block(case.key, 1, dtype=torch.float64, **options)
    block = randomise(block).eval()
    x = case.input()[:, :1]
    assert block(x).shape == x.shape


@each_impl
def test_memory_layout_does_not_matter(case, impl):
    block, x = case.build(impl=impl), case.input()
    expected = block(x)
    strided = torch.cat([x, x], dim=-1)[..., : x.shape[-1]]
    assert not strided.is_contiguous()
    torch.testing.assert_close(block(strided), expected)
    torch.testing.assert_close(block(x.mT.contiguous().mT), expected)
    if case.dims > 1:
        last = {2: torch.channels_last, 3: torch.channels_last_3d}[case.dims]
        torch.testing.assert_close(block(x.to(memory_format=last)), expected)
    assert block(x).is_contiguous()


@each
def test_batch_entries_are_independent(case):
    """In eval mode f(x)[:1] == f(x[:1]): a softmax over the batch fails."""
    block, x = case.build(), case.input(3)
    torch.testing.assert_close(block(x)[:1], block(x[:1]))
    torch.testing.assert_close(block(x.flip(0)), block(x).flip(0))


@each
def test_input_stays_unchanged(case):
    x = case.input()
    before = x.clone()
    case.build().train()(x)
    assert torch.equal(x, before)


@each
def test_every_parameter_gets_a_gradient(case):
    block = case.build()
    block(case.input()).square().sum().backward()
    trained = [p.requires_grad for p in block.parameters()]
    assert all(trained) == ("frozen" not in case.traits)
    for name, parameter in block.named_parameters():
        if not parameter.requires_grad:
            continue
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name


@each_impl
@pytest.mark.parametrize(
    "dtype", [torch.float16, torch.bfloat16, torch.float32]
)
def test_other_dtypes(case, impl, dtype):
    x = case.input(dtype=dtype)
    y = case.build(dtype=dtype, impl=impl)(x)
    assert y.dtype == dtype
    assert y.isfinite().all()


@each_impl
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_autocast(case, impl, dtype):
    block = case.build(dtype=torch.float32, impl=impl)
    x = case.input(dtype=torch.float32)
    exact = block(x)
    with torch.autocast("cpu", dtype=dtype):
        y = block(x)
    assert y.shape == x.shape
    error = (y.float() - exact).abs().max() / exact.abs().max()
    assert error < 16 * torch.finfo(dtype).eps  # a few roundings in series
    y.float().sum().backward()


@each
def test_meta_device(case):
    """No hidden tensor on another device."""
    block = create_block(case.key, CHANNELS, device="meta", **case.options)
    x = torch.empty(2, CHANNELS, *case.size, device="meta")
    assert block(x).shape == x.shape


@each
def test_copies(case):
    block, x = case.build(), case.input()
    expected = block(x)
    block(x).sum().backward()
    assert torch.equal(copy.deepcopy(block)(x), expected)
    assert torch.equal(pickle.loads(pickle.dumps(block))(x), expected)
    stream = io.BytesIO()
    torch.save(block.state_dict(), stream)
    stream.seek(0)
    other = create_block(case.key, CHANNELS, **case.options)
    other.double().eval().load_state_dict(
        torch.load(stream, weights_only=True)
    )
    assert torch.equal(other(x), expected)


@each
def test_options_show_in_repr(case):
    """All but those that show as layers."""
    text = repr(case.build())
    for name, value in case.options.items():
        if name not in ("norm", "out_bias", "region", "position"):
            assert f"{name}={value!r}" in text


@each
def test_works_under_no_grad_and_inference_mode(case):
    block, x = case.build(), case.input()
    expected = block(x)
    with torch.no_grad():
        assert torch.equal(block(x), expected)
    with torch.inference_mode():
        assert torch.equal(block(x), expected)


@pytest.mark.slow
@each_traced
def test_compiles_in_one_graph_for_any_size(case, impl):
    torch._dynamo.reset()
    block = case.build(impl=impl)
    compiled = torch.compile(
        block, fullgraph=True, dynamic=True, backend="aot_eager"
    )
    for size in (case.size, tuple(s + 2 for s in case.size)):
        x = torch.randn(2, CHANNELS, *size, dtype=torch.float64)
        x.requires_grad_()
        y = compiled(x)
        torch.testing.assert_close(y, block(x))
        (slope,) = torch.autograd.grad(y.sum(), x)
        (expected,) = torch.autograd.grad(block(x).sum(), x)
        torch.testing.assert_close(slope, expected)


COMPILED = [
    ("selfattention", {"impl": "sdpa"}),
    ("selfattention", {"impl": "chunked", "gamma": True}),
    (
        "nonlocal",
        {"pairwise": "gaussian", "subsample": "before", "impl": "sdpa"},
    ),
    ("nonlocal", {"pairwise": "dot_product", "impl": "associative"}),
    (
        "nonlocal",
        {"pairwise": "concatenation", "subsample": "after", "impl": "sorted"},
    ),
]


@pytest.mark.slow
@pytest.mark.skipif(
    shutil.which("g++") is None, reason="torch.compile needs a C++ compiler"
)
@pytest.mark.parametrize(("key", "options"), COMPILED, ids=str)
def test_runs_compiled(key, options):
    """With the default backend, which has its own ways with layouts."""
    torch._dynamo.reset()
    block = create_block(key, CHANNELS, dtype=torch.float64, **options)
    block = randomise(block).eval()
    compiled = torch.compile(block, fullgraph=True, dynamic=True)
    for size in ((6, 9), (11, 8)):
        x = torch.randn(2, CHANNELS, *size, dtype=torch.float64)
        x.requires_grad_()
        y = compiled(x)
        torch.testing.assert_close(y, block(x))
        slopes = [torch.autograd.grad(t.sum(), x)[0] for t in (y, block(x))]
        torch.testing.assert_close(*slopes)


@pytest.mark.slow
@each_traced
def test_exports_with_dynamic_size(case, impl):
    block = case.build(impl=impl)
    axes = {1: [2], 2: [2, 3], 3: [3, 4]}[case.dims]  # time is not open
    dynamic = {a: torch.export.Dim(f"size{a}", min=4, max=4096) for a in axes}
    if case.pooled:
        if not hasattr(torch.export.Dim, "DYNAMIC"):
            pytest.skip("this PyTorch exports a pooled size as odd or even")
        if case.dims == 1:  # one named Dim cannot say "length // 2"
            dynamic = {2: torch.export.Dim.DYNAMIC}
    inputs = []
    for more in (4, 9):
        size = list(case.size)
        for axis in axes:
            size[axis - 2] += more
        inputs.append(torch.randn(2, CHANNELS, *size).double())
    x, other = inputs
    program = torch.export.export(block, (x,), dynamic_shapes=(dynamic,))
    torch.testing.assert_close(program.module()(other), block(other))


CLASSES = [
    cls for info in CATALOG.values() for cls in (info.cls, *info.others)
]


@pytest.mark.parametrize("cls", CLASSES)
def test_signature(cls):
    """Channels first, every option by keyword, no catch-all."""
    parameters = list(inspect.signature(cls).parameters.values())
    assert parameters[0].name == "in_channels"
    required = [p for p in parameters if p.default is p.empty]
    assert all(p.kind is p.KEYWORD_ONLY for p in parameters[len(required) :])
    assert {"impl", "device", "dtype"} <= {p.name for p in parameters}


@each
def test_forms_have_names(case):
    assert case.build().impls[:2] == ("auto", "reference")


@pytest.mark.parametrize("cls", CLASSES)
def test_docstring_has_its_sections(cls):
    text = inspect.getdoc(cls)
    for section in ("Args:", "Shape:", "Raises:", "Reference:", "Example:"):
        assert section in text, section
