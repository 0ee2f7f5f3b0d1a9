"""Names of the official code of RNL and of a post on it."""

from __future__ import annotations

import torch
from torch import nn

from attnlib.blocks.rnl import ChannelGate, RegionNonLocal
from attnlib.checkpoints.names import (
    STATISTICS,
    Entries,
    Names,
    Source,
    Sources,
)

_KINDS = ("weight", "bias")


def _table(layers: dict[str, str], norm: str = "") -> Names:
    names: Names = {
        f"{ours}.{kind}": (f"{theirs}.{kind}",)
        for ours, theirs in layers.items()
        for kind in _KINDS
    }
    if norm:
        for kind in (*_KINDS, *STATISTICS):
            names[f"norm.{kind}"] = (f"{norm}.{kind}",)
    return names


def _official(block: RegionNonLocal) -> Names:
    out = "W" if block.norm is None else "W.0"
    names = _table(
        {"value": "theta", "out": out}, "" if block.norm is None else "W.1"
    )
    if not isinstance(block.region, nn.Identity):
        names["region.weight"] = ("penta.weight",)
    return names


def _depthwise(entries: Entries) -> Entries:
    """Take each channel's own filter out of the dense, masked kernel."""
    entries = {k: t for k, t in entries.items() if k != "penta.mask"}
    dense = entries.get("penta.weight")
    if dense is not None and dense.ndim > 2:
        channel = torch.arange(len(dense))
        own = dense[channel, channel % dense.shape[1]]
        entries["penta.weight"] = own[:, None]
    return entries


def _post(block: RegionNonLocal) -> Names:
    return _table({"value": "g", "region": "F", "out": "o"})


def _gate(block: ChannelGate) -> Names:
    layers = {"key": "W_k", "hidden": "W_v1", "out": "W_v2"}
    return _table(layers, "bn1")


SOURCES: Sources = {
    RegionNonLocal: {
        "official": Source(_official, _depthwise),
        "post": Source(_post),
    },
    ChannelGate: {"official": Source(_gate)},
}
