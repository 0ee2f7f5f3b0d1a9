"""Parameters of the reference implementations, read into our blocks.

A table names, for each of our entries, the entry of the source.
``load_reference`` is strict: an entry that is missing, left over or of another
shape raises and is named, and then nothing has been copied.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from attnlib._checks import check_choice
from attnlib.checkpoints import (
    a2net,
    annnet,
    ccnet,
    danet,
    dmsanet,
    emanet,
    gcnet,
    isanet,
    lightnl,
    nlsa,
    non_local,
    psa,
    rnl,
    san,
    self_attention,
)
from attnlib.checkpoints.names import Sources


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
        source: which implementation, one of ``CATALOG[key].sources`` in
            ``attnlib.catalog``: ``"document"`` or ``"post"`` for
            SelfAttention, ``"official"`` or ``"mmseg"`` for DANet's blocks.
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
    if type(block) not in _SOURCES:
        known = ", ".join(sorted(cls.__name__ for cls in _SOURCES))
        raise TypeError(
            f"block must be one of {known}, got {type(block).__name__}"
        )
    sources = _SOURCES[type(block)]
    check_choice("source", source, sources)
    names, prepare, hints = sources[source]
    given = {
        key[len(prefix) :].lstrip("._"): torch.as_tensor(value)
        for key, value in state_dict.items()
        if key.startswith(prefix)
    }
    if prepare:
        given = prepare(given)

    wanted, ours = names(block), block.state_dict()
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
            tensor = given.pop(found[0])
            problems += [
                f"{twin} differs from {found[0]}, with which the block shares"
                for twin in found[1:]
                if not _same(given.pop(twin), tensor)
            ]
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
            hint = f" ({hints[name]})" if name in hints else ""
            problems.append(f"{' or '.join(theirs)} is missing{hint}")
    problems += [f"{key} is left over" for key in given]
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


def _same(a: Tensor, b: Tensor) -> bool:
    """Whether two entries hold the same numbers; nan says nothing."""
    if a.shape != b.shape:
        return False
    return bool(((a == b) | a.isnan() | b.isnan()).all())


_SOURCES: Sources = {
    **self_attention.SOURCES,
    **non_local.SOURCES,
    **danet.SOURCES,
    **a2net.SOURCES,
    **rnl.SOURCES,
    **dmsanet.SOURCES,
    **san.SOURCES,
    **psa.SOURCES,
    **ccnet.SOURCES,
    **gcnet.SOURCES,
    **emanet.SOURCES,
    **isanet.SOURCES,
    **annnet.SOURCES,
    **lightnl.SOURCES,
    **nlsa.SOURCES,
}
