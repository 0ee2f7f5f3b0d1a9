"""Bad input is refused: the argument's name, what came, what is accepted."""

import pytest
import torch
from cases import CASES, CHANNELS, having

from attnlib import NonLocal, SelfAttention, cost, create_block, list_blocks
from attnlib.functional import (
    concatenation_attention,
    dot_product_attention,
    softmax_attention,
)

each = pytest.mark.parametrize("case", CASES, ids=str)
each_map = pytest.mark.parametrize("case", having("map"), ids=str)


@each
def test_wrong_rank(case):
    block = case.build()
    for shape in (
        (CHANNELS,),
        (CHANNELS, *case.size),
        (2, CHANNELS, *case.size, 2),
    ):
        x = torch.zeros(shape, dtype=torch.float64)
        with pytest.raises(
            ValueError, match=rf"takes x of shape \(B, C.*got {len(shape)}"
        ):
            block(x)
        if "map" in case.traits:
            with pytest.raises(ValueError, match="takes x of shape"):
                block.attention_map(x)


@each
def test_wrong_channels(case):
    x = torch.zeros(2, CHANNELS + 1, *case.size, dtype=torch.float64)
    with pytest.raises(
        ValueError, match=f"built for {CHANNELS} channels.*got {CHANNELS + 1}"
    ):
        case.build()(x)


@each
def test_no_positions(case):
    size = [*case.size]
    size[-1] = 0
    with pytest.raises(ValueError, match="at least one position"):
        case.build()(torch.zeros(2, CHANNELS, *size, dtype=torch.float64))


@each
@pytest.mark.parametrize(
    "dtype", [torch.int64, torch.uint8, torch.bool, torch.complex64]
)
def test_not_floating(case, dtype):
    with pytest.raises(
        TypeError, match=f"x must be a floating-point tensor, got {dtype}"
    ):
        case.build()(torch.zeros(2, CHANNELS, *case.size, dtype=dtype))


@each
def test_not_a_tensor(case):
    with pytest.raises(TypeError, match="x must be a tensor, got list"):
        case.build()([1.0])


@each
def test_other_dtype_and_device(case):
    block = case.build()
    with pytest.raises(
        TypeError, match=r"torch.float64 parameters, got x of torch.float32"
    ):
        block(case.input(dtype=torch.float32))
    with pytest.raises(ValueError, match="is on cpu, x on meta"):
        block(case.input().to("meta"))


@each_map
@pytest.mark.parametrize("query", [(0,) * 4, (99, 0, 0), (-1, 0, 0)])
def test_query_outside(case, query):
    query = query if len(query) == 4 else query[: case.dims]
    with pytest.raises(ValueError, match="query must"):
        case.build().attention_map(case.input(), query=query)


@each_map
@pytest.mark.parametrize("query", [3, (0.5, 1), "ab", (True, False)])
def test_query_of_another_type(case, query):
    with pytest.raises(TypeError, match="query must be a tuple of"):
        case.build().attention_map(case.input(), query=query)


@pytest.mark.parametrize("key", list_blocks())
@pytest.mark.parametrize(
    ("options", "kind", "word"),
    [
        ({"impl": "fast"}, ValueError, "impl must be one of .* got 'fast'"),
        ({"impl": "referense"}, ValueError, "did you mean 'reference'"),
        ({"unheard": 1}, TypeError, "unheard"),
        ({"impl": None}, ValueError, "impl must be one of"),
    ],
)
def test_bad_option_of_any_block(key, options, kind, word):
    with pytest.raises(kind, match=word):
        create_block(key, CHANNELS, **options)


@pytest.mark.parametrize("key", list_blocks())
@pytest.mark.parametrize(
    ("channels", "kind"),
    [
        (0, ValueError),
        (-4, ValueError),
        (8.0, TypeError),
        ("8", TypeError),
        (True, TypeError),
    ],
)
def test_bad_channels(key, channels, kind):
    with pytest.raises(kind, match="in_channels must be"):
        create_block(key, channels)


@pytest.mark.parametrize(
    ("options", "kind", "word"),
    [
        (
            {"inter_channels": 0},
            ValueError,
            "inter_channels must be at least 1, got 0",
        ),
        (
            {"inter_channels": 2.0},
            TypeError,
            "inter_channels must be an integer, got 2.0",
        ),
        ({"dims": 4}, ValueError, r"dims must be one of \(1, 2, 3\), got 4"),
        ({"dims": True}, ValueError, "dims must be one of"),
        ({"pairwise": "gausian"}, ValueError, "did you mean 'gaussian'"),
        ({"subsample": True}, ValueError, "subsample must be one of"),
        ({"subsample": "mean"}, ValueError, "subsample must be one of"),
        ({"scale": 0.5}, TypeError, "scale must be True or False, got 0.5"),
        ({"norm": "layer"}, ValueError, "norm must be one of"),
        ({"norm": 1}, ValueError, "norm must be one of"),
        ({"out_bias": None}, TypeError, "out_bias must be True or False"),
        ({"impl": "sorted"}, ValueError, "impl must be one of"),
        (
            {"impl": "sdpa", "pairwise": "dot_product"},
            ValueError,
            "impl must be one of",
        ),
    ],
)
def test_bad_option_of_non_local(options, kind, word):
    with pytest.raises(kind, match=word):
        NonLocal(8, **options)


@pytest.mark.parametrize(
    ("options", "kind", "word"),
    [
        ({"reduction": 0}, ValueError, "reduction must be at least 1"),
        (
            {"reduction": 9},
            ValueError,
            "reduction must be at most in_channels = 8, got 9",
        ),
        ({"reduction": 2.0}, TypeError, "reduction must be an integer"),
        ({"gamma": 0.0}, TypeError, "gamma must be True or False, got 0.0"),
    ],
)
def test_bad_option_of_self_attention(options, kind, word):
    with pytest.raises(kind, match=word):
        SelfAttention(8, **options)


def test_names():
    with pytest.raises(ValueError, match="did you mean 'nonlocal'"):
        create_block("nonlokal", 8)
    with pytest.raises(ValueError, match="part must be one of"):
        list_blocks("first")
    with pytest.raises(ValueError, match="name must be one of"):
        NonLocal.preset("mmseg", 8)
    with pytest.raises(ValueError, match="pairwise must be one of"):
        NonLocal.preset("official", 8, pairwise="gaussian")


def softmax_inputs(b=2, n=5, m=4, d=3, dv=2):
    return torch.zeros(b, n, d), torch.zeros(b, m, d), torch.zeros(b, m, dv)


@pytest.mark.parametrize(
    "function", [softmax_attention, dot_product_attention]
)
@pytest.mark.parametrize("impl", ["auto", "reference"])
@pytest.mark.parametrize(
    ("change", "kind", "word"),
    [
        (lambda q, k, v: (q[0, 0], k, v), ValueError, "q must be"),
        (lambda q, k, v: (q[:1], k, v), ValueError, "same leading dimensions"),
        (lambda q, k, v: (q[..., :2], k, v), ValueError, "same width"),
        (
            lambda q, k, v: (q, k[:, :3], v),
            ValueError,
            "same number of positions",
        ),
        (
            lambda q, k, v: (q, k[:, :0], v[:, :0]),
            ValueError,
            "at least one position",
        ),
        (lambda q, k, v: (q.double(), k, v), TypeError, "share one dtype"),
        (
            lambda q, k, v: (q.long(), k, v),
            TypeError,
            "q must be a floating-point tensor",
        ),
        (
            lambda q, k, v: (q, k, None),
            TypeError,
            "v must be a tensor, got NoneType",
        ),
        (lambda q, k, v: (q, k.to("meta"), v), ValueError, "on one device"),
    ],
)
def test_bad_tokens(function, impl, change, kind, word):
    with pytest.raises(kind, match=word):
        function(*change(*softmax_inputs()), impl=impl)


def test_bad_impl_of_a_function():
    q, k, v = softmax_inputs()
    for function, args in (
        (softmax_attention, (q, k, v)),
        (dot_product_attention, (q, k, v)),
        (concatenation_attention, (q[..., 0], k[..., 0], v)),
    ):
        with pytest.raises(ValueError, match="impl must be one of"):
            function(*args, impl="magic")


def test_bad_scalars():
    q, k, v = softmax_inputs()
    with pytest.raises(TypeError, match="a must be a floating-point tensor"):
        concatenation_attention(q[..., 0].long(), k[..., 0], v)
    with pytest.raises(ValueError, match="same number of positions"):
        concatenation_attention(q[..., 0], k[:, :3, 0], v)


def test_bad_cost():
    with pytest.raises(TypeError, match="block must be one of"):
        cost.closed_form(torch.nn.Conv2d(1, 1, 1), (1, 1, 2, 2))
    with pytest.raises(TypeError, match="float32 or float64"):
        cost.closed_form(SelfAttention(8, dtype=torch.float16), (1, 8, 2, 2))
    for function in (cost.closed_form, cost.count):
        with pytest.raises(ValueError, match="impl must be one of"):
            function(SelfAttention(8), (1, 8, 2, 2), impl="sorted")
