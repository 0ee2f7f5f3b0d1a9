"""DMSANet: our reading, each decision pinned."""

import pytest
import torch
from cases import randomise

from attnlib import DualMultiScaleAttention
from attnlib.cost import closed_form


def shuffled(y):
    """New channel 2 c + g is old channel g C / 2 + c."""
    c = y.shape[1] // 2
    out = torch.empty_like(y)
    for g in range(2):
        for k in range(c):
            out[:, 2 * k + g] = y[:, g * c + k]
    return out


@pytest.mark.parametrize("groups", [1, 2, 4])
def test_gammas_at_zero_are_not_the_identity(groups):
    """The shuffled input times the softmax of the groups' means."""
    torch.manual_seed(0)
    block = DualMultiScaleAttention(16, groups=groups).double()
    x = torch.randn(2, 16, 5, 4, dtype=torch.float64)
    parts = x.unflatten(1, (groups, -1))
    shares = parts.mean((3, 4), keepdim=True).softmax(1)
    y = (parts * shares).flatten(1, 2)
    torch.testing.assert_close(block(x), shuffled(y))
    if groups > 1:
        size = block(x).norm() / x.norm()
        assert 0.7 / groups < size < 1.4 / groups


def test_one_group_shares_nothing_out():
    block = randomise(DualMultiScaleAttention(8, groups=1, shuffle=False))
    x = torch.randn(2, 8, 5, 4)
    a, b = x.chunk(2, dim=1)
    expected = [block.channel[0](a), block.position[0](b)]
    torch.testing.assert_close(block(x), torch.cat(expected, dim=1))


def test_unshared_groups_with_equal_weights_are_shared_ones():
    shared = randomise(DualMultiScaleAttention(16)).double()
    own = DualMultiScaleAttention(16, share=False).double()
    for k in range(2):
        own.position[k].load_state_dict(shared.position[0].state_dict())
        own.channel[k].load_state_dict(shared.channel[0].state_dict())
    x = torch.randn(2, 16, 5, 4, dtype=torch.float64)
    torch.testing.assert_close(own(x), shared(x))


def test_the_sheets_numbers():
    block = DualMultiScaleAttention(512, device="meta")
    cost = closed_form(block, (1, 512, 14, 14), impl="reference")
    assert cost.parameters == 49_538
    unshared = DualMultiScaleAttention(512, share=False, device="meta")
    assert sum(p.numel() for p in unshared.parameters()) == 2 * 49_538
    # In front of the last convolution of each bottleneck of a ResNet-50.
    stages = [(64, 56, 637), (128, 28, 87), (256, 14, 18), (512, 7, 9)]
    for c, side, millions in stages:
        block = DualMultiScaleAttention(c, device="meta")
        macs = closed_form(block, (1, c, side, side), impl="reference").macs
        assert abs(macs / 1e6 - millions) < 0.5
        n = side**2
        assert macs == 5 * n * c * c // 8 + n * n * c


def test_the_sign_is_that_of_the_equation():
    assert DualMultiScaleAttention(8).channel[0].sign == "paper"


def test_bad_options_are_refused():
    with pytest.raises(ValueError, match="a multiple of 2 groups = 6, got 8"):
        DualMultiScaleAttention(8, groups=3)
    with pytest.raises(ValueError, match="descriptor must be one of"):
        DualMultiScaleAttention(8, descriptor="max")
    block = DualMultiScaleAttention(8, impl="chunked")
    block.impl = "reference"
    assert block.position[0].impl == block.impl == "reference"
