"""EMANet: E and M as loops, no gradient, two momenta, the head, the claims."""

import copy

import pytest
import torch
import torch.nn.functional as F
from cases import randomise
from torch.utils.flop_counter import FlopCounterMode

from attnlib import EMANetHead, EMAttention, NonLocal, load_reference, maps
from attnlib.cost import closed_form, count
from attnlib.functional import expectation_maximization

FAST = ("folded", "auto")
each_variant = pytest.mark.parametrize("variant", ["official", "mmseg"])
each_impl = pytest.mark.parametrize("impl", EMAttention.impls)


def build(channels=8, **options):
    torch.manual_seed(0)
    options = {"bases": 5, **options}
    return randomise(EMAttention(channels, **options)).double().eval()


def picture(batch=2, channels=8, size=(5, 7)):
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(batch, channels, *size, generator=generator).double()
    return x.relu()


def loops(x, mu, scale, stages, guard):
    """E and M for the columns of one map, one number after another."""
    width, n = x.shape
    k = mu.shape[1]
    for _ in range(stages):
        z = torch.zeros(n, k, dtype=x.dtype)
        for i in range(n):
            f = [(scale * x[:, i] @ mu[:, j]).exp() for j in range(k)]
            for j in range(k):
                z[i, j] = f[j] / sum(f)
        columns = []
        for j in range(k):
            mean = torch.zeros(width, dtype=x.dtype)
            for i in range(n):
                mean += z[i, j] * x[:, i]
            mean = mean / guard(sum(z[i, j] for i in range(n)))
            columns.append(mean / guard((mean**2).sum().sqrt()))
        mu = torch.stack(columns, dim=1)
    return mu, z


GUARD = {
    "official": lambda t: t + 1e-6,
    "mmseg": lambda t: max(t, torch.tensor(1e-12)),
}


@each_variant
@each_impl
@pytest.mark.parametrize("stages", [1, 3])
@pytest.mark.parametrize("norm", [True, False])
def test_the_block_is_its_formula(variant, impl, stages, norm):
    block = build(
        variant=variant, stages=stages, norm=norm, scale=0.7, impl=impl
    )
    u = picture(batch=1)
    x = block.project(u)[0].flatten(1)
    mu, z = loops(x, block.mu[0], 0.7, stages, GUARD[variant])
    y = (mu @ z.T).relu().view(u.shape)
    y = block.out(y)
    if norm:
        y = block.norm(y)
    found, bases = block(u, return_bases=True)
    torch.testing.assert_close(found, (u + y).relu())
    torch.testing.assert_close(bases[0], mu)


@each_variant
def test_reconstruction_takes_the_weights_of_the_bases_before(variant):
    """One more E-step would give other weights."""
    block = build(variant=variant)
    x = block.project(picture()).flatten(2)
    guard = "added" if variant == "official" else "floor"
    found = expectation_maximization(x, block.mu, guard=guard)
    again = (x.mT @ found.bases).softmax(-1)
    assert (again - found.weights).abs().max() > 1e-3
    y = (found.bases @ found.weights.mT).view(2, 8, 5, 7)
    torch.testing.assert_close(found.reconstruct().view(y.shape), y)
    later = (found.bases @ again.mT).view(y.shape)
    assert (later - y).abs().max() > 1e-3


def big_features():
    """Scores in the hundreds: most bases are used by no position."""
    block = build(bases=40)
    with torch.no_grad():
        block.mu.copy_(F.normalize(block.mu, dim=1))
        block.project.weight.mul_(200)
    return block, picture()


@pytest.mark.parametrize("impl", FAST)
@pytest.mark.parametrize("case", ["default", "big", "more bases than n"])
@pytest.mark.parametrize("through", [True, False])
def test_folded_is_the_reference(impl, case, through):
    if case == "big":
        block, x = big_features()
    else:
        block, x = build(bases=5 if case == "default" else 50), picture()
    block.differentiate = through
    block.project.requires_grad_(through)
    results = []
    for form in ("reference", impl):
        block.impl = form
        leaves = [x.clone().requires_grad_()]
        leaves += [p for p in block.parameters() if p.requires_grad]
        y = block(leaves[0])
        slopes = torch.autograd.grad((y * y.detach().cos()).sum(), leaves)
        results.append((y, *slopes))
    for fast, plain in zip(*results, strict=True):
        size = max(1.0, plain.abs().max().item())
        torch.testing.assert_close(fast, plain, rtol=0, atol=1e-10 * size)


def test_auto_folds_where_that_saves_multiply_adds():
    for side, pays in ((19, False), (20, True)):  # 2 T K = 384 positions
        block = EMAttention(512, device="meta")
        shape = (1, 512, side, side)
        macs = {i: closed_form(block, shape, impl=i).macs for i in block.impls}
        assert (macs["folded"] < macs["reference"]) == pays
        assert macs["auto"] == min(macs.values())


# No gradient.


def test_no_gradient_passes_the_iteration():
    """The input learns through the residual, the projection not at all."""
    block, x = build(), picture().requires_grad_()
    y = block(x)
    probe = torch.randn_like(y)
    (y * probe).sum().backward()
    alive = (y > 0).double()
    assert torch.equal(x.grad, probe * alive)
    assert block.project.weight.grad is None
    assert block.project.bias.grad is None
    assert not block.project.weight.requires_grad
    assert block.out.weight.grad.abs().max() > 1e-3


def test_a_thawed_projection_gets_no_gradient_either():
    block = build()
    block.project.requires_grad_()
    block(picture()).sum().backward()
    assert block.project.weight.grad is None


@each_impl
def test_with_gradient_the_forward_pass_is_the_same(impl):
    x = picture().requires_grad_()
    stopped, through = build(impl=impl), build(differentiate=True, impl=impl)
    assert torch.equal(stopped(x), through(x))
    through(x).square().sum().backward()
    assert through.project.weight.grad.abs().max() > 1e-3
    small = build(4, bases=3, differentiate=True, impl=impl, stages=2)
    u = picture(1, 4, (2, 3)).sub(0.3).requires_grad_()
    assert torch.autograd.gradcheck(small, u)


def test_no_tangent_passes_the_iteration():
    """Forward-mode derivatives agree with those of backward."""
    block, x = build(), picture()
    tangent = torch.randn_like(x)
    y, slope = torch.func.jvp(block, (x,), (tangent,))
    torch.testing.assert_close(slope, tangent * (y > 0))
    block = build(differentiate=True)
    _, slope = torch.func.jvp(block, (x,), (tangent,))
    step = 1e-6
    ahead, behind = (block(x + s * step * tangent) for s in (1, -1))
    torch.testing.assert_close(
        slope, (ahead - behind) / (2 * step), rtol=1e-5, atol=1e-6
    )


@each_impl
def test_training_keeps_only_what_the_output_needs(impl):
    """Three maps of N C, however many stages."""
    for stages in (1, 6):
        block = EMAttention(8, bases=4, stages=stages, impl=impl)
        kept = count(block, (2, 8, 9, 11)).kept_bytes
        assert kept == 4 * (3 * 2 * 8 * 99 + 2 * 8)


# The start of the bases.


@each_variant
def test_update_of_the_start(variant):
    block, x = build(variant=variant), picture(3)
    before = block.mu.clone()
    y, bases = block.train()(x, return_bases=True)
    assert torch.equal(block.mu, before)  # forward alone changes nothing
    assert bases.shape == (3, 8, 5)
    assert not bases.requires_grad
    block.update_bases(bases)
    mean = bases.mean(0)
    if variant == "mmseg":
        mean = mean / mean.norm(dim=0)
    torch.testing.assert_close(block.mu[0], 0.9 * before[0] + 0.1 * mean)
    y.sum().backward()


def test_the_two_momenta_are_one_decay():
    """0.9 of the old value here, 0.1 of the new one there."""
    old, new = torch.randn(2, 8, 5).double()
    official, mmseg = 0.9 * old + (1 - 0.9) * new, (1 - 0.1) * old + 0.1 * new
    torch.testing.assert_close(official, mmseg)
    block = build(decay=0.75)
    with torch.no_grad():
        block.mu.copy_(old[None])
    block.update_bases(new[None])
    torch.testing.assert_close(block.mu[0], 0.75 * old + 0.25 * new)


def test_lengths_drift_below_one():
    """A mean of unit vectors is shorter; nothing makes it long again."""
    lengths = {}
    for variant in ("official", "mmseg"):
        torch.manual_seed(0)
        block = EMAttention(16, bases=6, variant=variant).double().train()
        torch.testing.assert_close(
            block.mu.norm(dim=1), torch.ones(1, 6).double()
        )
        for step in range(40):
            x = torch.randn(4, 16, 6, 6, dtype=torch.float64).relu()
            block.update_bases(block(x, return_bases=True)[1])
            if step == 9:
                lengths[variant] = block.mu.norm(dim=1).mean().item()
        assert (block.mu.norm(dim=1) < 1).all()
    assert lengths["official"] < 0.9
    assert lengths["official"] < lengths["mmseg"]


def test_automatic_update():
    x = picture()
    block = build(auto_update=True)
    other = copy.deepcopy(block)
    block(x)
    assert torch.equal(block.mu, other.mu)  # eval mode
    y, bases = block.train()(x, return_bases=True)
    other.update_bases(bases)
    assert torch.equal(block.mu, other.mu)
    y.sum().backward()


@each_impl
@pytest.mark.parametrize("auto", [True, False])
def test_update_between_forward_and_backward(auto, impl):
    """Gradients belong to the start that the forward pass saw."""
    x, slopes = picture(), []
    for update in (False, True):
        block = build(
            differentiate=True, auto_update=auto and update, impl=impl
        )
        y, bases = block.train()(x, return_bases=True)
        if update and not auto:
            block.update_bases(bases.detach())
        y.square().sum().backward()
        slopes.append(block.project.weight.grad)
    assert torch.equal(*slopes)


def test_no_images_move_nothing():
    block = build()
    before = block.mu.clone()
    block.update_bases(torch.zeros(0, 8, 5).double())
    assert torch.equal(block.mu, before)


def test_the_start_is_saved_and_moved_but_not_trained():
    block = EMAttention(8, bases=5)
    assert "mu" in block.state_dict()
    assert "mu" not in dict(block.named_parameters())
    assert block.half().mu.dtype == torch.float16
    y, bases = block.train()(picture().half(), return_bases=True)
    block.update_bases(bases)
    assert y.isfinite().all()
    assert block.mu.dtype == torch.float16


def test_start_values():
    torch.manual_seed(0)
    block = EMAttention(64)
    for layer in (block.project, block.out):
        assert 0.95 < layer.weight.std() / (2 / 64) ** 0.5 < 1.05
    assert block.project.bias.abs().max() > 0
    assert block.out.bias is None
    assert block.norm.momentum == 3e-4
    assert EMAttention(8, norm=False).out.bias is not None
    torch.testing.assert_close(block.mu.norm(dim=1), torch.ones(1, 64))


# Precision.


@each_impl
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_runs_the_iteration_in_float32(dtype, impl):
    """1e-6 is no normal number of float16, and a sum of 9216 ones overflows.

    One base takes all positions: its mass is N.
    """
    torch.manual_seed(0)
    x = torch.rand(1, 4, 9216).to(dtype)
    bases = F.normalize(torch.rand(1, 4, 3), dim=1).to(dtype)
    weight = torch.eye(4, dtype=dtype)
    found = expectation_maximization(x, bases, weight=weight, impl=impl)
    exact = expectation_maximization(x.double(), bases.double())
    assert found.bases.dtype == torch.float32
    for half, double in zip(found, exact, strict=True):
        torch.testing.assert_close(half.double(), double, rtol=2e-4, atol=1e-6)
    dead = torch.full((1, 4, 1), -100.0).to(dtype)
    many = expectation_maximization(x, torch.cat([bases, dead], 2))
    assert many.bases.isfinite().all()
    assert many.map().isfinite().all()


@each_variant
@each_impl
def test_saturated_scores_and_bases_that_nobody_uses(variant, impl):
    block = build(variant=variant, bases=40, impl=impl, differentiate=True)
    x = (1e4 * picture()).requires_grad_()
    y, bases = block(x, return_bases=True)
    y.sum().backward()
    assert y.isfinite().all()
    assert bases.isfinite().all()
    assert x.grad.isfinite().all()


def test_the_guards_differ_where_a_base_is_hardly_used():
    """And by about 1e-6 where all are used."""
    x = torch.randn(1, 8, 50, dtype=torch.float64)
    mu = F.normalize(torch.randn(1, 8, 4, dtype=torch.float64), dim=1)

    def gap(scale):
        found = [
            expectation_maximization(x, mu, scale=scale, guard=g, stages=1)
            for g in ("added", "floor")
        ]
        a, b = (m.bases for m in found)
        return (a - b).abs().max()

    assert 1e-8 < gap(1.0) < 1e-5
    # A base that lies across all positions has next to no mass.
    x, mu = x.abs(), mu.abs()
    mu[..., 0] = -mu[..., 0]
    assert gap(20.0) > 0.01


# The map.


def test_the_map_has_rank_k_and_no_negative_weight():
    block, x = build(), picture()
    weights = block.attention_map(x)
    assert (weights >= 0).all()
    torch.testing.assert_close(weights, weights.mT)
    assert (maps.rank(weights) == 5).all()
    # A convex mean of mean vectors, each divided by its length.
    z = expectation_maximization(block.project(x).flatten(2), block.mu)
    sums = (z.weights / z.length).sum(-1)
    torch.testing.assert_close(weights.sum(-1)[:, 0], sums, rtol=1e-4, atol=0)


def test_large_scale_is_k_means():
    """Each position belongs to one base, each base is a mean's direction."""
    torch.manual_seed(0)
    x = F.normalize(torch.randn(1, 8, 60, dtype=torch.float64), dim=1)
    mu = F.normalize(torch.randn(1, 8, 4, dtype=torch.float64), dim=1)
    found = expectation_maximization(x, mu, scale=1e4, stages=3)
    for _ in range(3):
        nearest = (x[0].T @ mu[0]).argmax(-1)
        means = [x[0][:, nearest == k].mean(1) for k in range(4)]
        mu = F.normalize(torch.stack(means, 1), dim=0)[None]
    assert torch.equal(found.weights[0].argmax(-1), nearest)
    torch.testing.assert_close(found.bases, mu, rtol=0, atol=1e-5)


# Costs and claims.


def test_the_sheets_numbers():
    shape = (1, 512, 65, 65)  # 513 x 513 at stride 8
    block = EMAttention(512, device="meta")
    cost = closed_form(block, shape, impl="reference")
    assert cost.parameters == 525_824
    assert block.mu.numel() == 32_768
    n = 65 * 65
    assert cost.macs == 2 * n * 512**2 + 7 * n * 512 * 64
    assert round(cost.macs / 1e9, 3) == 3.184
    # A third of a 3 x 3 convolution's work: 0.32.
    assert round(cost.macs / (9 * n * 512**2), 2) == 0.32
    # 2 C^2 + C K parameters are counted; a 1 x 1 convolution has C^2.
    assert 2 * 512**2 + 512 * 64 == 557_056 > 512**2
    assert round(
        closed_form(
            EMAttention(256, device="meta"), (1, 256, 65, 65), impl="reference"
        ).macs
        / 1e9,
        3,
    ) == 1.038  # fmt: skip


@pytest.mark.parametrize(
    ("channels", "gmac", "million"), [(512, 43.06, 9.99), (256, 20.97, 4.87)]
)
def test_table_1_counts_the_first_convolution_and_the_unit(
    channels, gmac, million
):
    """Extra cost over ResNet-101: 43.1 G and 10.0 M, 21.1 G and 4.87 M."""
    head = EMANetHead(
        2048, 21, inter_channels=channels, device="meta", impl="reference"
    ).eval()
    x = torch.empty(1, 2048, 65, 65, device="meta")
    with FlopCounterMode(display=False) as flops:
        head.attention(head.reduce(x))
    assert round(flops.get_total_flops() / 2e9, 2) == gmac
    numbers = head.reduce[0].weight.numel() + 2 * channels**2
    numbers += head.attention.mu.numel()
    assert round(numbers / 1e6, 2) == million


def test_growth_is_linear():
    """Exponents of the multiply-adds: about 1, the dense block's about 2."""
    sides = (32, 64, 128)
    exponents = {}
    for impl in ("reference", "folded", "dense"):
        block = (
            NonLocal(64, device="meta")
            if impl == "dense"
            else EMAttention(64, device="meta")
        )
        form = "reference" if impl == "dense" else impl
        small, _, large = (
            closed_form(block, (1, 64, s, s), impl=form).macs for s in sides
        )
        ratio = torch.tensor(large / small).log2() / 4
        exponents[impl] = ratio.item()
    assert exponents["reference"] == 1
    assert 0.9 < exponents["folded"] < 1
    assert exponents["dense"] > 1.9


# The head.


@pytest.mark.parametrize("impl", EMANetHead.impls)
@pytest.mark.parametrize("size", [(5, 7), (17, 20)])
@pytest.mark.parametrize("joined", [True, False])
@pytest.mark.parametrize("through", [True, False])
def test_cost_of_the_head_is_what_is_counted(impl, size, joined, through):
    head = EMANetHead(
        32, 5, bases=6, concat_input=joined, differentiate=through
    )
    shape = (3, 32, *size)
    assert closed_form(head, shape, impl=impl) == count(head, shape, impl=impl)


def test_the_head_is_a_chain():
    head = randomise(EMANetHead(32, 5, bases=4)).double().eval()
    x = picture(2, 32)
    y, bases = head(x, return_bases=True)
    z, inner = head.attention(head.reduce(x), return_bases=True)
    torch.testing.assert_close(y, head.classes(head.narrow(z)))
    assert torch.equal(bases, inner)
    assert torch.equal(head(x), y)
    joined = randomise(EMANetHead(32, 5, concat_input=True)).double().eval()
    z = joined.narrow(joined.attention(joined.reduce(x)))
    z = joined.join(torch.cat([x, z], 1))
    torch.testing.assert_close(joined(x), joined.classes(z))
    assert head(x[:0]).shape == (0, 5, 5, 7)


def test_options_of_the_head_reach_the_unit():
    head = EMANetHead(
        32, 5, bases=4, stages=2, variant="mmseg", decay=0.5, impl="folded",
        auto_update=True, differentiate=True, norm_momentum=0.1, dropout=0.3,
    )  # fmt: skip
    unit = head.attention
    assert (unit.bases, unit.stages, unit.decay) == (4, 2, 0.5)
    assert (unit.variant, unit.auto_update) == ("mmseg", True)
    assert (unit.differentiate, head.impl) == (True, "folded")
    norms = [m for m in head.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    assert [m.momentum for m in norms] == [0.1] * 3
    assert head.classes[0].p == 0.3
    official = EMANetHead(32, 5)
    norms = [m for m in official.modules() if hasattr(m, "momentum")]
    assert [m.momentum for m in norms] == [3e-4] * 3


@pytest.mark.parametrize(
    "dtype", [torch.float16, torch.bfloat16, torch.float32]
)
def test_the_head_in_other_dtypes(dtype):
    head = EMANetHead(32, 5, dtype=dtype).eval()
    y = head(torch.randn(1, 32, 1, 9).to(dtype))
    assert y.dtype == dtype
    assert y.isfinite().all()


# Checkpoints.


def names_of_mmseg(unit):
    theirs = {
        "mu": "ema_module.bases",
        "project": "ema_mid_conv.conv",
        "out": "ema_out_conv.conv",
        "norm": "ema_out_conv.bn",
    }
    state = {}
    for name, value in unit.state_dict().items():
        layer, _, rest = name.partition(".")
        state[theirs[layer] + (f".{rest}" if rest else "")] = value.clone()
    return state


def test_mmsegs_unit_out_of_its_head():
    """One prefix serves all layers: those of the frame are passed over."""
    unit = build(variant="mmseg")
    state = {f"decode_head.{k}": v for k, v in names_of_mmseg(unit).items()}
    for layer in ("ema_in_conv.conv", "bottleneck.bn", "conv_seg"):
        state[f"decode_head.{layer}.weight"] = torch.zeros(3)
    state["backbone.conv1.weight"] = torch.zeros(3)
    other = EMAttention(8, bases=5, variant="mmseg").double().eval()
    load_reference(other, state, "mmseg", prefix="decode_head.")
    x = picture()
    assert torch.equal(other(x), unit(x))
    for name in ("ema_mid_conv.bn.weight", "other.weight"):
        extra = {**state, f"decode_head.{name}": torch.zeros(3)}
        with pytest.raises(ValueError, match="is left over"):
            load_reference(other, extra, "mmseg", prefix="decode_head.")


def test_the_official_head():
    """Names of the published files: {'net': ...}, extractor, fc0 to fc2."""
    head = randomise(EMANetHead(16, 5, bases=6)).double().eval()
    ours = head.state_dict()
    layers = {
        "fc0.conv": "reduce.0",
        "fc0.bn": "reduce.1",
        "emau.conv1": "attention.project",
        "emau.conv2.0": "attention.out",
        "emau.conv2.1": "attention.norm",
        "fc1.0.conv": "narrow.0",
        "fc1.0.bn": "narrow.1",
        "fc2": "classes.1",
    }
    state = {
        f"{theirs}.{kind.removeprefix(own + '.')}": ours[kind]
        for theirs, own in layers.items()
        for kind in ours
        if kind.startswith(f"{own}.")
    }
    state["emau.mu"] = ours["attention.mu"]
    assert len(state) == len(ours)
    other = EMANetHead(16, 5, bases=6).double().eval()
    load_reference(other, state, "official")
    x = picture(1, 16)
    assert torch.equal(other(x), head(x))
    unit = EMAttention(4, bases=6).double().eval()
    load_reference(unit, state, "official", prefix="emau.")
    z = head.reduce(x)
    assert torch.equal(unit(z), head.attention(z))


def test_the_bare_second_convolution():
    unit = build(norm=False)
    state = {
        name.replace("project", "conv1").replace("out", "conv2"): value
        for name, value in unit.state_dict().items()
    }
    other = EMAttention(8, bases=5, norm=False).double()
    load_reference(other, state, "official")
    assert torch.equal(other.out.bias, unit.out.bias)


# Errors.


@pytest.mark.parametrize(
    ("options", "kind", "word"),
    [
        ({"bases": 0}, ValueError, "bases must be at least 1, got 0"),
        ({"stages": 0}, ValueError, "stages must be at least 1, got 0"),
        ({"stages": 2.0}, TypeError, "stages must be an integer"),
        ({"scale": 0.0}, ValueError, "scale must be above 0, got 0.0"),
        ({"variant": "paper"}, ValueError, "variant must be one of"),
        ({"differentiate": 1}, TypeError, "differentiate must be True or F"),
        ({"auto_update": "yes"}, TypeError, "auto_update must be True or F"),
        ({"decay": 1.1}, ValueError, r"decay must lie in \[0, 1\], got 1.1"),
        ({"norm": None}, TypeError, "norm must be True or False"),
        ({"norm_momentum": -1}, ValueError, "norm_momentum must lie in"),
        ({"impl": "sdpa"}, ValueError, "impl must be one of"),
    ],
)
def test_bad_options(options, kind, word):
    with pytest.raises(kind, match=word):
        EMAttention(8, **options)


def test_bad_bases():
    block = build()
    with pytest.raises(ValueError, match=r"bases must be \(B, 8, 5\), got"):
        block.update_bases(torch.zeros(2, 5, 8))
    with pytest.raises(TypeError, match="bases must be a floating-point"):
        block.update_bases(torch.zeros(2, 8, 5).long())
    with pytest.raises(TypeError, match="bases must be a tensor, got tuple"):
        block.update_bases(block(picture(), return_bases=True))


def test_bad_arguments_of_the_function():
    x, mu = torch.zeros(2, 8, 9), torch.zeros(1, 8, 5)
    run = expectation_maximization
    for bad, options, word in (
        ((x[0], mu), {}, r"x must be \(B, C, N\)"),
        ((x, mu[0]), {}, r"bases must be \(B, 8, K\)"),
        ((x, mu.expand(3, 8, 5)), {}, r"bases must be \(B, 8, K\)"),
        ((x, mu), {"weight": torch.zeros(8, 7)}, r"weight must be \(D, 8\)"),
        ((x, mu), {"weight": torch.zeros(4, 8)}, r"bases must be \(B, 4, K"),
        ((x, mu), {"bias": torch.zeros(8)}, "come with weight"),
        ((x, mu), {"guard": "none"}, "guard must be one of"),
        ((x, mu), {"impl": "fold"}, "did you mean 'folded'"),
        ((x, mu), {"stages": 0}, "stages must be at least 1"),
    ):
        with pytest.raises(ValueError, match=word):
            run(*bad, **options)
    with pytest.raises(TypeError, match="x must be a floating-point tensor"):
        run(x.long(), mu)


def test_the_head_refuses_bad_input():
    with pytest.raises(ValueError, match="EMANetHead was built for 32 chan"):
        EMANetHead(32, 5)(torch.zeros(1, 31, 4, 4))
    with pytest.raises(ValueError, match="num_classes must be at least 1"):
        EMANetHead(32, 0)
    with pytest.raises(ValueError, match="dropout must lie"):
        EMANetHead(32, 5, dropout=1.5)
    with pytest.raises(TypeError, match="concat_input must be True or False"):
        EMANetHead(32, 5, concat_input=1)
    with pytest.raises(ValueError, match="out_channels must be at least 1"):
        EMANetHead(32, 5, out_channels=0)
