"""What a block costs: parameters, multiply-adds, bytes kept for backward.

``closed_form`` evaluates formulas in B, C, N; ``count`` runs the block and
counts. The tests demand that they are equal, to the last byte.

- parameters: numbers that an optimiser sees.
- macs: multiply-adds of the matrix products and convolutions of one forward
  pass, in the order in which ``impl`` multiplies. Exponentials, sums and
  pooling are not counted, nor are the zeros that ``sdpa`` may pad with. One
  multiply-add is two FLOPs.
- kept_bytes: bytes of the distinct storages that autograd keeps between
  forward and backward, the input included, parameters and buffers not.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from attnlib._checks import check_choice
from attnlib.blocks.non_local import NonLocal
from attnlib.blocks.self_attention import SelfAttention
from attnlib.functional import explain_softmax_attention
from attnlib.memory import kept_bytes


class Cost(NamedTuple):
    """Parameters, multiply-adds of a forward pass, bytes kept for backward."""

    parameters: int
    macs: int
    kept_bytes: int


class _Work(NamedTuple):
    """Multiply-adds, floating-point numbers kept, 64-bit integers kept."""

    macs: int
    floats: int
    integers: int = 0


def closed_form(
    block: nn.Module, shape: tuple[int, ...], *, impl: str | None = None
) -> Cost:
    """Return the cost of ``block`` in train mode, from its formulas.

    Args:
        block: a block of float32 or float64 parameters.
        shape: ``(B, C, *S)`` of a contiguous input.
        impl: one of ``block.impls``; the block's own when not given.
            ``"auto"`` is resolved.

    Shape:
        - Output: ``Cost(parameters, macs, kept_bytes)``

    Raises:
        TypeError: a block without a formula, or parameters in half precision
            (there the plain form keeps float32 copies, which the formulas do
            not cover).
        ValueError: an unknown ``impl``.
    """
    parameters = list(block.parameters())
    if type(block) not in _FORMULAS:
        names = ", ".join(cls.__name__ for cls in _FORMULAS)
        raise TypeError(
            f"block must be one of {names}, got {type(block).__name__}"
        )
    if parameters[0].dtype not in (torch.float32, torch.float64):
        raise TypeError(
            f"block must be float32 or float64, got {parameters[0].dtype}"
        )
    formula = _FORMULAS[type(block)]
    work = formula(block, shape[0], shape[2:], _impl(block, impl))
    kept = work.floats * parameters[0].itemsize + work.integers * 8
    return Cost(sum(p.numel() for p in parameters), work.macs, kept)


def count(
    block: Any, shape: tuple[int, ...], *, impl: str | None = None
) -> Cost:
    """Return the cost of ``block`` in train mode, by running it.

    Args:
        block: any block of the catalogue.
        shape: ``(B, C, *S)``.
        impl: as in :func:`closed_form`. For ``"sdpa"`` and ``"chunked"``,
            which PyTorch's counter does not see into, multiply-adds are
            counted on the reference.

    Shape:
        - Output: ``Cost(parameters, macs, kept_bytes)``

    Raises:
        ValueError: an unknown ``impl``, or a shape that the block does not
            take.
    """
    weight = next(block.parameters())
    x = torch.randn(shape, dtype=weight.dtype, device=weight.device)
    x.requires_grad_()
    impl, before = _impl(block, impl), (block.impl, block.training)
    buffers = [buffer.clone() for buffer in block.buffers()]
    try:
        block.train()
        block.impl = impl
        tensors = (*block.parameters(), *block.buffers())
        kept = kept_bytes(block, x, without=tensors)
        block.impl = "reference" if "sdpa" in block.impls else impl
        with FlopCounterMode(display=False) as flops:
            block(x)
    finally:
        block.impl, training = before
        block.train(training)
        for buffer, value in zip(block.buffers(), buffers, strict=True):
            buffer.copy_(value)
    parameters = sum(p.numel() for p in block.parameters())
    return Cost(parameters, flops.get_total_flops() // 2, kept)


def _impl(block: Any, impl: str | None) -> str:
    impl = block.impl if impl is None else impl
    check_choice("impl", impl, block.impls)
    return impl


def _resolve_softmax(
    b: int, n: int, m: int, d: int, dv: int, weight: Tensor
) -> str:
    """Ask ``auto`` with tensors of the right shape that hold one number."""
    one = weight.detach().view(-1)[:1]
    q, k, v = (one.expand(b, *size) for size in ((n, d), (m, d), (m, dv)))
    return explain_softmax_attention(q, k, v).impl


def _softmax(b: int, n: int, m: int, d: int, dv: int, impl: str) -> _Work:
    """Cost of softmax attention for given q, k, v.

    The plain and the chunked form keep the three, ``sdpa`` padded copies.
    """
    wide = max(d, dv, 2)
    tokens = n * d + m * d + m * dv
    floats = {
        "reference": tokens + n * m,  # q, k, v and the map
        "sdpa": 2 * n * wide + 2 * m * wide + n,  # q, out, k, v, logsumexp
        "chunked": tokens + n * dv + n,  # q, k, v, out, logsumexp
    }[impl]
    return _Work(b * n * m * (d + dv), b * floats)


def _dot_product(b: int, n: int, m: int, d: int, dv: int, impl: str) -> _Work:
    """Cost of dot-product attention for given q, k, v."""
    if impl == "auto":
        with_map = n * m * (d + dv)
        impl = "reference" if with_map < (n + m) * d * dv else "associative"
    tokens = n * d + m * d + m * dv
    if impl == "reference":
        return _Work(b * n * m * (d + dv), b * (tokens + n * m))
    return _Work(b * (n + m) * d * dv, b * (tokens + d * dv))


def _concatenation(
    b: int, n: int, m: int, d: int, dv: int, impl: str
) -> _Work:
    """Cost of concatenation attention for given q, k, v, a and b included."""
    scalars = (n + m) * d
    if impl == "reference":  # v, the map before and after its division
        floats = scalars + m * dv + 2 * n * m
        return _Work(b * (scalars + n * m * dv), b * floats)
    # q, k, v; sorted v and b; a; the suffix sums, and two rows of them a query
    floats = scalars + 2 * m * dv + m + n + 2 * (m + 1) * dv + 2 * n * dv
    integers = n + m  # the look-ups and the order
    return _Work(b * scalars, b * floats, b * integers)


def _self_attention(
    block: SelfAttention, b: int, size: tuple[int, ...], impl: str
) -> _Work:
    """4 N C^2 + 2 N^2 C multiply-adds for reduction 1.

    Its own share of what is kept: x, y and gamma's factor.
    """
    n, c = math.prod(size), block.in_channels
    d = c // block.reduction
    if impl == "auto":
        impl = _resolve_softmax(b, n, n, d, c, block.f.weight)
    core = _softmax(b, n, n, d, c, impl)
    maps = 2 if block.gamma is None else 3  # x, y, o(y)
    macs = core.macs + b * n * c * (2 * d + 2 * c)
    return _Work(macs, core.floats + b * maps * n * c)


def _non_local(
    block: NonLocal, b: int, size: tuple[int, ...], impl: str
) -> _Work:
    """Projections, pairwise sums, W, and what pooling and the norm keep."""
    n, c, d = math.prod(size), block.in_channels, block.inter_channels
    pooled = min(2, block.dims)
    halves = [s // 2 for s in size[-pooled:]]
    m = math.prod(size[:-pooled]) * math.prod(halves) if block.subsample else n
    embedded = block.pairwise != "gaussian"
    width = d if embedded else c  # of the vectors that are compared

    if block.pairwise == "dot_product":
        core = _dot_product(b, n, m, d, d, impl)
    elif block.pairwise == "concatenation":
        core = _concatenation(b, n, m, d, d, impl)
    else:
        if impl == "auto":
            impl = _resolve_softmax(b, n, m, width, d, block.value.weight)
        core = _softmax(b, n, m, width, d, impl)
    macs, floats, integers = core

    # Positions that are projected to keys.
    keys = m if block.subsample == "before" else n
    macs += b * c * d * (n + keys + (n + keys if embedded else 0))
    floats += b * n * (c + d)  # x and y
    if block.subsample == "before":
        floats, integers = floats + b * m * c, integers + b * m * c
    elif block.subsample == "after":
        # phi and g before pooling
        floats += b * n * (2 * d if embedded else d)
        integers += b * m * (width + d)
    if not embedded and impl != "sdpa":
        # q is a view of x, counted already; so may k be.
        floats -= b * n * c + (b * m * c if block.subsample != "after" else 0)
    if isinstance(block.norm, nn.modules.batchnorm._BatchNorm):
        # its input, mean and deviation of each channel
        floats += b * n * c + 2 * c
    elif not isinstance(block.norm, nn.Identity):
        floats += b * n * c
    return _Work(macs, floats, integers)


_Formula = Callable[[Any, int, tuple[int, ...], str], _Work]
_FORMULAS: dict[type[nn.Module], _Formula] = {
    SelfAttention: _self_attention,
    NonLocal: _non_local,
}
