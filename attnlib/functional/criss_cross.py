"""Criss-cross attention: a position attends to its lines, not to the map.

    y_i = sum_j P_ij v_j,    P_ij = exp(q_i . k_j) / sum_c exp(q_i . k_c)

where j and c run over the positions that share all coordinates of i but one:
row and column, H + W - 1 of them. One softmax spans the whole cross, and the
position itself is in it once: every axis but the last masks it.

``reference`` lays the scores of all axes side by side, N (H + W) of them, and
calls one softmax. ``merged`` (``functional/merged.py``) leaves the scores of
each axis where its matrix product puts them, merges the partial softmaxes, and
keeps nothing but q, k and v for the backward pass.
"""

from __future__ import annotations

import torch
from torch import Tensor

from attnlib._checks import check_choice, check_floating, wide
from attnlib._layout import any_forward_mode, no_autocast
from attnlib.functional.merged import merged_attention
from attnlib.functional.softmax import Choice

CRISS_CROSS_IMPLS = ("auto", "reference", "merged")


def criss_cross_weights(q: Tensor, k: Tensor) -> Tensor:
    """Return each position's weights over its cross.

    Args:
        q: queries, in their grid.
        k: keys, in the same grid.

    Shape:
        - q and k: ``(B, *S, d)``, one to three axes S
        - Output: ``(B, *S, sum of S)``; in two dimensions first the H
          weights of the column, then the W of the row. Each sums to one. The
          position itself stands in the last axis; in the others it weighs 0.

    Raises:
        ValueError: shapes or devices that do not fit.
        TypeError: anything but floating-point tensors of one dtype.

    Scores of half-precision inputs are computed in float32.
    """
    _check(q, k, k)
    with no_autocast(q):
        acc, axes = wide(q.dtype), range(1, q.ndim - 1)
        a, b = q.to(acc), k.to(acc)
        scores = []
        for axis in axes:
            s = _lines(a, axis) @ _lines(b, axis).mT  # (B, *others, L, L)
            if axis < axes[-1]:  # the position itself: in the last axis alone
                s = s + s.new_full(s.shape[-1:], -torch.inf).diag()
            scores.append(s.movedim(-2, axis))  # (B, *S, L)
        return torch.cat(scores, -1).softmax(-1).to(q.dtype)


def criss_cross_map(weights: Tensor) -> Tensor:
    """Return weights over crosses as a map over all pairs of positions.

    Args:
        weights: as :func:`criss_cross_weights` returns them.

    Shape:
        - weights: ``(B, *S, sum of S)``
        - Output: ``(B, N, N)``, row i over j, zero off the cross of i

    Raises:
        TypeError: anything but a floating-point tensor.
    """
    size = list(check_floating("weights", weights).shape[1:-1])
    n = len(size)
    full = weights.new_zeros(weights.shape[0], *size, *size)
    for axis, share in enumerate(weights.split(size, -1)):
        arm = [1] * n
        arm[axis] = size[axis]
        part = share.unflatten(-1, arm)  # (B, *S, 1, .., L, .., 1)
        for other in range(n):
            if other != axis:  # there i and j have the same coordinate
                same = [1] * (2 * n)
                same[other] = same[n + other] = size[other]
                ones = weights.new_ones(size[other])
                part = part * ones.diag().view(same)
        full += part
    return full.flatten(1, n).flatten(2)


def criss_cross_attention(
    q: Tensor, k: Tensor, v: Tensor, *, impl: str = "auto"
) -> Tensor:
    """Return weighted means of the values on each position's cross.

    Args:
        q: queries, in their grid.
        k: keys, in the same grid.
        v: values, in the same grid; their width may differ.
        impl: ``"reference"`` (one softmax over concatenated scores, any
            derivative), ``"merged"`` (partial softmaxes merged, recomputing
            backward, first derivatives only) or ``"auto"``, see
            :func:`explain_criss_cross_attention`.

    Shape:
        - q, k: ``(B, *S, d)``, v: ``(B, *S, dv)``, one to three axes S
        - Output: ``(B, *S, dv)``

    Raises:
        ValueError: shapes or devices that do not fit, an unknown ``impl``.
        TypeError: anything but floating-point tensors of one dtype.
        NotImplementedError: forward-mode derivatives (jvp) of ``merged``;
            ``auto`` takes the reference for those.

    Reference: Huang et al. 2019, arXiv 1811.11721, section 3.2. No factor
    1/sqrt(d) there.
    """
    check_choice("impl", impl, CRISS_CROSS_IMPLS)
    choice = explain_criss_cross_attention(q, k, v)
    if impl == "auto":
        impl = choice.impl
    elif impl == "merged" and any_forward_mode(q, k, v):
        raise NotImplementedError(
            "impl='merged' has no forward-mode derivative (jvp); "
            "use impl='reference'"
        )
    with no_autocast(q):
        if impl == "merged":
            return merged_attention(q, k, v)
        weights = criss_cross_weights(q, k)  # (B, *S, sum of S)
        return _aggregate(weights, v)


def _aggregate(weights: Tensor, v: Tensor) -> Tensor:
    """Sum the values of each cross: (B, *S, sum of S), (B, *S, dv) -> v."""
    shares = weights.split(list(v.shape[1:-1]), -1)
    return sum(  # type: ignore[return-value]  # at least one axis
        (_lines(share, axis) @ _lines(v, axis)).movedim(-2, axis)
        for axis, share in enumerate(shares, 1)
    )


def explain_criss_cross_attention(q: Tensor, k: Tensor, v: Tensor) -> Choice:
    """Return the form that ``impl="auto"`` takes for these tensors, and why.

    Args:
        q: queries, as in :func:`criss_cross_attention`.
        k: keys.
        v: values.

    Shape:
        - Output: ``Choice(impl, reason)``

    Raises:
        ValueError, TypeError: as :func:`criss_cross_attention`.
    """
    _check(q, k, v)
    if any_forward_mode(q, k, v):
        reason = "forward-mode derivatives exist for the plain formula alone"
        return Choice("reference", reason)
    return Choice("merged", "same sums, no copy of q, k or v is kept")


def _check(q: object, k: object, v: object) -> None:
    """Raise unless q, k (B, *S, d) and v (B, *S, dv) go together."""
    q = check_floating("q", q)
    k = check_floating("k", k)
    v = check_floating("v", v)
    for name, t in (("q", q), ("k", k), ("v", v)):
        if not 3 <= t.ndim <= 5 or any(size < 1 for size in t.shape[1:-1]):
            raise ValueError(
                f"{name} must be (B, *S, width) with one to three axes S, "
                f"none of them empty; got {tuple(t.shape)}"
            )
    shapes = f"q {tuple(q.shape)}, k {tuple(k.shape)}, v {tuple(v.shape)}"
    if q.shape != k.shape or q.shape[:-1] != v.shape[:-1]:
        raise ValueError(
            "q and k must have the same shape, and v the same grid; "
            f"got {shapes}"
        )
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


def _lines(t: Tensor, axis: int) -> Tensor:
    """(B, *S, w) -> (B, *others, L, w): the axis beside the width, laid out.

    Laid out here, once, or the matrix product would do it in its own way for
    each batch size.
    """
    return t.movedim(axis, -2).contiguous()
