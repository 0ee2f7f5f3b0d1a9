"""Cost of DANet's two modules and of its head."""

from __future__ import annotations

import math

from torch import nn

from attnlib.blocks.danet import (
    ChannelAttention,
    DANetHead,
    PositionAttention,
)
from attnlib.cost.parts import Formula, Work, resolve_softmax, softmax


def _position(
    block: PositionAttention, b: int, size: tuple[int, ...], impl: str
) -> Work:
    """N C (2 d + C) + N^2 (d + C) multiply-adds; kept: x and y, the core."""
    n, c, d = math.prod(size), block.in_channels, block.key_channels
    if impl == "auto":
        impl = resolve_softmax(b, n, n, d, c, block.gamma)
    core = softmax(b, n, n, d, c, impl)
    macs = core.macs + b * n * c * (2 * d + c)
    return Work(macs, core.floats + 2 * b * n * c)


def _channel(
    block: ChannelAttention, b: int, size: tuple[int, ...], impl: str
) -> Work:
    """2 N C^2 multiply-adds; kept: x, the C x C map and y."""
    n, c = math.prod(size), block.in_channels
    return Work(2 * b * n * c * c, b * (2 * n * c + c * c))


def _head(block: DANetHead, b: int, size: tuple[int, ...], impl: str) -> Work:
    """Four 3 x 3 convolutions, the two modules and three exits."""
    n, c, wide = math.prod(size), block.inter_channels, block.in_channels
    k = block.sum_exit[1].out_channels
    assert isinstance(k, int)
    parts = (
        _position(block.position, b, size, impl),
        _channel(block.channel, b, size, impl),
    )
    macs = sum(part.macs for part in parts)
    macs += b * n * (9 * c * 2 * (wide + c) + 3 * c * k)
    floats = sum(part.floats for part in parts)
    # x; of each convolution the norm's input and statistics; what the modules
    # return; the branches; what dropout leaves, and which channels.
    floats += b * n * wide + 4 * (b * n * c + 2 * c) + 2 * b * n * c
    floats += 2 * b * n * c + 3 * (b * n * c + b * c)
    return Work(macs, floats)


FORMULAS: dict[type[nn.Module], Formula] = {
    PositionAttention: _position,
    ChannelAttention: _channel,
    DANetHead: _head,
}
