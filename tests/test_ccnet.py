"""CCNet's block: the official lines, the loop, its reach, its numbers."""

import itertools

import pytest
import torch
from cases import randomise
from crosses import official, slopes
from torch.utils.checkpoint import checkpoint

from attnlib import (
    CCNetHead,
    CrissCrossAttention,
    PositionAttention,
    RecurrentCrissCrossAttention,
    load_reference,
    maps,
)
from attnlib.cost import closed_form
from attnlib.functional import criss_cross_map, merged
from attnlib.memory import kept_bytes

FORMS = ("reference", "merged")
each_form = pytest.mark.parametrize("impl", FORMS)


@each_form
@pytest.mark.parametrize("size", [(5, 7), (1, 6), (6, 1), (1, 1)], ids=str)
def test_the_official_lines(size, impl):
    block = randomise(CrissCrossAttention(16, impl=impl)).double()
    x = torch.randn(2, 16, *size, dtype=torch.float64)
    torch.testing.assert_close(block(x), official(x, block))


def moved(block, size, at):
    """Return which positions of the input move one of the output."""
    x = torch.randn(1, block.in_channels, *size).double().requires_grad_()
    out = block(x)[(0, slice(None), *at)].sum()
    (slope,) = torch.autograd.grad(out, x)
    return slope[0].abs().sum(0) > 0


@each_form
@pytest.mark.parametrize(
    ("dims", "recurrence", "share"),
    [(1, 1, 7), (2, 1, 11), (2, 2, 35), (3, 1, 10), (3, 2, 36), (3, 3, 60)],
)
def test_how_far_each_number_of_passes_sees(dims, recurrence, share, impl):
    """Exactly the positions that differ in at most R coordinates."""
    size = {1: (7,), 2: (5, 7), 3: (3, 4, 5)}[dims]
    block = RecurrentCrissCrossAttention(
        8, recurrence=recurrence, dims=dims, impl=impl
    )
    block = randomise(block).double()
    at = tuple(s // 2 for s in size)
    seen = moved(block, size, at)
    where = torch.tensor(list(itertools.product(*map(range, size))))
    differs = (where != torch.tensor(at)).sum(-1).view(size)
    assert torch.equal(seen, differs <= recurrence)
    assert seen.sum() == share


def test_two_passes_go_around_two_corners():
    """The product's entry off the cross: two ways, by the two corners."""
    block = randomise(RecurrentCrissCrossAttention(8)).double()
    x = torch.randn(1, 8, 4, 5, dtype=torch.float64)
    first, second = (criss_cross_map(w)[0].detach() for w in block._passes(x))
    product = block.attention_map(x)[0, 0]

    def number(y, x):
        return 5 * y + x

    u, t = number(1, 1), number(3, 4)
    corners = [number(1, 4), number(3, 1)]
    ways = sum(second[u, c] * first[c, t] for c in corners)
    torch.testing.assert_close(product[u, t], ways)
    assert product.min() > 0
    assert maps.rank(product[None, None]).item() == 20


def test_rows_and_columns_have_no_names():
    """Permuting rows, or columns, permutes the output; other pairs do not."""
    block = randomise(RecurrentCrissCrossAttention(8)).double()
    x = torch.randn(2, 8, 5, 7, dtype=torch.float64)
    rows, columns = torch.randperm(5), torch.randperm(7)

    def shuffle(t):
        return t[:, :, rows][..., columns]

    torch.testing.assert_close(block(shuffle(x)), shuffle(block(x)))
    swapped = x.flatten(2)
    swapped[..., [0, 8]] = swapped[..., [8, 0]]
    y = block(x).flatten(2)
    y[..., [0, 8]] = y[..., [8, 0]]
    assert (block(swapped.view(x.shape)).flatten(2) - y).abs().max() > 1e-3


def test_a_line_is_dense_attention():
    """dims=1: the cross is everything (position attention's sums)."""
    line = randomise(CrissCrossAttention(8, dims=1)).double()
    flat = PositionAttention(8).double()
    state = {
        k: v[..., None] if v.ndim == 3 else v
        for k, v in line.state_dict().items()
    }
    flat.load_state_dict(state)
    x = torch.randn(2, 8, 1, 9, dtype=torch.float64)
    torch.testing.assert_close(line(x[:, :, 0]), flat(x)[:, :, 0])


def test_a_clip_of_one_frame_is_a_picture():
    deep = randomise(RecurrentCrissCrossAttention(8, dims=3)).double()
    flat = RecurrentCrissCrossAttention(8).double()
    state = {
        k: v[..., 0] if v.ndim == 5 else v
        for k, v in deep.state_dict().items()
    }
    flat.load_state_dict(state)
    x = torch.randn(2, 8, 1, 5, 6, dtype=torch.float64)
    torch.testing.assert_close(deep(x)[:, :, 0], flat(x[:, :, 0]))


def test_gamma_fixed_at_one_is_the_paper():
    learned = randomise(CrissCrossAttention(8)).double()
    torch.nn.init.ones_(learned.gamma)
    fixed = CrissCrossAttention(8, gamma=False).double()
    state = learned.state_dict()
    del state["gamma"]
    fixed.load_state_dict(state)
    x = torch.randn(2, 8, 5, 7, dtype=torch.float64)
    torch.testing.assert_close(fixed(x), learned(x))
    names = {k.replace(".", "_conv."): v for k, v in state.items()}
    with pytest.raises(ValueError, match="the block has no gamma, which the"):
        load_reference(fixed, names, "official")


@pytest.mark.parametrize(
    "cls", [CrissCrossAttention, RecurrentCrissCrossAttention]
)
def test_starts_as_the_identity(cls):
    block = cls(16)
    x = torch.randn(2, 16, 5, 7)
    assert torch.equal(block(x), x)
    block(x).square().sum().backward()
    assert block.gamma.grad.abs() > 1e-3
    for name, parameter in block.named_parameters():
        assert name == "gamma" or not parameter.grad.any()


def test_gamma_is_folded_where_it_costs_no_precision():
    """Not in half precision, whose weights a small gamma would round."""
    block = CrissCrossAttention(8)
    assert block._folds()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert not block._folds()
    assert not CrissCrossAttention(8, impl="reference")._folds()
    for dtype in (torch.float16, torch.bfloat16):
        half = CrissCrossAttention(8, dtype=dtype)
        assert not half._folds()
        torch.nn.init.constant_(half.gamma, 1e-3)
        plain = CrissCrossAttention(8, dtype=dtype, impl="reference")
        plain.load_state_dict(half.state_dict())
        x = torch.randn(1, 8, 5, 7).to(dtype)
        torch.testing.assert_close(half(x), plain(x))


def test_key_channels_are_an_integer_division():
    assert CrissCrossAttention(12).key_channels == 1
    assert CrissCrossAttention(12, reduction=5).key_channels == 2
    with pytest.raises(ValueError, match="in_channels must be at least reduc"):
        CrissCrossAttention(7)


@pytest.mark.parametrize(
    ("options", "kind", "word"),
    [
        ({"reduction": 0}, ValueError, "reduction must be at least 1"),
        ({"reduction": 9}, ValueError, "at least reduction = 9"),
        ({"dims": 4}, ValueError, "dims must be one of"),
        ({"gamma": 1}, TypeError, "gamma must be True or False"),
        ({"impl": "sdpa"}, ValueError, "impl must be one of"),
        ({"recurrence": 0}, ValueError, "recurrence must be at least 1"),
        ({"recurrence": 2.0}, TypeError, "recurrence must be an integer"),
    ],
)
def test_bad_options(options, kind, word):
    with pytest.raises(kind, match=word):
        RecurrentCrissCrossAttention(8, **options)


# The sheet's numbers


def test_parameters():
    for cls in (CrissCrossAttention, RecurrentCrissCrossAttention):
        block = cls(512, device="meta")
        assert sum(p.numel() for p in block.parameters()) == 328_321
    head = CCNetHead(2048, 19, device="meta")
    assert sum(p.numel() for p in head.parameters()) == 23_934_100


def test_multiply_adds_of_the_papers_table():
    """108.15 and 16.54 GFLOP, which are twice the multiply-adds."""
    shape = (1, 512, 97, 97)
    n, c, d, cross = 97**2, 512, 64, 2 * 97
    one = n * c * (c + 2 * d) + n * cross * (d + c)
    for passes, giga in ((1, 8.27), (2, 16.54), (3, 24.81)):
        block = RecurrentCrissCrossAttention(
            512, recurrence=passes, device="meta"
        )
        macs = closed_form(block, shape).macs
        assert macs == passes * one
        assert round(2 * macs / 1e9, 2) == giga
    dense_block = PositionAttention(512, device="meta")
    whole = closed_form(dense_block, shape, impl="reference").macs
    assert round(2 * whole / 1e9, 2) == 108.15
    assert round(1 - 2 * one / whole, 3) == 0.847


def test_the_authors_own_sum():
    """2 * 97^2 (513 * 64 * 2 + 513 * 512 + 195 * 64 + 195 * 512).

    It counts biases as a 513th channel and a cross of 195.
    """
    n = 97**2
    theirs = 2 * n * (513 * 64 * 2 + 513 * 512 + 195 * 64 + 195 * 512)
    assert round(theirs / 1e9, 2) == 8.29
    block = CrissCrossAttention(512, device="meta")
    ours = 2 * closed_form(block, (1, 512, 97, 97)).macs
    assert abs(theirs / ours - 1) < 3e-3


def test_size_of_the_maps():
    """Floats of the maps at 97 x 97: one N^2, or two of N (H + W)."""
    n = 97**2
    assert round(4 * n * n / 2**20, 1) == 337.7
    assert round(4 * n * 2 * 97 / 2**20, 1) == 7.0


@pytest.mark.parametrize("recurrence", [1, 3])
def test_growth_with_the_map(recurrence):
    """Attention alone: N^1.5 for squares; from side to twice the side 8."""
    work = []
    for side in (64, 128):
        block = RecurrentCrissCrossAttention(
            8, recurrence=recurrence, device="meta"
        )
        macs = closed_form(block, (1, 8, side, side)).macs
        work.append(macs - recurrence * side**2 * 8 * (8 + 2))
    assert work[1] == 8 * work[0]


def test_the_gradient_is_laid_out_once(monkeypatch):
    """No pass sees one whose channels come first."""
    block = randomise(RecurrentCrissCrossAttention(8)).double()
    x = torch.randn(2, 8, 5, 7, dtype=torch.float64, requires_grad=True)
    backward, seen = merged._merged_backward, []

    def spy(grad, *others):
        seen.append(grad.is_contiguous())
        return backward(grad, *others)

    monkeypatch.setattr(merged, "_merged_backward", spy)
    block(x).square().sum().backward()
    assert seen == [True, True]


def test_functional_gradients_of_the_block():
    """``torch.func`` takes the plain form: no operator of ours knows it."""
    block = RecurrentCrissCrossAttention(8, impl="reference")
    block = randomise(block).double()
    x = torch.randn(2, 8, 5, 7, dtype=torch.float64, requires_grad=True)
    (expected,) = torch.autograd.grad(block(x).square().sum(), x)
    slope = torch.func.grad(lambda x: block(x).square().sum())(x.detach())
    torch.testing.assert_close(slope, expected)


def test_checkpointed_passes_keep_their_inputs_alone():
    """R passes, each recomputed: what the loop would keep is gone."""
    block = randomise(CrissCrossAttention(8)).double()
    x = torch.randn(2, 8, 5, 7, dtype=torch.float64, requires_grad=True)

    def plain(x):
        for _ in range(3):
            x = block(x)
        return x

    def sparing(x):
        for _ in range(3):
            x = checkpoint(block, x, use_reentrant=False)
        return x

    loop = RecurrentCrissCrossAttention(8, recurrence=3).double()
    loop.load_state_dict(block.state_dict())
    expected = loop(x)
    leaves = [x, *block.parameters()]
    want = slopes(expected, [x, *loop.parameters()])
    for function in (plain, sparing):
        y = function(x)
        torch.testing.assert_close(y, expected)
        for a, b in zip(slopes(y, leaves), want, strict=True):
            torch.testing.assert_close(a, b)
    parameters = list(block.parameters())
    full = kept_bytes(plain, x, without=parameters)
    kept = kept_bytes(sparing, x, without=parameters)
    assert kept == 3 * x.nbytes < full / 2  # the input of each pass
