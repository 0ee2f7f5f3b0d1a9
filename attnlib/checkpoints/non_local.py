"""Names of four implementations of the non-local block."""

from __future__ import annotations

from collections.abc import Mapping

from torch import nn

from attnlib.blocks.non_local import NonLocal
from attnlib.checkpoints.names import (
    STATISTICS,
    Entries,
    Names,
    Source,
    Sources,
)


def _non_local(
    block: NonLocal,
    layers: Mapping[str, tuple[str, ...]],
    *,
    kinds: tuple[str, str] = (".weight", ".bias"),
    norm: Mapping[str, tuple[str, ...]],
) -> Names:
    """Build a table from the source's names for the layers and the norm."""
    table: Names = {}
    own = block.state_dict()
    for ours, theirs in layers.items():
        if ours == "w_f":
            if block.pairwise == "concatenation":
                table["w_f"] = tuple(name + kinds[0] for name in theirs)
        elif block.pairwise != "gaussian" or ours in ("value", "out"):
            for kind, suffix in zip((".weight", ".bias"), kinds, strict=True):
                table[ours + kind] = tuple(name + suffix for name in theirs)
    for ours, names in norm.items():
        if f"norm.{ours}" in own:
            table[f"norm.{ours}"] = names
    if "out.bias" not in own:
        # Built with out_bias=False: the source must not have it either.
        del table["out.bias"]
    return table


def _alexhex7(block: NonLocal) -> Names:
    tail = ".0" if block.subsample else ""
    w = "W" if isinstance(block.norm, nn.Identity) else "W.0"
    layers = {
        "query": ("theta",),
        "key": (f"phi{tail}",),
        "value": (f"g{tail}",),
        "out": (w,),
        "w_f": ("concat_project.0",),
    }
    kinds = ("weight", "bias", *STATISTICS)
    norm = {kind: (f"W.1.{kind}",) for kind in kinds}
    return _non_local(block, layers, norm=norm)


def _mmcv(block: NonLocal) -> Names:
    tail = ".0" if block.subsample else ""
    layers = {
        "query": ("theta.conv",),
        "key": (f"phi{tail}.conv",),
        "value": (f"g{tail}.conv",),
        "out": ("conv_out.conv",),
        "w_f": ("concat_project.conv",),
    }
    kinds = ("weight", "bias", *STATISTICS)
    norm = {kind: (f"conv_out.bn.{kind}",) for kind in kinds}
    table = _non_local(block, layers, norm=norm)
    if "out.bias" in table and not isinstance(block.norm, nn.Identity):
        table["out.bias"] = ()  # mmcv drops the bias in front of a norm
    return table


def _slowfast(block: NonLocal) -> Names:
    layers = {
        "query": ("conv_theta",),
        "key": ("conv_phi",),
        "value": ("conv_g",),
        "out": ("conv_out",),
    }
    kinds = ("weight", "bias", *STATISTICS)
    norm = {kind: (f"bn.{kind}", f"norm.{kind}") for kind in kinds}
    return _non_local(block, layers, norm=norm)


def _caffe2(block: NonLocal) -> Names:
    layers = {
        "query": ("theta",),
        "key": ("phi",),
        "value": ("g",),
        "out": ("out",),
    }
    norm = {
        "weight": ("bn_s",),
        "bias": ("bn_b",),
        "running_mean": ("bn_rm",),
        "running_var": ("bn_riv",),  # named inverse, holds the variance itself
        "num_batches_tracked": ("bn_steps",),  # never there
    }
    return _non_local(block, layers, kinds=("_w", "_b"), norm=norm)


def _flat(entries: Entries) -> Entries:
    """Make a vector of w_f: these sources keep it as a convolution."""
    return {
        name: t[0] if name.startswith("concat_project") else t
        for name, t in entries.items()
    }


def _blobs(entries: Entries) -> Entries:
    """Pass over the optimiser's entries and the name of the layer.

    In ``nonlocal_conv4_1_theta_w`` that is ``nonlocal_conv4_1_``.
    """
    end = "theta_w"
    found = [name[: -len(end)] for name in entries if name.endswith(end)]
    prefix = found[0] if len(found) == 1 else ""
    return {
        name[len(prefix) :]: t
        for name, t in entries.items()
        if name.startswith(prefix) and not name.endswith("_momentum")
    }


SOURCES: Sources = {
    NonLocal: {
        "alexhex7": Source(_alexhex7, _flat),
        "mmcv": Source(_mmcv, _flat),
        "caffe2": Source(_caffe2, _blobs),
        "slowfast": Source(_slowfast),
    }
}
