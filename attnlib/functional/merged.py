"""Criss-cross attention from partial softmaxes, one an axis.

Everything about one axis happens in that axis's own layout, (lines, L, width):
its scores stay where the matrix product puts them. Two shares of a softmax
that know their maxima m, n and their sums s, t of exponentials merge into the
maximum p = max(m, n) and the sum s exp(m - p) + t exp(n - p); here all shares
are at hand, so that p is found first and each share is summed under it.

The backward pass computes the scores again, d of the d + dv multiply-adds a
pair, and keeps q, k and v alone. With P the weights, dO the gradient of the
output, and row sums over the whole cross:

    dV = P^T dO,   dP = dO V^T,   dS = P (dP - sum_j P_ij dP_ij)
    dq = dS k,     dk = dS^T q

A ``torch.library`` operator, so that ``torch.compile`` and ``torch.export``
treat it as one node.
"""

# No `from __future__ import annotations`: torch.library reads annotations.
from typing import Any

import torch
from torch import Tensor

from attnlib._checks import wide

# Images whose values hold at most this many numbers are taken together.
TOGETHER = 2**18


def _flat(t: Tensor, axis: int) -> Tensor:
    """(b, *S, w) -> (lines, L, w); no copy of one image in two dimensions."""
    return t.movedim(axis, -2).flatten(0, -3)


def _grid(y: Tensor, axis: int, like: Tensor) -> Tensor:
    """Undo ``_flat``: (lines, L, w) -> (b, *S, w), a view."""
    others = [n for i, n in enumerate(like.shape[:-1]) if i != axis]
    return y.unflatten(0, others).movedim(-2, axis)


def _groups(v: Tensor) -> list[slice]:
    """Small images together, large ones one by one."""
    step = max(1, TOGETHER // max(1, v[:1].numel()))
    return [slice(i, i + step) for i in range(0, v.shape[0], step)]


def _shares(q: Tensor, k: Tensor) -> list[Tensor]:
    """Return the weights of each axis, (lines, L, L): one softmax of all."""
    axes = range(1, q.ndim - 1)
    scores = [_flat(q, axis) @ _flat(k, axis).mT for axis in axes]
    for s in scores[:-1]:
        s.diagonal(dim1=1, dim2=2).fill_(-torch.inf)
    tops = [
        _grid(s.amax(-1, keepdim=True), axis, q)
        for axis, s in zip(axes, scores, strict=True)
    ]
    top = tops[-1]
    for other in tops[:-1]:
        top = torch.maximum(top, other)  # (b, *S, 1)
    total = torch.zeros_like(top)
    for axis, s in zip(axes, scores, strict=True):
        s.sub_(_flat(top, axis)).exp_()
        total += _grid(s.sum(-1, keepdim=True), axis, q)
    for axis, s in zip(axes, scores, strict=True):
        s.div_(_flat(total, axis))
    return scores


def _sum_lines(out: Tensor, lefts: list[Tensor], right: Tensor) -> None:
    """Write into ``out`` the sum over axes of left @ the lines of right.

    The last axis's lines lie in memory as they are: its product is added to
    what the others wrote.
    """
    last = len(lefts)
    for axis, left in enumerate(lefts, 1):
        lines = _flat(right, axis)
        if axis == last:
            _flat(out, axis).baddbmm_(left, lines, beta=float(last > 1))
        else:
            y = _grid(torch.bmm(left, lines), axis, out)
            out.copy_(y) if axis == 1 else out.add_(y)


@torch.library.custom_op("attnlib::criss_cross", mutates_args=())
def _merged(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    acc = wide(q.dtype)
    out = torch.empty(v.shape, dtype=acc, device=v.device)
    for b in _groups(v):
        _sum_lines(out[b], _shares(q[b].to(acc), k[b].to(acc)), v[b].to(acc))
    return out.to(v.dtype)


@torch.library.custom_op("attnlib::criss_cross_backward", mutates_args=())
def _merged_backward(
    grad: Tensor, q: Tensor, k: Tensor, v: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    acc, axes = wide(q.dtype), range(1, q.ndim - 1)
    dq, dk, dv = (
        torch.empty(t.shape, dtype=acc, device=t.device) for t in (q, k, v)
    )
    for b in _groups(v):
        g, qb, kb, vb = (t[b].to(acc).contiguous() for t in (grad, q, k, v))
        shares = _shares(qb, kb)  # P
        _sum_lines(dv[b], [p.mT for p in shares], g)
        slopes = [_flat(g, axis) @ _flat(vb, axis).mT for axis in axes]  # dP
        row_sum = torch.zeros_like(g[..., :1])  # sum over the cross of P dP
        for axis, p, s in zip(axes, shares, slopes, strict=True):
            row_sum += _grid((s * p).sum(-1, keepdim=True), axis, g)
        for axis, p, s in zip(axes, shares, slopes, strict=True):
            s.sub_(_flat(row_sum, axis)).mul_(p)  # dS
        _sum_lines(dq[b], slopes, kb)
        _sum_lines(dk[b], [s.mT for s in slopes], qb)
    return dq.to(q.dtype), dk.to(k.dtype), dv.to(v.dtype)


@_merged.register_fake
def _(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return v.new_empty(v.shape)


@_merged_backward.register_fake
def _(
    grad: Tensor, q: Tensor, k: Tensor, v: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    return q.new_empty(q.shape), k.new_empty(k.shape), v.new_empty(v.shape)


def _keep(ctx: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:
    ctx.save_for_backward(*inputs)


def _first_derivative(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    slopes: tuple[Tensor, Tensor, Tensor]
    slopes = _merged_backward(grad, *ctx.saved_tensors)
    return slopes


def _second_derivative(ctx: Any, *grads: Tensor) -> None:
    raise RuntimeError(
        "impl='merged' has first derivatives only: its backward pass "
        "recomputes the scores. For Hessians or gradient penalties use "
        "impl='reference'"
    )


_merged.register_autograd(_first_derivative, setup_context=_keep)
_merged_backward.register_autograd(_second_derivative)


def merged_attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Return criss-cross attention in O(N C) memory, as one operator."""
    out: Tensor = _merged(q, k, v)
    return out
