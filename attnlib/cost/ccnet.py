"""Cost of criss-cross attention, once or in a loop, and of CCNet's head."""

from __future__ import annotations

import math

from torch import nn

from attnlib.blocks.ccnet import (
    CrissCrossAttention,
    RecurrentCrissCrossAttention,
)
from attnlib.blocks.ccnet_head import CCNetHead
from attnlib.cost.parts import Formula, Work


def criss_cross(
    b: int, size: tuple[int, ...], d: int, dv: int, impl: str
) -> Work:
    """Cost of criss-cross attention for given q, k, v in grids of ``size``.

    N (H + W)(d + dv) multiply-adds: masked scores are computed, too. The plain
    form keeps q, k and v once an axis, and the weights twice: side by side,
    and each axis in its own layout.
    """
    n, axes = math.prod(size), len(size)
    floats = n * (2 * d + dv)
    if impl == "reference":
        floats *= axes
        floats += n * sum(size) * (2 if axes > 1 else 1)
    return Work(b * n * sum(size) * (d + dv), b * floats)


def _block(
    block: CrissCrossAttention, b: int, size: tuple[int, ...], impl: str
) -> Work:
    """R times projections and core.

    Kept: the input of each pass; for gamma each y, or the value's weights
    times gamma.
    """
    n, c, d = math.prod(size), block.in_channels, block.key_channels
    learned, plain = block.gamma is not None, impl == "reference"
    core = criss_cross(b, size, d, c, impl)
    macs = core.macs + b * n * c * (2 * d + c)
    floats = core.floats + b * n * c * (2 if learned and plain else 1)
    weights = c * c if learned and not plain else 0
    return Work(block.recurrence * macs, block.recurrence * floats + weights)


def _head(block: CCNetHead, b: int, size: tuple[int, ...], impl: str) -> Work:
    """Three 3 x 3 convolutions, the loop and the exit."""
    n, c, wide = math.prod(size), block.inter_channels, block.in_channels
    out, k = block.out_channels, block.exit[4].out_channels
    assert isinstance(k, int)
    loop = _block(block.attention, b, size, impl)
    macs = loop.macs + b * n * (9 * (wide * c + c * c + (wide + c) * out))
    macs += b * n * out * k
    # x; of each convolution the norm's input and statistics; the results of
    # the activations; what the loop returns; x and b joined; what dropout
    # leaves, and which channels.
    floats = loop.floats + b * n * wide + 2 * (b * n * c + 2 * c)
    floats += b * n * out + 2 * out + 2 * b * n * c + b * n * out
    floats += b * n * c + b * n * (wide + c) + b * n * out + b * out
    return Work(macs, floats)


FORMULAS: dict[type[nn.Module], Formula] = {
    CrissCrossAttention: _block,
    RecurrentCrissCrossAttention: _block,
    CCNetHead: _head,
}
