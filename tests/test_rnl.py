"""RNL: one projection, regions, the dense kernel under a mask, the gate."""

import pytest
import torch
from cases import randomise

from attnlib import ChannelGate, NonLocal, RegionNonLocal, load_reference
from attnlib.cost import closed_form


def test_the_block_is_the_sum_over_regions():
    block = randomise(RegionNonLocal(6, norm=False)).double()
    x = torch.randn(1, 6, 3, 4, dtype=torch.float64)
    v = block.value(x)[0]  # (3, H, W)
    kernel = block.region.weight[:, 0]  # (3, 3, 3)
    padded = torch.nn.functional.pad(v, (1, 1, 1, 1))
    p = torch.stack(
        [
            (padded[:, i : i + 3, j : j + 3] * kernel).sum((1, 2))
            for i in range(3)
            for j in range(4)
        ]
    )  # (N, 3)
    values = v.flatten(1).T
    rows = []
    for p_i in p:
        f = [(p_i @ p_j).exp() for p_j in p]
        y_i = sum(a * b for a, b in zip(f, values, strict=True)) / sum(f)
        rows.append(y_i)
    y = torch.stack(rows).T.view(1, 3, 3, 4)
    torch.testing.assert_close(block(x), x + block.out(y))


def test_without_softmax_a_negative_score_counts_nothing():
    block = randomise(RegionNonLocal(6, pairwise="relu", norm=False)).double()
    x = torch.randn(1, 6, 3, 4, dtype=torch.float64)
    v = block.value(x)[0]  # (3, H, W)
    p, values = block.region(v[None])[0].flatten(1).T, v.flatten(1).T
    rows = []
    for p_i in p:
        f = [max(p_i @ p_j, 0) for p_j in p]
        rows.append(sum(a * b for a, b in zip(f, values, strict=True)))
    y = torch.stack(rows) / len(p)
    assert (p @ p.T).min() < 0 < (p @ p.T).max()
    z = block.out(y.T.view(1, 3, 3, 4))
    torch.testing.assert_close(block(x), x + z)
    expected = (p @ p.T).clamp(min=0) / len(p)
    torch.testing.assert_close(block.attention_map(x)[0, 0], expected)


def test_scores_are_symmetric_without_pooling():
    block = randomise(RegionNonLocal(8)).double()
    a = block.attention_map(torch.randn(1, 8, 5, 7).double())[0, 0].log()
    # log A = S - row constant: S is symmetric where a_ij - a_ji depends on
    # i and j by a difference of constants
    c = (a - a.T)[:, :1]
    torch.testing.assert_close(a - a.T, c - c.T)


def test_without_region_it_is_a_non_local_block_with_one_projection():
    ours = randomise(RegionNonLocal(8, kernel_size=1, norm=False)).double()
    other = NonLocal(8, norm=False).double()
    for layer in (other.query, other.key, other.value):
        layer.load_state_dict(ours.value.state_dict())
    other.out.load_state_dict(ours.out.state_dict())
    x = torch.randn(2, 8, 5, 7, dtype=torch.float64)
    torch.testing.assert_close(ours(x), other(x))


def test_three_dimensions_with_one_frame_are_two():
    flat = randomise(RegionNonLocal(8, kernel_size=(3, 5), subsample=True))
    deep = RegionNonLocal(8, dims=3, kernel_size=(1, 3, 5), subsample=True)
    state = {
        k: v[:, :, None] if v.ndim == 4 else v
        for k, v in flat.state_dict().items()
    }
    deep.load_state_dict(state)
    x = torch.randn(2, 8, 5, 7)
    y = deep.eval()(x[:, :, None])[:, :, 0]
    torch.testing.assert_close(y, flat.eval()(x))


@pytest.mark.parametrize("channels", [64, 128])  # groups of 32 and of 2 x 32
def test_only_the_live_filter_of_a_dense_kernel_counts(channels):
    d = channels // 2
    block = RegionNonLocal(channels, dims=3, kernel_size=3)
    state = {
        "theta.weight": block.value.weight.detach(),
        "theta.bias": block.value.bias.detach(),
        "penta.mask": torch.zeros(d, 32, 3, 3, 3),
        "penta.weight": torch.randn(d, 32, 3, 3, 3),
        "W.0.weight": block.out.weight.detach(),
        "W.0.bias": block.out.bias.detach(),
        **{f"W.1.{k}": v for k, v in block.norm.state_dict().items()},
    }
    load_reference(block, state, "official")
    for i in range(d):
        expected = state["penta.weight"][i, i % 32]
        assert torch.equal(block.region.weight[i, 0], expected)
    # The dense convolution under its mask computes the same.
    groups = max(d // 32, 1)
    mask = torch.zeros(d, d // groups, 3, 3, 3)
    mask[range(d), [i % (d // groups) for i in range(d)]] = 1
    v = torch.randn(1, d, 3, 4, 5)
    dense = torch.nn.functional.conv3d(
        v, state["penta.weight"] * mask, padding=1, groups=groups
    )
    torch.testing.assert_close(block.region(v), dense, rtol=1e-4, atol=1e-5)


def test_the_names_of_the_post():
    block = RegionNonLocal(8, region="dense", norm=False)
    names = {"value": "g", "region": "F", "out": "o"}
    state = {
        f"{names[k.split('.')[0]]}.{k.split('.')[1]}": v + 1
        for k, v in block.state_dict().items()
    }
    before = block.region.bias.clone()
    load_reference(block, state, "post")
    assert torch.equal(block.region.bias, before + 1)


def test_the_region_starts_as_small_as_the_official_one():
    block = RegionNonLocal(512, dims=3, kernel_size=(3, 7, 7))
    assert abs(block.region.weight.std() / 0.0069 - 1) < 0.02


@pytest.mark.parametrize(
    ("channels", "kernel", "parameters"),
    [(512, (3, 7, 7), 301_568), (1024, (3, 3, 3), 1_065_984)],
)
def test_the_sheets_numbers(channels, kernel, parameters):
    block = RegionNonLocal(channels, dims=3, kernel_size=kernel, device="meta")
    cost = closed_form(block, (1, channels, 8, 28, 28), impl="reference")
    assert cost.parameters == parameters
    plain = NonLocal(channels, dims=3, device="meta")
    other = sum(p.numel() for p in plain.parameters())
    assert 0.5 < parameters / other < 0.6
    n, d = 6272, channels // 2
    assert (
        cost.macs
        == 2 * n * channels * d
        + n * d * torch.Size(kernel).numel()
        + 2 * n * n * d
    )


@pytest.mark.parametrize("cls", [RegionNonLocal, ChannelGate])
@pytest.mark.parametrize("train", [True, False])
def test_starts_as_the_identity(cls, train):
    x = torch.randn(2, 16, 5, 7)
    assert torch.equal(cls(16).train(train)(x), x)


def test_the_gate_adds_one_number_a_channel():
    gate = randomise(ChannelGate(8, reduction=2)).double().eval()
    x = torch.randn(2, 8, 5, 7, dtype=torch.float64)
    shift = gate(x) - x
    torch.testing.assert_close(shift, shift[..., :1, :1].expand_as(shift))
    with pytest.raises(ValueError, match="takes at least 2 images"):
        gate.train()(x[:1])
    assert gate.norm.momentum == 0.01


def test_bad_kernels_are_refused():
    for bad, kind, word in (
        (2, ValueError, "kernel_size must be odd, got 2"),
        ((3, 3, 3), ValueError, "kernel_size must have 2 numbers"),
        (3.0, TypeError, "kernel_size must be an integer"),
        (-1, ValueError, "kernel_size must be at least 1"),
    ):
        with pytest.raises(kind, match=word):
            RegionNonLocal(8, kernel_size=bad)
