"""Cost of SAN's two kinds of attention and of its residual block."""

from __future__ import annotations

import math

from torch import nn

from attnlib.blocks.san import (
    PairwiseSelfAttention,
    PatchwiseSelfAttention,
    SANBottleneck,
)
from attnlib.cost.parts import Formula, Work

_Attention = PairwiseSelfAttention | PatchwiseSelfAttention


def _shared(
    block: _Attention, b: int, size: tuple[int, ...], impl: str
) -> tuple[int, int, Work]:
    """Return places, output positions, and what both kinds need alike."""
    n, k = math.prod(size), block.kernel_size
    out = math.prod((s - 1) // block.stride + 1 for s in size)
    wide, r, o = block.in_channels, block.rel_channels, block.out_channels
    border = block.dilation * (k - 1)
    macs = n * (2 * wide * r + wide * o) + k * k * out * o
    # x; key and value in front of the padding; the weights
    floats = n * (wide + r + o) + block.groups * k * k * out
    if impl == "reference":  # all windows laid out
        floats += o * k * k * out
    else:  # the padded values
        floats += o * math.prod(s + border for s in size)
    return k * k, out, Work(b * macs, b * floats)


def _pairwise(
    block: PairwiseSelfAttention, b: int, size: tuple[int, ...], impl: str
) -> Work:
    """The network gamma sees every pair: k^2 N of them."""
    places, out, work = _shared(block, b, size, impl)
    n, r, g = math.prod(size), block.rel_channels, block.groups
    width = block.gamma[0].num_features
    assert isinstance(width, int)
    pairs = places * out
    macs = work.macs + b * pairs * (width * r + r * g)
    # Both norms and both ReLUs of gamma, with the norms' statistics.
    floats = work.floats + 2 * b * pairs * (width + r) + 2 * (width + r)
    if block.relation in ("hadamard", "dot_product"):
        floats += b * r * (n + pairs)  # query, keys laid out
    if block.position is not None:  # the same for all images
        macs += 4 * n
        floats += 4 * n
    return Work(macs, floats)


def _patchwise(
    block: PatchwiseSelfAttention, b: int, size: tuple[int, ...], impl: str
) -> Work:
    """The network gamma sees every window: N of them."""
    places, n, work = _shared(block, b, size, impl)
    r, g, width = block.rel_channels, block.groups, block.gamma[0].num_features
    assert isinstance(width, int)
    macs = work.macs + b * n * (width * g + g * g * places)
    floats = work.floats + 2 * b * n * (width + g) + 2 * (width + g)
    if block.relation == "star_product":
        floats += b * r * n * (1 + places)  # query, keys laid out
    elif block.relation == "clique_product":
        macs += b * n * places * places * r
        floats += b * r * n * (1 + 2 * places)  # query, both laid out
    return Work(macs, floats)


def _bottleneck(
    block: SANBottleneck, b: int, size: tuple[int, ...], impl: str
) -> Work:
    """The attention between two norms, and the way back to P channels."""
    n, p = math.prod(size), block.in_channels
    o = block.attention.out_channels
    inner = _patchwise if block.kind == "patchwise" else _pairwise
    work = inner(block.attention, b, size, impl)
    # both norms' inputs and statistics, the second ReLU
    floats = work.floats + b * n * (p + 2 * o) + 2 * p + 2 * o
    return Work(work.macs + b * n * o * p, floats)


FORMULAS: dict[type[nn.Module], Formula] = {
    PairwiseSelfAttention: _pairwise,
    PatchwiseSelfAttention: _patchwise,
    SANBottleneck: _bottleneck,
}
