"""Softmax attention that keeps no map: the backward pass computes it again.

    P = softmax(scale * q k^T),  out = P v
    lse_i = log sum_j exp(scale * q_i . k_j)

The forward pass walks over tiles of rows and keeps q, k, v, out and lse:
O(N C) numbers, never the N x M map. The backward pass rebuilds each tile of P
from one subtraction, P_ij = exp(scale * q_i . k_j - lse_i), and uses (with dO
the gradient of out)

    dV = P^T dO
    dP = dO V^T
    dS_ij = P_ij (dP_ij - sum_c dO_ic out_ic)
    dq = scale * dS k
    dk = scale * dS^T q

where the row sum comes from sum_j P_ij dP_ij = dO_i . out_i. The tiling is
that of Rabe and Staats (arXiv 2112.05682), the identity for the backward pass
that of FlashAttention (arXiv 2205.14135).

``RecomputedAttention`` is the form to read. ``chunked_attention`` runs the
same two kernels as a ``torch.library`` operator, so that ``torch.compile`` and
``torch.export`` treat it as one node.
"""

# No `from __future__ import annotations`: torch.library reads annotations.
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from attnlib._checks import wide

# Scores held at a time: 2 MiB in float32, about what one core's cache takes.
TILE = 2**19


def _tiles(batch: int, rows: int, keys: int) -> Iterator[tuple[slice, slice]]:
    """Cut (batch, rows) into tiles of about ``TILE`` scores over all keys."""
    if batch == 0 or rows == 0:
        return
    step = min(rows, max(64, TILE // (batch * keys)))
    group = min(batch, max(1, TILE // (step * keys)))
    for b in range(0, batch, group):
        maps = slice(b, min(b + group, batch))
        for i in range(0, rows, step):
            yield maps, slice(i, min(i + step, rows))


class _Scratch:
    """One buffer for the scores of a tile, used again for every tile."""

    def __init__(self, like: Tensor) -> None:
        self.like, self.buffer = like, like.new_empty(0)

    def __call__(self, *shape: int) -> Tensor:
        size = shape[0] * shape[1] * shape[2]
        if self.buffer.numel() < size:
            self.buffer = self.like.new_empty(size)
        return self.buffer[:size].view(shape)


def _forward(
    q: Tensor, k: Tensor, v: Tensor, scale: float
) -> tuple[Tensor, Tensor]:
    """Return out (B, N, dv) and lse (B, N, 1) in the dtype of accumulation."""
    acc = wide(q.dtype)
    q, kt, v = q.to(acc), (scale * k.to(acc)).mT, v.to(acc)
    out = q.new_empty(*q.shape[:2], v.shape[-1])
    lse = q.new_empty(*q.shape[:2], 1)
    scratch = _Scratch(q)
    for b, i in _tiles(q.shape[0], q.shape[1], kt.shape[-1]):
        rows = q[b, i]
        shape = (*rows.shape[:2], kt.shape[-1])
        s = torch.bmm(rows, kt[b], out=scratch(*shape))  # (b, i, M)
        top = s.amax(-1, keepdim=True)
        total = s.sub_(top).exp_().sum(-1, keepdim=True)
        out[b, i] = torch.bmm(s, v[b]).div_(total)
        lse[b, i] = total.log_().add_(top)
    return out, lse


def _backward(
    grad: Tensor,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    out: Tensor,
    lse: Tensor,
    scale: float,
) -> tuple[Tensor, Tensor, Tensor]:
    """Return dq, dk, dv in the dtype of q, k, v."""
    dtype, acc = q.dtype, wide(q.dtype)
    grad, q, k, v = grad.to(acc), q.to(acc), k.to(acc), v.to(acc)
    kt, vt = (scale * k).mT, v.mT
    dq, dk, dv = torch.empty_like(q), torch.zeros_like(k), torch.zeros_like(v)
    # sum_j P_ij dP_ij, (B, N, 1)
    row_sum = (grad * out.to(acc)).sum(-1, keepdim=True)
    scores, slopes = _Scratch(q), _Scratch(q)
    for b, i in _tiles(q.shape[0], q.shape[1], kt.shape[-1]):
        shape = (*q[b, i].shape[:2], kt.shape[-1])
        s = torch.bmm(q[b, i], kt[b], out=scores(*shape))
        p = s.sub_(lse[b, i]).exp_()
        dv[b].baddbmm_(p.mT, grad[b, i])
        dp = torch.bmm(grad[b, i], vt[b], out=slopes(*shape))
        ds = dp.sub_(row_sum[b, i]).mul_(p)
        dq[b, i] = torch.bmm(ds, k[b])
        dk[b].baddbmm_(ds.mT, q[b, i])
    return dq.mul_(scale).to(dtype), dk.mul_(scale).to(dtype), dv.to(dtype)


class RecomputedAttention(torch.autograd.Function):
    """softmax(scale * q k^T) v with its own backward pass: the form to read.

    Shape:
        - q ``(B, N, d)``, k ``(B, M, d)``, v ``(B, M, dv)`` -> ``(B, N, dv)``

    ``once_differentiable`` matters: without it a second derivative would be
    wrong without a word, because autograd does not know that lse and out
    depend on q, k and v.
    """

    @staticmethod
    def forward(
        ctx: Any, q: Tensor, k: Tensor, v: Tensor, scale: float
    ) -> Tensor:
        """Keep q, k, v, out and lse; the map is gone when the loop ends."""
        out, lse = _forward(q, k, v, scale)
        ctx.save_for_backward(q, k, v, out, lse)
        ctx.scale = scale
        return out.to(q.dtype)

    @staticmethod
    @once_differentiable
    def backward(
        ctx: Any, grad: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, None]:
        """Rebuild the map tile by tile and use it once."""
        q, k, v, out, lse = ctx.saved_tensors
        return *_backward(grad, q, k, v, out, lse, ctx.scale), None


@torch.library.custom_op("attnlib::chunked_attention", mutates_args=())
def _chunked(
    q: Tensor, k: Tensor, v: Tensor, scale: float
) -> tuple[Tensor, Tensor]:
    out, lse = _forward(q, k, v, scale)
    return out.to(q.dtype), lse


@torch.library.custom_op(
    "attnlib::chunked_attention_backward", mutates_args=()
)
def _chunked_backward(
    grad: Tensor,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    out: Tensor,
    lse: Tensor,
    scale: float,
) -> tuple[Tensor, Tensor, Tensor]:
    return _backward(grad, q, k, v, out, lse, scale)


@_chunked.register_fake
def _(q: Tensor, k: Tensor, v: Tensor, scale: float) -> tuple[Tensor, Tensor]:
    out = q.new_empty(*q.shape[:2], v.shape[-1])
    return out, q.new_empty(*q.shape[:2], 1, dtype=wide(q.dtype))


@_chunked_backward.register_fake
def _(
    grad: Tensor,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    out: Tensor,
    lse: Tensor,
    scale: float,
) -> tuple[Tensor, Tensor, Tensor]:
    return torch.empty_like(q), torch.empty_like(k), torch.empty_like(v)


def _keep(
    ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]
) -> None:
    q, k, v, scale = inputs
    ctx.save_for_backward(q, k, v, *output)
    ctx.scale = scale
    ctx.set_materialize_grads(False)


def _first_derivative(
    ctx: Any, grad: Tensor | None, _lse: None
) -> tuple[Any, ...]:
    if grad is None:
        return None, None, None, None
    return *_chunked_backward(grad, *ctx.saved_tensors, ctx.scale), None


def _second_derivative(ctx: Any, *grads: Tensor) -> None:
    raise RuntimeError(
        "impl='chunked' has first derivatives only: its backward pass "
        "recomputes the map. For Hessians or gradient penalties use "
        "impl='reference'"
    )


_chunked.register_autograd(_first_derivative, setup_context=_keep)
_chunked_backward.register_autograd(_second_derivative)


def chunked_attention(q: Tensor, k: Tensor, v: Tensor, scale: float) -> Tensor:
    """Return softmax(scale * q k^T) v in O(N C) memory, as one operator."""
    out: Tensor = _chunked(q, k, v, scale)[0]
    return out
