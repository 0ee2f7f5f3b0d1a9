"""Cost of our reading of DMSANet."""

from __future__ import annotations

import math

from torch import nn

from attnlib.blocks.dmsanet import DualMultiScaleAttention
from attnlib.cost.parts import Formula, Work, resolve_softmax, softmax


def _dual(
    block: DualMultiScaleAttention, b: int, size: tuple[int, ...], impl: str
) -> Work:
    """5 N C^2 / (4 G) + N^2 C multiply-adds by default."""
    n, c, g = math.prod(size), block.in_channels, block.groups
    h, width = c // (2 * g), c // g
    maps = b * g if block.share else b  # softmax maps in one call
    if impl == "auto":
        gamma = block.position[0].get_parameter("gamma")
        impl = resolve_softmax(maps, n, n, h, h, gamma)
    core = softmax(b * g, n, n, h, h, impl)
    macs = core.macs + b * g * (3 * n * h * h + 2 * n * h * h)
    # x; each branch's result before gamma; the channel maps; F; the shares
    floats = core.floats + b * (c * n + c * n + g * h * h + c * n + c)
    if maps > 1 and impl != "reference":
        # Halves of several groups have gaps between them, so the position
        # branch's result is laid out like them: no copy of out.
        floats -= b * g * n * h
    if block.descriptor == "se":
        inner = block.excite.get_parameter("0.bias").numel()
        macs += b * g * 2 * width * inner
        floats += b * g * (2 * width + inner)
    for k in range(len(block.split)):
        macs += b * n * width * width * (2 * k + 3) ** 2
    if block.multiscale:
        floats += b * c * n  # what the convolutions return
    return Work(macs, floats)


FORMULAS: dict[type[nn.Module], Formula] = {DualMultiScaleAttention: _dual}
