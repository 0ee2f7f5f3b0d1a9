"""Names of CCNet's official code and of mmcv's and mmsegmentation's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from attnlib.blocks.ccnet import (
    CrissCrossAttention,
    RecurrentCrissCrossAttention,
)
from attnlib.blocks.ccnet_head import CCNetHead
from attnlib.checkpoints.names import (
    STATISTICS,
    Entries,
    Names,
    Source,
    Sources,
)

KINDS = ("weight", "bias")


def _block(gamma: str) -> Callable[[Any], Names]:
    def table(block: CrissCrossAttention) -> Names:
        names: Names = {
            f"{ours}.{kind}": (f"{ours}_conv.{kind}",)
            for ours in ("query", "key", "value")
            for kind in KINDS
        }
        return names | {"gamma": (gamma,)}

    return table


def _head(
    layers: dict[str, tuple[str, str]], last: str, gamma: str
) -> Callable[[CCNetHead], Names]:
    """Build a head's table; ``layers``: names of convolution and norm."""

    def table(block: CCNetHead) -> Names:
        names: Names = {}
        for ours, (conv, norm) in layers.items():
            names[f"{ours}.0.weight"] = (f"{conv}.weight",)
            for kind in (*KINDS, *STATISTICS):
                names[f"{ours}.1.{kind}"] = (f"{norm}.{kind}",)
        for kind in KINDS:
            names[f"exit.4.{kind}"] = (f"{last}.{kind}",)
        for name, (theirs,) in _block(gamma)(block.attention).items():
            names[f"attention.{name}"] = (f"cca.{theirs}",)
        return names

    return table


def _in_place_norm(given: Entries) -> Entries:
    """Write the scale of the official norm, |weight| + eps, as a weight."""
    norms = ("conva.1.weight", "convb.1.weight", "bottleneck.1.weight")
    return {
        name: tensor.abs() + 1e-5 if name in norms else tensor
        for name, tensor in given.items()
    }


_OFFICIAL = _head(
    {
        "before": ("conva.0", "conva.1"),
        "after": ("convb.0", "convb.1"),
        "exit": ("bottleneck.0", "bottleneck.1"),
    },
    "bottleneck.3",
    "gamma",
)
_MMSEG = _head(
    {
        "before": ("convs.0.conv", "convs.0.bn"),
        "after": ("convs.1.conv", "convs.1.bn"),
        "exit": ("conv_cat.conv", "conv_cat.bn"),
    },
    "conv_seg",
    "gamma.scale",
)
_BLOCK = {
    "official": Source(_block("gamma")),
    "mmseg": Source(_block("gamma.scale")),
}
SOURCES: Sources = {
    CrissCrossAttention: _BLOCK,
    RecurrentCrissCrossAttention: _BLOCK,
    CCNetHead: {
        "official": Source(_OFFICIAL, _in_place_norm),
        "mmseg": Source(_MMSEG),
    },
}
