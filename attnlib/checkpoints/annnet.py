"""Names of ANNNet's official code and of mmsegmentation's."""

from __future__ import annotations

from collections.abc import Callable

from attnlib.blocks._pyramid import Pyramid
from attnlib.blocks.annnet import FusionPyramidNonLocal, PyramidNonLocal
from attnlib.checkpoints.names import Names, Source, Sources


def _shared(block: Pyramid) -> dict[str, tuple[str, ...]]:
    """Our transforms, each with the projections that it is in the source.

    One module that has two names there is listed under both.
    """
    if block.share == "query_key":
        return {"key": ("key", "query")}
    query = {"query": ("query",)}
    if block.share == "key_value":
        return {"key": ("key", "value"), **query}
    return {"key": ("key",), **query}


def _official(norm: str) -> Callable[[Pyramid], Names]:
    """Build the table; ``norm`` is where the fusion's norm stands."""

    def table(block: Pyramid) -> Names:
        names: Names = {}
        for ours, theirs in _shared(block).items():
            for name in block.get_submodule(ours).state_dict():
                number, kind = name.split(".")
                place = {"0": "0", "1": "1.0"}[number]
                names[f"{ours}.{name}"] = tuple(
                    f"stages.0.f_{one}.{place}.{kind}" for one in theirs
                )
        layers = {"value": "stages.0.f_value", "out": "stages.0.W"}
        layers |= {"fuse.0": "conv_bn_dropout.0", "fuse.1": norm}
        if block.norm is not None:  # in neither code; named as in others
            layers |= {"out": "stages.0.W.0", "norm": "stages.0.W.1"}
        return names | _plain(block, layers)

    return table


def _mmseg(block: Pyramid) -> Names:
    names: Names = {}
    for ours, theirs in _shared(block).items():
        for name in block.get_submodule(ours).state_dict():
            number, kind = name.split(".")
            place = {"0": "conv", "1": "bn"}[number]
            names[f"{ours}.{name}"] = tuple(
                f"stages.0.{one}_project.{place}.{kind}" for one in theirs
            )
    layers = {"value": "stages.0.value_project", "out": "stages.0.out_project"}
    layers |= {"fuse.0": "bottleneck.conv", "fuse.1": "bottleneck.bn"}
    if block.norm is not None:
        layers |= {"out": "stages.0.out_project.conv"}
        layers |= {"norm": "stages.0.out_project.bn"}
    names |= _plain(block, layers)
    # A bias in front of a norm: mmsegmentation has none, zero is the same.
    normed = ("key", "query", "fuse")
    return {
        name: () if name in [f"{one}.0.bias" for one in normed] else theirs
        for name, theirs in names.items()
    }


def _plain(block: Pyramid, layers: dict[str, str]) -> Names:
    """Name the entries of the layers that the block has."""
    return {
        name: (f"{theirs}.{name.rpartition('.')[2]}",)
        for name in block.state_dict()
        if (theirs := layers.get(name.rpartition(".")[0]))
    }


SOURCES: Sources = {
    PyramidNonLocal: {
        "official": Source(_official("conv_bn_dropout.1.0")),
        "mmseg": Source(_mmseg),
    },
    FusionPyramidNonLocal: {
        "official": Source(_official("conv_bn_dropout.1")),
        "mmseg": Source(_mmseg),
    },
}
