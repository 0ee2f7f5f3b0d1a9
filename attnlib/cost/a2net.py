"""Cost of double attention."""

from __future__ import annotations

import math

from torch import nn

from attnlib.blocks.a2net import DoubleAttention
from attnlib.cost.parts import Formula, Work


def _double(
    block: DoubleAttention, b: int, size: tuple[int, ...], impl: str
) -> Work:
    """N C (2 m + 2 n) + 2 N m n multiply-adds, or folded 4 N C n + 2 m n C."""
    positions, c = math.prod(size), block.in_channels
    m, n, out = block.value_channels, block.descriptors, block.reconstruct
    scores = 2 * c * n * positions
    floats = c * positions + 2 * n * positions  # x, P and Q
    weights = 0  # the same for all images
    if impl == "reference":
        macs = scores + positions * m * (c + 2 * n + (c if out else 0))
        # a, G, and z where it is projected
        floats += m * positions + m * n + (m * positions if out else 0)
    else:
        width = c if out else m
        macs = scores + c * n * (positions + m + (m if out else 0))
        macs += width * n * positions
        # the pooled x, the descriptors, their projection
        floats += c * n + m * n + (c * n if out else 0)
        weights = 2 * n * c  # of both scores, joined
    return Work(b * macs, b * floats + weights)


FORMULAS: dict[type[nn.Module], Formula] = {DoubleAttention: _double}
