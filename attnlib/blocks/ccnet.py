"""CCNet: attention along the row and the column, twice.

    y_i = x_i + gamma sum_j softmax_j(q_i . k_j) v_j,   j on the cross of i

Surprising: a cross of H + W - 1 positions instead of H W, and two passes of
the same block, with the same weights, reach everything: from any position to
any other the way leads around one of two corners. The price of the short way
is that all that comes from off the cross comes through those two positions.

Cost for N positions, C channels and d = C/8: N C (C + 2 d) + N (H + W)(C + d)
multiply-adds a pass, O(N sqrt N) instead of O(N^2). Chapter: book/cost/ccnet.
Huang et al. 2019, arXiv 1811.11721.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from attnlib._checks import (
    check_choice,
    check_flag,
    check_map,
    check_positive,
    check_query,
    wide,
)
from attnlib._layout import CONV, Device
from attnlib.functional.criss_cross import (
    CRISS_CROSS_IMPLS,
    criss_cross_attention,
    criss_cross_map,
    criss_cross_weights,
)


class CrissCrossAttention(nn.Module):
    """Criss-cross attention (CCA): every position attends to its cross.

    Args:
        in_channels: C, channels of the input and of the output; at least
            ``reduction``.
        reduction: queries and keys have d = C // reduction channels. The paper
            asks for fewer than C, its code takes 8.
        dims: 2 ``(B, C, H, W)``; 3 ``(B, C, T, H, W)``, whose cross has three
            arms and T + H + W - 2 positions; or 1 ``(B, C, L)``, where the
            cross is the whole line and the attention is dense.
        gamma: learn the factor of the attention, from 0. False: it is 1, as in
            the paper.
        impl: ``"reference"``, ``"merged"`` or ``"auto"``, see
            :func:`attnlib.functional.criss_cross_attention`.
        device, dtype: of the parameters.

    Shape:
        - Input: ``(B, C, *S)``
        - Output: ``(B, C, *S)``; equal to x at the start if gamma is learned

    Raises:
        ValueError: channels that do not fit, an unknown option.
        TypeError: an option of the wrong type, x not a floating-point tensor.

    Reference: arXiv 1811.11721, section 3.2; official code:
    ``cc_attention/functions.py`` in speedinghzl/CCNet. Its 3-D form counts the
    position itself twice and mixes up the axes of its last arm: not offered.

    Example:
        >>> CrissCrossAttention(64)(torch.zeros(2, 64, 9, 7)).shape
        torch.Size([2, 64, 9, 7])
    """

    impls = CRISS_CROSS_IMPLS
    recurrence = 1

    def __init__(
        self,
        in_channels: int,
        *,
        reduction: int = 8,
        dims: int = 2,
        gamma: bool = True,
        impl: str = "auto",
        device: Device = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        check_positive("in_channels", in_channels)
        check_positive("reduction", reduction)
        check_choice("dims", dims, (1, 2, 3))
        check_flag("gamma", gamma)
        check_choice("impl", impl, self.impls)
        if in_channels < reduction:
            raise ValueError(
                f"in_channels must be at least reduction = {reduction}: "
                f"queries have in_channels // reduction; got {in_channels}"
            )
        self.in_channels, self.reduction = in_channels, reduction
        self.key_channels = in_channels // reduction
        self.dims, self.impl = dims, impl

        conv, d = CONV[dims], self.key_channels
        kw: dict[str, Any] = {"device": device, "dtype": dtype}
        self.query = conv(in_channels, d, 1, **kw)
        self.key = conv(in_channels, d, 1, **kw)
        self.value = conv(in_channels, in_channels, 1, **kw)
        self.gamma = nn.Parameter(torch.zeros(1, **kw)) if gamma else None

    def forward(self, x: Tensor) -> Tensor:
        """Return ``x + gamma y``, each pass; ``(B, C, *S) -> (B, C, *S)``."""
        self._check(x)
        t = x.movedim(1, -1).contiguous()  # (B, *S, C)
        weight, bias = self.value.weight.flatten(1), self.value.bias
        gamma = self.gamma
        if gamma is not None and self._folds():  # sum_j P_ij (gamma v_j)
            weight, bias, gamma = gamma * weight, gamma * bias, None
        for _ in range(self.recurrence):
            q, k = _project(self.query, t), _project(self.key, t)  # (B, *S, d)
            v = F.linear(t, weight, bias)  # (B, *S, C)
            y = criss_cross_attention(q, k, v, impl=self.impl)  # (B, *S, C)
            t = t + (y if gamma is None else gamma * y)
        if t.requires_grad and not torch.compiler.is_compiling():
            t.register_hook(_lay_out)
        out = t.movedim(-1, 1)  # (B, C, *S)
        return out.contiguous() if x.is_contiguous() else out

    def _folds(self) -> bool:
        """Whether gamma stands in the value's weights: y need not be kept.

        Not in half precision, where a small gamma would round them.
        """
        weight = self.value.get_parameter("weight")
        device = weight.device.type
        half = device != "meta" and torch.is_autocast_enabled(device)
        half = half or wide(weight.dtype) != weight.dtype
        return self.impl != "reference" and not half

    def _check(self, x: Tensor) -> None:
        weight = self.query.weight
        check_map(self, x, self.in_channels, self.dims, weight=weight)

    def _passes(self, x: Tensor) -> list[Tensor]:
        """Return the weights over the crosses, one tensor a pass."""
        t, found = x.movedim(1, -1), []
        for _ in range(self.recurrence):
            q, k = _project(self.query, t), _project(self.key, t)
            found.append(criss_cross_weights(q, k))  # (B, *S, sum of S)
            v = _project(self.value, t)
            y = criss_cross_attention(q, k, v, impl="reference")
            t = t + (y if self.gamma is None else self.gamma * y)
        return found

    @torch.no_grad()
    def attention_map(
        self, x: Tensor, query: tuple[int, ...] | None = None
    ) -> Tensor:
        """Return the weights with which position j enters y_i.

        After one pass that is the cross of i, each position of it once. After
        R passes it is the product of the R maps: the weights with which a
        value that was projected R times arrives. (The residuals let shorter
        ways arrive as well.)

        Args:
            x: the input map.
            query: coordinates of one output position; all if not given.

        Shape:
            - x: ``(B, C, *S)``
            - Output: ``(B, 1, N, N)``, row i over j;
              with ``query``: ``(B, 1, *S)``, without building N x N

        Raises:
            ValueError, TypeError: as ``forward``, or a position off the map.
        """
        self._check(x)
        passes = self._passes(x)
        if query is None:
            full = criss_cross_map(passes[0])  # (B, N, N)
            for weights in passes[1:]:
                full = criss_cross_map(weights) @ full
            return full[:, None]
        size = x.shape[2:]
        check_query(query, size)
        at: list[Any] = [slice(None), *query]
        row = passes[0].new_zeros(x.shape[0], *size)
        row[tuple(at)] = 1
        for weights in reversed(passes):
            row = _pull(row, weights)  # (B, *S)
        return row[:, None]

    def extra_repr(self) -> str:
        """Name the options in ``print(block)``."""
        names = "in_channels reduction dims impl"
        text = ", ".join(f"{n}={getattr(self, n)!r}" for n in names.split())
        return f"{text}, gamma={self.gamma is not None!r}"


def _lay_out(grad: Tensor | None) -> Tensor | None:
    """Lay the gradient out as the passes work, once, not in each step."""
    return None if grad is None else grad.contiguous()


def _project(layer: nn.Module, t: Tensor) -> Tensor:
    """Apply a 1 x 1 convolution where channels come last."""
    weight, bias = layer.get_parameter("weight"), layer.get_parameter("bias")
    return F.linear(t, weight.flatten(1), bias)


def _pull(row: Tensor, weights: Tensor) -> Tensor:
    """Return r A for r (B, *S) and A given by crosses: (B, *S)."""
    total = torch.zeros_like(row)
    for axis, share in enumerate(weights.split(list(row.shape[1:]), -1), 1):
        sent = (row[..., None] * share).sum(axis)  # (B, *others, L)
        total += sent.movedim(-1, axis)
    return total


class RecurrentCrissCrossAttention(CrissCrossAttention):
    """Recurrent criss-cross attention (RCCA): one CCA, applied R times.

    With R = 2 every position of a picture reaches every other, with R = 3
    every position of a clip.

    Args:
        in_channels: C, channels of the input and of the output.
        recurrence: R, passes with the same weights and one gamma. The paper
            and mmsegmentation take 2; the official ``train.py`` defaults to 0,
            which leaves the attention out.
        reduction, dims, gamma, impl, device, dtype: as in
            :class:`CrissCrossAttention`.

    Shape:
        - Input: ``(B, C, *S)``
        - Output: ``(B, C, *S)``; equal to x at the start if gamma is learned

    Raises:
        ValueError: channels that do not fit, an unknown option.
        TypeError: an option of the wrong type, x not a floating-point tensor.

    Reference: arXiv 1811.11721, section 3.3; official code: the loop in
    ``networks/ccnet.py`` of speedinghzl/CCNet.

    Example:
        >>> block = RecurrentCrissCrossAttention(64, recurrence=2)
        >>> block(torch.zeros(2, 64, 9, 7)).shape
        torch.Size([2, 64, 9, 7])
    """

    def __init__(
        self,
        in_channels: int,
        *,
        recurrence: int = 2,
        reduction: int = 8,
        dims: int = 2,
        gamma: bool = True,
        impl: str = "auto",
        device: Device = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(
            in_channels,
            reduction=reduction,
            dims=dims,
            gamma=gamma,
            impl=impl,
            device=device,
            dtype=dtype,
        )
        check_positive("recurrence", recurrence)
        self.recurrence = recurrence

    def extra_repr(self) -> str:
        """Name the options in ``print(block)``."""
        return f"{super().extra_repr()}, recurrence={self.recurrence}"
