"""Cost of the region-based non-local block and of its channel gate."""

from __future__ import annotations

import math

from torch import nn

from attnlib.blocks.rnl import ChannelGate, RegionNonLocal
from attnlib.cost.parts import Formula, Work, resolve_softmax, softmax


def _region(
    block: RegionNonLocal, b: int, size: tuple[int, ...], impl: str
) -> Work:
    """One projection, the region, the core, W."""
    n, c, d = math.prod(size), block.in_channels, block.inter_channels
    pooled = min(2, block.dims)
    halves = [s // 2 for s in size[-pooled:]]
    sub = block.subsample
    m = math.prod(size[:-pooled]) * math.prod(halves) if sub else n
    region, unit = not isinstance(block.region, nn.Identity), block.normalize
    macs = b * (2 * n * c * d + 2 * n * m * d)
    if region:
        macs += b * n * d * block.region.get_parameter("weight")[0].numel()
    # x, y; the norm's input and statistics
    floats = b * n * (c + d)
    if block.norm is not None:
        floats += b * n * c + 2 * c
    # the lengths, twice; which position each pool took
    floats += b * 2 * n if unit else 0
    integers = b * 2 * m * d if sub else 0

    if block.pairwise == "gaussian" and impl == "auto":
        impl = resolve_softmax(b, n, m, d, d, block.value.weight)
    if impl == "sdpa":  # its copies, and what the layers before it keep
        maps = (region or sub or unit) + region * (unit or sub) + unit * sub
        floats += softmax(b, n, m, d, d, impl).floats
        return Work(macs, floats + b * maps * n * d, integers)
    # Without pooling, query and key are one map, and without region and
    # normalisation that of the values, too.
    maps = 1 + region + unit
    floats += b * (maps * n * d + (2 * m * d if sub else 0))
    if impl == "chunked":
        floats += b * (n * d + n)  # out, lme
    else:
        relu = block.pairwise == "relu"
        floats += b * (n * m + (n * d if relu else 0))  # the map, q / M
    return Work(macs, floats, integers)


def _gate(
    block: ChannelGate, b: int, size: tuple[int, ...], impl: str
) -> Work:
    """The scores, the context and two small layers."""
    n, c = math.prod(size), block.in_channels
    inner = block.hidden.out_features
    macs = 2 * c * n + 2 * c * inner
    floats = c * n + n + c + 2 * inner  # x, weights, context, norm, ReLU
    return Work(b * macs, b * floats + 2 * inner)


FORMULAS: dict[type[nn.Module], Formula] = {
    RegionNonLocal: _region,
    ChannelGate: _gate,
}
