"""Names of the official code and its copies, of timm, and of the post."""

from __future__ import annotations

from collections.abc import Callable

from attnlib.blocks.gcnet import GlobalContext, SimplifiedNonLocal
from attnlib.checkpoints.names import Names, Source, Sources

# mmcv and mmsegmentation copied the official block with its names.
_OFFICIAL = {"key": "conv_mask", "value": "conv_value"}
_BRANCHES = {"add": "channel_add_conv", "mul": "channel_mul_conv"}
_TIMM = {"0": "fc1", "1": "norm", "3": "fc2"}


def _official(block: GlobalContext | SimplifiedNonLocal) -> Names:
    layers = _OFFICIAL | _BRANCHES
    return {
        name: (f"{layers[name.split('.')[0]]}.{name.partition('.')[2]}",)
        for name in block.state_dict()
    }


def _post(block: GlobalContext) -> Names:
    """Name the one branch that the post has; none for the other."""
    layers = {"key": "Conv_key", "add": "Conv_value"}
    return {
        name: (f"{layers[layer]}.{name.partition('.')[2]}",)
        for name in block.state_dict()
        if (layer := name.split(".")[0]) in layers
    }


def _timm(block: GlobalContext) -> Names:
    branches = {"add": "mlp_add", "mul": "mlp_scale"}
    names: Names = {}
    for name in block.state_dict():
        layer, *rest = name.split(".")
        if layer == "key":
            names[name] = (f"conv_attn.{rest[0]}",)
        else:
            part = _TIMM[rest[0]]
            names[name] = (f"{branches[layer]}.{part}.{rest[1]}",)
    return names


_SAME: Callable[[GlobalContext | SimplifiedNonLocal], Names] = _official
SOURCES: Sources = {
    GlobalContext: {
        "official": Source(_SAME),
        "mmseg": Source(_SAME),
        "timm": Source(_timm),
        "post": Source(_post),
    },
    SimplifiedNonLocal: {"official": Source(_SAME)},
}
