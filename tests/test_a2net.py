"""A2-Net: the two axes, the rank, the order of the sums, wrong ports."""

import pytest
import torch
import torch.nn.functional as F
from cases import randomise

from attnlib import DoubleAttention, maps
from attnlib.cost import closed_form
from attnlib.functional import double_attention, double_weights
from attnlib.memory import allocations


def test_double_attention_is_the_sum():
    torch.manual_seed(0)
    a, b, v = torch.randn(3, 9), torch.randn(2, 9), torch.randn(2, 9)
    p, q = double_weights(b, v)
    torch.testing.assert_close(p.sum(-1), torch.ones(2))
    torch.testing.assert_close(q.sum(-2), torch.ones(9))
    for i in range(9):
        z = sum(
            q[k, i] * sum(p[k, j] * a[:, j] for j in range(9))
            for k in range(2)
        )
        torch.testing.assert_close(double_attention(a, b, v)[:, i], z)


@pytest.mark.parametrize("n", [1, 2, 5])
def test_the_map_has_rank_n(n):
    block = randomise(DoubleAttention(8, descriptors=n)).double()
    x = torch.randn(1, 8, 5, 7, dtype=torch.float64)
    assert maps.rank(block.attention_map(x)).tolist() == [[n]]


def test_one_descriptor_gives_every_position_the_same():
    """n = 1 is a global context block; its distribution cannot matter."""
    block = randomise(DoubleAttention(8, descriptors=1)).double()
    x = torch.randn(2, 8, 5, 7, dtype=torch.float64)
    y = block(x) - x
    torch.testing.assert_close(y, y[..., :1, :1].expand_as(y))
    block(x).square().sum().backward()
    assert block.distribute.weight.grad.abs().max() < 1e-12


# Three ports that circulate, by what they do to the two axes, and the checks
# that tell them from the block.


def port(a, b, v, kind):
    if kind == "axis left out":  # PyTorch takes axis 0, the batch
        p, q = b.softmax(0), v.softmax(0)
    else:  # positions twice
        p, q = b.softmax(-1), v.softmax(-1)
    g = a @ p.mT
    return (g / a.shape[-1] if "mean" in kind else g) @ q


@pytest.mark.parametrize(
    "kind", ["axis left out", "positions twice", "positions twice, mean"]
)
def test_checks_find_the_wrong_ports(kind):
    torch.manual_seed(0)
    a, b, v = torch.randn(3, 2, 4, 35)
    ones = torch.ones_like(a)

    def verdicts(f):
        batch = torch.allclose(f(a, b, v)[:1], f(a[:1], b[:1], v[:1]))
        means = torch.allclose(f(ones, b, v), ones)
        return batch, means

    assert verdicts(double_attention) == (True, True)
    batch, means = verdicts(lambda *t: port(*t, kind))
    assert not means
    assert batch == (kind != "axis left out")


def test_folded_builds_no_further_tensor_of_the_size_of_x():
    c, n, side = 64, 16, 32
    x = torch.randn(1, c, side, side)
    size = x.numel() * x.element_size()
    peak = {}
    for impl in ("reference", "folded"):
        block = DoubleAttention(c, impl=impl)
        with torch.no_grad():
            peak[impl] = allocations(block, x, backward=False).peak
    # scores and weights, n N each, and the output
    assert peak["folded"] < size + 4.2 * n * side * side * 4
    assert peak["reference"] > 2 * size


def test_the_sheets_numbers():
    block = DoubleAttention(512, device="meta")
    for side, macs in ((64, 1.21e9), (96, 2.72e9), (128, 4.83e9)):
        cost = closed_form(block, (1, 512, side, side), impl="reference")
        assert cost.parameters == 263_040
        assert abs(cost.macs / macs - 1) < 5e-3
        folded = closed_form(block, (1, 512, side, side), impl="folded")
        descriptors = 2 * 128 * 128 * 512
        assert folded.macs == side**2 * 512**2 + descriptors


def test_zero_init_starts_as_the_identity():
    x = torch.randn(2, 16, 5, 7)
    block = DoubleAttention(16, zero_init=True)
    torch.testing.assert_close(block(x), x, rtol=0, atol=0)
    assert (DoubleAttention(16)(x) - x).abs().max() > 1e-3


def test_options_that_do_not_go_together():
    with pytest.raises(ValueError, match="use residual=False"):
        DoubleAttention(16, reconstruct=False)
    with pytest.raises(ValueError, match="zero_init needs reconstruct"):
        DoubleAttention(4, reconstruct=False, residual=False, zero_init=True)
    with pytest.raises(ValueError, match=r"must both be \(\.\.\., n, N\)"):
        double_weights(torch.zeros(2, 3), torch.zeros(3, 3))


def test_softmax_without_an_axis_takes_the_batch():
    """What the first of the wrong ports relies on, and PyTorch warns of."""
    scores = torch.randn(2, 3, 4)
    with pytest.warns(UserWarning, match="Implicit dimension choice"):
        found = F.softmax(scores)
    assert torch.equal(found, scores.softmax(0))
