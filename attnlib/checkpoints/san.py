"""Names of SAN's official code."""

from __future__ import annotations

from collections.abc import Mapping

from torch import nn

from attnlib.blocks.san import (
    PairwiseSelfAttention,
    PatchwiseSelfAttention,
    SANBottleneck,
)
from attnlib.checkpoints.names import Names, Source, Sources

_SAM = {
    "query": "conv1",
    "key": "conv2",
    "value": "conv3",
    "position": "conv_p",
    "gamma": "conv_w",
}
_BOTTLENECK = {"norm": "bn1", "norm_out": "bn2", "out": "conv"}


def _official(block: nn.Module) -> Names:
    return _renamed(block, {**_BOTTLENECK, **_SAM})


def _renamed(block: nn.Module, layers: Mapping[str, str]) -> Names:
    """Replace the names of layers; what they hold is called the same."""
    names: Names = {}
    for ours in block.state_dict():
        inside = ours.removeprefix("attention.")
        layer, _, rest = inside.partition(".")
        theirs = f"{layers[layer]}.{rest}"
        names[ours] = (theirs if inside == ours else f"sam.{theirs}",)
    return names


SOURCES: Sources = {
    cls: {"official": Source(_official)}
    for cls in (PairwiseSelfAttention, PatchwiseSelfAttention, SANBottleneck)
}
