"""What a block costs: parameters, multiply-adds, bytes kept for backward.

``closed_form`` evaluates formulas in B, C, N; ``count`` runs the block and
counts. The tests demand that they are equal, to the last byte.

- parameters: numbers that an optimiser sees, frozen ones included.
- macs: multiply-adds of the matrix products, convolutions and window sums of
  one forward pass, in the order in which ``impl`` multiplies. Exponentials,
  sums, products entry by entry and pooling are not counted, nor are the zeros
  that ``sdpa`` may pad with. One multiply-add is two FLOPs.
- kept_bytes: bytes of the distinct storages that autograd keeps between
  forward and backward, the input included, parameters and buffers not.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from attnlib._checks import check_choice
from attnlib.cost import (
    a2net,
    annnet,
    ccnet,
    danet,
    dmsanet,
    emanet,
    gcnet,
    isanet,
    lightnl,
    nlsa,
    non_local,
    psa,
    rnl,
    san,
    self_attention,
)
from attnlib.cost.parts import Formula
from attnlib.memory import kept_bytes


class Cost(NamedTuple):
    """Parameters, multiply-adds of a forward pass, bytes kept for backward."""

    parameters: int
    macs: int
    kept_bytes: int


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
        impl: as in :func:`closed_form`. Multiply-adds are counted on
            a form that PyTorch's counter sees into: softmax and criss-cross
            attention on the reference, window sums on ``"shifted"``.

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
        if "sdpa" in block.impls:
            block.impl = "reference"
        elif "merged" in block.impls:
            block.impl = "reference"
        elif "shifted" in block.impls:
            block.impl = "shifted"
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


_FORMULAS: dict[type[nn.Module], Formula] = {
    **self_attention.FORMULAS,
    **non_local.FORMULAS,
    **danet.FORMULAS,
    **a2net.FORMULAS,
    **rnl.FORMULAS,
    **dmsanet.FORMULAS,
    **san.FORMULAS,
    **psa.FORMULAS,
    **ccnet.FORMULAS,
    **gcnet.FORMULAS,
    **emanet.FORMULAS,
    **isanet.FORMULAS,
    **annnet.FORMULAS,
    **lightnl.FORMULAS,
    **nlsa.FORMULAS,
}
