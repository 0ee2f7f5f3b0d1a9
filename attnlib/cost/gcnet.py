"""Cost of the global context block and of the simplified non-local block."""

from __future__ import annotations

import math

from torch import nn

from attnlib.blocks.gcnet import GlobalContext, SimplifiedNonLocal
from attnlib.cost.parts import Formula, Work


def _context(
    block: GlobalContext, b: int, size: tuple[int, ...], impl: str
) -> Work:
    """2 N C + 2 C p multiply-adds, 2 C p more for the second branch."""
    n, c, p = math.prod(size), block.in_channels, block.hidden_channels
    macs = floats = 0
    if block.key is not None:
        macs += 2 * c * n  # scores and weighted sum
        floats += n  # weights
    floats += c  # the context
    for branch in (block.add, block.mul):
        if branch is not None:
            macs += 2 * c * p
            floats += 2 * p + 2  # the norm's input and statistics; the ReLU
    if block.mul is not None:
        floats += c  # the gate
    if block.key is not None or block.mul is not None:
        floats += c * n  # x
    return Work(b * macs, b * floats)


def _simplified(
    block: SimplifiedNonLocal, b: int, size: tuple[int, ...], impl: str
) -> Work:
    """2 N C + C^2 multiply-adds, N C^2 if the values are projected first."""
    n, c = math.prod(size), block.in_channels
    if impl == "reference":  # x, values, weights
        return Work(b * (n * c * c + 2 * n * c), b * (2 * n * c + n))
    return Work(b * (c * c + 2 * n * c), b * (n * c + n + c))


FORMULAS: dict[type[nn.Module], Formula] = {
    GlobalContext: _context,
    SimplifiedNonLocal: _simplified,
}
