"""Names of the official code: each layer stands in a block of its own."""

from __future__ import annotations

from attnlib.blocks.nlsa import NonLocalSparseAttention
from attnlib.blocks.nlsa_dense import DenseNonLocalAttention
from attnlib.checkpoints.names import Names, Source, Sources


def _sparse(block: NonLocalSparseAttention) -> Names:
    layers = {"embedding": "conv_match", "value": "conv_assembly"}
    return {
        f"{ours}.{kind}": (f"{theirs}.0.{kind}",)
        for ours, theirs in layers.items()
        for kind in ("weight", "bias")
    }


def _dense(block: DenseNonLocalAttention) -> Names:
    layers = {
        "query": "conv_match1",
        "key": "conv_match2",
        "value": "conv_assembly",
    }
    return {
        f"{ours}.{kind}": (f"{theirs}.{kind}",)
        for ours, theirs in layers.items()
        for kind in ("0.weight", "0.bias", "1.weight")
    }


SOURCES: Sources = {
    NonLocalSparseAttention: {"official": Source(_sparse)},
    DenseNonLocalAttention: {"official": Source(_dense)},
}
