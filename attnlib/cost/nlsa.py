"""Cost of non-local sparse attention, and of the dense block beside it."""

from __future__ import annotations

import math

from torch import nn

from attnlib.blocks.nlsa import NonLocalSparseAttention
from attnlib.blocks.nlsa_dense import DenseNonLocalAttention
from attnlib.cost.parts import Formula, Work, resolve_softmax, softmax
from attnlib.functional import count_buckets, explain_bucket_attention


def _sparse(
    block: NonLocalSparseAttention, b: int, size: tuple[int, ...], impl: str
) -> Work:
    """Convolutions, hash, and 3 m keys for each of h N' queries.

    N' is N, filled up to whole chunks.
    """
    n, c, d = math.prod(size), block.in_channels, block.key_channels
    h, m = block.n_hashes, min(block.chunk_size, n)
    macs = n * (block.kernel_size**2 * c * d + c * c)
    floats = n * (c + d + 2)  # x, e, its length before and after the bound
    if impl == "auto":
        one = block.value.weight.detach().view(-1)[:1]
        e, v = one.expand(b, n, d), one.expand(b, n, c)
        impl = explain_bucket_attention(
            e, v, block.chunk_size, dedup=block.dedup
        ).impl
    kept = n * (d + 2 * c + 2)  # keys, v, y, largest score and sum
    if impl == "dense":  # one order for all images
        macs += n * n * (d + c)
        return Work(b * macs, b * (floats + kept), n)
    buckets = count_buckets(n, block.chunk_size)
    directions = buckets // 2 if block.signed else buckets
    whole = -(-n // m) * m
    macs += n * d * h * directions + h * whole * 3 * m * (d + c)
    if impl == "streamed":  # and the order of each round
        return Work(b * macs, b * (floats + kept), b * h * n)
    # Keys and values; queries, lists of both, scores, weights, log-sum-exp and
    # result, sorted; each round's result and share, in place; the indices.
    floats += n * (d + c)
    floats += h * whole * (4 * d + 4 * c + 6 * m + 1) + h * n * (c + 1)
    return Work(b * macs, b * floats, b * h * (4 * whole + n))


def _dense(
    block: DenseNonLocalAttention, b: int, size: tuple[int, ...], impl: str
) -> Work:
    """N C (2 d + C) + N^2 (d + C) multiply-adds; kept: x, projections."""
    n, c, d = math.prod(size), block.in_channels, block.key_channels
    if impl == "auto":
        one = block.value.get_parameter("0.weight")
        impl = resolve_softmax(b, n, n, d, c, one)
    core = softmax(b, n, n, d, c, impl)
    macs = core.macs + b * n * c * (2 * d + c)
    return Work(macs, core.floats + b * n * (c + 2 * d + c))


FORMULAS: dict[type[nn.Module], Formula] = {
    NonLocalSparseAttention: _sparse,
    DenseNonLocalAttention: _dense,
}
