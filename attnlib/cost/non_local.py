"""Cost of the non-local block, its four similarities and its options."""

from __future__ import annotations

import math

from torch import nn

from attnlib.blocks.non_local import NonLocal
from attnlib.cost.parts import (
    Formula,
    Work,
    concatenation,
    dot_product,
    resolve_softmax,
    softmax,
)


def _non_local(
    block: NonLocal, b: int, size: tuple[int, ...], impl: str
) -> Work:
    """Projections, pairwise sums, W, and what pooling and the norm keep."""
    n, c, d = math.prod(size), block.in_channels, block.inter_channels
    pooled = min(2, block.dims)
    halves = [s // 2 for s in size[-pooled:]]
    m = math.prod(size[:-pooled]) * math.prod(halves) if block.subsample else n
    embedded = block.pairwise != "gaussian"
    width = d if embedded else c  # of the vectors that are compared

    if block.pairwise == "dot_product":
        core = dot_product(b, n, m, d, d, impl)
    elif block.pairwise == "concatenation":
        core = concatenation(b, n, m, d, d, impl)
    else:
        if impl == "auto":
            impl = resolve_softmax(b, n, m, width, d, block.value.weight)
        core = softmax(b, n, m, width, d, impl)
    macs, floats, integers = core

    # Positions that are projected to keys.
    keys = m if block.subsample == "before" else n
    macs += b * c * d * (n + keys + (n + keys if embedded else 0))
    floats += b * n * (c + d)  # x and y
    if block.subsample == "before":
        floats, integers = floats + b * m * c, integers + b * m * c
    elif block.subsample == "after":
        # phi and g before pooling
        floats += b * n * (2 * d if embedded else d)
        integers += b * m * (width + d)
    if not embedded and impl != "sdpa":
        # q is a view of x, counted already; so may k be.
        floats -= b * n * c + (b * m * c if block.subsample != "after" else 0)
    if isinstance(block.norm, nn.modules.batchnorm._BatchNorm):
        # its input, mean and deviation of each channel
        floats += b * n * c + 2 * c
    elif not isinstance(block.norm, nn.Identity):
        floats += b * n * c
    return Work(macs, floats, integers)


FORMULAS: dict[type[nn.Module], Formula] = {NonLocal: _non_local}
