"""Interlaced attention: far apart first, then near, never N x N.

A map of H' x W' positions is cut twice by one factor (dh, dw):

    long    lattices x[a::dh, b::dw]     dh dw groups of H' W' / (dh dw)
    short   windows of dh x dw           H' W' / (dh dw) groups of dh dw

A lattice and a window share exactly one position, and so one path leads from
each position over both steps to every other: two maps with few entries, whose
product has no zero.
"""

from __future__ import annotations

import torch
from torch import Tensor

from attnlib._checks import check_choice, check_floating, check_positive
from attnlib.functional import regroup
from attnlib.functional.softmax import IMPLS, softmax_attention
from attnlib.functional.softmax import softmax_weights as _weights

Factor = tuple[int, int]
STEPS = ("long", "short")


def check_factor(name: str, factor: object) -> None:
    """Raise unless ``factor`` is a pair of integers of at least 1."""
    if not isinstance(factor, (tuple, list)) or len(factor) != 2:
        raise TypeError(f"{name} must be a pair of integers, got {factor!r}")
    for number in factor:
        check_positive(name, number)


def pad_to_multiple(x: Tensor, factor: Factor) -> Tensor:
    """Return x with zeros around it, so that ``factor`` divides its size.

    Args:
        x: a map.
        factor: ``(dh, dw)``.

    Shape:
        - x: ``(B, C, H, W)``
        - Output: ``(B, C, H', W')``, the least multiples; of an odd number of
          new rows or columns the larger half stands below or on the right

    Raises:
        ValueError, TypeError: a factor that is no pair of positive integers,
            x not a floating-point map.
    """
    x = _check_map(x, factor)
    (dh, dw), (height, width) = factor, x.shape[2:]
    height, width = _multiple(height, dh), _multiple(width, dw)
    # A traced graph must hold for every size: none is compared in tracing.
    if not torch.compiler.is_compiling() and x.shape[2:] == (height, width):
        return x
    return regroup.pad(x, height, width)


def _multiple(size: int, step: int) -> int:
    return (size + step - 1) // step * step


def crop(y: Tensor, size: tuple[int, ...]) -> Tensor:
    """Undo :func:`pad_to_multiple`: cut the inner map out.

    Args:
        y: the padded map.
        size: ``(H, W)`` before padding.

    Shape:
        - y: ``(B, C, H', W')``
        - Output: ``(B, C, H, W)``, a view (a copy in a traced graph)
    """
    return regroup.crop(y, size[0], size[1])


def interlace(x: Tensor, factor: Factor, *, step: str) -> Tensor:
    """Sort the positions of a map into groups.

    Args:
        x: a map whose size ``factor`` divides.
        factor: ``(dh, dw)``: lattices an axis, and size of a window.
        step: ``"long"``: lattices, their positions dh and dw apart;
            ``"short"``: windows.

    Shape:
        - x: ``(B, C, H', W')``
        - Output: ``(B, groups, n, C)``; groups and their positions in
          row-major order

    Raises:
        ValueError, TypeError: an unknown step, a factor that is no pair or
            does not divide the size, x not a floating-point map.
    """
    check_choice("step", step, STEPS)
    x = _check_map(x, factor)
    (dh, dw), (height, width) = factor, x.shape[2:]
    if not torch.compiler.is_compiling() and (height % dh or width % dw):
        raise ValueError(
            f"factor must divide the size of x, got {tuple(factor)} and "
            f"{tuple(x.shape)}; use pad_to_multiple"
        )
    return regroup.to_groups(x, dh, dw, step)


def deinterlace(
    tokens: Tensor, factor: Factor, size: tuple[int, ...], *, step: str
) -> Tensor:
    """Undo :func:`interlace`.

    Args:
        tokens: the groups.
        factor: ``(dh, dw)``.
        size: ``(H', W')``.
        step: as they were made.

    Shape:
        - tokens: ``(B, groups, n, C)``
        - Output: ``(B, C, H', W')``, contiguous

    Raises:
        ValueError: an unknown step.
    """
    check_choice("step", step, STEPS)
    return regroup.from_groups(tokens, *factor, size[0], size[1], step)


def interlaced_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    factor: Factor,
    *,
    step: str,
    scale: float = 1.0,
    impl: str = "auto",
) -> Tensor:
    """Return softmax attention inside the groups of one step.

    Args:
        q: map of queries, its size a multiple of ``factor``.
        k: map of keys.
        v: map of values, of any width.
        factor: ``(dh, dw)``.
        step: ``"long"`` (lattices) or ``"short"`` (windows).
        scale: factor on the scores.
        impl: as in :func:`softmax_attention`, for a batch of groups.
            ``"auto"`` takes the plain form, whose maps are small here, unless
            a group has more positions than ``q`` and ``v`` have channels.

    Shape:
        - q, k: ``(B, d, H', W')``, v: ``(B, dv, H', W')``
        - Output: ``(B, dv, H', W')``

    Raises:
        ValueError, TypeError: as :func:`interlace` and
            :func:`softmax_attention`.
    """
    check_choice("impl", impl, IMPLS)
    size = q.shape[2:]
    q, k, v = (interlace(t, factor, step=step) for t in (q, k, v))
    impl = resolve(impl, q.shape[2], q.shape[3] + v.shape[3])
    y = softmax_attention(q, k, v, scale=scale, impl=impl)
    return deinterlace(y, factor, size, step=step)  # (B, dv, H', W')


def resolve(impl: str, positions: int, channels: int) -> str:
    """Name the form that ``auto`` takes for groups of so many positions."""
    if impl != "auto" or torch.compiler.is_compiling():
        return impl
    return "reference" if positions <= channels else impl


def group_weights(
    q: Tensor, k: Tensor, factor: Factor, *, step: str, scale: float = 1.0
) -> Tensor:
    """Return the attention maps of all groups of one step.

    Args:
        q: map of queries.
        k: map of keys.
        factor: ``(dh, dw)``.
        step: ``"long"`` or ``"short"``.
        scale: factor on the scores.

    Shape:
        - q, k: ``(B, d, H', W')``
        - Output: ``(B, groups, n, n)``, every row sums to one

    Raises:
        ValueError, TypeError: as :func:`interlace`.
    """
    q, k = (interlace(t, factor, step=step) for t in (q, k))
    return _weights(q, k, scale=scale)


def spread(
    weights: Tensor, factor: Factor, size: tuple[int, ...], *, step: str
) -> Tensor:
    """Write the maps of all groups into one map, zero between groups.

    Args:
        weights: from :func:`group_weights`.
        factor: ``(dh, dw)``.
        size: ``(H', W')``.
        step: ``"long"`` or ``"short"``.

    Shape:
        - weights: ``(B, groups, n, n)``
        - Output: ``(B, N', N')``, positions in row-major order
    """
    places = _places(weights, factor, size, step)  # (groups, n)
    n = places.numel()
    full = weights.new_zeros(weights.shape[0], n, n)
    full[:, places[:, :, None], places[:, None, :]] = weights
    return full


def interlaced_product(
    long: Tensor, short: Tensor, factor: Factor, size: tuple[int, ...]
) -> Tensor:
    """Multiply the maps of both steps, each entry from its only path.

    From position r of window h over position r of window g to position p of
    window g leads ``short[g, p, r] * long[r, g, h]``; no sum is left.

    Args:
        long: weights of the lattices, from :func:`group_weights`.
        short: weights of the windows.
        factor: ``(dh, dw)``, P positions in all.
        size: ``(H', W')``, G windows.

    Shape:
        - long: ``(B, P, G, G)``, short: ``(B, G, P, P)``
        - Output: ``(B, N', N')``, positions in row-major order
    """
    paths = torch.einsum("bgpr,brgh->bgphr", short, long)
    order = _places(short, factor, size, "short").flatten().argsort()
    full = paths.flatten(3, 4).flatten(1, 2)  # (B, N', N'), window by window
    return full[:, order][:, :, order]


def _places(
    like: Tensor, factor: Factor, size: tuple[int, ...], step: str
) -> Tensor:
    """Return the row-major number of each position of each group."""
    n = size[0] * size[1]
    numbers = torch.arange(n, device=like.device, dtype=torch.float64)
    groups = interlace(numbers.view(1, 1, *size), factor, step=step)
    return groups[0, :, :, 0].long()


def _check_map(x: object, factor: Factor) -> Tensor:
    check_factor("factor", factor)
    x = check_floating("x", x)
    if x.ndim != 4:
        raise ValueError(f"x must be (B, C, H, W), got {tuple(x.shape)}")
    return x
