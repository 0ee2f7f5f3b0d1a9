"""Recorded cases of the reference implementations, by load_reference."""

import copy
import json
import math
from pathlib import Path

import pytest
import systems
import torch
from cases import RECORDED
from safetensors.torch import load_file

from attnlib import load_reference

GOLDEN = Path(__file__).parent / "golden"
FILES = sorted(GOLDEN.glob("*.json"))


def build(facts, impl):
    """Return the block that the recorded run describes, and its source."""
    owners = [m for m in systems.modules() if facts["block"] in m.GOLDEN]
    assert len(owners) == 1, f"who builds {facts['block']}?"
    return owners[0].golden(facts, impl)


def endings_of(facts):
    """Return the endings of the recorded outputs, in the block's order."""
    owner = next(m for m in systems.modules() if facts["block"] in m.GOLDEN)
    return owner.outputs(facts) if hasattr(owner, "outputs") else [""]


def given(facts, tensors):
    """Return what the recorded run's forward took beside x."""
    owner = next(m for m in systems.modules() if facts["block"] in m.GOLDEN)
    return owner.given(tensors) if hasattr(owner, "given") else {}


def load(path):
    tensors = load_file(path.with_suffix(".safetensors"))
    return json.loads(path.read_text()), tensors


def part(tensors, prefix):
    start = len(prefix)
    return {k[start:]: v for k, v in tensors.items() if k.startswith(prefix)}


CASES = [
    (path, impl)
    for path in FILES
    for impl in build(json.loads(path.read_text()), "auto")[0].impls
]


def test_every_system_has_a_case():
    known = set().union(*(module.GOLDEN for module in systems.modules()))
    assert known == {json.loads(path.read_text())["block"] for path in FILES}


@pytest.mark.parametrize(
    ("path", "impl"), CASES, ids=[f"{p.stem}-{i}" for p, i in CASES]
)
def test_values_and_gradients(path, impl):
    facts, tensors = load(path)
    block, source = build(facts, impl)
    block.double().train(facts["mode"] == "train")
    state = part(tensors, "sd.")
    load_reference(block, state, source)
    x = tensors["input"].requires_grad_()
    found = block(x, **given(facts, tensors))
    found = found if isinstance(found, tuple) else (found,)
    endings = endings_of(facts)
    losses = []
    close = RECORDED
    for y, ending in zip(found, endings, strict=True):
        losses.append((y * tensors[f"probe{ending}"]).sum())
        torch.testing.assert_close(y, tensors[f"output{ending}"], **close)
    sum(losses).backward()
    torch.testing.assert_close(x.grad, tensors["grad_input"], **close)

    # Recorded gradients, brought to our names by the same table. Some cases
    # record those of some parameters: the others stay marked.
    marked = {
        k: v.mul(math.nan) if v.is_floating_point() else v
        for k, v in state.items()
    }
    recorded = copy.deepcopy(block)
    load_reference(recorded, {**marked, **part(tensors, "grad.")}, source)
    compared = 0
    for name, theirs in recorded.named_parameters():
        if theirs.isnan().any():
            continue
        compared += 1
        ours = block.get_parameter(name).grad
        torch.testing.assert_close(ours, theirs.detach(), **close, msg=name)
        if not name.endswith("gamma"):
            cannot_matter = theirs.abs().max() < 1e-10
            assert ours.abs().max() > 1e-6 or cannot_matter, name
    assert compared == sum(k.startswith("grad.") for k in tensors)


def test_recorded_maps():
    """The references return our maps, with and without pooling."""
    facts, tensors = load(GOLDEN / "selfattention.json")
    block, source = build(facts, "auto")
    load_reference(block.double(), part(tensors, "sd."), source)
    ours = block.attention_map(tensors["input"])[:, 0]
    torch.testing.assert_close(ours, tensors["attn"])

    facts, tensors = load(GOLDEN / "nonlocal.json")
    block, source = build(facts, "auto")
    load_reference(block.double(), part(tensors, "sd."), source)
    # One winner a window and channel.
    ours = block.attention_map(tensors["input"])  # (B, G, N, N)
    b, g, n, _ = ours.shape
    ours = ours.view(b, g, n, 4, 2, 4, 2)
    windows = ours.sum((4, 6)).flatten(3)  # (B, G, N, 16 windows)
    theirs = tensors["nl_map"][:, None].expand_as(windows)
    torch.testing.assert_close(windows, theirs)
    assert ((ours != 0).sum((4, 6)) == 1).all()


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_strict(path):
    """Missing, left-over, misshapen entries are named, nothing is copied."""
    facts, tensors = load(path)
    block, source = build(facts, "auto")
    block.double()
    state = part(tensors, "sd.")
    before = copy.deepcopy(block.state_dict())
    name = next(key for key in state if key.endswith("weight"))
    extra = {"extra.weight": torch.zeros(1)}
    for bad, word in (
        ({k: v for k, v in state.items() if k != name}, f"{name} is missing"),
        ({**state, **extra}, "extra.weight is left over"),
        ({**state, name: state[name][:-1]}, f"{name} has shape"),
    ):
        with pytest.raises(ValueError, match=word.replace(".", r"\.")):
            load_reference(block, bad, source)
    for key, value in block.state_dict().items():
        assert torch.equal(value, before[key])
    prefixed = {f"head.block.{k}": v for k, v in state.items()}
    prefixed["other.weight"] = torch.zeros(1)
    load_reference(block, prefixed, source, prefix="head.block.")
    y = block.eval()(tensors["input"], **given(facts, tensors))
    y = y[0] if isinstance(y, tuple) else y
    torch.testing.assert_close(y, tensors[f"output{endings_of(facts)[0]}"])
