"""Cost of asymmetric non-local blocks, for a low map of the size of x.

Unlike adaptive pooling, sums by matrix products are counted.
"""

from __future__ import annotations

from torch import nn

from attnlib.blocks._pyramid import Pyramid
from attnlib.blocks.annnet import FusionPyramidNonLocal, PyramidNonLocal
from attnlib.cost.parts import Formula, Work


def _pyramid(block: Pyramid, b: int, size: tuple[int, ...], impl: str) -> Work:
    """O(N): the map is N S."""
    (h, w), n = size, size[0] * size[1]
    c, low, s = block.in_channels, block.low_channels, block.anchors
    k, v, o = block.key_channels, block.value_channels, block.out_channels
    form = block.form if impl == "auto" else impl
    normed = len(block.key) > 1

    macs = n * low * k
    floats = c * n + s * k + s * n  # x, the keys, the map
    once = 0  # whatever the batch
    transforms = kept = 1
    if block.query is not None:
        macs += n * c * k
        transforms = 2
        # A key that no ReLU keeps is kept by adaptive pooling, if at all.
        pools = form == "reference" and max(block.pool_sizes) > 1
        kept = 2 if normed or pools else 1
    floats += k * n * (transforms + kept if normed else kept)
    once += transforms * 2 * k if normed else 0  # its mean and deviation

    if form == "reference":
        macs += n * s * (k + v) + n * v * o
        floats += s * v + v * n  # the values, their mean
        if block.value is not None:
            macs += n * low * v
            if max(block.pool_sizes) > 1:
                floats += v * n
    else:
        t = sum(block.pool_sizes)
        macs += k * t * (n + t * h) + s * v * o + n * s * (k + o)
        floats += s * o
        once += t * (h + w)  # what pools rows and columns
        if block.value is not None:
            macs += low * t * (n + t * h) + s * low * v
            floats += s * low + s * v
            once += t * (h + w)
    work = Work(b * macs, b * floats + once)
    return _fused(block, b, n, form, work)


def _fused(block: Pyramid, b: int, n: int, form: str, work: Work) -> Work:
    """Add the norm after W, and what follows."""
    macs, floats, _ = work
    c, o, s = block.in_channels, block.out_channels, block.anchors
    if block.norm is not None:
        floats += b * o * n + 2 * o
    if block.fuse is None:
        return Work(macs, floats)
    if form == "reference" or block.norm is not None:
        macs += b * n * (o + c) * o
        floats += b * (o + c) * n  # the two joined
    else:
        macs += b * (s * o * o + n * c * o) + o * o
        floats += b * s * o
    floats += b * o * n + 2 * o  # before the norm
    if isinstance(block.fuse[3], nn.ReLU):
        floats += b * o * n
    if block.dropout:
        floats += b * o
    return Work(macs, floats)


FORMULAS: dict[type[nn.Module], Formula] = {
    PyramidNonLocal: _pyramid,
    FusionPyramidNonLocal: _pyramid,
}
