"""Cost of self-attention."""

from __future__ import annotations

import math

from torch import nn

from attnlib.blocks.self_attention import SelfAttention
from attnlib.cost.parts import Formula, Work, resolve_softmax, softmax


def _self_attention(
    block: SelfAttention, b: int, size: tuple[int, ...], impl: str
) -> Work:
    """4 N C^2 + 2 N^2 C multiply-adds for reduction 1.

    Its own share of what is kept: x, y and gamma's factor.
    """
    n, c = math.prod(size), block.in_channels
    d = c // block.reduction
    if impl == "auto":
        impl = resolve_softmax(b, n, n, d, c, block.f.weight)
    core = softmax(b, n, n, d, c, impl)
    maps = 2 if block.gamma is None else 3  # x, y, o(y)
    macs = core.macs + b * n * c * (2 * d + 2 * c)
    return Work(macs, core.floats + b * maps * n * c)


FORMULAS: dict[type[nn.Module], Formula] = {SelfAttention: _self_attention}
