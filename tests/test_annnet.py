"""ANNNet: anchors, what is shared, two updates in one, the fusion."""

import copy
import json
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from cases import RECORDED, randomise
from safetensors.torch import load_file
from torch import nn

from attnlib import FusionPyramidNonLocal, PyramidNonLocal, load_reference
from attnlib.cost import closed_form, count
from attnlib.functional import pyramid_matrix, pyramid_pool
from attnlib.functional.pyramid import POOL_IMPLS

PYRAMID = (1, 3, 6, 8)
GOLDEN = Path(__file__).parent / "golden"


def randn(*shape, dtype=torch.float64, seed=0):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(shape, generator=generator, dtype=torch.float64)
    return x.to(dtype)


def both(**options):
    """Return one block in both forms."""
    cls = options.pop("cls", PyramidNonLocal)
    block = randomise(cls(8, dtype=torch.float64, **options))
    other = copy.deepcopy(block)
    block.impl, other.impl = "reference", "anchored"
    return block, other


# Anchors


def by_hand(x, sizes):
    """Means over bins from floor(i n / s) to ceil((i + 1) n / s)."""
    h, w = x.shape[2:]
    anchors = []
    for s in sizes:
        for i in range(s):
            for j in range(s):
                rows = slice(i * h // s, -(-(i + 1) * h // s))
                columns = slice(j * w // s, -(-(j + 1) * w // s))
                anchors.append(x[:, :, rows, columns].mean((2, 3)))
    return torch.stack(anchors, dim=1)


@pytest.mark.parametrize("impl", POOL_IMPLS)
@pytest.mark.parametrize("size", [(9, 12), (24, 24), (5, 7), (1, 11), (1, 1)])
@pytest.mark.parametrize("sizes", [PYRAMID, (2,), (5, 1)], ids=str)
def test_anchors_are_means_over_bins(impl, size, sizes):
    x = randn(2, 3, *size)
    found = pyramid_pool(x, sizes, impl=impl)
    assert found.shape == (2, sum(s * s for s in sizes), 3)
    torch.testing.assert_close(found, by_hand(x, sizes))
    matrix = pyramid_matrix(size, sizes, dtype=torch.float64)
    torch.testing.assert_close(found, matrix @ x.flatten(2).mT)
    sums = matrix.sum(1)
    torch.testing.assert_close(sums, torch.ones_like(sums))


def test_there_are_110_of_them_and_the_bins_overlap():
    matrix = pyramid_matrix((12, 10), PYRAMID)
    assert matrix.shape == (110, 120)
    per_size = matrix.split([1, 9, 36, 64])
    covered = [(part > 0).sum(0) for part in per_size]
    assert [int(c.max()) for c in covered] == [1, 2, 2, 4]
    assert all(c.min() == 1 for c in covered)


@pytest.mark.parametrize("size", [(9, 12), (4, 5)])
def test_both_ways_to_pool_have_one_gradient(size):
    x = randn(2, 3, *size).requires_grad_()
    slopes = []
    for impl in ("reference", "separable"):
        y = pyramid_pool(x, PYRAMID, impl=impl)
        (slope,) = torch.autograd.grad((y * randn(*y.shape, seed=1)).sum(), x)
        slopes.append(slope)
    torch.testing.assert_close(*slopes)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_summed_in_float32(dtype):
    """The sum of 9216 numbers near 100 leaves float16."""
    x = (100 + randn(1, 2, 96, 96)).to(dtype)
    for impl in POOL_IMPLS:
        found = pyramid_pool(x, PYRAMID, impl=impl)
        assert found.dtype == dtype
        exact = pyramid_pool(x.double(), PYRAMID).to(dtype)
        assert torch.equal(found, exact)


@pytest.mark.parametrize(
    ("x", "sizes", "kind", "word"),
    [
        (torch.zeros(2, 3, 4), PYRAMID, ValueError, r"x must be \(B, C, H"),
        (torch.zeros(2, 3, 0, 4), PYRAMID, ValueError, "at least one posit"),
        (torch.zeros(1, 1, 2, 2).long(), PYRAMID, TypeError, "floating-point"),
        (torch.zeros(1, 1, 2, 2), (), ValueError, "at least one size"),
        (torch.zeros(1, 1, 2, 2), (1, 0), ValueError, "sizes must be at le"),
        (torch.zeros(1, 1, 2, 2), (1.0,), TypeError, "must be an integer"),
        (torch.zeros(1, 1, 2, 2), 3, TypeError, "sizes must be a tuple"),
    ],
)
def test_bad_input_of_the_pooling(x, sizes, kind, word):
    with pytest.raises(kind, match=word):
        pyramid_pool(x, sizes)
    if x.ndim == 4 and x.is_floating_point() and x.numel():
        with pytest.raises(kind, match=word):
            pyramid_matrix((2, 2), sizes)


# The block


def test_the_formula_as_it_stands():
    """One sum over anchors a position, then W, then the fusion."""
    block = randomise(PyramidNonLocal(6, key_channels=4, value_channels=3))
    block = block.double().eval()
    x = randn(1, 6, 4, 5)
    f, v = block.key(x), block.value(x)
    keys, values = (by_hand(t, PYRAMID)[0] for t in (f, v))
    rows = []
    for q in f[0].flatten(1).T:
        weight = [(q @ k / 4**0.5).exp() for k in keys]
        pairs = zip(weight, values, strict=True)
        rows.append(sum(w * v for w, v in pairs) / sum(weight))
    context = block.out(torch.stack(rows).T.view(1, 3, 4, 5))
    z = block.fuse[0](torch.cat([context, x], dim=1))  # the context first
    torch.testing.assert_close(block(x), block.fuse[1](z).relu())
    block.fuse = None
    torch.testing.assert_close(block(x), context)


OPTIONS = [
    {},
    {"share": None},
    {"share": "key_value"},
    {"norm": False, "scale": False},
    {"fuse": False, "out_channels": 5},
    {"bias": False, "out_channels": 11, "value_channels": 3},
    {"cls": FusionPyramidNonLocal},
    {"cls": FusionPyramidNonLocal, "low_channels": 5, "key_channels": 4},
    {"cls": FusionPyramidNonLocal, "low_channels": 5, "out_norm": True},
    {"cls": FusionPyramidNonLocal, "fuse": False, "out_norm": True},
]


@pytest.mark.parametrize("train", [True, False])
@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_both_forms_agree(options, train):
    """In value, in every gradient, in every buffer."""
    results = []
    for block in both(dropout=0.0, **options):
        block.train(train)
        inputs = [randn(2, 8, 9, 12).requires_grad_()]
        if isinstance(block, FusionPyramidNonLocal):
            low = randn(2, block.low_channels, 6, 13, seed=1)
            inputs.append(low.requires_grad_())
        y = block(*inputs)
        loss = (y * randn(*y.shape, seed=2)).sum()
        slopes = torch.autograd.grad(loss, [*inputs, *block.parameters()])
        results.append([y, *slopes, *block.buffers()])
    for plain, fast in zip(*results, strict=True):
        torch.testing.assert_close(fast, plain, rtol=1e-9, atol=1e-11)


def test_auto_takes_what_multiplies_less():
    for block, form in (
        (PyramidNonLocal(512, device="meta"), "anchored"),
        (PyramidNonLocal(8), "reference"),
        (PyramidNonLocal(64, pool_sizes=(32,)), "reference"),
        (FusionPyramidNonLocal(2048, device="meta"), "anchored"),
        (PyramidNonLocal(512, impl="reference", device="meta"), "reference"),
    ):
        assert block.form == form
        shape = (1, block.in_channels, 64, 64)
        macs = {
            impl: closed_form(block, shape, impl=impl).macs
            for impl in ("reference", "anchored")
        }
        if block.impl == "auto":
            assert macs[form] == min(macs.values())


def test_what_is_shared():
    """The code's two projections, the figure's two, or three."""
    sizes = {}
    for share in ("query_key", "key_value", None):
        block = PyramidNonLocal(8, share=share, norm=False, fuse=False)
        sizes[share] = sum(p.numel() for p in block.parameters())
        assert (block.query is None) == (share == "query_key")
        assert (block.value is None) == (share == "key_value")
    one, out = 8 * 4 + 4, 4 * 8 + 8
    assert sizes == {
        "query_key": 2 * one + out,
        "key_value": 2 * one + out,
        None: 3 * one + out,
    }


def test_where_nothing_else_stands_a_shared_key_is_the_query():
    """Equal weights in three projections: the two-projection block."""
    shared = randomise(PyramidNonLocal(8)).double().eval()
    apart = PyramidNonLocal(8, share=None).double().eval()
    state = shared.state_dict()
    state |= {
        name.replace("key", "query"): value
        for name, value in state.items()
        if name.startswith("key")
    }
    apart.load_state_dict(state)
    x = randn(2, 8, 9, 7)
    torch.testing.assert_close(apart(x), shared(x))


@pytest.mark.parametrize("impl", ["reference", "anchored"])
def test_one_evaluation_moves_the_statistics_as_two_do(impl):
    block = PyramidNonLocal(8, impl=impl, dtype=torch.float64)
    theirs = copy.deepcopy(block.key)
    theirs[1].momentum = 0.1
    once = PyramidNonLocal(8, double_update=False, dtype=torch.float64)
    once.load_state_dict(block.state_dict())
    single = copy.deepcopy(once.key)
    for seed in range(3):
        x = randn(2, 8, 5, 7, seed=seed)
        theirs(x)
        theirs(x)
        single(x)
        torch.manual_seed(0)
        y = block(x)
        torch.manual_seed(0)
        torch.testing.assert_close(once(x), y)  # same output
    for ours, two in ((block.key, theirs), (once.key, single)):
        for name, buffer in two.named_buffers():
            torch.testing.assert_close(ours.get_buffer(name), buffer)
    assert block.key[1].num_batches_tracked == 6
    assert once.key[1].num_batches_tracked == 3


def test_frozen_statistics_stay():
    block = PyramidNonLocal(8, dtype=torch.float64)
    block.key[1].eval()
    before = {k: v.clone() for k, v in block.key.state_dict().items()}
    block(randn(2, 8, 5, 7))
    for name, value in block.key.state_dict().items():
        assert torch.equal(value, before[name])
    # Two modules in the figure: each moves once.
    other = PyramidNonLocal(8, share="key_value", dtype=torch.float64)
    other(randn(2, 8, 5, 7))
    for layer in (other.key, other.query):
        assert layer[1].momentum == 0.1
        assert layer[1].num_batches_tracked == 1


@pytest.mark.parametrize("impl", ["reference", "anchored"])
def test_what_the_blocks_are_at_the_start(impl):
    """Zero without the fusion; with it a convolution of x, and no identity."""
    x = randn(2, 8, 5, 7)
    for cls in (PyramidNonLocal, FusionPyramidNonLocal):
        block = cls(8, dtype=torch.float64, impl=impl).eval()
        z = F.conv2d(
            x, block.fuse[0].weight[:, 8:], block.fuse[0].bias
        )  # x second
        z = block.fuse[1](z)
        z = z.relu() if cls is PyramidNonLocal else z
        assert (z < 0).any() == (cls is FusionPyramidNonLocal)
        torch.testing.assert_close(block(x), z)
        assert (block(x) - x).abs().max() > 0.1
        for more in ({}, {"out_norm": True}):
            if cls is PyramidNonLocal and more:
                continue
            bare = cls(8, fuse=False, impl=impl, dtype=torch.float64, **more)
            assert not bare(x).any()
            (bare(x) * x).sum().backward()
            moved = bare.norm if more else bare.out
            assert moved.weight.grad.abs().max() > 1e-3
            assert bool(bare.out.weight.any()) == bool(more)


def test_dropout_drops_channels():
    block = PyramidNonLocal(8, dropout=0.5, dtype=torch.float64)
    nn.init.constant_(block.fuse[1].bias, 5.0)
    x = randn(16, 8, 9, 9)
    torch.manual_seed(0)
    y = block(x).flatten(2)
    # The official order: first the ReLU, then the dropout.
    dropout, relu = block.fuse[2], block.fuse[3]
    block.fuse[2], block.fuse[3] = relu, dropout
    torch.manual_seed(0)
    assert torch.equal(block(x).flatten(2), y)
    dropped = ~y.any(2)
    assert 0.3 < dropped.double().mean() < 0.7
    assert block.eval()(randn(16, 8, 9, 9)).flatten(2).any(2).all()


# The map


def test_the_map_has_at_most_the_rank_of_the_anchors():
    for sizes, width, rank in (
        ((1,), 8, 1),
        ((2,), 8, 4),
        ((1, 2), 8, 4),  # the whole is the mean of its quarters
        ((1, 2), 7, 5),  # where bins overlap, it is not
        ((1, 3), 9, 9),
    ):
        block = randomise(PyramidNonLocal(16, pool_sizes=sizes)).double()
        weights = block.eval().attention_map(randn(1, 16, 6, width))[0, 0]
        assert torch.linalg.matrix_rank(weights, rtol=1e-9) == rank
        assert weights.min() > 0  # every pair
        # One bin, the whole picture: every weight is 1/N.
        if sizes == (1,):
            even = torch.full_like(weights, 1 / 48)
            torch.testing.assert_close(weights, even)


def test_the_map_over_another_map():
    widths = {"low_channels": 5, "key_channels": 4, "value_channels": 3}
    block = FusionPyramidNonLocal(8, **widths, norm=False, fuse=False)
    block = randomise(block).double().eval()
    x, low = randn(2, 8, 4, 5), randn(2, 5, 9, 6, seed=1)
    weights = block.attention_map(x, low=low)
    assert weights.shape == (2, 1, 20, 54)
    context = block.value(low).flatten(2) @ weights[:, 0].mT
    torch.testing.assert_close(
        block.out(context.view(2, 3, 4, 5)), block(x, low)
    )
    row = block.attention_map(x, (1, 2), low=low)
    assert row.shape == (2, 1, 9, 6)
    torch.testing.assert_close(row.flatten(2)[:, 0], weights[:, 0, 7])
    assert (weights[:, 0, 6] - weights[:, 0, 7]).abs().max() > 1e-3
    with pytest.raises(ValueError, match="query must lie inside the map"):
        block.attention_map(x, (4, 0), low=low)


@pytest.mark.parametrize("cls", [PyramidNonLocal, FusionPyramidNonLocal])
def test_the_map_moves_no_statistics(cls):
    """In train mode it is the map of that batch, and leaves no trace."""
    block = randomise(cls(8, fuse=False, dtype=torch.float64)).train()
    x = randn(2, 8, 5, 7)
    before = {k: v.clone() for k, v in block.state_dict().items()}
    weights = block.attention_map(x)
    for name, value in block.state_dict().items():
        assert torch.equal(value, before[name]), name
    context = block.value(x).flatten(2) @ weights[:, 0].mT
    expected = block.out(context.view(2, -1, 5, 7))
    torch.testing.assert_close(block(x), expected)


# Numbers of the papers and the codes


def test_parameters_on_paper():
    def number(block):
        return sum(p.numel() for p in block.parameters())

    kw = {"key_channels": 256, "device": "meta"}
    assert number(PyramidNonLocal(512, **kw)) == 920_576
    assert number(PyramidNonLocal(512, fuse=False, **kw)) == 394_752
    assert number(PyramidNonLocal(2048, fuse=False, **kw)) == 1_575_936
    block = FusionPyramidNonLocal(2048, low_channels=1024, **kw)
    assert number(block) == 9_971_456


@pytest.mark.parametrize(
    ("size", "dense", "twice", "once", "ratio"),
    [
        ((96, 96), 62.8e9, 19.9e9, 15.0e9, 3.2),
        ((128, 128), 171.8e9, 35.3e9, None, 4.9),
        ((128, 256), 618.5e9, 70.6e9, 53.4e9, 8.8),
    ],
)
def test_multiply_adds_of_the_authors_benchmark(
    size, dense, twice, once, ratio
):
    """2048 channels, K = V = 256, no fusion; shared, evaluated twice."""
    n, again = size[0] * size[1], size[0] * size[1] * 2048 * 256
    block = PyramidNonLocal(2048, key_channels=256, fuse=False, device="meta")
    macs = closed_form(block, (1, 2048, *size), impl="reference").macs
    assert macs == n * (3 * 2048 * 256 + 110 * 512)
    if once:
        assert abs(macs / once - 1) < 5e-3
    assert abs((macs + again) / twice - 1) < 5e-3
    nonlocal_macs = n * (4 * 2048 * 256) + n * n * 512
    assert abs(nonlocal_macs / dense - 1) < 5e-3
    assert abs(nonlocal_macs / (macs + again) - ratio) < 0.06
    anchored = closed_form(block, (1, 2048, *size), impl="anchored").macs
    assert anchored < 0.7 * macs


@pytest.mark.parametrize("impl", FusionPyramidNonLocal.impls)
@pytest.mark.parametrize(
    "options", [{}, {"out_channels": 5}, {"dropout": 0.0}], ids=str
)
def test_cost_with_other_widths(impl, options):
    for cls in (PyramidNonLocal, FusionPyramidNonLocal):
        block = cls(24, key_channels=5, value_channels=7, **options)
        shape = (2, 24, 9, 12)
        found = closed_form(block, shape, impl=impl)
        assert found == count(block, shape, impl=impl)


# Reference implementations


def golden(name):
    facts = json.loads((GOLDEN / f"{name}.json").read_text())
    return facts["args"], load_file(GOLDEN / f"{name}.safetensors")


def part(tensors, prefix):
    start = len(prefix)
    return {k[start:]: v for k, v in tensors.items() if k.startswith(prefix)}


class Head(nn.Module):
    """mmsegmentation's ``ANNHead``, of our blocks and two convolutions."""

    def __init__(self, args, impl):
        super().__init__()
        (low, high), c = args["in_channels"], args["channels"]
        kw = {"key_channels": args["project_channels"], "impl": impl}
        kw["pool_sizes"] = args["key_pool_scales"]
        self.fusion = FusionPyramidNonLocal(high, low_channels=low, **kw)
        self.bottleneck = nn.Sequential(
            nn.Conv2d(high, c, 3, padding=1, bias=False),
            nn.BatchNorm2d(c),
            nn.ReLU(),
        )
        self.context = PyramidNonLocal(c, **kw)
        self.conv_seg = nn.Conv2d(c, args["num_classes"], 1)

    def forward(self, low, high):
        y = self.bottleneck(self.fusion(high, low))
        return self.conv_seg(self.context(y))

    def load(self, state):
        load_reference(self.fusion, state, "mmseg", prefix="fusion.")
        load_reference(self.context, state, "mmseg", prefix="context.")
        for ours, theirs in (
            (self.bottleneck[0], "bottleneck.conv."),
            (self.bottleneck[1], "bottleneck.bn."),
            (self.conv_seg, "conv_seg."),
        ):
            ours.load_state_dict(part(state, theirs))


@pytest.mark.parametrize("impl", PyramidNonLocal.impls)
def test_both_blocks_in_the_head_of_mmsegmentation(impl):
    args, tensors = golden("heads/mmseg_ann")
    head = Head(args, impl).double().eval()
    head.load(part(tensors, "sd."))
    inputs = [tensors[f"input{i}"].requires_grad_() for i in (0, 1)]
    y = head(*inputs)
    close = RECORDED
    torch.testing.assert_close(y, tensors["output"], **close)
    (y * tensors["probe"]).sum().backward()
    for i, x in enumerate(inputs):
        torch.testing.assert_close(x.grad, tensors[f"grad_input{i}"], **close)
    recorded = part(tensors, "grad.")
    ours = {
        "context.stages.0.key_project.conv.weight": head.context.key[0],
        "fusion.stages.0.key_project.conv.weight": head.fusion.key[0],
        "fusion.stages.0.out_project.weight": head.fusion.out,
    }
    assert ours.keys() == recorded.keys()
    for name, layer in ours.items():
        torch.testing.assert_close(layer.weight.grad, recorded[name], **close)


def test_what_is_one_module_must_be_one():
    _, tensors = golden("annnet")
    state = part(tensors, "sd.")
    block = PyramidNonLocal(12)
    load_reference(block, state, "official")
    lean = {k: v for k, v in state.items() if "f_query" not in k}
    load_reference(block, lean, "official")
    name = "stages.0.f_query.0.weight"
    with pytest.raises(ValueError, match=f"{name} differs from stages.0.f_k"):
        load_reference(block, {**state, name: state[name] + 1}, "official")
    with pytest.raises(ValueError, match=r"f_query.* differs"):
        load_reference(block, {**state, name: state[name][:3]}, "official")
    # Three projections take both, equal or not.
    apart = PyramidNonLocal(12, share=None)
    load_reference(apart, {**state, name: state[name] + 1}, "official")
    moved = apart.query[0].weight - apart.key[0].weight
    torch.testing.assert_close(moved, torch.ones_like(moved))
    with pytest.raises(ValueError, match=r"f_query.0.weight is missing"):
        load_reference(apart, lean, "official")
    # The figure's: what is shared has the value's name, too.
    figure = PyramidNonLocal(12, share="key_value")
    kinds = {k: v for k, v in state.items() if "f_value" not in k}
    load_reference(figure, kinds, "official")
    twins = {
        k.replace("f_key", "f_value"): v
        for k, v in kinds.items()
        if "f_key" in k
    }
    load_reference(figure, kinds | twins, "official")
    name = "stages.0.f_value.0.bias"
    with pytest.raises(ValueError, match=f"{name} differs"):
        load_reference(
            figure, {**kinds, **twins, name: -twins[name]}, "official"
        )


def to_mmseg(state, norm):
    """The official entries under mmsegmentation's names, biases folded."""
    found = {}
    for key, value in state.items():
        name = key.replace("stages.0.W", "stages.0.out_project")
        for one in ("key", "query"):
            name = name.replace(f"f_{one}.0", f"{one}_project.conv")
            name = name.replace(f"f_{one}.1.0", f"{one}_project.bn")
        name = name.replace("f_value", "value_project")
        name = name.replace(f"conv_bn_dropout.{norm}", "bottleneck.bn")
        name = name.replace("conv_bn_dropout.0", "bottleneck.conv")
        found[name] = value
    for name in [n for n in found if n.endswith("conv.bias")]:
        mean = name.replace("conv.bias", "bn.running_mean")
        found[mean] = found[mean] - found.pop(name)
    return found


def named(block, norm):
    """The entries of ours under the official names."""
    names = {"key.0": "f_key.0", "key.1": "f_key.1.0", "value": "f_value"}
    names |= {"query.0": "f_query.0", "query.1": "f_query.1.0", "out": "W"}
    names = {k: f"stages.0.{v}" for k, v in names.items()}
    names |= {
        "fuse.0": "conv_bn_dropout.0",
        "fuse.1": f"conv_bn_dropout.{norm}",
    }
    return {
        f"{names[k.rpartition('.')[0]]}.{k.rpartition('.')[2]}": v
        for k, v in block.state_dict().items()
    }


@pytest.mark.parametrize(
    ("cls", "norm"),
    [(PyramidNonLocal, "1.0"), (FusionPyramidNonLocal, "1")],
)
def test_official_entries_folded_into_those_of_mmsegmentation(cls, norm):
    """The bias in front of a norm goes into its mean."""
    block = randomise(cls(12, dtype=torch.float64)).eval()
    state = {k: v.clone() for k, v in named(block, norm).items()}
    x = randn(2, 12, 9, 7)
    expected = block(x)
    other = cls(12, dtype=torch.float64).eval()
    load_reference(other, state, "official")
    torch.testing.assert_close(other(x), expected)
    folded = to_mmseg(state, norm)
    for bias in (True, False):
        other = cls(12, dtype=torch.float64, bias=bias).eval()
        randomise(other)
        load_reference(other, folded, "mmseg")
        torch.testing.assert_close(other(x), expected)
        if bias:
            assert not other.key[0].bias.any()
            assert not other.fuse[0].bias.any()


@pytest.mark.parametrize("source", ["official", "mmseg"])
def test_a_norm_after_w_and_no_norm_have_names(source):
    block = FusionPyramidNonLocal(8, out_norm=True, dtype=torch.float64)
    with pytest.raises(ValueError, match="is missing") as info:
        load_reference(block, {}, source)
    words = {
        "official": ["stages.0.W.0.weight", "stages.0.W.1.running_var"],
        "mmseg": ["out_project.conv.bias", "out_project.bn.weight"],
    }[source]
    assert all(word in str(info.value) for word in words)


# What else survives


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_half_precision_error_at_most_twice_that_of_the_formula(
    options, dtype
):
    """The root of the mean squared error, of output and input gradient.

    Without the last ReLU: it is chance on which side of it a rounded number
    falls, and a slope is there or is not.
    """
    errors = {}
    for block in both(dropout=0.0, **options):
        if block.fuse is not None:
            block.fuse[3] = nn.Identity()
        found = []
        for one in (block.eval(), copy.deepcopy(block).to(dtype)):
            kind = one.out.weight.dtype
            inputs = [randn(2, 8, 9, 12, dtype=dtype).to(kind)]
            if isinstance(block, FusionPyramidNonLocal):
                low = randn(2, block.low_channels, 6, 13, seed=1, dtype=dtype)
                inputs.append(low.to(kind))
            inputs[0].requires_grad_()
            y = one(*inputs)
            loss = (y * randn(*y.shape, seed=2).to(kind)).sum()
            (slope,) = torch.autograd.grad(loss, inputs[0])
            found.append([y.detach().double(), slope.double()])
        errors[block.impl] = [
            (a - b).square().mean().sqrt() for a, b in zip(*found, strict=True)
        ]
    for plain, fast in zip(*errors.values(), strict=True):
        assert fast <= 2 * plain


@pytest.mark.parametrize("impl", PyramidNonLocal.impls)
@pytest.mark.parametrize("dtype", [torch.float16, torch.float32])
def test_saturated_scores_stay_finite(impl, dtype):
    """Scores beyond float16: 64 products of 60 and 60."""
    block = PyramidNonLocal(64, key_channels=64, norm=False, impl=impl)
    block = randomise(block, 0.01).to(dtype).eval()
    with torch.no_grad():
        nn.init.dirac_(block.key[0].weight)
        x = torch.full((1, 64, 9, 9), 60.0, dtype=dtype)
        x[..., 0, 0] *= -1
        assert (block.key(x)[0, :, 4, 4] ** 2).sum() / 8 > 20_000
    x.requires_grad_()
    y = block(x)
    y.float().sum().backward()
    assert y.isfinite().all()
    assert x.grad.isfinite().all()
    assert block.attention_map(x).isfinite().all()


def test_low_may_have_any_size_and_batches_may_be_empty():
    block = FusionPyramidNonLocal(8, low_channels=3).eval()
    for size in ((1, 1), (1, 9), (18, 14)):
        x, low = torch.zeros(2, 8, 9, 7), torch.zeros(2, 3, *size)
        assert block(x, low).shape == x.shape
        assert block(x[:0], low[:0]).shape == (0, 8, 9, 7)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("impl", "train"), [("reference", False), ("anchored", True)]
)
def test_two_maps_compile_and_export(impl, train):
    torch._dynamo.reset()
    block = FusionPyramidNonLocal(8, low_channels=3, impl=impl, dropout=0.0)
    block = randomise(block.double(), 0.3).train(train)
    compiled = torch.compile(
        copy.deepcopy(block), fullgraph=True, dynamic=True, backend="aot_eager"
    )
    shapes = [((9, 7), (12, 11)), ((10, 13), (5, 6))]
    pairs = [(randn(2, 8, *a), randn(2, 3, *b)) for a, b in shapes]
    for x, low in pairs:
        torch.testing.assert_close(compiled(x, low), block(x, low))
    names = ["H", "W", "h", "w"]
    dims = [torch.export.Dim(name, min=4, max=4096) for name in names]
    dynamic = ({2: dims[0], 3: dims[1]}, {2: dims[2], 3: dims[3]})
    block.eval()
    program = torch.export.export(block, pairs[0], dynamic_shapes=dynamic)
    torch.testing.assert_close(program.module()(*pairs[1]), block(*pairs[1]))


@pytest.mark.slow
def test_a_compiled_step_counts_twice():
    torch._dynamo.reset()
    block = PyramidNonLocal(8, dtype=torch.float64)
    other = copy.deepcopy(block)
    compiled = torch.compile(other, fullgraph=True, backend="aot_eager")
    x = randn(2, 8, 5, 7)
    block(x)
    compiled(x)
    for name, buffer in block.key.named_buffers():
        torch.testing.assert_close(other.key.get_buffer(name), buffer)


def test_second_derivatives():
    block = randomise(PyramidNonLocal(4, impl="anchored", dropout=0.0), 0.3)
    block = block.double().eval()
    x = randn(1, 4, 3, 4).requires_grad_()
    assert torch.autograd.gradgradcheck(block, x)


@pytest.mark.parametrize("cls", [PyramidNonLocal, FusionPyramidNonLocal])
@pytest.mark.parametrize(
    ("options", "kind", "word"),
    [
        ({"key_channels": 0}, ValueError, "key_channels must be at least 1"),
        ({"value_channels": 2.0}, TypeError, "value_channels must be an int"),
        ({"out_channels": -1}, ValueError, "out_channels must be at least 1"),
        ({"pool_sizes": 8}, TypeError, "pool_sizes must be a tuple"),
        ({"pool_sizes": ()}, ValueError, "pool_sizes must hold at least one"),
        ({"pool_sizes": (1, 0)}, ValueError, "pool_sizes must be at least 1"),
        ({"norm": 1}, TypeError, "norm must be True or False, got 1"),
        ({"scale": 0.5}, TypeError, "scale must be True or False, got 0.5"),
        ({"fuse": None}, TypeError, "fuse must be True or False, got None"),
        ({"bias": 0}, TypeError, "bias must be True or False, got 0"),
        ({"dropout": 1.0}, ValueError, r"dropout must lie in \[0, 1\), got"),
        ({"dropout": True}, ValueError, r"dropout must lie in \[0, 1\), got"),
        ({"impl": "anchor"}, ValueError, "did you mean 'anchored'"),
    ],
)
def test_bad_options(cls, options, kind, word):
    with pytest.raises(kind, match=word):
        cls(8, **options)


def test_bad_options_of_one_class():
    for share in ("query", True):
        with pytest.raises(ValueError, match="share must be one of"):
            PyramidNonLocal(8, share=share)
    with pytest.raises(ValueError, match="value_channels must equal key_cha"):
        PyramidNonLocal(8, share="key_value", value_channels=3)
    with pytest.raises(TypeError, match="double_update must be True or Fa"):
        PyramidNonLocal(8, double_update=2)
    with pytest.raises(TypeError, match="out_norm must be True or False"):
        FusionPyramidNonLocal(8, out_norm="batch")
    with pytest.raises(ValueError, match="low_channels must be at least 1"):
        FusionPyramidNonLocal(8, low_channels=0)


@pytest.mark.parametrize(
    ("low", "kind", "word"),
    [
        (
            torch.zeros(2, 4, 5, 5),
            ValueError,
            "built for 3 .*1 of low.* got 4",
        ),
        (torch.zeros(2, 3, 5), ValueError, "takes low of shape"),
        (torch.zeros(2, 3, 0, 5), ValueError, "position; got low of"),
        (torch.zeros(1, 3, 5, 5), ValueError, "x and low must have the same"),
        (torch.zeros(2, 3, 5, 5).double(), TypeError, "got low of torch.flo"),
        (torch.zeros(2, 3, 5, 5).long(), TypeError, "low must be a floating"),
        (torch.zeros(2, 3, 5, 5).to("meta"), ValueError, "is on cpu, low on"),
        (None, ValueError, "built for 3 channels .*low.* got 8"),
    ],
)
def test_bad_second_map(low, kind, word):
    block = FusionPyramidNonLocal(8, low_channels=3)
    x = torch.zeros(2, 8, 5, 5)
    with pytest.raises(kind, match=word):
        block(x, low)
    with pytest.raises(kind, match=word):
        block.attention_map(x, low=low)


def test_shapes_of_weights_in_order():
    """Query from x, key and value from low."""
    block = FusionPyramidNonLocal(8, low_channels=3, key_channels=5)
    widths = {
        name: tuple(layer.weight.shape[:2])
        for name, layer in block.named_modules()
        if isinstance(layer, nn.Conv2d)
    }
    assert widths == {
        "key.0": (5, 3),
        "query.0": (5, 8),
        "value": (5, 3),
        "out": (8, 5),
        "fuse.0": (8, 16),
    }
    widths = [
        m.num_features for m in block.modules() if hasattr(m, "momentum")
    ]
    assert widths == [5, 5, 8]
