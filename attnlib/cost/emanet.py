"""Cost of expectation-maximisation attention and of its head."""

from __future__ import annotations

import math

from torch import nn

from attnlib.blocks.emanet import EMAttention
from attnlib.blocks.emanet_head import EMANetHead
from attnlib.cost.parts import Formula, Work
from attnlib.functional.em import folding_pays


def _unit(
    block: EMAttention, b: int, size: tuple[int, ...], impl: str
) -> Work:
    """N C^2 + (2T + 1) N C K multiply-adds, and N C^2 or its folded form."""
    n, c, k, t = math.prod(size), block.in_channels, block.bases, block.stages
    if impl == "auto":
        pays = folding_pays((b, c, n), block.mu, t)
        impl = "folded" if pays else "reference"
    macs = b * (n * c * c + (2 * t + 1) * n * c * k)
    if impl == "reference":
        macs += b * n * c * c
    else:  # W^T mu and W (u z)
        macs += 2 * b * t * c * c * k
    # What W_o is applied to, the result; before the norm, its statistics.
    floats = 2 * b * n * c
    if block.norm is not None:
        floats += b * n * c + 2 * c
    if block.differentiate:
        floats += _through(block, b, n, impl)
    return Work(macs, floats)


def _through(block: EMAttention, b: int, n: int, impl: str) -> int:
    """What a gradient through the iteration keeps besides."""
    c, k, t = block.in_channels, block.bases, block.stages
    if impl == "reference":
        # x, Wx; a stage: z before and after its division, start, means; mass,
        # norm and length, for the floor also the sum before it
        sums = 3 if block.variant == "official" else 4
        maps, stage = 2, 2 * n * k + 2 * c * k + sums * k
    else:
        # x; a stage: z; start, W^T mu, u z, sums, means; four rows of sums
        maps, stage = 1, n * k + 5 * c * k + 4 * k
    return b * (maps * n * c + t * stage + c * k)  # and the last bases


def _head(block: EMANetHead, b: int, size: tuple[int, ...], impl: str) -> Work:
    """Two or three 3 x 3 convolutions, the unit and the classes."""
    n, wide, c = math.prod(size), block.in_channels, block.inter_channels
    m, k = block.out_channels, block.num_classes
    unit = _unit(block.attention, b, size, impl)
    macs = 9 * n * c * (wide + m) + n * m * k
    # x; of each norm its input and statistics; what the ReLUs leave; what
    # dropout leaves, and which channels.
    floats = b * n * (wide + c + 2 * m) + 2 * (c + m) + b * (n * m + m)
    if not block.attention.differentiate:
        floats += b * n * c  # else the unit counts its input
    if block.concat_input:
        macs += 9 * n * (wide + m) * m
        floats += b * n * (wide + m) + 2 * b * n * m + 2 * m
    return Work(unit.macs + b * macs, unit.floats + floats)


FORMULAS: dict[type[nn.Module], Formula] = {
    EMAttention: _unit,
    EMANetHead: _head,
}
