"""What a row of an attention map is like: sum, support, entropy, reach; rank.

One vocabulary for every block: each function takes maps as a block's
``attention_map`` returns them, ``(*, N, N)`` with row i over j. Entropy and
reach ask how the weight of a row is spread. A dot product's weights may be
negative, and others do not sum to one: both measure the shares
``p_ij = |A_ij| / sum_l |A_il|``, which are A itself where A is a softmax.
"""

from __future__ import annotations

import torch
from torch import Tensor

from attnlib._checks import check_floating, wide

__all__ = ["entropy", "rank", "reach", "row_sums", "support"]


def _check(attention: Tensor) -> None:
    check_floating("attention", attention)
    if attention.ndim < 2 or attention.shape[-1] != attention.shape[-2]:
        raise ValueError(
            f"attention must be (*, N, N), got {tuple(attention.shape)}"
        )


def _shares(attention: Tensor) -> Tensor:
    """Return the shares, at least in float32: squares overflow float16."""
    _check(attention)
    size = attention.to(wide(attention.dtype)).abs()
    return size / size.sum(-1, keepdim=True)


def row_sums(attention: Tensor) -> Tensor:
    """Return the sum of each row: one wherever y_i is an average.

    Args:
        attention: the map A.

    Shape:
        - attention: ``(*, N, N)``
        - Output: ``(*, N)``

    Raises:
        TypeError: a map that is no floating-point tensor.
        ValueError: a map that is not square.
    """
    _check(attention)
    return attention.sum(-1)


def support(attention: Tensor, tolerance: float = 0.0) -> Tensor:
    """Return to how many positions each row gives weight.

    Args:
        attention: the map A.
        tolerance: a weight counts if its size exceeds this.

    Shape:
        - attention: ``(*, N, N)``
        - Output: ``(*, N)``, integers from 0 to N

    Raises:
        TypeError: a map that is no floating-point tensor.
        ValueError: a map that is not square.
    """
    _check(attention)
    return (attention.abs() > tolerance).sum(-1)


def entropy(attention: Tensor) -> Tensor:
    """Return each row's entropy -sum_j p_ij log p_ij, in nats.

    Zero if one position has all the weight, log N if all have the same. Its
    exponential is the number of positions that, sharing equally, would be as
    spread out. A row without any weight has none: NaN.

    Args:
        attention: the map A.

    Shape:
        - attention: ``(*, N, N)``
        - Output: ``(*, N)``

    Raises:
        TypeError: a map that is no floating-point tensor.
        ValueError: a map that is not square.
    """
    nats = torch.special.entr(_shares(attention)).sum(-1)
    return nats.to(attention.dtype)


def reach(attention: Tensor, size: tuple[int, int]) -> Tensor:
    """Return how far each row looks, in steps: a root mean square.

    It is ``sqrt(sum_j p_ij |i - j|^2)``, where ``|i - j|`` is the distance of
    two positions of the map: from one to the next in its row or column is 1. A
    row without any weight has none: NaN.

    Args:
        attention: the map A.
        size: ``(H, W)`` with H W = N; positions are counted row by row.

    Shape:
        - attention: ``(*, N, N)``
        - Output: ``(*, N)``

    Raises:
        TypeError: a map that is no floating-point tensor.
        ValueError: a map that is not square, or a size that does not fit.
    """
    shares = _shares(attention)
    height, width = size
    if height * width != attention.shape[-1]:
        raise ValueError(
            f"size must multiply to N = {attention.shape[-1]}, got {size}"
        )
    row = torch.arange(height, device=shares.device).repeat_interleave(width)
    column = torch.arange(width, device=shares.device).repeat(height)
    squared = (row[:, None] - row) ** 2 + (column[:, None] - column) ** 2
    return (shares * squared).sum(-1).sqrt().to(attention.dtype)


def rank(attention: Tensor) -> Tensor:
    """Return the rank of each map: how many rows are independent.

    A map that is a product through d channels has rank d at most; a softmax
    lifts that limit.

    Args:
        attention: the map A.

    Shape:
        - attention: ``(*, N, N)``
        - Output: ``(*)``, integers from 0 to N

    Raises:
        TypeError: a map that is no floating-point tensor.
        ValueError: a map that is not square.
    """
    _check(attention)
    return torch.linalg.matrix_rank(attention.to(wide(attention.dtype)))
