"""Double attention: gather into n descriptors, distribute to the positions.

    G_k = sum_j P_kj a_j,      P_kj = softmax over positions j of b_kj
    z_i = sum_k Q_ki G_k,      Q_ki = softmax over descriptors k of v_ki

In one line z_i = sum_j A_ij a_j with A = Q^T P, an N x N map of rank n whose
rows sum to one. It is never built: (a P^T) Q costs O(N), a (Q^T P)^T O(N^2).
"""

from __future__ import annotations

from torch import Tensor

from attnlib._checks import check_floating, wide
from attnlib._layout import no_autocast


def double_weights(b: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    """Return the gathering weights P and the distributing weights Q.

    Args:
        b: gathering scores, one row a descriptor.
        v: distributing scores, one row a descriptor.

    Shape:
        - b and v: ``(*, n, N)``
        - Output: P ``(*, n, N)``, each row sums to one, and Q ``(*, n, N)``,
          each column sums to one; float32 for half inputs, whose smallest
          numbers are not far below 1/N

    Raises:
        ValueError: shapes that do not fit.
        TypeError: anything but floating-point tensors.
    """
    shapes = check_floating("b", b).shape, check_floating("v", v).shape
    if shapes[0] != shapes[1] or b.ndim < 2:
        raise ValueError(
            "b and v must both be (..., n, N), "
            f"got {tuple(shapes[0])} and {tuple(shapes[1])}"
        )
    acc = wide(b.dtype)
    return b.to(acc).softmax(dim=-1), v.to(acc).softmax(dim=-2)


def double_attention(a: Tensor, b: Tensor, v: Tensor) -> Tensor:
    """Return z, gathered from and distributed to all positions.

    Args:
        a: values, one column a position.
        b: gathering scores.
        v: distributing scores.

    Shape:
        - a: ``(*, m, N)``, b and v: ``(*, n, N)``
        - Output: ``(*, m, N)``

    Raises:
        ValueError, TypeError: as :func:`double_weights`.

    Reference: Chen et al. 2018, arXiv 1810.11579, equations 3 to 6.
    """
    with no_autocast(a):
        gather, distribute = double_weights(b, v)
        descriptors = a.to(gather.dtype) @ gather.mT  # (*, m, n)
        return (descriptors @ distribute).to(a.dtype)  # (*, m, N)
