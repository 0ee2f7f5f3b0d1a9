"""Laws that hold for every block or every map, whatever the numbers."""

import pytest
import systems
import torch
from cases import CHANNELS, KEYS, Case, having, randomise
from systems.non_local import PAIRWISE

from attnlib import NonLocal, SelfAttention, create_block

each_map = pytest.mark.parametrize("case", having("map"), ids=str)
softmax_cases = pytest.mark.parametrize("case", having("softmax"), ids=str)


@each_map
def test_shape_of_the_map(case):
    block, x = case.build(), case.input()
    n = x.shape[2:].numel()
    full = block.attention_map(x)
    assert full.shape[0] == 2
    assert full.shape[2:] == (n, n)
    assert not full.requires_grad
    for query in ((0,) * case.dims, tuple(s - 1 for s in case.size)):
        row = block.attention_map(x, query=query)
        assert row.shape == (*full.shape[:2], *case.size)
        i = 0 if sum(query) == 0 else n - 1
        torch.testing.assert_close(row.flatten(2), full[:, :, i])


@each_map
def test_row_number_is_row_major(case):
    block, x = case.build(), case.input()
    numbers = torch.arange(x.shape[2:].numel()).view(case.size)
    query = tuple(min(1, s - 1) for s in case.size)
    row = block.attention_map(x)[:, :, int(numbers[query])]
    found = block.attention_map(x, query=query).flatten(2)
    torch.testing.assert_close(found, row)


@softmax_cases
def test_rows_are_weights(case):
    weights = case.build().attention_map(case.input())
    assert weights.min() >= 0
    sums = weights.sum(-1)
    torch.testing.assert_close(sums, torch.ones_like(sums))


@each_map
def test_map_rebuilds_forward(case):
    """The map is the one of forward: aggregate with it, project, compare."""
    block, x = case.build(), case.input()
    out = systems.owner(case.key).rebuild(block, x, block.attention_map(x))
    torch.testing.assert_close(out, block(x), rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("case", having("permutes"), ids=str)
def test_positions_have_no_names(case):
    """Permuting the positions of the input permutes those of the output."""
    block, x = case.build(), case.input()
    generator = torch.Generator().manual_seed(4)
    order = torch.randperm(x.shape[2:].numel(), generator=generator)

    def shuffle(t):
        return t.flatten(2)[..., order].view(t.shape)

    torch.testing.assert_close(block(shuffle(x)), shuffle(block(x)))


@pytest.mark.parametrize("case", having("transposes"), ids=str)
def test_transposing_the_picture_transposes_the_output(case):
    if case.dims == 1:
        return  # one axis: nothing to transpose
    block, x = case.build(), case.input()
    torch.testing.assert_close(block(x.mT), block(x).mT)


def moved(case):
    """Return which positions of x move the output's first position."""
    block, x = case.build(), case.input(1).requires_grad_()
    i = (0,) * case.dims
    (slope,) = torch.autograd.grad(block(x)[(0, slice(None), *i)].sum(), x)
    return slope[0].abs().sum(0) > 0


@pytest.mark.parametrize("case", having("everywhere"), ids=str)
def test_every_position_moves_every_output(case):
    assert moved(case).all()


@pytest.mark.parametrize("case", having("pooled"), ids=str)
def test_a_dropped_last_row_moves_nothing(case):
    pooled = range(max(0, case.dims - 2), case.dims)
    odd = [axis for axis in pooled if case.size[axis] % 2]
    assert odd
    for axis in odd:
        last = moved(case).select(axis, case.size[axis] - 1)
        assert not last.any()


@pytest.mark.parametrize("dims", [1, 2, 3])
@pytest.mark.parametrize("pairwise", PAIRWISE)
@pytest.mark.parametrize("norm", [True, False, "affine"])
@pytest.mark.parametrize("train", [True, False])
def test_non_local_starts_as_the_identity(dims, pairwise, norm, train):
    block = NonLocal(CHANNELS, dims=dims, pairwise=pairwise, norm=norm)
    block.train(train)
    x = torch.randn(2, CHANNELS, *[4] * dims)
    assert torch.equal(block(x), x)


def test_gamma_starts_at_zero_and_is_learned():
    block = SelfAttention(CHANNELS, reduction=4, gamma=True)
    x = torch.randn(2, CHANNELS, 5, 7)
    assert torch.equal(block(x), x)
    block(x).square().sum().backward()
    assert block.gamma.grad.abs() > 1e-3
    # Without gamma: no identity.
    assert not torch.equal(SelfAttention(CHANNELS)(x), x)


def test_concatenation_block_is_the_sum_over_pairs():
    """y_i = 1/M sum_j ReLU(w_f . [theta_i; phi_j]) g_j, as it stands."""
    block = NonLocal(CHANNELS, pairwise="concatenation", norm=False)
    block = randomise(block).double()
    x = torch.randn(1, CHANNELS, 3, 4, dtype=torch.float64)
    theta, phi, g = (
        layer(x)[0].flatten(1).T
        for layer in (block.query, block.key, block.value)
    )
    rows = []
    for t in theta:
        f = [(block.w_f @ torch.cat([t, p])).relu() for p in phi]
        rows.append(sum(f_j * g_j for f_j, g_j in zip(f, g, strict=True)) / 12)
    y = torch.stack(rows).T.view(1, -1, 3, 4)
    torch.testing.assert_close(block(x), block.out(y) + x)


@pytest.mark.parametrize("name", ["paper", "official", "alexhex7", "mmcv"])
def test_presets(name):
    torch.manual_seed(0)
    block = NonLocal.preset(name, 64)
    x = torch.randn(1, 64, 8, 8)
    assert torch.equal(block(x), x)
    facts = {
        "paper": ("after", False, True),
        "official": ("before", True, True),
        "alexhex7": ("after", False, True),
        "mmcv": (None, True, False),
    }[name]
    has_norm = isinstance(block.norm, torch.nn.BatchNorm2d)
    assert (block.subsample, block.scale, has_norm) == facts
    deviation = block.query.weight.std().item()
    if name in ("official", "mmcv"):
        assert 0.009 < deviation < 0.011
        assert not block.query.bias.any()
    elif name == "paper":
        assert 0.9 < deviation / (2 / 64) ** 0.5 < 1.1
    else:
        assert block.query.bias.any()
    options = {"dims": 1, "pairwise": "dot_product", "inter_channels": 3}
    assert NonLocal.preset(name, 4, **options).dims == 1


def test_scale_acts_on_the_embedded_gaussian_alone():
    x = torch.randn(1, CHANNELS, 5, 7, dtype=torch.float64)
    for pairwise in PAIRWISE:
        maps = []
        for scale in (True, False):
            torch.manual_seed(0)
            block = NonLocal(CHANNELS, pairwise=pairwise, scale=scale).double()
            maps.append(block.attention_map(x))
        assert torch.equal(*maps) == (pairwise != "embedded_gaussian")
        if pairwise == "embedded_gaussian":
            logits = [m.log() - m.log().mean(-1, keepdim=True) for m in maps]
            scaled = logits[1] * block.inter_channels**-0.5
            torch.testing.assert_close(logits[0], scaled)


@pytest.mark.parametrize("pairwise", ["embedded_gaussian", "gaussian"])
def test_self_attention_and_non_local_hold_the_same_sum(pairwise):
    """NonLocal minus its residual is SelfAttention with its four matrices."""
    torch.manual_seed(0)
    ours = NonLocal(CHANNELS, inter_channels=CHANNELS, norm=False).double()
    other = SelfAttention(CHANNELS).double()
    pairs = {"query": "f", "key": "g", "value": "h", "out": "o"}
    for a, b in pairs.items():
        getattr(ours, a).load_state_dict(getattr(other, b).state_dict())
    if pairwise == "gaussian":
        # exp(x . x): the embedding with identity matrices
        options = {"inter_channels": CHANNELS, "norm": False}
        ours = NonLocal(CHANNELS, pairwise="gaussian", **options).double()
        ours.value.load_state_dict(other.h.state_dict())
        ours.out.load_state_dict(other.o.state_dict())
        for layer in (other.f, other.g):
            torch.nn.init.dirac_(layer.weight)
            torch.nn.init.zeros_(layer.bias)
    x = torch.randn(2, CHANNELS, 5, 7, dtype=torch.float64)
    torch.testing.assert_close(ours(x) - x, other(x))


@pytest.mark.parametrize("case", having("shift"), ids=str)
def test_a_key_bias_cannot_matter(case):
    """A constant added to a row of scores cancels: zero gradient."""
    name = systems.owner(case.key).KEY_BIAS
    block = case.build()
    parameters = dict(block.named_parameters())
    block(case.input()).square().sum().backward()
    sizes = {n: p.grad.abs().max() for n, p in parameters.items()}
    assert sizes.pop(name) < 1e-12 * max(sizes.values())
    before = block(case.input())
    parameters[name].data += 5.0
    torch.testing.assert_close(block(case.input()), before)


def test_large_scores_stay_finite():
    for key in KEYS:
        torch.manual_seed(0)
        block = create_block(key, CHANNELS).double()
        x = 1000 * torch.randn(2, CHANNELS, 9, 11, dtype=torch.float64)
        if hasattr(block, "attention_map"):
            assert block.attention_map(x).isfinite().all()
        assert block(x).isfinite().all()


def test_train_and_eval_differ_by_batch_statistics_alone():
    case = Case("nonlocal")
    x = case.input()
    block = case.build().train()
    y = block(x)
    aggregated = block.eval()
    aggregated.norm.train()
    torch.testing.assert_close(aggregated(x), y)
