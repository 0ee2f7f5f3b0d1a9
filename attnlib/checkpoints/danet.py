"""Names of DANet's official code and of mmsegmentation's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from attnlib.blocks.danet import (
    ChannelAttention,
    DANetHead,
    PositionAttention,
)
from attnlib.checkpoints.names import STATISTICS, Names, Source, Sources

KINDS = ("weight", "bias")


def _position(layer: str, gamma: str) -> Callable[[PositionAttention], Names]:
    def table(block: PositionAttention) -> Names:
        names: Names = {
            f"{ours}.{kind}": (f"{ours}_{layer}.{kind}",)
            for ours in ("query", "key", "value")
            for kind in KINDS
        }
        return names | {"gamma": (gamma,)}

    return table


def _channel(gamma: str) -> Callable[[ChannelAttention], Names]:
    return lambda block: {"gamma": (gamma,)}


def _nested(names: Names, ours: str, theirs: str) -> Names:
    return {
        f"{ours}.{name}": tuple(f"{theirs}.{one}" for one in many)
        for name, many in names.items()
    }


def _head(
    modules: dict[str, tuple[str, str, str]],
    exits: dict[str, str],
    position: Callable[[PositionAttention], Names],
    channel: Callable[[ChannelAttention], Names],
    attention: tuple[str, str],
) -> Callable[[DANetHead], Names]:
    """Build a head's table.

    ``modules``: for each 3 x 3 layer of ours its name, and those of its
    convolution and of its norm inside.
    """

    def table(block: DANetHead) -> Names:
        names: Names = {}
        for ours, (theirs, conv, norm) in modules.items():
            names[f"{ours}.0.weight"] = (f"{theirs}.{conv}.weight",)
            for kind in (*KINDS, *STATISTICS):
                names[f"{ours}.1.{kind}"] = (f"{theirs}.{norm}.{kind}",)
        for ours, theirs in exits.items():
            for kind in KINDS:
                names[f"{ours}.1.{kind}"] = (f"{theirs}.{kind}",)
        names |= _nested(position(block.position), "position", attention[0])
        return names | _nested(channel(block.channel), "channel", attention[1])

    return table


def _layers(names: str, conv: str, norm: str) -> Any:
    ours = ("position_in", "channel_in", "position_out", "channel_out")
    return {
        own: (name, conv, norm)
        for own, name in zip(ours, names.split(), strict=True)
    }


_OFFICIAL = _head(
    _layers("conv5a conv5c conv51 conv52", "0", "1"),
    {
        "position_exit": "conv6.1",
        "channel_exit": "conv7.1",
        "sum_exit": "conv8.1",
    },
    _position("conv", "gamma"),
    _channel("gamma"),
    ("sa", "sc"),
)
_MMSEG = _head(
    _layers("pam_in_conv cam_in_conv pam_out_conv cam_out_conv", "conv", "bn"),
    {
        "position_exit": "pam_conv_seg",
        "channel_exit": "cam_conv_seg",
        "sum_exit": "conv_seg",
    },
    _position("project", "gamma.scale"),
    _channel("gamma.scale"),
    ("pam", "cam"),
)
SOURCES: Sources = {
    PositionAttention: {
        "official": Source(_position("conv", "gamma")),
        "mmseg": Source(_position("project", "gamma.scale")),
    },
    ChannelAttention: {
        "official": Source(_channel("gamma")),
        "mmseg": Source(_channel("gamma.scale")),
    },
    DANetHead: {"official": Source(_OFFICIAL), "mmseg": Source(_MMSEG)},
}
