"""Dot-product attention without softmax: three factors, bracketed freely.

    y_i = 1/D sum_j (q_i . k_j) v_j

Nothing stands between the two products, so their order is a question of price
alone. ``reference`` multiplies as it is written and builds the N x M map,
N M (c + C) multiply-adds; ``associative`` builds the C x c matrix of k and v
first, (N + M) c C. Positions are columns here: a map (B, C, H, W) needs no
permutation.
"""

from __future__ import annotations

import torch
from torch import Tensor

from attnlib._checks import check_choice, check_floating, wide
from attnlib._layout import no_autocast

LIGHT_IMPLS = ("auto", "reference", "associative")


def product_order(n: int, m: int, c: int, channels: int) -> str:
    """Return the form with fewer multiply-adds, by name.

    Args:
        n: queries.
        m: keys.
        c: channels of queries and keys.
        channels: of the values.

    Shape:
        - Output: ``"reference"`` if the N x M map is the cheaper way, else
          ``"associative"``

    Example:
        >>> product_order(49, 49, 48, 192), product_order(196, 196, 20, 80)
        ('reference', 'associative')
    """
    with_map = n * m * (c + channels)
    return "reference" if with_map < (n + m) * c * channels else "associative"


def light_weights(
    q: Tensor, k: Tensor, *, divisor: float | None = None
) -> Tensor:
    """Return the map A, A_ij = q_i . k_j / D.

    Its weights have any sign, and its rows need not sum to one.

    Args:
        q: queries, one column a position.
        k: keys.
        divisor: D; the number of keys when not given.

    Shape:
        - q: ``(*, c, N)``, k: ``(*, c, M)``
        - Output: ``(*, N, M)``, float32 for half inputs

    Raises:
        ValueError: shapes or devices that do not fit, a divisor that is not
            positive.
        TypeError: anything but floating-point tensors of one dtype.
    """
    divisor = _check(q, k, k, divisor)
    acc = wide(q.dtype)
    with no_autocast(q):
        return q.to(acc).mT @ k.to(acc) / divisor


def light_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    *,
    divisor: float | None = None,
    impl: str = "auto",
) -> Tensor:
    """Return the sums y_i = 1/D sum_j (q_i . k_j) v_j, one column a position.

    Args:
        q: queries, one column a position.
        k: keys.
        v: values.
        divisor: D; the number of keys when not given.
        impl: ``"reference"`` (the map, then the sum, then the division),
            ``"associative"`` (keys with values first; no map) or ``"auto"``:
            the one with fewer multiply-adds, and in a traced graph, which
            must hold for every size, the one without a map.

    Shape:
        - q: ``(*, c, N)``, k: ``(*, c, M)``, v: ``(*, C, M)``, same leading
          dimensions
        - Output: ``(*, C, N)``, float32 for half inputs

    Raises:
        ValueError: shapes or devices that do not fit, a divisor that is not
            positive, an unknown ``impl``.
        TypeError: anything but floating-point tensors of one dtype.

    Reference: Li et al. 2020, arXiv 2004.01961, section 3.
    """
    check_choice("impl", impl, LIGHT_IMPLS)
    divisor = _check(q, k, v, divisor)
    if impl == "auto":
        tracing = torch.compiler.is_compiling()
        sizes = q.shape[-1], k.shape[-1], q.shape[-2], v.shape[-2]
        impl = "associative" if tracing else product_order(*sizes)
    acc = wide(q.dtype)
    with no_autocast(q):
        q, k, v = q.to(acc), k.to(acc), v.to(acc)
        if impl == "reference":
            scores = q.mT @ k  # (*, N, M)
            return v @ scores.mT / divisor
        # The smallest factor is divided, before it grows.
        gram = v @ k.mT / divisor  # (*, C, c)
        return gram @ q


def _check(q: Tensor, k: Tensor, v: Tensor, divisor: float | None) -> float:
    """Return the divisor; raise unless three matrices of columns fit."""
    for name, t in (("q", q), ("k", k), ("v", v)):
        check_floating(name, t)
        if t.ndim < 2:
            raise ValueError(
                f"{name} must be (..., channels, positions), "
                f"got {tuple(t.shape)}"
            )
    shapes = f"q {tuple(q.shape)}, k {tuple(k.shape)}, v {tuple(v.shape)}"
    if not q.shape[:-2] == k.shape[:-2] == v.shape[:-2]:
        raise ValueError(
            f"q, k and v must have the same leading dimensions, got {shapes}"
        )
    if q.shape[-2] != k.shape[-2]:
        raise ValueError(f"q and k must have the same channels, got {shapes}")
    if k.shape[-1] != v.shape[-1]:
        raise ValueError(f"k and v must have the same positions, got {shapes}")
    if k.shape[-1] == 0:
        raise ValueError(f"k must have at least one position, got {shapes}")
    if not q.dtype == k.dtype == v.dtype:
        raise TypeError(
            "q, k and v must share one dtype, "
            f"got {q.dtype}, {k.dtype}, {v.dtype}"
        )
    if not q.device == k.device == v.device:
        raise ValueError(
            "q, k and v must be on one device, "
            f"got {q.device}, {k.device}, {v.device}"
        )
    if divisor is None:
        return k.shape[-1]
    if not torch.compiler.is_compiling() and not divisor > 0:
        raise ValueError(f"divisor must be positive, got {divisor!r}")
    return divisor
