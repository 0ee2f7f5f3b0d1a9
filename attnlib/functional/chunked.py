"""Softmax attention that keeps no map: the backward pass computes it again.

    P = softmax(scale * q k^T),  out = P v
    lme_i = log (1/M sum_j exp(scale * q_i . k_j)),  M keys

The forward pass keeps q, k, v, out and lme: O(N C) numbers, never the N x M
map. The backward pass rebuilds the map tile by tile from one subtraction,
M P_ij = exp(scale * q_i . k_j - lme_i), and uses (with dO the gradient of out)

    dV = P^T dO
    dP = dO V^T
    dS_ij = P_ij (dP_ij - sum_c dO_ic out_ic)
    dq = scale * dS k
    dk = scale * dS^T q

where the row sum comes from sum_j P_ij dP_ij = dO_i . out_i. All five are
linear in P, so each product that adds a tile to its sum divides by M.

A one-hot row makes dS a difference of two equal numbers. An output rounded to
half precision would spoil it: what the rounding took away is kept beside it.

Why the logarithm of the mean and not of the sum, the log-sum-exp of other
descriptions? They differ by log M, and a float32 number near log M = 9 is
rounded 16 times as coarsely as one near 1/2. Under even attention that made
the error of dV five times that of the plain formula.

Knowing lme, a tile needs no other tile of its row: the backward pass cuts rows
and keys, as matrix products like it. The forward pass, which finds lme, takes
whole rows. Where a tile of the backward pass holds whole rows, it sums them
again, and so the forward pass may be left to PyTorch's fused kernel and its
coarser log-sum-exp. Tiling: Rabe and Staats (arXiv 2112.05682); the row sum:
FlashAttention (arXiv 2205.14135).

``RecomputedAttention`` is the form to read. ``chunked_attention`` runs the
same two kernels as a ``torch.library`` operator, so that ``torch.compile`` and
``torch.export`` treat it as one node.
"""

# No `from __future__ import annotations`: torch.library reads annotations.
import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from attnlib._checks import wide
from attnlib.functional._operator import attention_operator

# Sides of a tile of scores: 2 MiB in float32, about one core's cache
# (measured). A GPU wants more work a call: tiles of half the sides take twice
# as long there, of twice the sides an eighth less and five times the memory.
TILE = {"cpu": (512, 1024), "cuda": (2048, 4096)}


def _sides(device: str) -> tuple[int, int]:
    return TILE.get(device, TILE["cpu"])


def _pieces(size: int, step: int) -> Iterator[slice]:
    for start in range(0, size, step):
        yield slice(start, min(start + step, size))


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
    """Return out (B, N, dv) and lme (B, N, 1), some rows at a time."""
    acc, (maps, rows, keys) = wide(q.dtype), (*q.shape[:2], k.shape[1])
    if keys <= _sides("cpu")[1] and _kernel_knows(q, v):
        return _fused_forward(q, k, v, scale)
    q, kt, v = q.to(acc), (scale * k.to(acc)).mT, v.to(acc)
    out = q.new_empty(maps, rows, v.shape[-1])
    lme = q.new_empty(maps, rows, 1)
    height, width = _sides(q.device.type)
    # One buffer here, two in the backward pass; of small maps a quarter.
    area = min(2 * height * width, maps * rows * keys // 4)
    step = min(max(rows, 1), max(64, area // keys))
    group = max(1, area // (step * keys))
    scratch = _Scratch(q)
    for b in _pieces(maps, group):
        for i in _pieces(rows, step):
            shape = (*q[b, i].shape[:2], keys)
            s = torch.bmm(q[b, i], kt[b], out=scratch(*shape))  # (b, i, M)
            top = s.amax(-1, keepdim=True)
            total = s.sub_(top).exp_().sum(-1, keepdim=True)
            out[b, i].baddbmm_(s, v[b], beta=0).div_(total)
            lme[b, i] = total.div_(keys).log_().add_(top)
    return out, lme


def log_mean_exp(q: Tensor, k: Tensor, scale: float) -> Tensor:
    """Return log(1/M sum_j exp(scale q_i . k_j)), (B, N, 1), no map built."""
    return _forward(q, k, k[..., :0], scale)[1]  # values of no width


def _kernel_knows(q: Tensor, v: Tensor) -> bool:
    """Whether PyTorch's fused CPU kernel takes tensors as wide as q and v."""
    fits = q.shape[-1] == v.shape[-1] > 1 and q.numel() > 0
    return q.device.type == "cpu" and fits


def _fused_forward(
    q: Tensor, k: Tensor, v: Tensor, scale: float
) -> tuple[Tensor, Tensor]:
    """Let the kernel compute out; its log-sum-exp is good enough for lme.

    That is where a tile holds whole rows: the backward pass sums them again.
    """
    acc = wide(q.dtype)
    q, k, v = (t[:, None].to(acc).contiguous() for t in (q, k, v))
    kernel = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
    out, lse = kernel(q, k, v, scale=scale)
    lme = lse.reshape(q.shape[0], -1, 1) - math.log(k.shape[2])
    return out[:, 0], lme


def _backward(
    grad: Tensor,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    out: Tensor,
    lme: Tensor,
    scale: float,
) -> tuple[Tensor, Tensor, Tensor]:
    """Return dq, dk, dv in the dtype of q, k, v, one tile at a time."""
    dtype, acc = q.dtype, wide(q.dtype)
    q, k, v = q.to(acc), k.to(acc), v.to(acc)
    maps, rows, keys = (*q.shape[:2], k.shape[1])
    grad = grad.to(acc)
    empty = torch.empty_like if rows else torch.zeros_like
    dq, dk, dv = empty(q), empty(k), empty(v)
    # sum_j P_ij dP_ij, (B, N, 1)
    row_sum = (grad * out.to(acc)).sum(-1, keepdim=True)
    height, width = _sides(q.device.type)
    step = min(max(rows, 1), height)
    span = min(keys, height * width // step)
    group = max(1, height * width // (step * span))
    scores, slopes = _Scratch(q), _Scratch(q)
    share = 1 / keys  # the tiles hold keys * P
    for b in _pieces(maps, group):
        for j in _pieces(keys, span):
            kj, vj = k[b, j], v[b, j]
            for i in _pieces(rows, step):
                # The first tile of a sum finds nothing to be added to.
                row, column = float(j.start > 0), float(i.start > 0)
                qi, gi = q[b, i], grad[b, i]
                shape = (*qi.shape[:2], kj.shape[1])
                s = scores(*shape).baddbmm_(qi, kj.mT, beta=0, alpha=scale)
                p = s.sub_(lme[b, i]).exp_()  # keys * P
                if span == keys:  # whole rows: undo the rounding of lme
                    exact = keys / p.sum(-1, keepdim=True)
                    gi, _ = gi * exact, row_sum[b, i].mul_(exact)
                dv[b, j].baddbmm_(p.mT, gi, beta=column, alpha=share)
                dp = torch.bmm(gi, vj.mT, out=slopes(*shape))
                ds = dp.sub_(row_sum[b, i]).mul_(p)
                dq[b, i].baddbmm_(ds, kj, beta=row, alpha=scale * share)
                dk[b, j].baddbmm_(ds.mT, qi, beta=column, alpha=scale * share)
    return dq.to(dtype), dk.to(dtype), dv.to(dtype)


class RecomputedAttention(torch.autograd.Function):
    """softmax(scale * q k^T) v with its own backward pass: the form to read.

    Shape:
        - q ``(B, N, d)``, k ``(B, M, d)``, v ``(B, M, dv)`` -> ``(B, N, dv)``

    ``once_differentiable`` matters: without it a second derivative would be
    wrong without a word, because autograd does not know that lme and out
    depend on q, k and v.
    """

    @staticmethod
    def forward(
        ctx: Any, q: Tensor, k: Tensor, v: Tensor, scale: float
    ) -> Tensor:
        """Keep q, k, v, out and lme; the map is gone when the loop ends."""
        out, lme = _forward(q, k, v, scale)
        ctx.save_for_backward(q, k, v, out, lme)
        ctx.scale = scale
        return out.to(q.dtype)

    @staticmethod
    @once_differentiable
    def backward(
        ctx: Any, grad: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, None]:
        """Rebuild the map tile by tile and use it once."""
        q, k, v, out, lme = ctx.saved_tensors
        return *_backward(grad, q, k, v, out, lme, ctx.scale), None


_chunked = attention_operator("chunked", _forward, _backward)


def chunked_attention(q: Tensor, k: Tensor, v: Tensor, scale: float) -> Tensor:
    """Return softmax(scale * q k^T) v in O(N C) memory, as one operator."""
    out: Tensor = _chunked(q, k, v, scale)[0]
    return out
