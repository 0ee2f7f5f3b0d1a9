"""DANet: the sign, the safe Gram matrix, the head, the sheet's numbers."""

import pytest
import torch
from cases import randomise

from attnlib import ChannelAttention, DANetHead, PositionAttention
from attnlib.cost import closed_form, count
from attnlib.functional import channel_weights


def relu_map(dtype=torch.float64, channels=16, side=9):
    """Correlated features after a ReLU, each channel of the same size."""
    torch.manual_seed(0)
    mixed = torch.randn(channels, channels) @ torch.randn(channels, side**2)
    rows = mixed.relu().to(dtype)
    return side * rows / rows.norm(dim=1, keepdim=True)


def test_the_official_lines_compute_the_minus():
    """Row maximum minus the entries, then softmax: softmax(-x)."""
    a = relu_map()
    energy = a @ a.mT
    energy = energy.max(-1, keepdim=True)[0].expand_as(energy) - energy
    torch.testing.assert_close(channel_weights(a), energy.softmax(-1))
    assert channel_weights(a, sign="paper").argmax(-1).tolist() == [*range(16)]


def test_what_each_sign_does_on_non_negative_features():
    a = relu_map()
    diagonal = {
        sign: channel_weights(a, sign=sign).diagonal().clone()
        for sign in ("official", "paper")
    }
    assert (a @ a.mT).min() >= 0
    assert diagonal["paper"].min() > 0.9999
    assert diagonal["official"].max() < 1e-6


def test_the_papers_sign_scales_by_one_plus_gamma():
    x = relu_map().view(1, 16, 9, 9)
    block = ChannelAttention(16, sign="paper").double()
    torch.nn.init.constant_(block.gamma, 0.7)
    torch.testing.assert_close(block(x), 1.7 * x)


@pytest.mark.parametrize("sign", ["official", "paper"])
def test_no_overflow_in_float16(sign):
    """The Gram matrix leaves float16; the official lines give NaN."""
    a = 3 + torch.rand(8, 9216).to(torch.float16)
    gram = a @ a.mT
    assert gram.isinf().all()
    official = gram.max(-1, keepdim=True)[0].expand_as(gram) - gram
    assert official.softmax(-1).isnan().all()
    weights = channel_weights(a, sign=sign)
    exact = channel_weights(a.double(), sign=sign)
    assert weights.isfinite().all()
    # Near 10^5 float32 steps by 1/128, and so do the scores.
    torch.testing.assert_close(weights.double(), exact, rtol=0, atol=1e-2)


def test_channel_map_is_the_one_of_forward():
    block = randomise(ChannelAttention(8)).double()
    x = torch.randn(2, 8, 5, 7).double() / 3
    y = torch.einsum("bce,behw->bchw", block.channel_map(x), x)
    torch.testing.assert_close(block(x), x + block.gamma * y)
    sums = block.channel_map(x).sum(-1)
    torch.testing.assert_close(sums, torch.ones_like(sums))


@pytest.mark.parametrize("cls", [PositionAttention, ChannelAttention])
def test_starts_as_the_identity(cls):
    block = cls(16)
    x = torch.randn(2, 16, 5, 7)
    assert torch.equal(block(x), x)
    block(x).square().sum().backward()
    assert block.gamma.grad.abs() > 1e-3


def test_the_sheets_numbers():
    block = PositionAttention(512, device="meta")
    for side, macs in ((64, 11.0e9), (96, 51.9e9), (128, 160.0e9)):
        cost = closed_form(block, (1, 512, side, side), impl="reference")
        assert cost.parameters == 328_321
        assert abs(cost.macs / macs - 1) < 5e-3
    channel = ChannelAttention(512, device="meta")
    for side, macs in ((64, 2.1e9), (96, 4.8e9), (128, 8.6e9)):
        cost = closed_form(channel, (1, 512, side, side))
        assert cost.parameters == 1
        assert abs(cost.macs / macs - 1) < 3e-2
    head = DANetHead(2048, 19, device="meta")
    shapes = {(64, 64): 109.9e9, (96, 96): 274.5e9, (128, 128): 555.6e9}
    for size, macs in {**shapes, (64, 128): 239.1e9}.items():
        cost = closed_form(head, (1, 2048, *size), impl="reference")
        assert cost.parameters == 23_954_619
        assert abs(cost.macs / macs - 1) < 1e-3


@pytest.mark.parametrize("impl", PositionAttention.impls)
@pytest.mark.parametrize("size", [(5, 7), (17, 20)])
def test_cost_of_the_head_is_what_is_counted(impl, size):
    head = DANetHead(32, 5)
    shape = (3, 32, *size)
    assert closed_form(head, shape, impl=impl) == count(head, shape, impl=impl)


def test_the_head_returns_three_maps_in_the_official_order():
    head = randomise(DANetHead(32, 5, key_channels=2)).double().eval()
    x = torch.randn(2, 32, 5, 7, dtype=torch.float64)
    total, of_position, of_channel = head(x)
    assert total.shape == of_position.shape == of_channel.shape == (2, 5, 5, 7)
    a = head.position_out(head.position(head.position_in(x)))
    b = head.channel_out(head.channel(head.channel_in(x)))
    torch.testing.assert_close(total, head.sum_exit(a + b))
    torch.testing.assert_close(of_position, head.position_exit(a))
    torch.testing.assert_close(of_channel, head.channel_exit(b))
    assert head(x[:0])[0].shape == (0, 5, 5, 7)


@pytest.mark.parametrize(
    "dtype", [torch.float16, torch.bfloat16, torch.float32]
)
def test_the_head_in_other_dtypes(dtype):
    head = DANetHead(32, 5, dtype=dtype).eval()
    for y in head(torch.randn(1, 32, 1, 9).to(dtype)):
        assert y.dtype == dtype
        assert y.isfinite().all()


def test_the_head_refuses_bad_input():
    with pytest.raises(ValueError, match="DANetHead was built for 32 chan"):
        DANetHead(32, 5)(torch.zeros(1, 31, 4, 4))
    with pytest.raises(ValueError, match="num_classes must be at least 1"):
        DANetHead(32, 0)
    with pytest.raises(ValueError, match="sign must be one of"):
        DANetHead(32, 5, sign="plus")
    with pytest.raises(ValueError, match="dropout must lie"):
        DANetHead(32, 5, dropout=1.5)
