"""Global context: one row for all queries, what the bottleneck sees, names."""

import json
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from cases import RECORDED, randomise
from safetensors.torch import load_file
from torch import nn

from attnlib import (
    GlobalContext,
    NonLocal,
    SimplifiedNonLocal,
    create_block,
    load_reference,
    maps,
)
from attnlib.cost import closed_form, count
from attnlib.functional import context_attention, context_weights
from attnlib.memory import allocations

ADD, MUL = "channel_add", "channel_mul"
FUSIONS = [(ADD,), (MUL,), (ADD, MUL), (MUL, ADD)]
IMPLS = ["reference", "folded"]
each_impl = pytest.mark.parametrize("impl", IMPLS)


def build(channels=16, **options):
    torch.manual_seed(0)
    options.setdefault("ratio", 0.5)
    return randomise(GlobalContext(channels, **options)).double()


def branch_by_hand(branch, c):
    """W2 ReLU(LN(W1 c + b1)) + b2, number by number."""
    first, norm, _, last = branch
    z = [
        w @ c + b
        for w, b in zip(first.weight[:, :, 0, 0], first.bias, strict=True)
    ]
    mean = sum(z) / len(z)
    spread = (sum((t - mean) ** 2 for t in z) / len(z) + norm.eps).sqrt()
    z = [
        (g * (t - mean) / spread + b).clamp(min=0)
        for t, g, b in zip(
            z, norm.weight[:, 0, 0], norm.bias[:, 0, 0], strict=True
        )
    ]
    rows = zip(last.weight[:, :, 0, 0], last.bias, strict=True)
    return torch.stack(
        [sum(w * t for w, t in zip(r, z, strict=True)) + b for r, b in rows]
    )


@each_impl
@pytest.mark.parametrize("fusion_types", FUSIONS, ids="-".join)
@pytest.mark.parametrize("pooling_type", ["att", "avg"])
def test_the_block_is_its_formula(pooling_type, fusion_types, impl):
    """One position at a time; multiplied before it is added to."""
    options = {"pooling_type": pooling_type, "fusion_types": fusion_types}
    block = build(6, impl=impl, eps=0.1, **options)
    x = torch.randn(2, 6, 3, 4, dtype=torch.float64)
    for image, y in zip(x, block(x), strict=True):
        columns = image.flatten(1).T  # (N, C)
        if pooling_type == "att":
            k = block.key.weight[0, :, 0, 0]
            raw = [(k @ t + block.key.bias[0]).exp() for t in columns]
        else:
            raw = [torch.ones(())] * 12
        c = sum(a * t for a, t in zip(raw, columns, strict=True)) / sum(raw)
        expected = columns
        if MUL in fusion_types:
            gate = 1 / (1 + (-branch_by_hand(block.mul, c)).exp())
            expected = torch.stack([t * gate for t in expected])
        if ADD in fusion_types:
            term = branch_by_hand(block.add, c)
            expected = torch.stack([t + term for t in expected])
        torch.testing.assert_close(y.flatten(1).T, expected)


@each_impl
def test_simplified_non_local_is_its_formula(impl):
    block = randomise(SimplifiedNonLocal(5, impl=impl)).double()
    x = torch.randn(2, 5, 3, 4, dtype=torch.float64)
    k, v = block.key.weight[0, :, 0, 0], block.value.weight[:, :, 0, 0]
    for image, y in zip(x, block(x), strict=True):
        columns = image.flatten(1).T
        raw = [(k @ t).exp() for t in columns]
        c = sum(a * (v @ t) for a, t in zip(raw, columns, strict=True)) / sum(
            raw
        )
        torch.testing.assert_close(y.flatten(1).T, columns + c)


@pytest.mark.parametrize("impl", ["reference", "sdpa", "chunked"])
def test_a_constant_query_makes_non_local_simplified(impl):
    """theta's weight is zero: k = W_phi^T b_theta, W_v = W_out W_g."""
    torch.manual_seed(0)
    dense = NonLocal(8, norm=False, inter_channels=8, impl=impl).double()
    randomise(dense)
    for tensor in (dense.query.weight, dense.value.bias, dense.out.bias):
        nn.init.zeros_(tensor)
    ours = SimplifiedNonLocal(8).double()
    matrix = {n: getattr(dense, n).weight.flatten(1) for n in ("key", "value")}
    with torch.no_grad():
        key = dense.query.bias @ matrix["key"]
        ours.key.weight.copy_(key.view(1, 8, 1, 1))
        value = dense.out.weight.flatten(1) @ matrix["value"]
        ours.value.weight.copy_(value[..., None, None])
    x = torch.randn(2, 8, 5, 7, dtype=torch.float64)
    close = {"rtol": 0, "atol": 1e-13}
    torch.testing.assert_close(ours(x), dense(x), **close)
    their_map = dense.attention_map(x)
    torch.testing.assert_close(ours.attention_map(x), their_map, **close)
    assert (maps.rank(their_map) == 1).all()
    # A query that looks at its position: no longer one row.
    nn.init.normal_(dense.query.weight, std=0.1)
    assert (ours(x) - dense(x)).abs().max() > 1e-3


@pytest.mark.parametrize("fusion_types", FUSIONS, ids="-".join)
@each_impl
def test_where_the_block_starts(fusion_types, impl):
    """Adding starts at x, multiplying at half of it: sigmoid(0) = 1/2."""
    x = torch.randn(2, 16, 5, 7)
    block = GlobalContext(16, fusion_types=fusion_types, impl=impl)
    factor = 0.5 if MUL in fusion_types else 1.0
    assert torch.equal(block(x), factor * x)
    options = {"fusion_types": fusion_types, "zero_init": False}
    other = GlobalContext(16, impl=impl, **options)
    assert (other(x) - factor * x).abs().max() > 1e-3


@each_impl
def test_the_first_step_moves_the_last_layer_alone(impl):
    block = GlobalContext(16, impl=impl)
    block(torch.randn(2, 16, 5, 7)).square().sum().backward()
    moved = {n for n, p in block.named_parameters() if p.grad.any()}
    assert moved == {"add.3.weight", "add.3.bias"}


def test_where_simplified_non_local_starts():
    x = torch.randn(2, 64, 5, 7)
    assert (SimplifiedNonLocal(64)(x) - x).abs().max() > 1e-3
    assert torch.equal(SimplifiedNonLocal(64, zero_init=True)(x), x)


def test_initial_deviations():
    torch.manual_seed(0)
    key = GlobalContext(4096).key
    assert abs(key.weight.std() / (2 / 4096) ** 0.5 - 1) < 0.05
    assert not key.bias.any()
    block = SimplifiedNonLocal(512)
    for layer in (block.key, block.value):
        assert abs(layer.weight.std() / 0.01 - 1) < 0.1
    assert not block.key.bias.any()
    assert block.value.bias is None


def test_the_mode_does_not_matter():
    x = torch.randn(2, 16, 5, 7, dtype=torch.float64)
    block = build(fusion_types=(ADD, MUL))
    assert torch.equal(block.train()(x), block.eval()(x))


def test_the_bias_of_the_scores_cancels():
    """So the paper's equation, which has none, is the same block."""
    x = torch.randn(2, 16, 5, 7, dtype=torch.float64)
    ours, without = build(), build(mask_bias=False)
    state = {k: v for k, v in ours.state_dict().items() if k != "key.bias"}
    without.load_state_dict(state)
    torch.testing.assert_close(ours(x), without(x))


def test_both_fusions_see_the_same_context():
    block = build(fusion_types=(ADD, MUL))
    x = torch.randn(2, 16, 5, 7, dtype=torch.float64)
    parts = {}
    for name in (ADD, MUL):
        parts[name] = build(fusion_types=(name,))
        state = {
            k: v
            for k, v in block.state_dict().items()
            if k in parts[name].state_dict()
        }
        parts[name].load_state_dict(state)
    term = parts[ADD](x) - x
    torch.testing.assert_close(block(x), parts[MUL](x) + term)


@pytest.mark.parametrize(
    ("channels", "ratio", "hidden"),
    [
        (20, 0.33, 6),
        (256, 1 / 16, 16),
        (512, 1 / 4, 128),
        (100, 1, 100),
        (56, 1 / 16, 3),
        (256, None, 16),
        (40, None, 4),
        (1, None, 4),
    ],
)
def test_width_of_the_bottleneck_is_cut_off(channels, ratio, hidden):
    block = GlobalContext(channels, ratio=ratio)
    assert block.hidden_channels == hidden
    assert block.add[0].weight.shape == (hidden, channels, 1, 1)


@each_impl
def test_one_channel_in_the_bottleneck_is_a_constant(impl):
    """int(24 / 16) = 1: the norm of one number is its bias, whatever x."""
    with pytest.warns(UserWarning, match=r"24 channels leaves 1.*a constant"):
        block = GlobalContext(24, ratio=1 / 16, impl=impl)
    randomise(block).double()
    x = torch.randn(2, 24, 5, 7, dtype=torch.float64, requires_grad=True)
    y = block(x)
    term = y - x
    torch.testing.assert_close(term, term[:1, :, :1, :1].expand_as(term))
    y.square().sum().backward()
    for name in ("key.weight", "add.0.weight", "add.0.bias"):
        assert block.get_parameter(name).grad.abs().max() < 1e-12
    torch.testing.assert_close(x.grad, 2 * y.detach())


def test_two_channels_in_the_bottleneck_are_an_order():
    """After the norm they are +1 and -1."""
    with pytest.warns(UserWarning, match=r"leaves 2.*an order alone"):
        block = GlobalContext(24, ratio=1 / 12)
    randomise(block).double()
    x = 10 * torch.randn(64, 24, 5, 7, dtype=torch.float64)
    terms = (block(x) - x)[:, :, 0, 0]
    spread = torch.cdist(terms, terms).flatten()
    far = spread > 0.1
    assert far.any()  # two groups, each nearly a point
    assert (~far).sum() > 2 * 64
    assert spread[far].std() < 0.05 * spread[far].mean()


def test_a_wider_bottleneck_does_not_warn(recwarn):
    GlobalContext(24, ratio=1 / 8)
    create_block("gcnet", 8)
    assert not recwarn.list


@pytest.mark.parametrize(
    ("options", "kind", "word"),
    [
        ({"ratio": 1 / 16}, ValueError, "ratio must leave at least one of 8"),
        ({"ratio": 0}, ValueError, "ratio must be a number above 0, got 0"),
        ({"ratio": float("nan")}, ValueError, "ratio must be a number above"),
        ({"ratio": float("inf")}, ValueError, "ratio must be a number above"),
        ({"ratio": "1/16"}, TypeError, "ratio must be a number, got '1/16'"),
        ({"ratio": True}, TypeError, "ratio must be a number, got True"),
        (
            {"pooling_type": "max"},
            ValueError,
            "pooling_type must be one of .*'att', 'avg'.*got 'max'",
        ),
        ({"fusion_types": ()}, ValueError, "fusion_types must be one or both"),
        ({"fusion_types": ADD}, TypeError, "fusion_types must be a tuple"),
        ({"fusion_types": None}, TypeError, "fusion_types must be a tuple"),
        (
            {"fusion_types": ("channel_ad",)},
            ValueError,
            "fusion_types must be one of .*did you mean 'channel_add'",
        ),
        ({"mask_bias": 1}, TypeError, "mask_bias must be True or False"),
        ({"zero_init": None}, TypeError, "zero_init must be True or False"),
        ({"eps": 0.0}, ValueError, "eps must lie between 0 and 1, got 0.0"),
        ({"eps": "small"}, ValueError, "eps must lie between 0 and 1"),
        ({"impl": "sdpa"}, ValueError, "impl must be one of"),
    ],
)
def test_bad_options(options, kind, word):
    with pytest.raises(kind, match=word):
        GlobalContext(8, **options)


@pytest.mark.parametrize("name", ["mask_bias", "zero_init"])
def test_bad_options_of_simplified_non_local(name):
    with pytest.raises(TypeError, match=f"{name} must be True or False"):
        SimplifiedNonLocal(8, **{name: 1})
    with pytest.raises(ValueError, match="impl must be one of"):
        SimplifiedNonLocal(8, impl="pooled")


# The functions


@each_impl
@pytest.mark.parametrize("bias", [None, torch.tensor([3.0])])
def test_context_is_a_weighted_mean(impl, bias):
    torch.manual_seed(0)
    x, key, value = (
        torch.randn(2, 3, 7), torch.randn(1, 3), torch.randn(4, 3)
    )  # fmt: skip
    a = context_weights(x, key, bias)
    assert a.shape == (2, 1, 7)
    torch.testing.assert_close(a[:, 0], (key @ x)[:, 0].softmax(1))
    c = (x * a).sum(-1, keepdim=True)
    found = context_attention(x, key, bias=bias, impl=impl)
    torch.testing.assert_close(found, c)
    found = context_attention(x, key, value, bias=bias, impl=impl)
    torch.testing.assert_close(found, value @ c)


@pytest.mark.parametrize(
    ("x", "key", "value", "word"),
    [
        ((3, 7), (1, 3), None, r"x must be \(B, C, N\), got \(3, 7\)"),
        ((2, 3, 7), (3,), None, r"key must be \(1, C\) .*got \(3,\)"),
        ((2, 3, 7), (1, 4), None, r"key must be \(1, C\) .*got \(1, 4\)"),
        ((2, 3, 7), (1, 3), (4, 2), r"value must be \(D, C\) .*got \(4, 2\)"),
    ],
)
def test_context_refuses(x, key, value, word):
    tensors = (None if s is None else torch.zeros(s) for s in (x, key, value))
    with pytest.raises(ValueError, match=word):
        context_attention(*tensors)


def test_context_refuses_other_types():
    x, key = torch.zeros(2, 3, 7), torch.zeros(1, 3)
    with pytest.raises(TypeError, match="x must be a floating-point tensor"):
        context_attention(x.long(), key)
    with pytest.raises(TypeError, match="key must be a tensor, got list"):
        context_attention(x, [1.0])
    with pytest.raises(TypeError, match="value must be a tensor, got str"):
        context_attention(x, key, "W")
    with pytest.raises(ValueError, match="impl must be one of"):
        context_attention(x, key, impl="pooled")


BLOCKS = [
    *((GlobalContext, {"fusion_types": f}) for f in FUSIONS[:3]),
    (GlobalContext, {"pooling_type": "avg"}),
    (SimplifiedNonLocal, {}),
]
each_block = pytest.mark.parametrize(("cls", "options"), BLOCKS, ids=str)


@each_block
def test_both_forms_have_all_derivatives(cls, options):
    """Values, gradients, gradients of gradients, forward mode."""
    torch.manual_seed(0)
    x = torch.randn(2, 6, 2, 3, dtype=torch.float64, requires_grad=True)
    for impl in IMPLS:
        block = randomise(cls(6, impl=impl, **options)).double()
        check = {"check_forward_ad": True, "fast_mode": True}
        assert torch.autograd.gradcheck(block, (x,), **check)
        assert torch.autograd.gradgradcheck(block, (x,), fast_mode=True)


def errors(cls, options, dtype, seed):
    """Squared errors of both forms and squared size of what they miss.

    Output, slope of x, other slopes.
    """
    torch.manual_seed(seed)
    block = cls(32, **options)
    for p in block.parameters():
        nn.init.normal_(p, std=0.5)
    block.to(dtype)
    x, g = torch.randn(2, 3, 32, 10, 12).to(dtype)
    results = []
    for impl, kind in (
        ("reference", torch.float64),
        ("reference", dtype),
        ("folded", dtype),
    ):
        block.impl = impl
        leaf = x.to(kind).requires_grad_()
        y = block.to(kind)(leaf)
        # That of the key's bias is zero: nothing to be relative to.
        named = block.named_parameters()
        leaves = [leaf, *(p for n, p in named if n != "key.bias")]
        results.append((y, *torch.autograd.grad(y, leaves, g.to(kind))))
    exact, plain, fast = results
    size = [e.detach().square().sum() for e in exact]
    plain, fast = (
        [
            (f - e).detach().square().sum()
            for f, e in zip(form, exact, strict=True)
        ]
        for form in (plain, fast)
    )
    return torch.tensor([plain, fast, size], dtype=torch.float64)


@each_block
@pytest.mark.parametrize(
    "dtype", [torch.float16, torch.bfloat16, torch.float32], ids=str
)
def test_folded_is_at_most_twice_as_far_off(cls, options, dtype):
    """Root mean squares over six draws: the slope of one number is chance."""
    draws = sum(errors(cls, options, dtype, seed) for seed in range(6))
    plain, fast, size = draws.sqrt()
    rounding = torch.finfo(dtype).eps / 4 * size
    assert (fast <= 2 * torch.maximum(plain, rounding)).all()


@each_impl
def test_scores_beyond_float16(impl):
    """k . x_j = 80 000: the weight is one, in half precision, too."""
    block = SimplifiedNonLocal(8, dtype=torch.float16, impl=impl)
    nn.init.constant_(block.key.weight, 100)
    nn.init.dirac_(block.value.weight)
    x = torch.ones(1, 8, 2, 2, dtype=torch.float16)
    x[:, :, 0, 1] = 100.0
    assert torch.equal(block(x), x + 100)
    assert block.attention_map(x)[0, 0, 0].tolist() == [0, 1, 0, 0]


@each_impl
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_the_mean_of_a_large_map_does_not_overflow(impl, dtype):
    options = {"pooling_type": "avg", "dtype": dtype, "impl": impl}
    block = GlobalContext(16, zero_init=False, **options)
    x = torch.full((1, 16, 300, 300), 200.0, dtype=dtype)
    c = torch.full((1, 16, 1, 1), 200.0, dtype=dtype)
    torch.testing.assert_close(block(x)[:, :, :1, :1], c + block.add(c))


def test_maps_of_large_pictures_take_no_room():
    """All rows are one: 16 384 x 16 384 weights in 16 384 numbers."""
    x = torch.randn(1, 8, 128, 128)
    weights = GlobalContext(8).attention_map(x)
    assert weights.shape == (1, 1, 128**2, 128**2)
    assert weights.untyped_storage().nbytes() == 128**2 * 4


# What it costs


def test_the_sheets_numbers():
    """Parameters and multiply-adds of single blocks."""
    table = ((512, 28, 836e3), (1024, 14, 532e3), (2048, 7, 725e3))
    for c, side, macs in table:
        block = GlobalContext(c, device="meta")
        cost = closed_form(block, (1, c, side, side))
        assert abs(cost.macs / macs - 1) < 1e-3
    for block, parameters in (
        (GlobalContext(256, device="meta"), 8_753),
        (GlobalContext(1024, device="meta"), 133_313),
        (SimplifiedNonLocal(1024, device="meta"), 1_049_601),
    ):
        cost = closed_form(block, (1, block.in_channels, 14, 14))
        assert cost.parameters == parameters


@pytest.mark.parametrize(
    ("r", "parameters"),
    [(4, 10_000_909), (8, 5_014_797), (16, 2_521_741), (32, 1_275_213)],
)
def test_extra_parameters_of_resnet_50(r, parameters):
    """Blocks behind all bottlenecks of the stages c3, c4 and c5."""
    stages = ((4, 512), (6, 1024), (3, 2048))
    blocks = [
        GlobalContext(channels, ratio=1 / r, device="meta")
        for number, channels in stages
        for _ in range(number)
    ]
    found = sum(p.numel() for b in blocks for p in b.parameters())
    assert found == parameters


@pytest.mark.parametrize("fusion_types", FUSIONS[:3], ids="-".join)
def test_folded_builds_the_output_alone(fusion_types):
    x = torch.randn(1, 64, 48, 48)
    size = x.numel() * x.element_size()
    block = GlobalContext(64, fusion_types=fusion_types)
    assert allocations(block, x, backward=False).peak < 1.05 * size


def test_simplified_non_local_keeps_no_values():
    block, shape = SimplifiedNonLocal(64), (1, 64, 48, 48)
    kept = {i: count(block, shape, impl=i).kept_bytes for i in IMPLS}
    size = 64 * 48 * 48 * 4
    assert kept["folded"] < 1.02 * size
    assert kept["reference"] > 2 * size


# Names

RENAMED = {
    "official": {"key": "conv_mask", "add": "channel_add_conv",
                 "mul": "channel_mul_conv"},
    "mmseg": {"key": "conv_mask", "add": "channel_add_conv",
              "mul": "channel_mul_conv"},
    "post": {"key": "Conv_key", "add": "Conv_value"},
    "timm": {"key": "conv_attn", "add": "mlp_add", "mul": "mlp_scale"},
}  # fmt: skip
TIMM = {"0": "fc1", "1": "norm", "3": "fc2"}


def named(block, source):
    """Write a block's state under the names that a source gives it."""
    state = {}
    for key, value in block.state_dict().items():
        layer, *rest = key.split(".")
        if source == "timm" and layer != "key":
            rest[0] = TIMM[rest[0]]
            if rest[0] == "norm":  # LayerNorm2d has one axis
                value = value.flatten()
        state[".".join([RENAMED[source][layer], *rest])] = value.clone()
    return state


@pytest.mark.parametrize("source", RENAMED)
@pytest.mark.parametrize("fusion_types", FUSIONS[:3], ids="-".join)
@pytest.mark.parametrize("pooling_type", ["att", "avg"])
def test_sources(source, fusion_types, pooling_type):
    options = {"fusion_types": fusion_types, "pooling_type": pooling_type}
    if source == "timm":
        options["eps"] = 1e-6
    block = build(16, **options)
    if source == "post" and MUL in fusion_types:
        with pytest.raises(ValueError, match="of the block has no counterpar"):
            load_reference(block, {}, source)
        return
    other = build(16, **options)
    randomise(other, 2.0)
    load_reference(other, named(block, source), source)
    for key, value in block.state_dict().items():
        assert torch.equal(other.state_dict()[key], value), key
    x = torch.randn(2, 16, 5, 7, dtype=torch.float64)
    assert torch.equal(other(x), block(x))


def test_simplified_non_local_by_its_names():
    block = randomise(SimplifiedNonLocal(8))
    state = {
        f"conv_{'mask' if key.startswith('key') else 'value'}.{kind}": value
        for key, value in block.state_dict().items()
        for kind in [key.split(".")[1]]
    }
    other = SimplifiedNonLocal(8)
    load_reference(other, state, "official")
    for key, value in block.state_dict().items():
        assert torch.equal(other.state_dict()[key], value)
    del state["conv_mask.bias"]
    with pytest.raises(ValueError, match=r"conv_mask\.bias is missing"):
        load_reference(other, state, "official")
    load_reference(SimplifiedNonLocal(8, mask_bias=False), state, "official")


class Head(nn.Module):
    """mmsegmentation's frame: 3 x 3, block, 3 x 3, x beside it, 3 x 3."""

    def __init__(self, wide, channels, classes, block):
        super().__init__()

        def layer(inputs):
            conv = nn.Conv2d(inputs, channels, 3, padding=1, bias=False)
            parts = {"conv": conv, "bn": nn.BatchNorm2d(channels)}
            return nn.ModuleDict(parts)

        self.convs = nn.ModuleList([layer(wide), layer(channels)])
        self.gc_block = block
        self.conv_cat = layer(wide + channels)
        self.conv_seg = nn.Conv2d(channels, classes, 1)

    def forward(self, x):
        def apply(layer, t):
            return F.relu(layer["bn"](layer["conv"](t)))

        y = self.gc_block(apply(self.convs[0], x))
        y = apply(self.convs[1], y)
        return self.conv_seg(apply(self.conv_cat, torch.cat([x, y], 1)))


@each_impl
def test_a_recorded_head_of_mmsegmentation(impl):
    """Its block by its prefix; two channels are left in the bottleneck."""
    path = Path(__file__).parent / "golden" / "heads" / "mmseg_gc.json"
    args = json.loads(path.read_text())["args"]
    tensors = load_file(path.with_suffix(".safetensors"))
    options = {k: args[k] for k in ("ratio", "pooling_type", "fusion_types")}
    with pytest.warns(UserWarning, match="leaves 2"):
        block = GlobalContext(args["channels"], impl=impl, **options)
    sizes = (args[k] for k in ("in_channels", "channels", "num_classes"))
    head = Head(*sizes, block).double().eval()
    state = {k[3:]: v for k, v in tensors.items() if k.startswith("sd.")}
    load_reference(block, state, "mmseg", prefix="gc_block.")
    rest = {k: v for k, v in state.items() if "gc_block" not in k}
    missing = head.load_state_dict(rest, strict=False)
    assert not missing.unexpected_keys
    assert all(k.startswith("gc_block") for k in missing.missing_keys)
    x = tensors["input"].requires_grad_()
    y = head(x)
    close = RECORDED
    torch.testing.assert_close(y, tensors["output"], **close)
    (y * tensors["probe"]).sum().backward()
    torch.testing.assert_close(x.grad, tensors["grad_input"], **close)
    for ours, theirs in (
        ("key.weight", "conv_mask.weight"),
        ("add.0.weight", "channel_add_conv.0.weight"),
        ("add.1.weight", "channel_add_conv.1.weight"),
    ):
        grad = tensors[f"grad.gc_block.{theirs}"]
        torch.testing.assert_close(
            block.get_parameter(ours).grad, grad, **close
        )
