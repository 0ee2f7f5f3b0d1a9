"""Networks with a block in them, exported to ONNX and run by onnxruntime.

Thirteen of the fifteen blocks come out the same, three of them in their
reference form: the default form of these is an operator of attnlib's own,
which no other program knows. Two do not come out, and the tests say at which
operation: when a later exporter learns it, they fail and the list is wrong.
"""

import logging

import pytest
import torch
from networks import ResNet
from torch import nn

import attnlib

pytest.importorskip("onnx")
pytest.importorskip("onnxscript")
onnxruntime = pytest.importorskip("onnxruntime")

# Below 1e-6 here; another release of onnxruntime may sum in another order.
LIMIT = 1e-4
DEFAULT = (
    "selfattention", "nonlocal", "a2net", "rnl", "dmsanet", "psa", "gcnet",
    "emanet", "annnet", "lightnl",
)  # fmt: skip
# Whose default form is an operator of ours: what stops the exporter.
REFERENCE = {
    "danet": "attnlib.attention_chunked",
    "san": "attnlib.window_aggregate",
    "ccnet": "attnlib.criss_cross",
}
# In no form: padding to a size known only when it runs; a stable sort.
NOT = {"isanet": "attnlib.pad", "nlsa": "aten.sort.stable"}


@pytest.fixture(autouse=True)
def _quiet():
    """The exporter logs what it skips (torchvision) and retries."""
    logging.disable(logging.WARNING)
    yield
    logging.disable(logging.NOTSET)


def network(key: str) -> tuple[nn.Module, nn.Module, torch.Tensor]:
    """Return a network, one with the block in it, and an input."""
    torch.manual_seed(0)
    plain = ResNet().eval()
    model = ResNet().eval()
    model.load_state_dict(plain.state_dict())
    block = attnlib.create_block(key, 32).eval()
    with torch.no_grad():
        for p in block.parameters():
            p.copy_(torch.randn_like(p) / 2)
    attnlib.insert(model, after="layer2.0", block=block)
    return plain, model, torch.randn(2, 3, 16, 12)


def exported(model: nn.Module, x: torch.Tensor, **options):
    """Return the model as ONNX: a function of one tensor."""
    program = torch.onnx.export(
        model, (x,), dynamo=True, verbose=False, **options
    )
    session = onnxruntime.InferenceSession(
        program.model_proto.SerializeToString(),
        providers=["CPUExecutionProvider"],
    )
    (entry,) = session.get_inputs()

    def run(x):
        (y,) = session.run(None, {entry.name: x.numpy()})
        return torch.from_numpy(y)

    return run


def test_every_block_is_accounted_for():
    assert sorted([*DEFAULT, *REFERENCE, *NOT]) == sorted(
        attnlib.list_blocks()
    )


@pytest.mark.parametrize("key", [*DEFAULT, *REFERENCE])
def test_onnxruntime_agrees(key):
    plain, model, x = network(key)
    if key in REFERENCE:
        model.get_submodule("layer2.0.attention").impl = "reference"
    with torch.no_grad():
        y = model(x)
        assert (y - plain(x)).abs().max() > 10 * LIMIT
    torch.testing.assert_close(
        exported(model, x)(x), y, rtol=LIMIT, atol=LIMIT
    )


def test_sizes_may_stay_open():
    _, model, x = network("nonlocal")
    sizes = {2: torch.export.Dim.DYNAMIC, 3: torch.export.Dim.DYNAMIC}
    run = exported(model, x, dynamic_shapes=(sizes,))
    for size in ((16, 12), (20, 24)):
        x = torch.randn(2, 3, *size)
        with torch.no_grad():
            torch.testing.assert_close(
                run(x), model(x), rtol=LIMIT, atol=LIMIT
            )


@pytest.mark.parametrize("key", [*REFERENCE, *NOT])
@pytest.mark.parametrize("way", ["as it is", "no_grad and frozen"])
def test_what_stops_the_exporter(key, way):
    _, model, x = network(key)
    if way != "as it is":
        model.requires_grad_(False)
    operation = {**REFERENCE, **NOT}[key]
    # The class lives in a private module of PyTorch.
    with (
        torch.set_grad_enabled(way == "as it is"),
        pytest.raises(Exception, match=f"translating node.*{operation}"),
    ):
        exported(model, x)


def test_no_form_of_the_two_helps():
    for key, operation in NOT.items():
        _, model, x = network(key)
        block = model.get_submodule("layer2.0.attention")
        for part in block.modules():
            if hasattr(part, "impl"):
                part.impl = "reference"
        with pytest.raises(Exception, match=operation):
            exported(model, x)
