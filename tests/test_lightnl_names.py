"""LightNL: names of TensorFlow and of the port, and where the block stands."""

import pytest
import torch
import torch.nn.functional as F
from cases import randomise
from lights import build, picture
from torch import nn

from attnlib import LightNonLocal, load_reference


def port_state(block):
    layers = {"depthwise": "depthwise_conv", "norm": "bn"}
    state = {}
    for name, value in block.state_dict().items():
        layer, rest = name.split(".", 1)
        state[f"{layers[layer]}.{rest}"] = value.clone()
    return state


def tensorflow_state(block, path="net/blocks_1/nl/"):
    """As TensorFlow stores it: paths, filters last, no counter."""
    kernel = block.depthwise.weight.detach()
    norm = block.norm
    named = {
        "depthwise_conv2d/depthwise_kernel": kernel.permute(2, 3, 0, 1),
        "batch_normalization/gamma": norm.weight.detach(),
        "batch_normalization/beta": norm.bias.detach(),
        "batch_normalization/moving_mean": norm.running_mean,
        "batch_normalization/moving_variance": norm.running_var,
    }
    return {path + name: t.clone().numpy() for name, t in named.items()}


def same(block, other):
    pairs = zip(block.state_dict().items(), other.state_dict().values(),
                strict=True)  # fmt: skip
    for (name, ours), theirs in pairs:
        if not name.endswith("num_batches_tracked"):
            assert torch.equal(ours, theirs), name
    x = picture(2, 16, 5, 7)
    assert torch.equal(block(x), other(x))


def other_block():
    return randomise(LightNonLocal(16), 2.0).double().eval()


@pytest.mark.parametrize("source", ["official", "port"])
def test_the_ports_names(source):
    """In its mobile block they follow ``nl_op.``."""
    block, other = build(), other_block()
    state = {f"nl_op.{k}": v for k, v in port_state(block).items()}
    state["project_conv.0.weight"] = torch.zeros(16, 48, 1, 1)
    load_reference(other, state, source, prefix="nl_op.")
    same(other, block)


@pytest.mark.parametrize("prefix", ["", "net/blocks_1/nl/", "net/blocks_1/nl"])
def test_tensorflows_names(prefix):
    block, other = build(), other_block()
    load_reference(other, tensorflow_state(block), "official", prefix=prefix)
    same(other, block)
    with pytest.raises(ValueError, match=r"depthwise_conv\.weight is missing"):
        load_reference(other, tensorflow_state(block), "port", prefix=prefix)


def test_averages_replace_their_variables():
    block, last, other = build(), other_block(), other_block()
    average = "/ExponentialMovingAverage"
    state = tensorflow_state(block)
    averages = {k + average: v for k, v in state.items()}
    load_reference(other, averages, "official")
    same(other, block)
    for first, then in (
        (averages, tensorflow_state(last)),
        (tensorflow_state(last), averages),
    ):
        other = other_block()
        load_reference(other, first | then, "official")
        same(other, block)


def test_two_blocks_without_a_prefix_are_refused():
    block, other = build(), other_block()
    state = tensorflow_state(block)
    state |= tensorflow_state(other_block(), "net/blocks_2/nl/")
    before = {k: v.clone() for k, v in other.state_dict().items()}
    word = "net/blocks_2/nl/batch_normalization/gamma is left over"
    with pytest.raises(ValueError, match=word):
        load_reference(other, state, "official")
    assert all(
        torch.equal(v, before[k]) for k, v in other.state_dict().items()
    )
    load_reference(other, state, "official", prefix="net/blocks_1/")
    same(other, block)


class MobileBlock(nn.Module):
    """Where the block stands: behind the projection, before the residual."""

    def __init__(self, inputs, outputs, expand, stride, light):
        super().__init__()
        wide = inputs * expand
        self.expand_conv = nn.Sequential(
            nn.Conv2d(inputs, wide, 1, bias=False), nn.BatchNorm2d(wide)
        )
        self.depth_op = nn.Sequential(
            nn.Conv2d(wide, wide, 3, stride, 1, groups=wide, bias=False),
            nn.BatchNorm2d(wide),
        )
        self.project_conv = nn.Sequential(
            nn.Conv2d(wide, outputs, 1, bias=False), nn.BatchNorm2d(outputs)
        )
        self.light = light
        self.adds = stride == 1 and inputs == outputs

    def forward(self, x):
        y = F.silu(self.expand_conv(x))
        y = self.project_conv(F.silu(self.depth_op(y)))
        y = self.light(y)
        return x + y if self.adds else y


@pytest.mark.parametrize(("outputs", "stride"), [(16, 1), (24, 2)])
def test_in_a_mobile_block(outputs, stride):
    """Both residuals stand: at the start nothing of the network changes."""
    torch.manual_seed(0)
    light = LightNonLocal(outputs)
    block = MobileBlock(16, outputs, 3, stride, light)
    x = torch.randn(2, 16, 8, 10)
    y = block(x)
    block.light = nn.Identity()
    torch.testing.assert_close(y, block(x))
    block.light = light
    y.square().sum().backward()
    assert light.norm.weight.grad.abs().max() > 0
