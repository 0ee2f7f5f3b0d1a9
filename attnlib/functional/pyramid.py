"""Pyramid pooling: a map as a few anchors, the means over its bins.

    p_a = 1/|bin a| sum over the bin's positions j of x_j

For each s of ``sizes`` the picture is cut into s x s bins: bin i of n cells
runs from floor(i n / s) to ceil((i + 1) n / s). Bins overlap where s does not
divide n, and a picture smaller than s still has s x s of them. All sizes
together give S = sum s^2 anchors, 110 for (1, 3, 6, 8).

``reference`` pools once a size. ``separable`` sums rows and columns with two
small constant matrices, all sizes at once: matrix products alone, one pass
over the map.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from attnlib._checks import (
    check_choice,
    check_floating,
    check_positive,
    wide,
)
from attnlib._layout import Device, no_autocast

POOL_IMPLS = ("auto", "reference", "separable")


def check_sizes(name: str, sizes: object) -> tuple[int, ...]:
    """Return sizes as a tuple; raise unless they are integers from 1."""
    if not isinstance(sizes, (tuple, list)):
        raise TypeError(f"{name} must be a tuple of integers, got {sizes!r}")
    if not sizes:
        raise ValueError(f"{name} must hold at least one size, got {sizes!r}")
    for size in sizes:
        check_positive(f"each of {name}", size)
    return tuple(sizes)


def pyramid_pool(
    x: Tensor, sizes: Sequence[int], *, impl: str = "auto"
) -> Tensor:
    """Return the anchors of a map: means over the bins of a pyramid.

    Args:
        x: a map.
        sizes: bins a side; one grid of anchors each, in this order, a grid row
            by row.
        impl: ``"reference"`` (adaptive pooling, once a size), ``"separable"``
            (two matrix products for all sizes) or ``"auto"`` (separable).

    Shape:
        - x: ``(B, C, H, W)``
        - Output: ``(B, S, C)``, S the sum of the squares of ``sizes``

    Raises:
        ValueError: x of another rank or without positions, no size or one
            below 1, an unknown ``impl``.
        TypeError: x not a floating-point tensor, sizes that are no integers.

    Half-precision inputs are summed in float32.

    Reference: Zhu et al. 2019, arXiv 1908.07678, section 3.2; the bins are
    those of PyTorch's adaptive pooling.
    """
    check_choice("impl", impl, POOL_IMPLS)
    check_floating("x", x)
    sizes = check_sizes("sizes", sizes)
    if x.ndim != 4 or any(n < 1 for n in x.shape[2:]):
        raise ValueError(
            "x must be (B, C, H, W) with at least one position, "
            f"got {tuple(x.shape)}"
        )
    dtype = x.dtype
    with no_autocast(x):
        x = x.to(wide(dtype))
        if impl == "reference":
            parts = [F.adaptive_avg_pool2d(x, s).flatten(2) for s in sizes]
        else:
            parts = _separable(x, sizes)
        return torch.cat(parts, dim=2).mT.to(dtype)  # (B, S, C)


def _separable(x: Tensor, sizes: tuple[int, ...]) -> list[Tensor]:
    """Average columns, then rows, T = sum of sizes ways each.

    Of the T x T pairs of a row's and a column's mean, those of one size are
    its bins.
    """
    rows, columns = (_bins(n, sizes, x) for n in x.shape[2:])
    t = x @ columns.mT  # (B, C, H, T)
    t = t.mT.contiguous() @ rows.mT  # (B, C, T, T), column before row
    parts, start = [], 0
    for s in sizes:
        own = slice(start, start + s)
        parts.append(t[:, :, own, own].mT.flatten(2))  # (B, C, s * s)
        start += s
    return parts


def _bins(n: int, sizes: tuple[int, ...], like: Tensor) -> Tensor:
    """(T, n): for each size s rows that average one of s bins of n cells."""
    cells = torch.arange(n, device=like.device)
    rows = []
    for s in sizes:
        i = torch.arange(s, device=like.device)[:, None]
        first = torch.div(i * n, s, rounding_mode="floor")
        last = torch.div((i + 1) * n + s - 1, s, rounding_mode="floor")
        inside = (cells >= first) & (cells < last)  # (s, n)
        rows.append(inside.to(like.dtype) / (last - first))
    return torch.cat(rows)


def pyramid_matrix(
    size: tuple[int, int],
    sizes: Sequence[int],
    *,
    device: Device = None,
    dtype: torch.dtype | None = None,
) -> Tensor:
    """Return P with anchors = P x: which position enters which anchor.

    Args:
        size: (H, W) of the map.
        sizes: as in :func:`pyramid_pool`.
        device: of the matrix.
        dtype: of the matrix; PyTorch's default when not given.

    Shape:
        - Output: ``(S, H W)``, rows that sum to one

    Raises:
        ValueError, TypeError: sizes as in :func:`pyramid_pool`.
    """
    sizes = check_sizes("sizes", sizes)
    like = torch.empty(0, device=device, dtype=dtype)
    parts = []
    for s in sizes:
        rows, columns = (_bins(n, (s,), like) for n in size)
        # (s, 1, H, 1) * (1, s, 1, W)
        bins = rows[:, None, :, None] * columns[None, :, None]
        parts.append(bins.reshape(s * s, -1))
    return torch.cat(parts)
