"""CCNet's head: its cost, the official names, norm and order."""

import pytest
import torch
import torch.nn.functional as F
from cases import randomise
from crosses import official

from attnlib import CCNetHead, load_reference
from attnlib.cost import closed_form, count


@pytest.mark.parametrize("impl", CCNetHead.impls)
@pytest.mark.parametrize("size", [(5, 7), (17, 20)], ids=str)
@pytest.mark.parametrize("activation", ["relu", "leaky_relu"])
def test_cost_of_the_head_is_what_is_counted(impl, size, activation):
    head = CCNetHead(32, 5, out_channels=12, activation=activation)
    shape = (3, 32, *size)
    assert closed_form(head, shape, impl=impl) == count(head, shape, impl=impl)


def official_head(head):
    """Write a head's state under the official names."""
    layers = {"before": "conva", "after": "convb", "exit": "bottleneck"}
    state = {}
    for key, value in head.state_dict().items():
        layer, rest = key.split(".", 1)
        if layer == "attention":
            part, _, kind = rest.partition(".")
            name = f"cca.{part}_conv.{kind}" if kind else f"cca.{part}"
        else:
            name = f"{layers[layer]}.{rest.replace('4.', '3.')}"
        state[f"head.{name}"] = value.clone()
    return state


def test_the_official_head():
    """Input first, shared loop, and a norm that multiplies by |w| + eps."""
    head = randomise(CCNetHead(32, 5)).double().eval()
    state = official_head(head)
    assert (state["head.conva.1.weight"] < 0).any()
    other = CCNetHead(32, 5).double().eval()
    load_reference(other, state, "official", prefix="head.")

    def norm(layer, y):
        scale = layer.weight.abs() + 1e-5
        y = (y - layer.running_mean.view(-1, 1, 1)) / (
            layer.running_var.view(-1, 1, 1) + 1e-5
        ).sqrt()
        y = y * scale.view(-1, 1, 1) + layer.bias.view(-1, 1, 1)
        return F.leaky_relu(y, 0.01)

    x = torch.randn(2, 32, 5, 7, dtype=torch.float64)
    a = norm(head.before[1], head.before[0](x))
    b = official(official(a, head.attention), head.attention)
    b = norm(head.after[1], head.after[0](b))
    y = norm(head.exit[1], head.exit[0](torch.cat([x, b], 1)))
    torch.testing.assert_close(other(x), head.exit[4](y))
    del state["head.conva.1.num_batches_tracked"]  # old checkpoints
    load_reference(other, state, "official", prefix="head.")


@pytest.mark.parametrize(
    "dtype", [torch.float16, torch.bfloat16, torch.float32], ids=str
)
def test_the_head_in_other_dtypes(dtype):
    head = CCNetHead(32, 5, dtype=dtype).eval()
    y = head(torch.randn(1, 32, 1, 9).to(dtype))
    assert y.dtype == dtype
    assert y.shape == (1, 5, 1, 9)
    assert y.isfinite().all()
    assert head(torch.zeros(0, 32, 4, 4, dtype=dtype)).shape == (0, 5, 4, 4)


def test_the_head_refuses_bad_input():
    with pytest.raises(ValueError, match="CCNetHead was built for 32 chan"):
        CCNetHead(32, 5)(torch.zeros(1, 31, 4, 4))
    with pytest.raises(ValueError, match="num_classes must be at least 1"):
        CCNetHead(32, 0)
    with pytest.raises(ValueError, match="activation must be one of"):
        CCNetHead(32, 5, activation="elu")
    with pytest.raises(ValueError, match="dropout must lie"):
        CCNetHead(32, 5, dropout=1.0)
    with pytest.raises(ValueError, match="inter_channels must be at least re"):
        CCNetHead(16, 5)
    with pytest.raises(ValueError, match="out_channels must be at least 1"):
        CCNetHead(32, 5, out_channels=0)
