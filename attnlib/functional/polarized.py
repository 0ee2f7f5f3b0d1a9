"""Polarized self-attention: pool all of one direction, keep all of the other.

    channel gate   s(u),   u = W sum_j softmax_j(q_j) v_j, one a channel
    spatial gate   s(t_i), t_i = g . theta_i, one a position

Query and value are projections of x. Both sums are linear in x, so x may be
pooled before it is projected, and the pooled query may be pulled through the
projection of theta: neither v nor theta, C/2 numbers a position, need exist.
"""

from __future__ import annotations

from torch import Tensor

from attnlib._checks import check_floating, wide
from attnlib._layout import no_autocast


def pool_positions(x: Tensor, scores: Tensor) -> Tensor:
    """Return weighted means over positions, sum_j softmax_j(scores_j) x_j.

    Args:
        x: a map, one column a position.
        scores: one row of numbers, one a position.

    Shape:
        - x: ``(*, C, N)``, scores: ``(*, 1, N)``
        - Output: ``(*, C, 1)``, float32 for half inputs

    Raises:
        ValueError: shapes that do not fit.
        TypeError: anything but floating-point tensors.
    """
    check_floating("x", x)
    check_floating("scores", scores)
    if scores.ndim < 2 or scores.shape != (*x.shape[:-2], 1, x.shape[-1]):
        raise ValueError(
            "scores must be (..., 1, N) for x (..., C, N), "
            f"got {tuple(scores.shape)} and {tuple(x.shape)}"
        )
    acc = wide(x.dtype)
    with no_autocast(x):
        weights = scores.to(acc).softmax(dim=-1)  # (*, 1, N)
        return x.to(acc) @ weights.mT
