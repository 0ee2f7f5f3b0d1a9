"""Cost of polarized self-attention in both layouts, variants and forms."""

from __future__ import annotations

import math

from torch import nn

from attnlib.blocks.psa import PolarizedSelfAttention
from attnlib.cost.parts import Formula, Work


def _polarized(
    block: PolarizedSelfAttention, b: int, size: tuple[int, ...], impl: str
) -> Work:
    """1.5 N C^2 multiply-adds as written, about 3 N C folded."""
    n, c = math.prod(size), block.in_channels
    half, plain = c // 2, impl == "reference"
    paper, parallel = block.variant == "paper", block.layout == "parallel"
    folds = not plain and (paper or parallel)
    # The channel branch: query and weights, pooled value, u and its gate.
    macs = c * n + (c * half * n + half * n if plain else c * n + c * half)
    floats = n + (half * n if plain else c) + half + c
    if paper:
        macs += half * c
        floats += c + 2  # the norm's input and statistics
    elif parallel:
        macs += half * c
    else:  # the bottleneck, its norm and its ReLU
        narrow = half // 4
        macs += narrow * (half + c)
        floats += 2 * narrow + 2
    # The spatial branch: pooled query; theta, or what stands for it; gate.
    macs += c * half * (n if plain else 1)
    floats += half + (0 if plain else c)
    if folds:
        macs += half * c + c * n + (half if paper else 0)
        floats += c
    else:
        macs += c * half * n + half * n
        floats += half * n
    floats += n + (n if parallel and not paper else 0)
    # x; its gated form, or both gates in one
    floats += c * n * (1 if parallel and plain else 2)
    return Work(b * macs, b * floats)


FORMULAS: dict[type[nn.Module], Formula] = {PolarizedSelfAttention: _polarized}
