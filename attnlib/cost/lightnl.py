"""Cost of the lightweight non-local block."""

from __future__ import annotations

from torch import nn

from attnlib.blocks.lightnl import LightNonLocal
from attnlib.cost.parts import Formula, Work
from attnlib.functional.light import product_order


def _light(
    block: LightNonLocal, b: int, size: tuple[int, ...], impl: str
) -> Work:
    """The cheaper order of the products, and 9 N C for the filters."""
    rows, columns = (-(-length // block.nl_s) for length in size)
    n, m = size[0] * size[1], rows * columns
    c, wide = block.key_channels, block.in_channels
    if impl == "auto":
        impl = product_order(n, m, c, wide)
    # x, whose first channels are the queries; input of filters and of norm
    floats = 3 * wide * n
    if block.nl_s > 1:
        floats += wide * m  # a copy of what is sampled
    if impl == "reference":
        macs, floats = n * m * (c + wide), floats + n * m
    else:
        macs, floats = (n + m) * c * wide, floats + wide * c
    # The batch's mean and deviation.
    return Work(b * (macs + 9 * n * wide), b * floats + 2 * wide)


FORMULAS: dict[type[nn.Module], Formula] = {LightNonLocal: _light}
