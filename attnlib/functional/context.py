"""One attention for all positions: a weighted mean that nobody asked for.

    c = sum_j a_j W x_j,   a = softmax over j of k . x_j

A softmax attention whose query is the same everywhere has N equal rows, so one
row is computed and one sum. ``reference`` projects every position and then
sums, N C D multiply-adds; ``folded`` sums and then projects the sum, C D. Both
are the same number, because the sum is linear in x.
"""

from __future__ import annotations

import torch
from torch import Tensor

from attnlib._checks import check_choice, check_floating, wide
from attnlib._layout import no_autocast

CONTEXT_IMPLS = ("auto", "reference", "folded")


def context_weights(
    x: Tensor, key: Tensor, bias: Tensor | None = None
) -> Tensor:
    """Return the weights a, softmax over the positions of key . x_j + bias.

    Args:
        x: a map, one column a position.
        key: k, one row.
        bias: one number added to every score. It cancels.

    Shape:
        - x: ``(B, C, N)``, key: ``(1, C)``, bias: ``(1,)``
        - Output: ``(B, 1, N)``, each row sums to one; float32 for half inputs

    Raises:
        ValueError: shapes that do not fit.
        TypeError: anything but floating-point tensors.
    """
    _check(x, key, None)
    acc = wide(x.dtype)
    with no_autocast(x):
        # bmm: matmul would copy x to fold its batch
        row = key.to(acc).expand(x.shape[0], 1, -1)  # (B, 1, C)
        scores = torch.bmm(row, x.to(acc))  # (B, 1, N)
        if bias is not None:
            scores = scores + bias.to(acc)
        return scores.softmax(dim=-1)


def context_attention(
    x: Tensor,
    key: Tensor,
    value: Tensor | None = None,
    *,
    bias: Tensor | None = None,
    impl: str = "auto",
) -> Tensor:
    """Return the context c, the weighted mean of the values W x_j.

    Args:
        x: a map, one column a position.
        key: k, one row.
        value: W; x itself is summed when not given.
        bias: one number added to every score. It cancels.
        impl: ``"reference"`` (projects, then sums), ``"folded"`` (sums, then
            projects) or ``"auto"`` (folded).

    Shape:
        - x: ``(B, C, N)``, key: ``(1, C)``, value: ``(D, C)``, bias: ``(1,)``
        - Output: ``(B, D, 1)``, D = C without value; float32 for half inputs

    Raises:
        ValueError: shapes that do not fit, an unknown ``impl``.
        TypeError: anything but floating-point tensors.

    Reference: Cao et al. 2019, arXiv 1904.11492, simplified non-local block.
    """
    check_choice("impl", impl, CONTEXT_IMPLS)
    _check(x, key, value)
    acc = wide(x.dtype)
    with no_autocast(x):
        x = x.to(acc)
        weights = context_weights(x, key, bias).mT  # (B, N, 1)
        if value is None:
            return torch.bmm(x, weights)  # (B, C, 1)
        matrix = value.to(acc).expand(x.shape[0], -1, -1)  # (B, D, C)
        if impl == "reference":
            values = torch.bmm(matrix, x)  # (B, D, N)
            return torch.bmm(values, weights)
        return torch.bmm(matrix, torch.bmm(x, weights))


def _check(x: Tensor, key: Tensor, value: Tensor | None) -> None:
    """Raise unless a map, a row and a matrix go together."""
    check_floating("x", x)
    check_floating("key", key)
    if x.ndim != 3:
        raise ValueError(f"x must be (B, C, N), got {tuple(x.shape)}")
    if key.shape != (1, x.shape[1]):
        raise ValueError(
            f"key must be (1, C) for x {tuple(x.shape)}, "
            f"got {tuple(key.shape)}"
        )
    if value is None:
        return
    check_floating("value", value)
    if value.ndim != 2 or value.shape[1] != x.shape[1]:
        raise ValueError(
            f"value must be (D, C) for x {tuple(x.shape)}, "
            f"got {tuple(value.shape)}"
        )
