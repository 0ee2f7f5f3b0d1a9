"""LightNL: products alone, a norm that hides their scale, errors."""

import math

import pytest
import torch
from lights import build, each_impl, each_normalizer, picture

from attnlib import LightNonLocal, maps
from attnlib.functional import light_attention, light_weights

# The formula


def products_by_hand(x, c, s, factor):
    """Sum over the keys of one image, position by position."""
    _, height, width = x.shape
    y = torch.zeros_like(x)
    keys = [(a, b) for a in range(0, height, s) for b in range(0, width, s)]
    for i in range(height):
        for j in range(width):
            for a, b in keys:
                score = sum(x[n, i, j] * x[n, a, b] for n in range(c))
                y[:, i, j] += factor * score * x[:, a, b]
    return y


def filtered_by_hand(f, kernel):
    """Weigh the 3 x 3 neighbours in each channel; zeros outside."""
    channels, height, width = f.shape
    y = torch.zeros_like(f)
    for n in range(channels):
        for i in range(height):
            for j in range(width):
                for a in range(max(i - 1, 0), min(i + 2, height)):
                    for b in range(max(j - 1, 0), min(j + 2, width)):
                        weight = kernel[n, 0, a - i + 1, b - j + 1]
                        y[n, i, j] += weight * f[n, a, b]
    return y


@each_impl
@each_normalizer
@pytest.mark.parametrize("train", [False, True], ids=["eval", "train"])
@pytest.mark.parametrize(("nl_s", "keys"), [(1, 15), (2, 6), (3, 2), (9, 1)])
def test_the_block_is_its_formula(nl_s, keys, train, normalizer, impl):
    options = {"nl_c": 0.5, "nl_s": nl_s, "normalizer": normalizer}
    block = build(5, impl=impl, **options).train(train)
    x = picture(2, 5, 3, 5)
    factor = {"HW": 1 / 15, "W/H": 5 / 3, "keys": 1 / keys}[normalizer]
    kernel, norm = block.depthwise.weight.detach(), block.norm
    mean, var = norm.running_mean.clone(), norm.running_var.clone()
    f = [products_by_hand(image, 2, nl_s, factor) for image in x]
    z = torch.stack([filtered_by_hand(image, kernel) for image in f])
    if train:
        mean, var = z.mean((0, 2, 3)), z.var((0, 2, 3), unbiased=False)
    by_channel = (
        t.view(1, -1, 1, 1) for t in (mean, var, norm.weight, norm.bias)
    )
    mean, var, weight, bias = by_channel
    z = weight * (z - mean) / (var + 1e-3).sqrt() + bias
    torch.testing.assert_close(block(x), x + z)


def test_running_statistics_move_by_a_hundredth():
    block = build().train()
    before = {k: v.clone() for k, v in block.norm.named_buffers()}
    x = picture(2, 16, 5, 7)
    q, v = x.flatten(2)[:, :4], x.flatten(2)
    f = light_attention(q, q, v).view(x.shape)
    z = block.depthwise(f).detach()
    block(x)
    for name, now in (("mean", z.mean((0, 2, 3))), ("var", z.var((0, 2, 3)))):
        old = before[f"running_{name}"]
        moved = getattr(block.norm, f"running_{name}")
        torch.testing.assert_close(moved, 0.99 * old + 0.01 * now)
    assert block.norm.num_batches_tracked == 1


def test_products_grow_with_the_cube():
    x = picture(2, 4, 35)
    q = x[:, :2]
    one, two = (light_attention(t * q, t * q, t * x) for t in (1, 2))
    torch.testing.assert_close(two, 8 * one)


def test_nothing_but_the_filters_is_learned():
    block = LightNonLocal(16)
    shapes = {name: p.shape for name, p in block.named_parameters()}
    assert shapes == {
        "depthwise.weight": (16, 1, 3, 3),
        "norm.weight": (16,),
        "norm.bias": (16,),
    }


# The normaliser


@each_impl
@pytest.mark.parametrize("size", [(6, 6), (4, 9), (9, 4)], ids=str)
def test_the_port_divides_by_h_and_multiplies_by_w(size, impl):
    """``f / H * W``: nothing at all on a square map."""
    height, width = size
    x = picture(2, 8, *size)
    flat = x.flatten(2)
    f = flat @ (flat[:, :2].mT @ flat[:, :2]).mT  # no divisor
    f = (f / height * width).view(x.shape)
    block = build(8, normalizer="W/H", impl=impl)
    branch = block.norm(block.depthwise(f))
    torch.testing.assert_close(block(x), x + branch)
    if height == width:
        free = light_attention(flat[:, :2], flat[:, :2], flat, divisor=1)
        torch.testing.assert_close(f.flatten(2), free)


def test_the_norm_hides_the_divisor_in_training_alone():
    """But for eps, beside which the small branch of HW may be small."""
    x = picture(2, 16, 6, 6)

    def largest(train, eps, size=1.0):
        blocks = [
            build(normalizer=name, eps=eps).train(train)
            for name in ("HW", "W/H")
        ]
        y, other = (block(size * x) - size * x for block in blocks)
        return ((y - other).abs().max() / other.abs().max()).item()

    assert largest(True, 1e-12) < 1e-9
    assert largest(True, 1e-3) > 1e-4
    # Small features, variance far below eps: the branch fades away.
    assert largest(True, 1e-3, size=0.1) > 0.5
    assert largest(False, 1e-12) > 0.5
    assert largest(False, 1e-3) > 0.5


def test_with_every_key_two_normalizers_are_one():
    x = picture(2, 16, 5, 7)
    ours, other = build(), build(normalizer="keys")
    torch.testing.assert_close(ours(x), other(x))
    apart = build(nl_s=2)(x) - build(nl_s=2, normalizer="keys")(x)
    assert apart.abs().max() > 1e-3


# Start


@each_impl
@pytest.mark.parametrize("init", ["official", "port"])
def test_starts_as_the_identity(init, impl):
    x = torch.randn(2, 16, 5, 7)
    block = LightNonLocal(16, init=init, impl=impl)
    for train in (True, False):
        assert torch.equal(block.train(train)(x), x)
    other = LightNonLocal(16, init=init, impl=impl, zero_init=False)
    assert (other(x) - x).abs().max() > 1e-3


@each_impl
def test_the_first_step_moves_the_norm_alone(impl):
    """The filters wait behind a zero."""
    block = LightNonLocal(16, impl=impl)
    block(torch.randn(2, 16, 5, 7)).square().sum().backward()
    moved = {n for n, p in block.named_parameters() if p.grad.any()}
    assert moved == {"norm.weight", "norm.bias"}
    assert block.depthwise.weight.grad is not None


def test_first_filters():
    torch.manual_seed(0)
    weight = LightNonLocal(1000).depthwise.weight
    limit = math.sqrt(6 / 9009)
    assert 0.99 * limit < weight.abs().max() <= limit
    assert abs(weight.std() / (limit / 3**0.5) - 1) < 0.02
    weight = LightNonLocal(1000, init="port").depthwise.weight
    assert abs(weight.std() / (2 / 9) ** 0.5 - 1) < 0.02
    assert weight.abs().max() > 1.2  # normal, not uniform: 2.5 deviations


def test_norm_of_the_official_code():
    norm = LightNonLocal(16).norm
    assert (norm.eps, norm.momentum) == (1e-3, 0.01)
    norm = LightNonLocal(16, eps=1e-5, momentum=0.1).norm
    assert (norm.eps, norm.momentum) == (1e-5, 0.1)


# Which channels, which positions


@pytest.mark.parametrize(
    ("channels", "nl_c", "c"),
    [(100, 0.29, 28), (24, 0.25, 6), (40, 0.125, 5), (7, 1, 7), (3, 0.7, 2)],
)
def test_share_is_cut_off(channels, nl_c, c):
    """0.29 of 100 is 28.999999999999996, and 28 channels remain."""
    block = build(channels, nl_c=nl_c)
    assert block.key_channels == c
    x = picture(1, channels, 4, 5)
    flat = x.flatten(2)
    expected = (flat[:, :c].mT @ flat[:, :c] / 20)[:, None]
    torch.testing.assert_close(block.attention_map(x), expected)


@pytest.mark.parametrize(
    ("channels", "nl_c", "least"),
    [(3, 0.25, 4), (1, 0.5, 2), (48, 1 / 49, 50), (7, 0.125, 8)],
)
def test_a_share_without_a_channel_is_refused(channels, nl_c, least):
    """The official code returns a branch of zeros. 49 (1 / 49) is below 1."""
    word = f"in_channels must be at least {least} .*nl_c=.*of {channels}$"
    with pytest.raises(ValueError, match=word):
        LightNonLocal(channels, nl_c=nl_c)
    assert LightNonLocal(least, nl_c=nl_c).key_channels == 1


def moved_by(block, x, at):
    """Return the outputs that a change of one position of x moves."""
    other = x.clone()
    other[..., at[0], at[1]] += 1.0
    return (block(other) - block(x))[0].abs().amax(0) > 1e-12


@each_impl
def test_a_position_off_the_lattice_is_a_query_alone(impl):
    """It reaches its neighbours, through the filters; a key reaches all."""
    block, x = build(nl_s=2, impl=impl), picture(1, 16, 6, 7)
    assert moved_by(block, x, (2, 4)).all()
    found = moved_by(block, x, (2, 3))
    near = torch.zeros(6, 7, dtype=torch.bool)
    near[1:4, 2:5] = True
    assert torch.equal(found, near)


def test_keys_are_samples_not_means():
    block, x = build(nl_s=2), picture(2, 16, 5, 7)
    weights = block.attention_map(x).view(2, 35, 5, 7)
    kept = (weights != 0).any(1)
    lattice = torch.zeros(5, 7, dtype=torch.bool)
    lattice[::2, ::2] = True
    assert torch.equal(kept, lattice.expand(2, -1, -1))
    assert (maps.support(weights.flatten(2)[:, None]) == 12).all()


@each_impl
def test_positions_have_no_names_before_the_filters(impl):
    x = picture(2, 8, 35)
    order = torch.randperm(35, generator=torch.Generator().manual_seed(6))

    def products(t):
        return light_attention(t[:, :2], t[:, :2], t, impl=impl)

    torch.testing.assert_close(
        products(x[..., order]), products(x)[..., order]
    )


def test_the_map():
    """Signed, of rank c, with rows q_i . mean(k)."""
    block, x = build(), picture(2, 16, 5, 7)
    weights = block.attention_map(x)
    assert (maps.rank(weights) == 4).all()
    assert weights.min() < 0
    torch.testing.assert_close(weights, weights.mT)  # q and k are the same
    q = x[:, :4].flatten(2)
    sums = (q.mT @ q.mean(-1, keepdim=True))[:, None, :, 0]
    torch.testing.assert_close(maps.row_sums(weights), sums)
    thin = build(nl_s=2).attention_map(x)
    assert not torch.allclose(thin, thin.mT)


# Half precision


@pytest.mark.parametrize(
    "dtype", [torch.float16, torch.bfloat16, torch.float32], ids=str
)
@pytest.mark.parametrize("nl_s", [1, 2])
def test_error_at_most_twice_that_of_the_formula(dtype, nl_s):
    """Root mean squares; the rounding of the result is allowed."""
    x = picture(2, 32, 10, 12).to(dtype)
    found = {}
    for impl, kind in (
        ("exact", torch.float64),
        ("reference", dtype),
        ("associative", dtype),
    ):
        form = "reference" if impl == "exact" else impl
        block = build(32, nl_s=nl_s, impl=form).to(dtype).to(kind)
        leaf = x.to(kind).requires_grad_()
        leaves = [leaf, *block.parameters()]
        y = block(leaf)
        slopes = torch.autograd.grad(y.sum(), leaves)
        found[impl] = [t.detach().double() for t in (y, *slopes)]
    for exact, plain, fast in zip(*found.values(), strict=True):
        rounding = torch.finfo(dtype).eps / 4 * exact.norm()
        allowed = max((plain - exact).norm(), rounding)
        assert (fast - exact).norm() <= 2 * allowed


@each_impl
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_products_beyond_float16(dtype, impl):
    """|F| = 4 . 500^3: the norm brings it back before it is rounded."""
    block = LightNonLocal(16, dtype=dtype, zero_init=False, impl=impl)
    sign = torch.tensor([1.0, -1.0], dtype=dtype)
    x = 500 * sign.repeat(2, 16, 6, 4)
    flat = x.flatten(2)
    f = light_attention(flat[:, :4], flat[:, :4], flat, impl=impl)
    torch.testing.assert_close(f, 4 * 500.0**2 * flat.float())
    y = block.train()(x)
    assert y.dtype == dtype
    assert y.isfinite().all()
    wide = LightNonLocal(16, zero_init=False, impl=impl)
    wide.load_state_dict({k: v.float() for k, v in block.state_dict().items()})
    torch.testing.assert_close(y, wide.train()(x.float()).to(dtype))
    for name, tensor in block.norm.named_buffers():
        assert tensor.isfinite().all(), name
    if dtype == torch.float16:
        assert (block.norm.running_var == 65504).any()
    assert block.norm.num_batches_tracked == 1
    # Under autocast the statistics are float32, and hold what they measure.
    with torch.autocast("cpu", dtype=dtype):
        for train in (True, False):
            y = wide.train(train)(x)
            assert y.dtype == dtype
            assert y.isfinite().all()


def test_statistics_of_half_parameters_move():
    torch.manual_seed(0)
    block = LightNonLocal(16, dtype=torch.bfloat16, momentum=0.5)
    wide = LightNonLocal(16, momentum=0.5)
    wide.load_state_dict({k: v.float() for k, v in block.state_dict().items()})
    x = picture(2, 16, 5, 7).bfloat16()
    block(x), wide(x.float())
    for ours, theirs in zip(block.buffers(), wide.buffers(), strict=True):
        torch.testing.assert_close(ours, theirs.to(ours.dtype))


@each_impl
def test_autocast_does_not_round_the_products(impl):
    block = LightNonLocal(16, zero_init=False, impl=impl).eval()
    x = picture(2, 16, 5, 7).float()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(block(x), block(x))
        y = block(x)
        half = block(x.bfloat16())
    assert torch.equal(y, block(x))
    assert half.dtype == torch.bfloat16
    torch.testing.assert_close(half, block(x.bfloat16().float()).bfloat16())


# Errors


@pytest.mark.parametrize(
    ("options", "kind", "word"),
    [
        ({"nl_c": 0}, ValueError, "nl_c must be above 0 and at most 1, got 0"),
        ({"nl_c": 1.5}, ValueError, "nl_c must be above 0 .*got 1.5"),
        ({"nl_c": float("nan")}, ValueError, "nl_c must be above 0 .*nan"),
        ({"nl_c": "0.25"}, TypeError, "nl_c must be a number, got '0.25'"),
        ({"nl_c": True}, TypeError, "nl_c must be a number, got True"),
        ({"nl_s": 0}, ValueError, "nl_s must be at least 1, got 0"),
        ({"nl_s": 2.0}, TypeError, "nl_s must be an integer, got 2.0"),
        (
            {"normalizer": "WH"},
            ValueError,
            "normalizer must be one of .*'HW', 'W/H', 'keys'.*got 'WH'; did",
        ),
        ({"init": "mnas"}, ValueError, "init must be one of"),
        ({"zero_init": 1}, TypeError, "zero_init must be True or False"),
        ({"eps": 0.0}, ValueError, "eps must be a number between 0 and 1"),
        ({"momentum": 1}, ValueError, "momentum must be a number between"),
        ({"impl": "sdpa"}, ValueError, "impl must be one of"),
    ],
)
def test_bad_options(options, kind, word):
    with pytest.raises(kind, match=word):
        LightNonLocal(8, **options)


def test_one_position_in_all_has_no_variance():
    block = LightNonLocal(8)
    with pytest.raises(ValueError, match="more than 1 value per channel"):
        block(torch.zeros(1, 8, 1, 1))
    assert block.eval()(torch.zeros(1, 8, 1, 1)).shape == (1, 8, 1, 1)


@pytest.mark.parametrize(
    ("q", "k", "v", "word"),
    [
        ((4,), (2, 3), (5, 3), r"q must be \(..., channels, positions\)"),
        ((1, 2, 4), (2, 3), (5, 3), "same leading dimensions"),
        ((1, 4), (2, 3), (5, 3), r"same channels, got q \(1, 4\)"),
        ((2, 4), (2, 3), (5, 4), "k and v must have the same positions"),
        ((2, 4), (2, 0), (5, 0), "at least one position"),
    ],
)
def test_products_refuse(q, k, v, word):
    with pytest.raises(ValueError, match=word):
        light_attention(*(torch.zeros(shape) for shape in (q, k, v)))


def test_products_refuse_other_kinds():
    q, k, v = torch.zeros(2, 4), torch.zeros(2, 3), torch.zeros(5, 3)
    with pytest.raises(TypeError, match="v must be a tensor, got float"):
        light_attention(q, k, 1.0)
    with pytest.raises(TypeError, match="k must be a floating-point tensor"):
        light_weights(q, k.int())
    with pytest.raises(TypeError, match="must share one dtype"):
        light_attention(q, k.double(), v)
    with pytest.raises(ValueError, match="must be on one device"):
        light_attention(q, k, v.to("meta"))
    for divisor in (0, -1.0, float("nan")):
        with pytest.raises(ValueError, match="divisor must be positive, got"):
            light_attention(q, k, v, divisor=divisor)
    with pytest.raises(ValueError, match="impl must be one of"):
        light_attention(q, k, v, impl="sorted")
