"""Cost of the functions that several blocks share, for given q, k, v."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from torch import Tensor

from attnlib.functional import explain_softmax_attention


class Work(NamedTuple):
    """Multiply-adds, floating-point numbers kept, 64-bit integers kept."""

    macs: int
    floats: int
    integers: int = 0


# Takes a block, the batch, the size of the map and impl.
Formula = Callable[[Any, int, tuple[int, ...], str], Work]


def resolve_softmax(
    b: int, n: int, m: int, d: int, dv: int, weight: Tensor
) -> str:
    """Ask ``auto`` with tensors of the right shape that hold one number."""
    one = weight.detach().view(-1)[:1]
    q, k, v = (one.expand(b, *size) for size in ((n, d), (m, d), (m, dv)))
    return explain_softmax_attention(q, k, v).impl


def softmax(b: int, n: int, m: int, d: int, dv: int, impl: str) -> Work:
    """Cost of softmax attention for given q, k, v.

    The plain and the chunked form keep the three, ``sdpa`` padded copies.
    """
    wide = max(d, dv, 2)
    tokens = n * d + m * d + m * dv
    floats = {
        "reference": tokens + n * m,  # q, k, v and the map
        "sdpa": 2 * n * wide + 2 * m * wide + n,  # q, out, k, v, logsumexp
        "chunked": tokens + n * dv + n,  # q, k, v, out, logsumexp
    }[impl]
    return Work(b * n * m * (d + dv), b * floats)


def dot_product(b: int, n: int, m: int, d: int, dv: int, impl: str) -> Work:
    """Cost of dot-product attention for given q, k, v."""
    if impl == "auto":
        with_map = n * m * (d + dv)
        impl = "reference" if with_map < (n + m) * d * dv else "associative"
    tokens = n * d + m * d + m * dv
    if impl == "reference":
        return Work(b * n * m * (d + dv), b * (tokens + n * m))
    return Work(b * (n + m) * d * dv, b * (tokens + d * dv))


def concatenation(b: int, n: int, m: int, d: int, dv: int, impl: str) -> Work:
    """Cost of concatenation attention for given q, k, v, a and b included."""
    scalars = (n + m) * d
    if impl == "reference":  # v, the map before and after its division
        floats = scalars + m * dv + 2 * n * m
        return Work(b * (scalars + n * m * dv), b * floats)
    # q, k, v; sorted v and b; a; the suffix sums, and two rows of them a query
    floats = scalars + 2 * m * dv + m + n + 2 * (m + 1) * dv + 2 * n * dv
    integers = n + m  # the look-ups and the order
    return Work(b * scalars, b * floats, b * integers)
