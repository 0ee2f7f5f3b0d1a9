"""Cost of interlaced sparse attention."""

from __future__ import annotations

import math

from torch import nn

from attnlib.blocks.isanet import InterlacedSparseAttention
from attnlib.cost.parts import Formula, Work, resolve_softmax, softmax
from attnlib.functional.interlaced import resolve


def _interlaced(
    block: InterlacedSparseAttention, b: int, size: tuple[int, ...], impl: str
) -> Work:
    """Both steps of each factor on the padded map, then what joins them."""
    n, c, out = math.prod(size), block.in_channels, block.out_channels
    k, v = block.key_channels, block.value_channels
    count = len(block.down_factors)
    abn = block.norm == "inplace_abn"
    extra = 1 if abn else 0  # a leaky ReLU keeps its input, not its result

    def statistics(width: int) -> int:
        """Mean and deviation; where |weight| + eps enters, that as well."""
        return (2 + extra) * width

    macs = floats = fixed = 0
    reads_x = count > 1  # x itself is kept, not only what is made of it
    for dh, dw in block.down_factors:
        grid = -(-size[0] // dh), -(-size[1] // dw)
        groups, window = math.prod(grid), dh * dw
        cells = groups * window  # N'
        if cells > n:  # a padded copy of x
            floats += b * c * cells
        else:
            reads_x = True
        for width, maps, places in (
            (c, window, groups),
            (out, groups, window),
        ):
            macs += b * cells * (2 * k * (width + k) + v * (width + out))
            form = resolve(impl, places, k + v)
            if form == "auto":
                weight = next(block.parameters())
                form = resolve_softmax(b * maps, places, places, k, v, weight)
            core = softmax(b * maps, places, places, k, v, form)
            macs, floats = macs + core.macs, floats + core.floats
            # Queries and keys: of two layers what goes into each norm and
            # each activation; the sorted copies belong to the core.
            floats += 2 * b * cells * k * (4 + extra)
            fixed += 4 * statistics(k)
            # The joined values, and W with its norm.
            floats += b * cells * v
            if block.out_norm:
                floats += b * cells * out * 2
                fixed += statistics(out)
        # What the second step reads, unless W's activation keeps it already.
        if abn or not block.out_norm:
            floats += b * cells * out
    if count > 1:
        macs += b * n * c * count * out
        floats += b * n * count * out * 2
        fixed += statistics(count * out)
    if reads_x:
        floats += b * n * c
    joined = (c if count == 1 else count * out) + count * out
    macs += b * n * joined * out
    floats += b * n * (joined + 2 * out)
    fixed += statistics(out)
    if block.drop.p:
        floats += b * out  # which channels are dropped
    return Work(macs, floats + fixed)


FORMULAS: dict[type[nn.Module], Formula] = {
    InterlacedSparseAttention: _interlaced
}
