"""Names of ISANet's official code and of mmsegmentation's head."""

from __future__ import annotations

import torch

from attnlib.blocks.isanet import InterlacedSparseAttention
from attnlib.checkpoints.names import Entries, Names, Source, Sources

# Our layer inside a step -> theirs; a norm has two names in the official code:
# as a module of its own, and inside the wrapper of PyTorch's norm.
_OFFICIAL = {
    "query.0": ("f_query.0",),
    "query.1": ("f_query.1.0", "f_query.1"),
    "query.3": ("f_query.2",),
    "query.4": ("f_query.3.0", "f_query.3"),
    "key.0": ("f_key.0",),
    "key.1": ("f_key.1.0", "f_key.1"),
    "key.3": ("f_key.2",),
    "key.4": ("f_key.3.0", "f_key.3"),
    "value": ("f_value",),
    "out.0": ("W.0", "W"),
    "out.1": ("W.1.0", "W.1"),
}
_MMSEG = {
    "query.0": ("query_project.0.conv",),
    "query.1": ("query_project.0.bn",),
    "query.3": ("query_project.1.conv",),
    "query.4": ("query_project.1.bn",),
    "key.0": ("key_project.0.conv",),
    "key.1": ("key_project.0.bn",),
    "key.3": ("key_project.1.conv",),
    "key.4": ("key_project.1.bn",),
    "value": ("value_project",),
    "out.0": ("output_project.conv",),
    "out.1": ("output_project.bn",),
}


def _official(block: InterlacedSparseAttention) -> Names:
    outside = {
        "up.0": ("up_conv.0",),
        "up.1": ("up_conv.1.0", "up_conv.1"),
        "out.0": ("conv_bn.0",),
        "out.1": ("conv_bn.1.0", "conv_bn.1"),
    }
    names: Names = {}
    for entry in block.state_dict():
        owner, _, rest = entry.partition(".")
        if owner in ("long", "short"):
            stage, _, rest = rest.partition(".")
            layer, _, kind = rest.rpartition(".")
            step = f"stages.{stage}.{owner}_range_sa."
            found = tuple(step + theirs for theirs in _OFFICIAL[layer])
        else:
            layer, _, kind = entry.rpartition(".")
            found = outside[layer]
        names[entry] = tuple(f"{theirs}.{kind}" for theirs in found)
    return names


def _mmseg(block: InterlacedSparseAttention) -> Names:
    relations = {"long": "global_relation.", "short": "local_relation."}
    outside = {"out.0": ("out_conv.conv",), "out.1": ("out_conv.bn",)}
    names: Names = {}
    for entry in block.state_dict():
        owner, _, rest = entry.partition(".")
        stage, _, rest = rest.partition(".")
        if owner in relations and stage == "0":
            layer, _, kind = rest.rpartition(".")
            relation = relations[owner]
            found = tuple(relation + theirs for theirs in _MMSEG[layer])
        else:
            layer, _, kind = entry.rpartition(".")
            found = outside.get(layer, ())
        if found:
            names[entry] = tuple(f"{theirs}.{kind}" for theirs in found)
    return names


def _identity_first(given: Entries) -> Entries:
    """Swap the halves of mmsegmentation's last kernel: context comes first."""
    name = "out_conv.conv.weight"
    if name in given:
        context, identity = given[name].chunk(2, dim=1)
        given[name] = torch.cat([identity, context], dim=1)
    return given


SOURCES: Sources = {
    InterlacedSparseAttention: {
        "official": Source(_official),
        "mmseg": Source(_mmseg, _identity_first),
    }
}
