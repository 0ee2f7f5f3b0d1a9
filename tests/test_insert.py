"""A block in a network whose code nobody touched."""

import copy
import io

import pytest
import torch
from networks import NETWORKS, ResNet, UNet, sequential
from torch import nn

import attnlib

each = pytest.mark.parametrize("network", NETWORKS)


def build(network, block="nonlocal", **options):
    """Return a network as it was, and one with a block in it."""
    make, after, channels = NETWORKS[network]
    torch.manual_seed(0)
    before = make().eval()
    attention = attnlib.create_block(block, channels, **options).eval()
    model = copy.deepcopy(before)
    assert attnlib.insert(model, after=after, block=attention) is model
    return before, model, attention


def disturbed(block):
    """Give the block weights with which it is not the identity."""
    torch.manual_seed(1)
    with torch.no_grad():
        for p in block.parameters():
            p.copy_(torch.randn_like(p) / 4)


@each
def test_outputs_stay_until_the_block_is_trained(network):
    before, model, block = build(network)
    x = torch.randn(2, 3, 16, 12)
    torch.testing.assert_close(model(x), before(x), rtol=0, atol=0)
    disturbed(block)
    assert (model(x) - before(x)).abs().max() > 1e-3


@each
def test_the_block_gets_what_the_layer_returned(network):
    before, model, block = build(network)
    disturbed(block)
    _, after, _ = NETWORKS[network]
    seen = {}

    def layer(module, inputs, output):
        seen["layer"] = output

    def inside(module, inputs, output):
        seen["calls"] = seen.get("calls", 0) + 1
        seen["input"], seen["output"] = inputs[0], output

    before.get_submodule(after).register_forward_hook(layer)
    block.register_forward_hook(inside)
    x = torch.randn(2, 3, 16, 12)
    before(x), model(x)
    assert seen["calls"] == 1
    assert torch.equal(seen["input"], seen["layer"])
    assert not torch.equal(seen["output"], seen["input"])


@each
def test_names_of_old_weights_stay(network):
    before, model, block = build(network)
    old, new = before.state_dict(), model.state_dict()
    added = set(new) - set(old)
    assert set(old) < set(new)
    assert len(added) == len(block.state_dict())
    x = torch.randn(2, 3, 16, 12)
    result = model.load_state_dict(old, strict=False)
    # Of counters PyTorch asks for none.
    without = added - set(result.missing_keys)
    assert {key.rpartition(".")[2] for key in without} <= {
        "num_batches_tracked"
    }
    assert result.unexpected_keys == []
    again = build(network)[1]
    disturbed(again)
    assert not torch.equal(again(x), model(x))
    again.load_state_dict(new)
    assert torch.equal(again(x), model(x))


@each
@pytest.mark.parametrize("way", ["deepcopy", "pickle"])
def test_a_copy_uses_its_own_block(network, way):
    _, model, block = build(network)
    disturbed(block)
    x = torch.randn(2, 3, 16, 12)
    y = model(x)
    if way == "deepcopy":
        twin = copy.deepcopy(model)
    else:
        file = io.BytesIO()
        torch.save(model, file)
        file.seek(0)
        twin = torch.load(file, weights_only=False)
    assert torch.equal(twin(x), y)
    with torch.no_grad():
        for p in block.parameters():
            p.zero_()
    assert torch.equal(twin(x), y)  # not the first one's block
    assert not torch.equal(model(x), y)


@each
def test_the_block_learns(network):
    _, model, block = build(network)
    model.train()
    model(torch.randn(2, 3, 16, 12)).square().sum().backward()
    (slope,) = [
        p.grad for n, p in block.named_parameters() if n == "norm.weight"
    ]
    assert slope.abs().max() > 0


def test_blocks_behind_one_another():
    _, model, first = build("resnet")
    second = attnlib.GlobalContext(32)
    attnlib.insert(model, after="layer2.0.attention", block=second)
    third = attnlib.create_block("ccnet", 32)
    attnlib.insert(model, after="layer2.0", block=third, name="cross")
    calls = []
    for number, block in enumerate((first, second, third)):
        block.register_forward_hook(lambda *_, n=number: calls.append(n))
    x = torch.randn(2, 3, 16, 12)
    model(x)
    # A hook of `first` puts `second` behind it, before ours is called.
    assert sorted(calls) == [0, 1, 2]
    assert calls[-1] == 2


def test_layers_with_names_keep_them():
    from collections import OrderedDict

    stage = nn.Sequential(OrderedDict(conv=nn.Conv2d(3, 8, 3)))
    attnlib.insert(stage, after="", block=attnlib.NonLocal(8))
    assert list(dict(stage.named_children())) == ["conv", "attention"]
    gap = nn.Sequential(OrderedDict({"0": nn.Conv2d(3, 8, 3)}))
    gap.add_module("2", nn.ReLU())
    attnlib.insert(gap, after="", block=attnlib.NonLocal(8))
    assert list(dict(gap.named_children())) == ["0", "2", "3"]


class Pair(nn.Module):
    def forward(self, x):
        return x, x


class Own(nn.Sequential):
    """A list of layers with a forward of its own."""

    def forward(self, x):
        return self[0](x) * 2


def test_a_sequential_with_its_own_forward_is_hooked():
    torch.manual_seed(0)
    net = Own(nn.Conv2d(3, 8, 3))
    x = torch.randn(1, 3, 6, 6)
    y = net(x)
    block = attnlib.NonLocal(8)
    attnlib.insert(net, after="", block=block)
    assert torch.equal(net(x), y)
    disturbed(block)
    assert torch.equal(net(x), block(y))


def test_compiles_and_exports():
    _, model, block = build("unet")
    disturbed(block)
    x = torch.randn(2, 3, 16, 12)
    y = model(x)
    compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(x), y)
    program = torch.export.export(model, (x,))
    torch.testing.assert_close(program.module()(x), y)


def test_autocast_and_channels_last():
    _, model, block = build("resnet")
    disturbed(block)
    x = torch.randn(2, 3, 16, 12)
    y = model(x)
    lasting = model.to(memory_format=torch.channels_last)
    torch.testing.assert_close(
        lasting(x.to(memory_format=torch.channels_last)), y
    )
    with torch.autocast("cpu", torch.bfloat16):
        half = model(x)
    torch.testing.assert_close(half.float(), y, rtol=0.1, atol=0.1)


net = ResNet()


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"model": 3}, TypeError, "model must be a module, got int"),
        ({"block": "nonlocal"}, TypeError, "block must be a module, got str"),
        ({"after": 3}, TypeError, "after must be a string, got 3"),
        ({"name": None}, TypeError, "name must be a string, got None"),
        (
            {"after": "layer2.O"},
            ValueError,
            r"after must be one of 23 names, got 'layer2\.O'; "
            r"did you mean 'layer2\.1', 'layer2\.0' or 'layer2'\?$",
        ),
        (
            {"model": nn.Sequential(nn.ReLU()), "after": "1"},
            ValueError,
            r"after must be one of \('', '0'\), got '1'$",
        ),
        ({"name": "conv1"}, ValueError, "name='conv1' cannot be used"),
        ({"name": "forward"}, ValueError, "name='forward' cannot be used"),
        ({"name": "a.b"}, ValueError, "name='a.b' cannot be used"),
        ({"name": ""}, ValueError, "name='' cannot be used"),
        ({"block": net.stem}, ValueError, "part of the model already"),
        (
            {"block": nn.Sequential(net)},
            ValueError,
            "block contains the model",
        ),
        (
            {"model": nn.ModuleList([nn.ReLU()]), "after": ""},
            ValueError,
            "is a ModuleList, a list of layers and none itself",
        ),
    ],
)
def test_refuses(arguments, error, message):
    given = {
        "model": net,
        "after": "layer2.0",
        "block": nn.Identity(),
        "name": "attention",
    }
    state = set(net.state_dict())
    given |= arguments
    with pytest.raises(error, match=message):
        attnlib.insert(given.pop("model"), **given)
    assert set(net.state_dict()) == state


def test_two_blocks_of_one_name():
    model = UNet()
    attnlib.insert(model, after="bottom", block=attnlib.NonLocal(16))
    with pytest.raises(ValueError, match="'attention' cannot be used"):
        attnlib.insert(model, after="bottom", block=attnlib.NonLocal(16))


def test_a_layer_that_returns_two_tensors():
    model = nn.Sequential(Pair())
    attnlib.insert(model, after="0", block=nn.Identity())
    with pytest.raises(TypeError, match="Pair returned tuple"):
        model(torch.randn(1))


def test_a_block_of_other_channels_says_so():
    model = sequential()
    attnlib.insert(model, after="2", block=attnlib.NonLocal(8))
    with pytest.raises(ValueError, match="built for 8 channels"):
        model(torch.randn(1, 3, 8, 8))
