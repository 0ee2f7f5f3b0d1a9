"""NLSA's blocks: draws, options, the official file, the sheet's numbers."""

import copy
import json
import pickle
from pathlib import Path

import pytest
import torch
from cases import randomise
from lists import naive
from safetensors.torch import load_file
from torch import nn

from attnlib import (
    DenseNonLocalAttention,
    NonLocalSparseAttention,
    create_block,
    load_reference,
)
from attnlib.cost import closed_form
from attnlib.functional import bucket_order, hash_codes, softmax_weights

GOLDEN = Path(__file__).parent / "golden"
FORMS = ("reference", "streamed", "auto")
each_form = pytest.mark.parametrize("impl", FORMS)


def build(channels=8, **options):
    options = {"chunk_size": 8, **options}
    block = NonLocalSparseAttention(channels, **options)
    return randomise(block).double()


def picture(b=2, c=8, h=5, w=7):
    g = torch.Generator().manual_seed(1)
    return torch.randn(b, c, h, w, generator=g, dtype=torch.float64)


def tokens(t):
    return t.flatten(2).mT


@each_form
@pytest.mark.parametrize("size", [(5, 7), (1, 19), (19, 1), (4, 6)], ids=str)
def test_the_official_lines(size, impl):
    block, x = build(impl=impl, res_scale=0.3), picture(2, 8, *size)
    r = block.draw_rotations(size[0] * size[1])
    e, v = tokens(block.embedding(x)), tokens(block.value(x))
    y = torch.stack([naive(*pair, r, 8) for pair in zip(e, v, strict=True)])
    expected = y.mT.view(x.shape) * 0.3 + x
    torch.testing.assert_close(block(x, rotations=r), expected)


def test_recorded_codes_and_order():
    """The golden's hash codes and sort, with offsets of the rounds."""
    facts = json.loads((GOLDEN / "nlsa.json").read_text())
    t = load_file(GOLDEN / "nlsa.safetensors")
    state = {k[3:]: v for k, v in t.items() if k.startswith("sd.")}
    block = NonLocalSparseAttention(16, chunk_size=36).double()
    load_reference(block, state, "official")
    codes = hash_codes(tokens(block.embedding(t["input"])), t["rotations"])
    buckets, n = facts["derived"]["hash_buckets"], facts["derived"]["L"]
    turns = torch.arange(4)[:, None]
    official = t["aux.hash_codes"].view(2, 4, n)
    assert torch.equal((codes + turns * buckets).int(), official)
    order = bucket_order(codes) + turns * n
    assert torch.equal(order.int(), t["aux.sort_index"].view(2, 4, n))
    assert block.draw_rotations(n).shape == t["rotations"].shape
    assert set(block.state_dict()) == {
        f"{layer}.{kind}"
        for layer in ("embedding", "value")
        for kind in ("weight", "bias")
    }


# Draws


def test_two_calls_differ_in_eval_mode():
    block, x = build().eval(), picture()
    first, second = block(x), block(x)
    assert (first - second).abs().max() > 1e-3
    torch.manual_seed(7)
    first = block(x)
    torch.manual_seed(7)
    assert torch.equal(block(x), first)


def test_a_generator_repeats():
    block, x = build().eval(), picture()

    def run(seed):
        return block(x, generator=torch.Generator().manual_seed(seed))

    state = torch.get_rng_state()
    assert torch.equal(run(3), run(3))
    assert (run(3) - run(4)).abs().max() > 1e-3
    assert torch.equal(torch.get_rng_state(), state)
    g = torch.Generator().manual_seed(3)
    r = block.draw_rotations(35, g)
    assert torch.equal(block(x, rotations=r), run(3))
    assert (block(x, generator=g) - run(3)).abs().max() > 1e-3
    row = block.attention_map(
        x, (2, 3), generator=torch.Generator().manual_seed(3)
    )
    full = block.attention_map(x, rotations=r)
    torch.testing.assert_close(row.flatten(2), full[:, :, 2 * 7 + 3])


def test_a_seed_repeats_through_everything():
    block, x = build(seed=5).eval(), picture()
    expected = block(x)
    state = torch.get_rng_state()
    assert torch.equal(block(x), expected)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(build(seed=5)(x), expected)
    assert torch.equal(copy.deepcopy(block)(x), expected)
    assert torch.equal(pickle.loads(pickle.dumps(block))(x), expected)
    assert (build(seed=6)(x) - expected).abs().max() > 1e-3
    # Neither the state nor the cast of a module holds or changes the draw.
    assert not any("fixed" in name for name in block.state_dict())
    assert torch.equal(block.half().double().draw_rotations(35),
                       build(seed=5).draw_rotations(35))  # fmt: skip
    meta = NonLocalSparseAttention(8, chunk_size=8, seed=5, device="meta")
    filled = meta.to_empty(device="cpu").double()
    filled.load_state_dict(build(seed=5).state_dict())
    assert torch.equal(filled(x), expected)
    for dtype in (torch.float16, torch.bfloat16, torch.float32):
        drawn = build(seed=5, dtype=dtype).to(dtype).draw_rotations(35)
        assert drawn.dtype == torch.float32
        wanted = build(seed=5).draw_rotations(35)
        torch.testing.assert_close(drawn.double(), wanted)
    # Given rotations or a generator stand above the seed.
    g = torch.Generator().manual_seed(0)
    assert (block.double()(x, generator=g) - expected).abs().max() > 1e-3


def test_a_larger_map_takes_more_of_the_same_directions():
    block = build(seed=5)
    small, large = (block.draw_rotations(n) for n in (35, 350))
    assert small.shape == (1, 2, 4, 2)
    assert large.shape == (1, 2, 4, 22)
    assert torch.equal(large[..., :2], small)
    assert build(seed=5, signed=False).draw_rotations(350).shape[-1] == 44
    assert build(seed=5).draw_rotations(10**5).shape[-1] == 64


def test_a_batch_shares_one_draw():
    block, x = build(), picture()
    torch.manual_seed(0)
    y = block(torch.cat([x, x]))
    torch.testing.assert_close(y[:2], y[2:])
    torch.manual_seed(0)
    torch.testing.assert_close(block(x), y[:2])


@each_form
def test_a_small_map_is_dense_and_needs_no_draw(impl):
    """At most one chunk: the official code raises there."""
    block, x = build(chunk_size=144, impl=impl), picture()
    torch.testing.assert_close(block(x), block(x))
    e = tokens(block.embedding(x))
    k = e / e.norm(dim=-1, keepdim=True)
    y = softmax_weights(e, k) @ tokens(block.value(x))
    torch.testing.assert_close(block(x), y.mT.view(x.shape) + x)


def test_autocast_keeps_the_buckets():
    block = build(seed=2).float()
    x = picture(1, 8, 24, 24).float()
    seen = []
    for enabled in (False, True):
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=enabled):
            e, r = block._prepare(x, None, None)
        assert e.dtype == torch.float32
        seen.append(hash_codes(e, r))
    assert torch.equal(*seen)
    rounded = block.embedding(x).bfloat16().float()
    codes = hash_codes(tokens(rounded), r)
    assert not torch.equal(codes, seen[0])  # it would have mattered


@pytest.mark.parametrize("impl", ["reference", "streamed"])
def test_a_default_block_compiles_and_exports(impl):
    """Without a seed: the draw is part of the graph."""
    torch._dynamo.reset()
    block = build(impl=impl, chunk_size=144).eval()
    x = picture(2, 8, 9, 12)
    compiled = torch.compile(
        block, fullgraph=True, dynamic=True, backend="aot_eager"
    )
    torch.testing.assert_close(compiled(x), block(x))  # one chunk
    dims = {a: torch.export.Dim(f"s{a}", min=4, max=4096) for a in (2, 3)}
    program = torch.export.export(
        block, (x, None, None), dynamic_shapes=(dims, None, None)
    )
    run = program.module()
    torch.testing.assert_close(run(x, None, None), block(x))
    x = picture(2, 8, 18, 24)  # three chunks
    torch.testing.assert_close(run(x, None, None), block(x))
    x = picture(2, 8, 20, 25)
    first, second = run(x, None, None), run(x, None, None)
    assert (first - second).abs().max() > 1e-4


@pytest.mark.parametrize(
    ("arguments", "kind", "word"),
    [
        ({"rotations": torch.zeros(1, 2, 4, 3)}, ValueError,
         r"must be \(1, 2, 4, 2\) for 35 positions in chunks of 8, got"),
        ({"rotations": torch.zeros(2, 4, 2)}, ValueError, "must be"),
        ({"rotations": torch.zeros(1, 2, 4, 2).long()}, TypeError, "floating"),
        ({"rotations": [1.0]}, TypeError, "rotations must be a tensor"),
        ({"rotations": torch.zeros(1, 2, 4, 2, device="meta")}, ValueError,
         "device"),
        ({"rotations": torch.zeros(1, 2, 4, 2),
          "generator": torch.Generator()}, ValueError, "not both be given"),
    ],
)  # fmt: skip
def test_bad_arguments(arguments, kind, word):
    with pytest.raises(kind, match=word):
        build()(picture(), **arguments)


@pytest.mark.parametrize(
    ("options", "kind", "word"),
    [
        ({"n_hashes": 0}, ValueError, "n_hashes must be at least 1"),
        ({"chunk_size": 0}, ValueError, "chunk_size must be at least 1"),
        ({"chunk_size": 14.4}, TypeError, "chunk_size must be an integer"),
        ({"kernel_size": 2}, ValueError, "kernel_size must be odd, got 2"),
        ({"reduction": 0}, ValueError, "reduction must be at least 1"),
        ({"reduction": 9}, ValueError, "at least reduction = 9"),
        ({"res_scale": "1"}, TypeError, "res_scale must be a number"),
        ({"res_scale": True}, TypeError, "res_scale must be a number"),
        ({"signed": 1}, TypeError, "signed must be True or False"),
        ({"dedup": None}, TypeError, "dedup must be True or False"),
        ({"seed": 0.5}, TypeError, "seed must be an integer or None"),
        ({"seed": True}, TypeError, "seed must be an integer or None"),
        ({"impl": "dense"}, ValueError, "impl must be one of"),
    ],
)
def test_bad_options(options, kind, word):
    with pytest.raises(kind, match=word):
        NonLocalSparseAttention(8, **options)


@pytest.mark.parametrize(
    ("options", "kind", "word"),
    [
        ({"reduction": 9}, ValueError, "at least reduction = 9"),
        ({"res_scale": None}, TypeError, "res_scale must be a number"),
        ({"impl": "streamed"}, ValueError, "impl must be one of"),
    ],
)
def test_bad_options_of_the_dense_block(options, kind, word):
    with pytest.raises(kind, match=word):
        DenseNonLocalAttention(8, **options)


def test_channels_need_no_divisor():
    block = build(10, reduction=4)
    assert block.key_channels == 2
    x = picture(1, 10)
    assert block(x).shape == x.shape


# The dense block of the same file


def official_dense(channels):
    """Return the layers as the official file names and nests them."""

    def block(out):
        return nn.Sequential(nn.Conv2d(channels, out, 1), nn.PReLU())

    names = ("conv_match1", "conv_match2", "conv_assembly")
    outs = (channels // 2, channels // 2, channels)
    layers = {n: block(out) for n, out in zip(names, outs, strict=True)}
    return randomise(nn.ModuleDict(layers)).double()


@pytest.mark.parametrize("res_scale", [1, 0.1])
@pytest.mark.parametrize("impl", DenseNonLocalAttention.impls)
def test_the_dense_block_of_the_official_file(impl, res_scale):
    theirs, x = official_dense(8), picture()
    block = DenseNonLocalAttention(8, res_scale=res_scale, impl=impl).double()
    load_reference(block, theirs.state_dict(), "official")
    q, k, v = (tokens(layer(x)) for layer in theirs.values())
    y = (q @ k.mT).softmax(2) @ v
    expected = y.mT.view(x.shape) + res_scale * x
    torch.testing.assert_close(block(x), expected)


def test_where_the_two_blocks_put_their_scale():
    """A factor 0: NLSA is the identity, the dense block attention alone."""
    x = picture()
    assert torch.equal(build(res_scale=0)(x), x)
    block = DenseNonLocalAttention(8, res_scale=0).double()
    weights = block.attention_map(x)[:, 0]
    y = weights @ tokens(block.value(x))
    torch.testing.assert_close(block(x), y.mT.view(x.shape))


def test_activations_start_at_a_quarter():
    block = DenseNonLocalAttention(8)
    slopes = [m.weight for m in block.modules() if isinstance(m, nn.PReLU)]
    assert [s.tolist() for s in slopes] == [[0.25]] * 3


# The sheet's numbers


@pytest.mark.parametrize(
    ("channels", "parameters"), [(64, 13_392), (256, 213_312)]
)
def test_parameters(channels, parameters):
    block = create_block("nlsa", channels, device="meta")
    assert sum(p.numel() for p in block.parameters()) == parameters
    dense = DenseNonLocalAttention(channels, device="meta")
    d = channels // 2
    found = sum(p.numel() for p in dense.parameters())
    assert found == 2 * (channels * d + d + 1) + channels**2 + channels + 1


class NLSN(nn.ModuleList):
    """Parameters of the network: F channels, 32 residual blocks, five NLSA."""

    def __init__(self, scale, f=256):
        super().__init__()
        kw = {"device": "meta"}

        def conv(a, b):
            return nn.Conv2d(a, b, 3, **kw)

        shifts = [nn.Conv2d(3, 3, 1, **kw) for _ in range(2)]
        body = [NonLocalSparseAttention(f, **kw)]
        for i in range(32):
            body += [conv(f, f), conv(f, f)]
            if i % 8 == 7:
                body.append(NonLocalSparseAttention(f, **kw))
        stages = {2: [4], 3: [9], 4: [4, 4]}[scale]
        tail = [*(conv(f, f * times) for times in stages), conv(f, 3)]
        self.extend([*shifts, conv(3, f), *body, conv(f, f), *tail])


@pytest.mark.parametrize(
    ("scale", "parameters"),
    [(2, 41_796_187), (3, 44_746_587), (4, 44_156_507)],
)
def test_parameters_of_the_network(scale, parameters):
    net = NLSN(scale)
    assert sum(p.numel() for p in net.parameters()) == parameters
    attention = [m for m in net if isinstance(m, NonLocalSparseAttention)]
    assert len(attention) == 5
    count = sum(p.numel() for m in attention for p in m.parameters())
    assert count == 1_066_560
    if scale == 2:
        assert round(100 * count / parameters, 1) == 2.6


def test_multiply_adds_on_paper():
    """C = 256: convolutions 2.13, hash 0.09, attention 5.57 G at 100 x 100."""
    n, c, d, h, m = 100 * 100, 256, 64, 4, 144
    convolutions = n * (9 * c * d + c * c)
    hashing = n * d * h * 35
    attention = h * 70 * m * 3 * m * (d + c)
    parts = [round(t / 1e9, 2) for t in (convolutions, hashing, attention)]
    assert parts == [2.13, 0.09, 5.57]
    block = NonLocalSparseAttention(256, device="meta")
    macs = closed_form(block, (1, 256, 100, 100)).macs
    assert macs == convolutions + hashing + attention
    assert round(5 * (hashing + attention) / 1e9, 1) == 28.3  # of a network
    assert round(n * n * (d + c) / 1e9, 1) == 32.0  # dense attention


@pytest.mark.parametrize(
    ("side", "sparse", "dense"),
    [(48, 1.27, 1.70), (128, 9.08, 85.9), (256, 36.3, 1374)],
)
def test_attention_against_dense_on_paper(side, sparse, dense):
    n, c, d, h = side * side, 256, 64, 4
    block = NonLocalSparseAttention(256, device="meta")
    macs = closed_form(block, (1, 256, side, side)).macs
    buckets = min(n // 144 + n // 144 % 2, 128)
    rest = n * (9 * c * d + c * c) + n * d * h * buckets // 2
    digits = 1 if sparse > 10 else 2
    assert round((macs - rest) / 1e9, digits) == sparse
    assert abs(n * n * (d + c) / 1e9 / dense - 1) < 3e-3


def test_dearer_than_dense_below_1728_positions():
    """3 m h / N, where no place is filled up."""
    for n, ratio in ((12 * 144, 1.0), (48 * 48, 0.75), (6 * 144, 2.0)):
        block = NonLocalSparseAttention(64, device="meta")
        d, c = 16, 64
        macs = closed_form(block, (1, c, 1, n), impl="streamed").macs
        chunks = n // 144
        rest = n * (9 * c * d + c * c) + n * d * 4 * (chunks // 2)
        assert (macs - rest) / (n * n * (d + c)) == ratio


def test_growth_of_the_multiply_adds():
    """Attention is linear; the hash is not until there are 128 buckets."""
    block = NonLocalSparseAttention(64, device="meta")

    def hashing(n):
        whole = -(-n // 144) * 144
        fixed = n * (9 * 64 * 16 + 64 * 64) + 4 * whole * 432 * 80
        return closed_form(block, (1, 64, 1, n)).macs - fixed

    few, many = 128 * 144, 4 * 128 * 144
    assert hashing(few) == 4 * hashing(few // 2)
    assert hashing(many) == 4 * hashing(few)
