"""Names of EMANet's official code and of mmsegmentation's."""

from __future__ import annotations

from collections.abc import Mapping

from torch import nn

from attnlib.blocks.emanet import EMAttention
from attnlib.blocks.emanet_head import EMANetHead
from attnlib.checkpoints.names import (
    Entries,
    Names,
    Source,
    Sources,
)

_OFFICIAL = {
    "mu": "mu",
    "project": "conv1",
    "out": "conv2.0",
    "norm": "conv2.1",
}
# Without its norm the convolution bears the name of the pair.
_OFFICIAL_BARE = {"mu": "mu", "project": "conv1", "out": "conv2"}
_MMSEG = {
    "mu": "ema_module.bases",
    "project": "ema_mid_conv.conv",
    "out": "ema_out_conv.conv",
    "norm": "ema_out_conv.bn",
}
# What surrounds the unit in the same list of mmsegmentation's head.
_FRAME = ("ema_in_conv.", "bottleneck.", "conv_cat.", "conv_seg.")

_HEAD = {
    "reduce.0": "fc0.conv",
    "reduce.1": "fc0.bn",
    "narrow.0": "fc1.0.conv",
    "narrow.1": "fc1.0.bn",
    "classes.1": "fc2",
}
_MMSEG_HEAD = {
    "reduce.0": "ema_in_conv.conv",
    "reduce.1": "ema_in_conv.bn",
    "narrow.0": "bottleneck.conv",
    "narrow.1": "bottleneck.bn",
    "join.0": "conv_cat.conv",
    "join.1": "conv_cat.bn",
    "classes.1": "conv_seg",
}


def _renamed(
    block: nn.Module, layers: Mapping[str, str], before: str = ""
) -> Names:
    """Replace the names of layers; what they hold is called the same."""
    found: Names = {}
    for ours in block.state_dict():
        for layer, theirs in layers.items():
            if ours == layer or ours.startswith(f"{layer}."):
                found[ours] = (before + theirs + ours[len(layer) :],)
    return found


def _official(block: EMAttention) -> Names:
    bare = block.norm is None
    return _renamed(block, _OFFICIAL_BARE if bare else _OFFICIAL)


def _head(
    block: EMANetHead,
    frame: Mapping[str, str],
    unit: Mapping[str, str],
    before: str,
) -> Names:
    inner = {f"attention.{ours}": theirs for ours, theirs in unit.items()}
    return _renamed(block, frame) | _renamed(block, inner, before)


def _unit_alone(given: Entries) -> Entries:
    """Pass over the frame: one prefix serves all layers of the head."""
    return {k: v for k, v in given.items() if not k.startswith(_FRAME)}


SOURCES: Sources = {
    EMAttention: {
        "official": Source(_official),
        "mmseg": Source(
            lambda block: _renamed(block, _MMSEG), prepare=_unit_alone
        ),
    },
    EMANetHead: {
        "official": Source(
            lambda block: _head(block, _HEAD, _OFFICIAL, "emau.")
        ),
        "mmseg": Source(lambda block: _head(block, _MMSEG_HEAD, _MMSEG, "")),
    },
}
