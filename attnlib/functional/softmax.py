"""Softmax attention: the formula, and two forms that build no N x M map.

    y_i = sum_j softmax_j(scale * q_i . k_j) v_j

``reference`` is the formula as written. ``sdpa`` is PyTorch's fused kernel,
``chunked`` our own recomputing backward pass (``functional/chunked.py``); both
keep O(N C) numbers. ``auto`` asks ``explain_softmax_attention``, which also
says why.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from attnlib._checks import check_choice, check_tokens, wide
from attnlib._layout import any_forward_mode, no_autocast
from attnlib.functional.chunked import chunked_attention
from attnlib.functional.fused import (
    fused_attention,
    no_fused_kernel,
    trains_here,
)

IMPLS = ("auto", "reference", "sdpa", "chunked")

# Up to this many scores, batch included, the plain form is the fastest
# (measured on a CPU).
_SMALL = 2**16
# Up to this width, unequal ones padded, the fused kernel is the faster one on
# a GPU (measured on an H200: attnlib/measured/cuda.json).
_WIDE = 256


def softmax_weights(q: Tensor, k: Tensor, *, scale: float = 1.0) -> Tensor:
    """Return the attention map A, A_ij = softmax over j of scale * q_i . k_j.

    Args:
        q: queries.
        k: keys.
        scale: factor on the scores; 1 unless the paper says otherwise.

    Shape:
        - q: ``(*, N, d)``, k: ``(*, M, d)``
        - Output: ``(*, N, M)``, every row sums to one

    Scores of half-precision inputs are computed in float32: they overflow
    float16 easily.
    """
    acc = wide(q.dtype)
    scores = scale * (q.to(acc) @ k.to(acc).mT)  # (*, N, M)
    return scores.softmax(dim=-1).to(q.dtype)  # row i over j


def softmax_attention(
    q: Tensor, k: Tensor, v: Tensor, *, scale: float = 1.0, impl: str = "auto"
) -> Tensor:
    """Return softmax(scale * q k^T) v: weighted means of the values.

    Args:
        q: queries.
        k: keys.
        v: values; their width may differ from that of q and k.
        scale: factor on the scores; 1 unless the paper says otherwise.
        impl: ``"reference"`` (any dtype, any derivative, O(N M) memory),
            ``"sdpa"`` (fused kernel; unequal widths are padded with zeros,
            which changes no result), ``"chunked"`` (recomputing backward, any
            widths) or ``"auto"``. The last three keep O(N C) numbers and have
            first derivatives only.

    Shape:
        - q: ``(*, N, d)``, k: ``(*, M, d)``, v: ``(*, M, dv)``, same leading
          dimensions
        - Output: ``(*, N, dv)``

    Raises:
        ValueError: shapes or devices that do not fit, an unknown ``impl``, or
            ``sdpa`` where PyTorch has no fused kernel (it never falls back to
            the N x M map in silence).
        TypeError: anything but floating-point tensors of one dtype.
        NotImplementedError: forward-mode derivatives (jvp) of ``sdpa`` or
            ``chunked``; ``auto`` takes the reference for those.

    Precision: the root of the mean squared error is at most twice that of the
    formula, in value and gradient, in every form and dtype on a CPU. PyTorch's
    own backward pass is up to eight times as far off; ``sdpa`` computes a
    row's normaliser again for it, and half precision in float32 where a
    gradient is wanted. On a GPU neither is done; there half precision keeps
    to twice the formula's error, too, and float32 to 1e-5 of the result.

    Reference: Vaswani et al. 2017, arXiv 1706.03762, equation 1, with
    ``scale`` left free.
    """
    check_choice("impl", impl, IMPLS)
    choice = explain_softmax_attention(q, k, v)
    if impl == "auto":
        impl = choice.impl
    elif impl != "reference" and any_forward_mode(q, k, v):
        raise NotImplementedError(
            f"impl={impl!r} has no forward-mode derivative (jvp); "
            "use impl='reference'"
        )
    with no_autocast(q):
        if impl == "reference":
            return softmax_weights(q, k, scale=scale) @ v  # (*, N, dv)
        lead = q.shape[:-2]
        q, k, v = (
            t.flatten(0, -3) if t.ndim > 2 else t[None] for t in (q, k, v)
        )  # (B, N, d), (B, M, d), (B, M, dv)
        fast = fused_attention if impl == "sdpa" else chunked_attention
        y = fast(q, k, v, scale)  # (B, N, dv)
        return y.unflatten(0, lead) if lead else y[0]  # (*, N, dv)


class Choice(NamedTuple):
    """What ``auto`` picks and why."""

    impl: str
    reason: str


def explain_softmax_attention(q: Tensor, k: Tensor, v: Tensor) -> Choice:
    """Return the form that ``impl="auto"`` takes for these tensors, and why.

    Args:
        q: queries, as in :func:`softmax_attention`.
        k: keys.
        v: values.

    Shape:
        - Output: ``Choice(impl, reason)``

    Raises:
        ValueError, TypeError: as :func:`softmax_attention`.
    """
    check_tokens(q, k, v)
    if any_forward_mode(q, k, v):
        reason = "forward-mode derivatives exist for the plain formula alone"
        return Choice("reference", reason)
    # A traced graph must hold for every size: none is compared in tracing.
    if not torch.compiler.is_compiling():
        if q.shape[:-1].numel() * k.shape[-2] <= _SMALL:
            reason = f"at most {_SMALL} scores: the map is too small to matter"
            return Choice("reference", reason)
    refusal = no_fused_kernel(q)
    if refusal:
        return Choice("chunked", refusal)
    d, dv = q.shape[-1], v.shape[-1]
    half = q.dtype == torch.bfloat16 and not trains_here(q, k, v)
    if q.device.type == "cpu" and not half:
        return _on_cpu(q, d, dv)
    if q.device.type == "cuda" and max(d, dv) > _WIDE:
        reason = f"width {max(d, dv)} > {_WIDE}: the fused kernel falls behind"
        return Choice("chunked", reason)
    reason = f"key width {d}, value width {dv}: the fused kernel takes them"
    return Choice("sdpa", reason)


def _on_cpu(q: Tensor, d: int, dv: int) -> Choice:
    """Choose where both fast forms can run: what was measured to be faster.

    In bfloat16 without a gradient that is the fused kernel, for all widths
    (measured with AMX).
    """
    if d != dv:
        reason = f"value width {dv}, key width {d}: padding costs more scores"
        return Choice("chunked", reason)
    # A traced graph must hold for every batch.
    if not torch.compiler.is_compiling():
        maps, threads = q.shape[:-2].numel(), torch.get_num_threads()
        if maps < threads:
            reason = (
                f"{maps} map(s) < {threads} threads: backward, the fused "
                "kernel gives a thread a whole map, and the others idle"
            )
            return Choice("chunked", reason)
    reason = f"width {d} of keys and values: the fused kernel takes them"
    return Choice("sdpa", reason)
