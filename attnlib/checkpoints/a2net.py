"""Names of the ports of A2-Net's block."""

from __future__ import annotations

from attnlib.blocks.a2net import DoubleAttention
from attnlib.checkpoints.names import Names, Source, Sources

_LAYERS = {
    "value": "convA",
    "gather": "convB",
    "distribute": "convV",
    "out": "conv_reconstruct",
}


def _ports(block: DoubleAttention) -> Names:
    return {
        f"{ours}.{kind}": (f"{theirs}.{kind}",)
        for ours, theirs in _LAYERS.items()
        for kind in ("weight", "bias")
        if ours != "out" or block.reconstruct
    }


SOURCES: Sources = {DoubleAttention: {"official": Source(_ports)}}
