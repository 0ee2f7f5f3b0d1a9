"""Parameters of the reference implementations, read into our blocks.

A table names, for each of our entries, the entry of the source.
``load_reference`` is strict: an entry that is missing, left over or of another
shape raises and is named, and then nothing has been copied.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from attnlib._checks import check_choice
from attnlib.blocks.non_local import NonLocal
from attnlib.blocks.self_attention import SelfAttention

# Our entry -> names that the source may use for it. No name: the source has no
# such entry and zero says the same (a bias in front of a batch norm).
Names = dict[str, tuple[str, ...]]

_STATISTICS = ("running_mean", "running_var", "num_batches_tracked")


def load_reference(
    block: nn.Module,
    state_dict: Mapping[str, Any],
    source: str,
    *,
    prefix: str = "",
) -> None:
    """Copy a reference's parameters and statistics into ``block``.

    Args:
        block: the block, built with the options that the source used.
        state_dict: the source's entries, tensors or arrays.
        source: which implementation: ``"document"`` or ``"post"`` for
            SelfAttention; ``"alexhex7"``, ``"mmcv"``, ``"caffe2"`` or
            ``"slowfast"`` for NonLocal.
        prefix: what stands before the block's names, such as
            ``"decode_head.nl_block."``. Entries without it belong to other
            layers and are passed over.

    Shape:
        - entries: as in the source; 1 x 1 kernels may have any number of
          trailing ones

    Raises:
        TypeError: a block without reference sources, or entries that are no
            arrays.
        ValueError: an unknown source; entries missing, left over or of another
            shape; a block with parameters that the source does not have.

    ``num_batches_tracked`` may be absent: old checkpoints and Caffe2 do not
    have it. Caffe2's optimiser entries (``..._momentum``) are passed over.
    """
    if type(block) not in _TABLES:
        names = ", ".join(sorted(cls.__name__ for cls in _TABLES))
        raise TypeError(
            f"block must be one of {names}, got {type(block).__name__}"
        )
    table = _TABLES[type(block)]
    check_choice("source", source, table)
    if source == "caffe2":
        state_dict = {
            k: v for k, v in state_dict.items() if not k.endswith("_momentum")
        }
        prefix = prefix or _blob_prefix(state_dict)
    given = {
        key[len(prefix) :].lstrip("._"): key
        for key in state_dict
        if key.startswith(prefix)
    }

    wanted, ours = table[source](block), block.state_dict()
    extra = [name for name in ours if name not in wanted]
    problems = [f"{name} of the block has no counterpart" for name in extra]
    copies: list[tuple[Tensor, Tensor]] = []
    for name, theirs in wanted.items():
        if name not in ours:
            problems.append(f"the block has no {name}, which the source needs")
            continue
        own = ours[name]
        found = [key for key in theirs if key in given]
        if found:
            tensor = torch.as_tensor(state_dict[given.pop(found[0])])
            if name == "w_f" and tensor.shape[:1] == (1,):
                # The sources keep w_f as a convolution to one channel.
                tensor = tensor[0]
            if _core(tensor.shape) == _core(own.shape):
                copies.append((own, tensor.reshape(own.shape)))
            else:
                problems.append(
                    f"{found[0]} has shape {tuple(tensor.shape)}, "
                    f"{name} of the block {tuple(own.shape)}"
                )
        elif not theirs:
            copies.append((own, torch.zeros_like(own)))
        elif not name.endswith("num_batches_tracked"):
            hint = _HINTS.get((source, name), "")
            problems.append(f"{' or '.join(theirs)} is missing{hint}")
    problems += [f"{key} is left over" for key in given.values()]
    if problems:
        owner = type(block).__name__
        raise ValueError(
            f"state_dict does not fit {owner} ({source}): "
            + "; ".join(problems)
        )
    with torch.no_grad():
        for target, tensor in copies:
            target.copy_(tensor)


def _core(shape: torch.Size) -> tuple[int, ...]:
    """Return a shape without trailing ones: (8, 16) for (8, 16, 1, 1)."""
    sizes = list(shape)
    while sizes and sizes[-1] == 1:
        sizes.pop()
    return tuple(sizes)


def _blob_prefix(state_dict: Mapping[str, Any]) -> str:
    """Return what stands before ``theta_w`` if one entry says so.

    An example is ``nonlocal_conv4_1_``.
    """
    end = "theta_w"
    found = [key[: -len(end)] for key in state_dict if key.endswith(end)]
    return found[0] if len(found) == 1 else ""


def _self_attention(names: str) -> Callable[[SelfAttention], Names]:
    def table(block: SelfAttention) -> Names:
        kinds = ("weight", "bias")
        layers = [f"{layer}.{kind}" for layer in "fgho" for kind in kinds]
        return {name: (name,) for name in [*layers, *names.split()]}

    return table


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
    kinds = ("weight", "bias", *_STATISTICS)
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
    kinds = ("weight", "bias", *_STATISTICS)
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
    kinds = ("weight", "bias", *_STATISTICS)
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


_HINTS = {
    ("post", "gamma"): (
        " (the post keeps gamma outside of its state dict: add it as an entry)"
    ),
}
_TABLES: dict[type[nn.Module], dict[str, Callable[[Any], Names]]] = {
    SelfAttention: {
        "document": _self_attention(""),
        "post": _self_attention("gamma"),
    },
    NonLocal: {
        "alexhex7": _alexhex7,
        "mmcv": _mmcv,
        "caffe2": _caffe2,
        "slowfast": _slowfast,
    },
}
