"""SAN: windows, interleaved sharing, relations, the lean window sum."""

import pytest
import torch
import torch.nn.functional as F
from cases import gradients, randomise

from attnlib import (
    PairwiseSelfAttention,
    PatchwiseSelfAttention,
    SANBottleneck,
)
from attnlib.cost import closed_form
from attnlib.functional import pad_window, window_aggregation, windows
from attnlib.memory import allocations, kept_bytes

GEOMETRIES = [(3, 1, 1), (3, 2, 1), (3, 1, 2), (5, 2, 2)]


def arguments(k, stride, dilation, groups=2, dtype=torch.float64):
    torch.manual_seed(0)
    height, width = 9, 11
    out = (height - 1) // stride + 1, (width - 1) // stride + 1
    x = torch.randn(2, 4, height, width, dtype=dtype)
    w = torch.randn(2, groups, k * k, *out, dtype=dtype)
    geometry = {"kernel_size": k, "stride": stride, "dilation": dilation}
    return x.requires_grad_(), w.requires_grad_(), geometry


def reflected(i, size):
    i = abs(i)
    return 2 * (size - 1) - i if i >= size else i


@pytest.mark.parametrize(("k", "stride", "dilation"), GEOMETRIES)
@pytest.mark.parametrize("mode", ["reflect", "zero"])
def test_window_aggregation_is_the_sum(k, stride, dilation, mode):
    x, w, geometry = arguments(k, stride, dilation)
    forms = {
        impl: window_aggregation(x, w, mode=mode, impl=impl, **geometry)
        for impl in ("reference", "shifted")
    }
    y = forms["reference"]
    (h, v), reach = x.shape[2:], dilation * (k - 1) // 2
    for c, row, col in ((0, 0, 0), (1, 2, 3), (3, 4, 1)):
        total = 0
        for j in range(k * k):
            r = row * stride + (j // k) * dilation - reach
            s = col * stride + (j % k) * dilation - reach
            if mode == "reflect":
                value = x[1, c, reflected(r, h), reflected(s, v)]
            else:
                inside = 0 <= r < h and 0 <= s < v
                value = x[1, c, r, s] if inside else 0
            total = total + w[1, c % 2, j, row, col] * value
        torch.testing.assert_close(y[1, c, row, col], total)
    torch.testing.assert_close(forms["shifted"], y)


@pytest.mark.parametrize(("k", "stride", "dilation"), GEOMETRIES)
def test_the_shifted_form_has_the_same_gradients(k, stride, dilation):
    x, w, geometry = arguments(k, stride, dilation)
    probe = None
    found = {}
    for impl in ("reference", "shifted"):
        y = window_aggregation(x, w, impl=impl, **geometry)
        probe = torch.randn_like(y) if probe is None else probe
        found[impl] = torch.autograd.grad((y * probe).sum(), (x, w))
    for got, want in zip(*found.values(), strict=True):
        torch.testing.assert_close(got, want)


def test_the_operator_is_well_made():
    x, w, geometry = arguments(3, 1, 1)
    small = x[:1, :2, :4, :5], w[:1, :1, :, :4, :5]
    leaves = [t.detach().requires_grad_() for t in small]
    assert torch.autograd.gradcheck(
        lambda *t: window_aggregation(*t, **geometry), leaves
    )
    padded = pad_window(x, 3).detach().requires_grad_()
    operator = torch.ops.attnlib.window_aggregate
    results = torch.library.opcheck(operator, (padded, w, 3, 1, 1))
    assert set(results.values()) == {"SUCCESS"}
    y = window_aggregation(x, w, **geometry)
    (slope,) = torch.autograd.grad(y.square().sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="use impl='reference'"):
        slope.sum().backward()
    args = tuple(t.detach() for t in (x, w))
    with pytest.raises(NotImplementedError, match="use impl='reference'"):
        torch.func.jvp(
            lambda *t: window_aggregation(*t, **geometry), args, args
        )


def test_the_shifted_form_keeps_x_and_the_weights_alone():
    x = torch.randn(2, 16, 14, 15, requires_grad=True)
    w = torch.randn(2, 4, 49, 14, 15, requires_grad=True)
    padded = 4 * 2 * 16 * 20 * 21
    shifted = kept_bytes(
        lambda *t: window_aggregation(*t, kernel_size=7), x, w
    )
    assert shifted == 4 * (x.numel() + w.numel()) + padded
    plain = kept_bytes(
        lambda *t: window_aggregation(*t, kernel_size=7, impl="reference"),
        x,
        w,
    )
    assert plain == 4 * (x.numel() + w.numel() + 49 * x.numel())


def test_peak_against_an_unfold_form():
    """At most a fifth, as a count, at SAN's first stage."""

    def unfold(x, w):
        u = F.unfold(F.pad(x, (3, 3, 3, 3), mode="reflect"), 7)
        u = u.view(2, 8, 8, 49, 28, 28)  # (B, C / G, G, k * k, H, W)
        return (u * w[:, None]).sum(3).flatten(1, 2)

    x, w = torch.randn(2, 64, 28, 28), torch.randn(2, 8, 49, 28, 28)
    lean = allocations(lambda *t: window_aggregation(*t, kernel_size=7), x, w)
    assert lean.peak < allocations(unfold, x, w).peak / 5
    torch.testing.assert_close(
        window_aggregation(x, w, kernel_size=7), unfold(x, w)
    )


def windows_of(t, i, width):
    """(C, H, W) -> (C, 9): the reflected window around position i."""
    r, s = divmod(i, width)
    rows = [reflected(r + d, t.shape[1]) for d in (-1, 0, 1)]
    columns = [reflected(s + d, t.shape[2]) for d in (-1, 0, 1)]
    return t[:, rows][:, :, columns].flatten(1)


def test_pairwise_is_its_formula():
    block = PairwiseSelfAttention(16, rel_channels=3).double().eval()
    randomise(block)
    x = torch.randn(1, 16, 4, 5, dtype=torch.float64)
    q, k, v = (f(x)[0] for f in (block.query, block.key, block.value))
    across = torch.linspace(-1, 1, 5).double().expand(4, -1)
    down = torch.linspace(-1, 1, 4).double()[:, None].expand(-1, 5)
    p = block.position(torch.stack([across, down])[None])[0]
    y = block(x)[0].flatten(1)
    for i in (0, 7, 19):
        delta = q.flatten(1)[:, i, None] - windows_of(k, i, 5)
        offset = p.flatten(1)[:, i, None] - windows_of(p, i, 5)
        t = torch.cat([delta, offset])[None, :, :, None]  # (1, R + 2, 9, 1)
        w = block.gamma(t)[0, :, :, 0].softmax(1)  # (G, 9)
        values = windows_of(v, i, 5)
        for c in range(16):
            expected = (w[c % block.groups] * values[c]).sum()
            torch.testing.assert_close(y[c, i], expected)


def test_patchwise_is_its_formula():
    block = PatchwiseSelfAttention(16, rel_channels=3).double().eval()
    randomise(block)
    x = torch.randn(1, 16, 4, 5, dtype=torch.float64)
    q, k, v = (f(x)[0] for f in (block.query, block.key, block.value))
    y = block(x)[0].flatten(1)
    for i in (0, 7, 19):
        t = torch.cat([q.flatten(1)[:, i], windows_of(k, i, 5).flatten()])
        w = block.gamma(t[None, :, None, None]).view(block.groups, 9)
        values = windows_of(v, i, 5)
        for c in range(16):
            expected = (w[c % block.groups] * values[c]).sum()
            torch.testing.assert_close(y[c, i], expected)


def test_relations_by_their_names():
    torch.manual_seed(0)
    q, k = torch.randn(2, 3, 1, 4, 5), torch.randn(2, 3, 9, 4, 5)
    expected = {
        "subtraction": q - k,
        "summation": q + k,
        "hadamard": q * k,
        "dot_product": (q * k).sum(1, keepdim=True),
        "concatenation": torch.cat([q.expand_as(k), k], 1),
    }
    for relation, delta in expected.items():
        block = PairwiseSelfAttention(8, relation=relation, rel_channels=3)
        assert torch.equal(block._relation(q, k), delta)


def test_patchwise_contains_a_convolution():
    """With gamma's last bias alone the weights are one kernel for all."""
    block = PatchwiseSelfAttention(8, share=8).double().eval()
    randomise(block)
    torch.nn.init.zeros_(block.gamma[5].weight)
    x = torch.randn(1, 8, 6, 7, dtype=torch.float64)
    kernel = block.gamma[5].bias.view(1, 1, 3, 3).expand(8, 1, 3, 3)
    values = F.pad(block.value(x), (1, 1, 1, 1), mode="reflect")
    torch.testing.assert_close(block(x), F.conv2d(values, kernel, groups=8))
    assert block.attention_map(x).min() < 0


def test_parameters_that_cannot_matter():
    block = PairwiseSelfAttention(16, rel_channels=3).double()
    randomise(block)
    x = torch.randn(2, 16, 6, 7, dtype=torch.float64)
    found = gradients(block.eval(), x)
    size = max(t.abs().max() for t in found.values())
    for name in ("position.bias", "gamma.5.bias"):
        assert found[name].abs().max() < 1e-12 * size
    assert found["query.bias"].abs().max() > 1e-6
    found = gradients(block.train(), x)  # batch norm takes these away, too
    size = max(t.abs().max() for t in found.values())
    for name in ("query.bias", "key.bias"):
        assert found[name].abs().max() < 1e-12 * size


@pytest.mark.parametrize(
    ("channels", "kind", "parameters"),
    [
        (256, "pairwise", 42_450),
        (256, "patchwise", 53_496),
        (2048, "pairwise", 2_654_794),
        (2048, "patchwise", 3_255_744),
    ],
)
def test_the_sheets_numbers(channels, kind, parameters):
    block = SANBottleneck(channels, kind=kind, kernel_size=7, device="meta")
    cost = closed_form(block, (1, channels, 28, 28))
    assert cost.parameters == parameters
    # P -> P / 4 in groups of 8
    assert block.attention.groups == channels // 32


def test_names_of_the_official_bottleneck():
    from attnlib import load_reference

    source = randomise(SANBottleneck(32)).double()
    names = {"norm": "bn1", "norm_out": "bn2", "out": "conv"}
    inside = {
        "query": "conv1",
        "key": "conv2",
        "value": "conv3",
        "position": "conv_p",
        "gamma": "conv_w",
    }
    state = {}
    for name, value in source.state_dict().items():
        layer, _, rest = name.partition(".")
        if layer == "attention":
            layer, _, rest = rest.partition(".")
            state[f"module.sam.{inside[layer]}.{rest}"] = value
        else:
            state[f"module.{names[layer]}.{rest}"] = value
    block = SANBottleneck(32).double()
    load_reference(block, state, "official", prefix="module.")
    x = torch.randn(1, 32, 6, 7, dtype=torch.float64)
    torch.testing.assert_close(block.eval()(x), source.eval()(x))


def test_bad_input_is_refused():
    for cls in (PairwiseSelfAttention, PatchwiseSelfAttention):
        with pytest.raises(ValueError, match=r"a border of 3.*least 4"):
            cls(8, kernel_size=7)(torch.zeros(1, 8, 9, 3))
        with pytest.raises(ValueError, match="kernel_size must be odd"):
            cls(8, kernel_size=2)
        with pytest.raises(ValueError, match="share must divide"):
            cls(8, share=3)
        with pytest.raises(ValueError, match="relation must be one of"):
            cls(8, relation="distance")
    x, w, geometry = arguments(3, 1, 1)
    with pytest.raises(ValueError, match=r"weights must be \(B, G, 9"):
        window_aggregation(x, w[:, :, :8], **geometry)
    with pytest.raises(ValueError, match="larger than the reflected border"):
        windows(pad_window(x[..., :1], 3), 3)
