"""ISANet: which step is long, what padding does, one path for each pair."""

import copy
import json
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from cases import RECORDED, Case, gradients, randomise
from safetensors.torch import load_file
from torch import nn

from attnlib import InterlacedSparseAttention, load_reference
from attnlib.cost import closed_form, count
from attnlib.functional import (
    crop,
    deinterlace,
    group_weights,
    interlace,
    interlaced_attention,
    interlaced_product,
    pad_to_multiple,
    regroup,
    softmax_attention,
    spread,
)
from attnlib.maps import rank, support

HEADS = Path(__file__).parent / "golden" / "heads"
exact = {"rtol": 1e-11, "atol": 1e-12}


def build(channels=8, **options):
    torch.manual_seed(0)
    block = InterlacedSparseAttention(channels, **options)
    return randomise(block).double().eval()


def random_map(*shape):
    generator = torch.Generator().manual_seed(5)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


# Which step is long


def test_long_groups_are_lattices_and_short_ones_are_windows():
    x = torch.arange(6.0 * 12).view(1, 1, 6, 12)
    long = interlace(x, (2, 3), step="long")[0, :, :, 0]
    short = interlace(x, (2, 3), step="short")[0, :, :, 0]
    assert long.shape == (6, 12)  # dh dw lattices of H'/dh x W'/dw
    assert short.shape == (12, 6)  # windows of dh x dw
    for a in range(2):
        for b in range(3):
            lattice = x[0, 0, a::2, b::3].flatten()
            assert torch.equal(long[3 * a + b], lattice)
    for i in range(3):
        for j in range(4):
            window = x[0, 0, 2 * i : 2 * i + 2, 3 * j : 3 * j + 3].flatten()
            assert torch.equal(short[4 * i + j], window)


@pytest.mark.parametrize("step", ["long", "short"])
def test_sorting_back(step):
    x = random_map(2, 3, 6, 12)
    groups = interlace(x, (2, 3), step=step)
    assert torch.equal(deinterlace(groups, (2, 3), (6, 12), step=step), x)
    assert groups.is_contiguous()


def moved_by(function, x, i):
    (slope,) = torch.autograd.grad(function(x)[0, :, i[0], i[1]].sum(), x)
    return slope[0].abs().sum(0) > 0


def test_reach_of_each_step_and_of_both():
    """The first step sees a lattice, the second a window, both see all."""
    block = build(down_factors=((2, 3),), norm="inplace_abn")
    x = random_map(1, 8, 6, 12).requires_grad_()
    i, impl = (3, 4), "reference"

    def first(t):
        return block.long[0](t, (2, 3), "long", impl)

    def second(t):
        return block.short[0](t, (2, 3), "short", impl)

    lattice = torch.zeros(6, 12, dtype=torch.bool)
    lattice[1::2, 1::3] = True
    window = torch.zeros(6, 12, dtype=torch.bool)
    window[2:4, 3:6] = True
    assert torch.equal(moved_by(first, x, i), lattice)
    assert torch.equal(moved_by(second, x, i), window)
    assert moved_by(block, x, i).all()


def test_the_whole_map_moves_each_output_over_padding():
    """9 x 8 becomes 10 x 9."""
    block = build(down_factors=((2, 3),), norm="inplace_abn")
    x = random_map(1, 8, 9, 8).requires_grad_()
    for i in ((0, 0), (8, 7), (4, 3)):
        assert moved_by(block, x, i).all()


# One operator for each move in a traced graph


@pytest.mark.parametrize(
    ("name", "shape", "args"),
    [
        ("pad", (2, 3, 5, 7), (8, 8)),
        ("crop", (2, 3, 8, 8), (5, 7)),
        ("to_groups", (2, 3, 6, 12), (2, 3, "long")),
        ("to_groups", (2, 3, 6, 12), (2, 3, "short")),
        ("from_groups", (2, 6, 12, 3), (2, 3, 6, 12, "long")),
        ("from_groups", (2, 12, 6, 3), (2, 3, 6, 12, "short")),
    ],
    ids=str,
)
def test_traced_moves_are_the_plain_ones(name, shape, args):
    """Value, shape on paper, first and second derivative."""
    plain = getattr(regroup, f"_{name}")
    x = random_map(*shape).requires_grad_()
    traced, y = regroup._OPS[name](x, *args), plain(x, *args)
    assert torch.equal(traced, y)
    probe = random_map(*y.shape).requires_grad_()
    slopes = [
        torch.autograd.grad(t, x, probe, create_graph=True)[0]
        for t in (traced, y)
    ]
    assert torch.equal(*slopes)
    other = random_map(*shape)
    second = [torch.autograd.grad(s, probe, other)[0] for s in slopes]
    assert torch.equal(*second)
    paper = regroup._OPS[name](torch.empty(shape, device="meta"), *args)
    assert paper.shape == y.shape


# The official computation, written out: projections behind the sorting.


def step_as_published(step, groups):
    """One step on (b, C, h, w), each a whole group."""
    q, k, v = (layer(groups) for layer in (step.query, step.key, step.value))
    sim = q.flatten(2).mT @ k.flatten(2) * k.shape[1] ** -0.5
    context = (v.flatten(2) @ sim.softmax(-1).mT).unflatten(
        2, groups.shape[2:]
    )
    return step.out(context)


def as_published(block, x):
    contexts = []
    (b, _, h, w), out = x.shape, block.out_channels
    for (dh, dw), long, short in zip(
        block.down_factors, block.long, block.short, strict=True
    ):
        oh, ow = -(-h // dh), -(-w // dw)
        top, left = (oh * dh - h) // 2, (ow * dw - w) // 2
        bottom, right = oh * dh - h - top, ow * dw - w - left
        u = F.pad(x, (left, right, top, bottom))
        u = u.view(b, -1, oh, dh, ow, dw).permute(0, 3, 5, 1, 2, 4)
        u = step_as_published(long, u.reshape(b * dh * dw, -1, oh, ow))
        u = u.view(b, dh, dw, out, oh, ow).permute(0, 4, 5, 3, 1, 2)
        u = step_as_published(short, u.reshape(b * oh * ow, out, dh, dw))
        u = u.view(b, oh, ow, out, dh, dw).permute(0, 3, 1, 4, 2, 5)
        u = u.reshape(b, out, oh * dh, ow * dw)
        contexts.append(u[:, :, top : top + h, left : left + w])
    identity = x if len(contexts) == 1 else block.up(x)
    return block.drop(block.out(torch.cat([identity, *contexts], 1)))


class Published(nn.Module):
    def __init__(self, block):
        super().__init__()
        self.block = block

    def forward(self, x):
        return as_published(self.block, x)


OPTIONS = [
    {},
    {"down_factors": ((3, 2),)},
    {"down_factors": ((2, 2), (3, 4)), "out_channels": 6},
    {"norm": "inplace_abn", "down_factors": ((2, 4),)},
    {"value_bias": True, "out_norm": False},
    {"norm": "inplace_abn", "down_factors": ((2, 2), (1, 3))},
]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("impl", InterlacedSparseAttention.impls)
@pytest.mark.parametrize("train", [True, False])
@pytest.mark.parametrize("size", [(5, 7), (6, 12), (1, 11)])
def test_projections_may_stand_before_the_sorting(options, impl, train, size):
    """Value, gradients and running statistics, padding included."""
    ours = build(**options, impl=impl).train(train)
    theirs = Published(copy.deepcopy(ours)).train(train)
    x = random_map(2, 8, *size)
    found, expected = gradients(ours, x), gradients(theirs, x)
    for name, value in found.items():
        inside = name in ("output", "input")
        other = expected[name if inside else f"block.{name}"]
        torch.testing.assert_close(value, other, rtol=1e-9, atol=1e-10)
    buffers = dict(theirs.block.named_buffers())
    for name, value in ours.named_buffers():
        torch.testing.assert_close(value, buffers[name])


# Padding


def test_the_larger_half_of_the_padding_stands_below_and_on_the_right():
    x = torch.ones(1, 1, 5, 7)
    y = pad_to_multiple(x, (8, 4))
    assert y.shape == (1, 1, 8, 8)
    assert y[0, 0, 1:6, 0:7].all()
    assert y.sum() == 35
    assert torch.equal(crop(y, (5, 7)), x)
    assert pad_to_multiple(x, (5, 7)) is x


def test_padded_positions_take_weight_and_give_nothing():
    block = build(down_factors=((4, 4),))
    x = random_map(1, 8, 5, 11)  # becomes 8 x 12
    sums = block.attention_map(x).sum(-1)
    assert sums.max() < 1
    long, _ = block.step_maps(x)
    outside = torch.ones(8, 12, dtype=torch.bool)
    outside[1:6, 0:11] = False
    value = block.long[0].value(pad_to_multiple(x, (4, 4)))
    assert (value[0][:, outside] == 0).all()
    share = long[0][:, outside.flatten()].sum(-1)
    assert share.max() > 0.1
    # With a bias the padding's value is the bias.
    other = build(down_factors=((4, 4),), value_bias=True)
    value = other.long[0].value(pad_to_multiple(x, (4, 4)))
    assert (value[0][:, outside].abs().sum(0) > 0).all()


def test_the_key_of_padding_is_no_zero():
    """The shift of the norm passes through both layers."""
    block = build()
    key = block.long[0].key(torch.zeros(1, 8, 1, 1, dtype=torch.float64))
    assert key.abs().max() > 0.1


def test_batch_statistics_count_the_padding():
    block = build().train()
    x = 3 + random_map(2, 8, 5, 7)
    before = block.long[0].query[1].running_mean.clone()
    block(x)
    seen = block.long[0].query[0](pad_to_multiple(x, (8, 8)))
    mean = 0.9 * before + 0.1 * seen.mean((0, 2, 3))
    torch.testing.assert_close(block.long[0].query[1].running_mean, mean)


def test_looking_at_the_map_leaves_the_statistics():
    block, x = build().train(), random_map(2, 8, 5, 7)
    before = {k: v.clone() for k, v in block.state_dict().items()}
    block.attention_map(x)
    block.attention_map(x, query=(0, 0))
    block.step_maps(x)
    for key, value in block.state_dict().items():
        assert torch.equal(value, before[key]), key


# The product of two sparse maps


def test_one_path_for_each_pair():
    block = build(down_factors=((2, 3),))
    x = random_map(1, 8, 6, 12)
    long, short = block.step_maps(x)
    paths = (short[0] > 0).double() @ (long[0] > 0).double()
    assert (paths == 1).all()
    assert (support(long) == 12).all()
    assert (support(short) == 6).all()
    product = block.attention_map(x)
    assert (support(product) == 72).all()
    torch.testing.assert_close(product[:, 0], short @ long)


def test_the_product_of_full_groups_has_full_rank():
    """A product of invertible maps; each position prefers itself here."""
    q = 2 * random_map(1, 6, 6, 12)
    weights = {
        step: group_weights(q, q, (2, 3), step=step)
        for step in ("long", "short")
    }
    size = (6, 12)
    product = interlaced_product(
        weights["long"], weights["short"], (2, 3), size
    )
    maps = {s: spread(w, (2, 3), size, step=s) for s, w in weights.items()}
    torch.testing.assert_close(product, maps["short"] @ maps["long"])
    assert (rank(product) == 72).all()
    assert (support(product) == 72).all()


def test_inside_a_window_all_hear_a_lattice_in_the_same_proportions():
    """What a dense map can do and this one cannot."""
    block = build(down_factors=((2, 3),))
    a = block.attention_map(random_map(1, 8, 6, 12))[0, 0]
    a = a.unflatten(0, (6, 12)).unflatten(2, (6, 12))
    lattice = a[2:4, 3:6][:, :, 1::2, 1::3].flatten(0, 1).flatten(1)
    shares = lattice / lattice.sum(-1, keepdim=True)
    torch.testing.assert_close(shares, shares[:1].expand_as(shares))


@pytest.mark.parametrize(
    "query", [(0, 0), (4, 6), (2, 3), (0, 6), (3, 1)], ids=str
)
def test_one_row_of_the_map(query):
    for options in ({}, {"down_factors": ((2, 3), (4, 2))}):
        block, x = build(**options), random_map(2, 8, 5, 7)
        rows = block.attention_map(x).unflatten(2, (5, 7))
        row = block.attention_map(x, query=query)
        expected = rows[:, :, query[0], query[1]].unflatten(2, (5, 7))
        torch.testing.assert_close(row, expected, **exact)


# Special factors


def test_factor_one_is_dense_and_then_nothing():
    """One lattice of all positions, windows of one: step 2 is a projection."""
    block, x = build(down_factors=((1, 1),)), random_map(2, 8, 5, 7)
    dense = block.long[0]
    q, k, v = (
        layer(x).flatten(2).mT
        for layer in (dense.query, dense.key, dense.value)
    )
    y = softmax_attention(q, k, v, scale=4**-0.5, impl="reference")
    y = dense.out(y.mT.unflatten(2, (5, 7)))
    near = block.short[0]
    y = near.out(near.value(y))
    y = block.out(torch.cat([x, y], 1))
    torch.testing.assert_close(block(x), y)


def test_the_whole_map_as_one_window_is_nothing_and_then_dense():
    block, x = build(down_factors=((5, 7),)), random_map(2, 8, 5, 7)
    long, short = block.step_maps(x)
    torch.testing.assert_close(long, torch.eye(35).double().expand(2, -1, -1))
    assert (short > 0).all()


@pytest.mark.parametrize("impl", ["reference", "sdpa", "chunked"])
def test_large_scores_in_half_precision(impl):
    q = torch.full((1, 64, 4, 4), 60.0, dtype=torch.float16)
    v = random_map(1, 64, 4, 4).half()
    for step in ("long", "short"):
        y = interlaced_attention(q, q, v, (2, 2), step=step, impl=impl)
        assert y.isfinite().all()
        groups = interlace(v.float(), (2, 2), step=step)
        mean = groups.mean(2, keepdim=True).expand_as(groups)
        even = deinterlace(mean, (2, 2), (4, 4), step=step)
        torch.testing.assert_close(y.float(), even, rtol=0, atol=2e-3)


# inplace_abn


def test_inplace_abn_uses_the_size_of_a_weight_and_a_slope():
    block = build(norm="inplace_abn", down_factors=((2, 3),))
    norm = block.out[1]
    x = random_map(2, 8, 4, 6)
    mean = norm.running_mean.view(1, -1, 1, 1)
    deviation = (norm.running_var + 1e-5).sqrt().view(1, -1, 1, 1)
    y = (x - mean) / deviation * (norm.weight.abs() + 1e-5).view(1, -1, 1, 1)
    y = y + norm.bias.view(1, -1, 1, 1)
    torch.testing.assert_close(norm(x), y)
    assert (norm.weight < 0).any()
    y = torch.where(y > 0, y, y / 100)
    torch.testing.assert_close(block.out[2](norm(x)), y)
    before = norm.running_mean.clone()
    norm.train()(x)
    mean = 0.9 * before + 0.1 * x.mean((0, 2, 3))
    torch.testing.assert_close(norm.running_mean, mean)
    assert norm.num_batches_tracked == 1


# Cost


def test_the_sheets_parameters():
    block = InterlacedSparseAttention(512, device="meta")
    assert closed_form(block, (1, 512, 8, 8)).parameters == 2_366_464
    sizes = [
        sum(p.numel() for p in m.parameters()) for m in (*block.long, block)
    ]
    assert sizes == [920_576, 2_366_464]
    more = InterlacedSparseAttention(
        512, down_factors=((8, 8), (4, 4)), device="meta"
    )
    extra = sum(p.numel() for p in more.parameters()) - 2_366_464
    joined = 512 * 1024 + 2 * 1024 + 2048 * 512 - 1024 * 512
    assert extra == 2 * 920_576 + joined


@pytest.mark.parametrize(
    ("size", "block_macs", "module_macs"),
    [
        ((97, 97), 21.8e9, 26.7e9),
        ((128, 128), 34.1e9, 42.7e9),
        ((256, 128), 74.6e9, 91.8e9),
    ],
)
def test_the_sheets_multiply_adds(size, block_macs, module_macs):
    block = InterlacedSparseAttention(512, device="meta")
    n = size[0] * size[1]
    macs = closed_form(block, (1, 512, *size), impl="reference").macs
    assert abs(macs / module_macs - 1) < 2e-3
    assert abs((macs - n * 1024 * 512) / block_macs - 1) < 2e-3


def test_the_best_factor_is_the_root_of_the_positions():
    shape = (1, 512, 128, 128)

    def macs(*factor):
        block = InterlacedSparseAttention(
            512, down_factors=(factor,), device="meta"
        )
        join = 128 * 128 * 1024 * 512
        return closed_form(block, shape, impl="reference").macs - join

    sheet = {(4, 4): 43.2, (8, 8): 34.1, (16, 16): 34.1, (8, 16): 33.3}
    for factor, expected in sheet.items():
        assert abs(macs(*factor) / 1e9 - expected) < 0.06
    every = [(2**a, 2**b) for a in range(8) for b in range(8)]
    assert min(macs(*f) for f in every) == macs(8, 16)


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("dropout", [0.0, 0.05])
def test_cost_with_dropout(options, dropout):
    block = build(**{**options, "out_channels": 6}, dropout=dropout)
    shape = (2, 8, 9, 11)
    for impl in block.impls:
        assert closed_form(block, shape, impl=impl) == count(
            block, shape, impl=impl
        )


def test_dropout_drops_whole_channels():
    block = build(dropout=0.5).train()
    torch.manual_seed(1)
    y = block(random_map(4, 8, 5, 7))
    dropped = (y.flatten(2) == 0).all(-1)
    block.drop.p = 0.0
    kept = (block(random_map(4, 8, 5, 7)).flatten(2) > 0).any(-1)
    assert (dropped & kept).any()
    assert not dropped.all()


# Names


def official_names(block):
    """Write a block's state under the official names (torchbn)."""
    state = {}
    for key, value in block.state_dict().items():
        name = key.replace("long.", "stages.").replace("short.", "stages.")
        for side in ("long", "short"):
            if key.startswith(side):
                number, rest = key[len(side) + 1 :].split(".", 1)
                name = f"stages.{number}.{side}_range_sa.{rest}"
        for layer in ("query", "key"):
            for ours, theirs in {"0": "0", "1": "1.0", "3": "2"}.items():
                name = name.replace(
                    f"_sa.{layer}.{ours}.", f"_sa.f_{layer}.{theirs}."
                )
            name = name.replace(f"_sa.{layer}.4.", f"_sa.f_{layer}.3.0.")
        name = name.replace("_sa.value.", "_sa.f_value.")
        w = "W." if not block.out_norm else "W.0."
        name = name.replace("_sa.out.0.", f"_sa.{w}")
        name = name.replace("_sa.out.1.", "_sa.W.1.0.")
        if key.startswith("out."):
            name = name.replace("out.0", "conv_bn.0")
            name = name.replace("out.1", "conv_bn.1.0")
        if key.startswith("up."):
            name = name.replace("up.0", "up_conv.0")
            name = name.replace("up.1", "up_conv.1.0")
        state[name] = value.clone()
    return state


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_official_names(options):
    block, other = build(**options), build(**options)
    randomise(other, 2.0)
    state = official_names(block)
    if options.get("norm") == "inplace_abn":  # no wrapper, no count
        state = {
            k.replace(".1.0.", ".1.").replace(".3.0.", ".3."): v
            for k, v in state.items()
            if not k.endswith("num_batches_tracked")
        }
        assert "conv_bn.1.weight" in state
    load_reference(other, state, "official")
    for key, value in block.state_dict().items():
        if not key.endswith("num_batches_tracked"):
            assert torch.equal(other.state_dict()[key], value), key
    block.out[1].weight.data += 1
    assert not torch.equal(other.out[1].weight, block.out[1].weight)


def test_the_head_of_mmsegmentation():
    """Its two relations and out_conv are our block, around them layers."""
    facts = json.loads((HEADS / "mmseg_isa.json").read_text())
    tensors = load_file(HEADS / "mmseg_isa.safetensors")
    args = facts["args"]
    state = {k[3:]: v for k, v in tensors.items() if k.startswith("sd.")}
    width = args["channels"]
    stem = nn.Sequential(
        nn.Conv2d(args["in_channels"], width, 3, padding=1, bias=False),
        nn.BatchNorm2d(width),
        nn.ReLU(),
    ).double()
    block = InterlacedSparseAttention(
        width,
        key_channels=args["isa_channels"],
        down_factors=[args["down_factor"]],
        value_bias=True,
    ).double()
    classes = nn.Conv2d(width, args["num_classes"], 1).double()
    ends = ("in_conv.", "conv_seg.")
    core = {k: v for k, v in state.items() if not k.startswith(ends)}
    load_reference(block, core, "mmseg")
    names = {"in_conv.conv.": "0.", "in_conv.bn.": "1."}
    stem.load_state_dict(
        {
            new + k[len(old) :]: v
            for k, v in state.items()
            for old, new in names.items()
            if k.startswith(old)
        }
    )
    classes.load_state_dict(
        {k[9:]: v for k, v in state.items() if k.startswith("conv_seg.")}
    )
    head = nn.Sequential(stem, block, classes).eval()
    x = tensors["input"].requires_grad_()
    y = head(x)
    close = RECORDED
    torch.testing.assert_close(y, tensors["output"], **close)
    (y * tensors["probe"]).sum().backward()
    torch.testing.assert_close(x.grad, tensors["grad_input"], **close)
    # Gradients too, brought to our names: the halves of out_conv swapped.
    recorded = copy.deepcopy(block)
    slopes = {k[5:]: v for k, v in tensors.items() if k.startswith("grad.")}
    slopes = {k: v for k, v in slopes.items() if not k.startswith(ends)}
    marked = {
        k: v.mul(torch.nan) if v.is_floating_point() else v
        for k, v in core.items()
    }
    load_reference(recorded, {**marked, **slopes}, "mmseg")
    compared = 0
    for name, theirs in recorded.named_parameters():
        if not theirs.isnan().any():
            compared += 1
            ours = block.get_parameter(name).grad
            torch.testing.assert_close(ours, theirs.detach(), **close)
    assert compared == len(slopes) > 0
    # Without the swap the shapes fit as well.
    wrong = copy.deepcopy(head)
    wrong[1].out[0].weight.data = wrong[1].out[0].weight.roll(width, 1)
    assert (wrong(x) - y).abs().max() > 1e-3


def test_a_head_of_mmsegmentation_needs_a_bias():
    block = build(value_bias=True)
    state = {"global_relation.value_project.bias": torch.zeros(8)}
    with pytest.raises(ValueError, match=r"key_project\.0\.conv\.weight is m"):
        load_reference(block, state, "mmseg")
    with pytest.raises(ValueError, match=r"value_project\.bias is left over"):
        load_reference(build(), state, "mmseg")
    two = build(value_bias=True, down_factors=((2, 2), (4, 4)))
    with pytest.raises(ValueError, match=r"long\.1.*has no counterpart"):
        load_reference(two, state, "mmseg")


# Bad arguments


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"down_factors": ((0, 2),)}, ValueError, "down_factors must be at"),
        ({"down_factors": (8, 8)}, TypeError, "down_factors must be a pair"),
        ({"down_factors": ((8, 8, 8),)}, TypeError, "must be a pair of int"),
        ({"down_factors": ((8.0, 8),)}, TypeError, "must be an integer"),
        ({"down_factors": ()}, TypeError, "must hold at least one pair"),
        ({"down_factors": 8}, TypeError, "must hold at least one pair"),
        ({"key_channels": 0}, ValueError, "key_channels must be at least"),
        ({"value_channels": 0}, ValueError, "value_channels must be at"),
        ({"out_channels": True}, TypeError, "out_channels must be an int"),
        ({"norm": "inplace"}, ValueError, "did you mean 'inplace_abn'"),
        ({"value_bias": 1}, TypeError, "value_bias must be True or False"),
        ({"out_norm": None}, TypeError, "out_norm must be True or False"),
        ({"dropout": 1.0}, ValueError, r"dropout must lie in \[0, 1\)"),
        ({"impl": "dense"}, ValueError, "impl must be one of"),
    ],
    ids=str,
)
def test_bad_options(options, error, message):
    with pytest.raises(error, match=message):
        InterlacedSparseAttention(8, **options)


def test_bad_arguments_of_the_functions():
    x = torch.zeros(1, 2, 5, 7)
    with pytest.raises(ValueError, match="factor must divide the size of x"):
        interlace(x, (2, 3), step="long")
    with pytest.raises(ValueError, match="step must be one of"):
        interlace(x, (5, 7), step="far")
    with pytest.raises(ValueError, match="step must be one of"):
        deinterlace(x, (5, 7), (5, 7), step="far")
    with pytest.raises(TypeError, match="x must be a floating-point"):
        pad_to_multiple(x.long(), (2, 2))
    with pytest.raises(ValueError, match=r"x must be \(B, C, H, W\)"):
        pad_to_multiple(x[0], (2, 2))
    with pytest.raises(TypeError, match="factor must be a pair"):
        pad_to_multiple(x, 2)
    with pytest.raises(ValueError, match="impl must be one of"):
        interlaced_attention(x, x, x, (5, 7), step="long", impl="dense")
    with pytest.raises(ValueError, match="stage must be one of"):
        build().step_maps(torch.zeros(1, 8, 5, 7).double(), 1)


def test_the_form_that_auto_takes():
    """Groups of more positions than channels leave the plain form."""
    from attnlib.functional.interlaced import resolve

    assert resolve("auto", 64, 64) == "reference"
    assert resolve("auto", 65, 64) == "auto"
    assert resolve("sdpa", 1, 64) == "sdpa"
    assert Case("isanet").build().impl == "auto"
