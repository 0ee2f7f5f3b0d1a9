"""PyTorch's fused kernel, called so that it is not lost, and kept exact.

The kernel keeps L_i = log sum_j exp(s_ij) and rebuilds a weight as
exp(s_ij - L_i). Of M equal scores L is log M; rounded there, it puts every
weight of a row wrong by one factor, and no sum over j averages that out. On a
CPU its backward pass is therefore given the mean in place of the sum,
lme_i = L_i - log M computed on its own, and grad / M in place of grad:

    exp(s_ij - lme_i) grad_i / M = exp(s_ij - L_i) grad_i

Half precision is computed in float32 there where a gradient is wanted: the
kernel would round the output before its backward pass uses it.
"""

from contextlib import nullcontext

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from attnlib._checks import wide
from attnlib._layout import gradient_wanted
from attnlib.functional import chunked
from attnlib.functional._operator import attention_operator

_FUSED_KERNELS = [SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION]

# An exported graph is for inference, and other programs know PyTorch's names.
_exporting = getattr(torch.compiler, "is_exporting", lambda: False)


def no_fused_kernel(q: Tensor) -> str:
    """Say why no fused kernel takes tensors like ``q``; empty if one does."""
    if q.device.type == "cuda" and q.dtype == torch.float64:
        return "no fused CUDA kernel computes in float64"
    if q.device.type not in ("cpu", "cuda", "meta"):
        return f"fused kernels on {q.device.type!r} have not been checked"
    return ""


def fused_attention(q: Tensor, k: Tensor, v: Tensor, scale: float) -> Tensor:
    """Call the fused kernel with everything that would lose it put right.

    q (B, N, d), k (B, M, d), v (B, M, dv) -> (B, N, dv). PyTorch drops to the
    N x M map without a word for three-dimensional inputs, for a last stride
    other than 1 (which ``contiguous`` leaves alone where the width is 1), for
    value width other than key width, and for dropout or a mask with gradient.
    """
    refusal = no_fused_kernel(q)
    if refusal:
        raise ValueError(
            f"impl='sdpa': {refusal}; use impl='chunked' or impl='auto'"
        )
    dtype, dv, width = q.dtype, v.shape[-1], max(q.shape[-1], v.shape[-1], 2)
    if q.device.type == "cuda":  # whose kernels load eight numbers at a time
        width = -(-width // 8) * 8
    q, k, v = (_widen(t, width) for t in (q, k, v))
    if trains_here(q, k, v):
        out: Tensor = _exact(q, k, v, scale)[0]
        return out[..., :dv]
    if q.device.type == "cpu" and dtype == torch.float16:  # slower than wide
        q, k, v = q.float(), k.float(), v.float()
    q, k, v = q[:, None], k[:, None], v[:, None]  # an axis for heads
    # Outside of tracing, a case unknown to us raises instead of falling back.
    traced = torch.compiler.is_compiling() or q.is_meta
    with nullcontext() if traced else sdpa_kernel(_FUSED_KERNELS):
        y = F.scaled_dot_product_attention(q, k, v, scale=scale)
    return y[:, 0, :, :dv].to(dtype)


def trains_here(*tensors: Tensor) -> bool:
    """Whether the backward pass of the CPU's kernel will be needed."""
    on_cpu = all(t.device.type == "cpu" for t in tensors)
    return on_cpu and gradient_wanted(*tensors) and not _exporting()


def _widen(t: Tensor, width: int) -> Tensor:
    """(B, N, w) -> (B, N, width): zeros on the right.

    Copied before it is padded: compiled by PyTorch 2.5, padding by nothing
    claims a layout that it does not have.
    """
    t = t.contiguous()
    missing = width - t.shape[-1]
    return F.pad(t, (0, missing)) if missing else t


def _forward(
    q: Tensor, k: Tensor, v: Tensor, scale: float
) -> tuple[Tensor, Tensor]:
    """Return out by the kernel, and lme by one more pass over the scores."""
    if not q.numel():  # the kernel divides by the number of rows
        return chunked._forward(q, k, v, scale)
    lme = chunked.log_mean_exp(q, k, scale)
    q, k, v = (t[:, None].to(wide(t.dtype)) for t in (q, k, v))
    kernel = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
    return kernel(q, k, v, scale=scale)[0][:, 0], lme


def _backward(
    grad: Tensor,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    out: Tensor,
    lme: Tensor,
    scale: float,
) -> tuple[Tensor, Tensor, Tensor]:
    """Return dq, dk, dv by the kernel, of means in place of sums."""
    if not q.numel():
        return chunked._backward(grad, q, k, v, out, lme, scale)
    acc, dtype = wide(q.dtype), q.dtype
    mean = grad.to(acc) / k.shape[1]
    heads = (t[:, None].to(acc) for t in (mean, q, k, v, out))
    kernel = (
        torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward
    )
    slopes = kernel(*heads, lme.mT, 0.0, False, scale=scale)
    dq, dk, dv = (t[:, 0].to(dtype) for t in slopes)
    return dq, dk, dv


_exact = attention_operator("sdpa", _forward, _backward)
