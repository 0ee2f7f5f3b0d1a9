"""GCNet: one context for the whole map, added to every position.

    c   = sum_j softmax_j(k . x_j) x_j
    y_i = x_i s(t_mul(c)) + t_add(c),   t(c) = W2 ReLU(LN(W1 c))

s is the sigmoid; the official default adds alone, y_i = x_i + t_add(c).

Surprising: there is no query. A non-local block trained on pictures gives
nearly the same map to every query, so this one computes a single row and saves
the other N - 1. A constant query makes the two blocks equal, to the last
digit. And ``channel_mul`` is not the identity at the start: s(0) halves x.

Cost for N positions, C channels, p inside the bottleneck: 2 N C + 2 C p
multiply-adds; kept are x and N weights. ``SimplifiedNonLocal`` has a C x C
matrix in the bottleneck's place. Chapter: book/cost/gcnet. Cao et al. 2019,
arXiv 1904.11492.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
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
from attnlib._layout import Device, no_autocast
from attnlib.functional.context import (
    CONTEXT_IMPLS,
    context_attention,
    context_weights,
)
from attnlib.functional.polarized import pool_positions

POOLINGS = ("att", "avg")
FUSIONS = ("channel_add", "channel_mul")


def _rows(
    block: nn.Module, row: Tensor, size: Any, query: tuple[int, int] | None
) -> Tensor:
    """(B, 1, N), the row of every query: as N equal ones, or as a picture."""
    if query is not None:
        check_query(query, size)
        return row.unflatten(2, size)
    return row[:, :, None].expand(-1, -1, row.shape[2], -1)


class GlobalContext(nn.Module):
    """Global context (GC) block: pool with attention, transform, fuse.

    Args:
        in_channels: C, channels of the input and of the output.
        ratio: p = int(C ratio) channels inside the bottleneck, as the official
            code. When not given: 1/16, but at least 4 channels.
        pooling_type: ``"att"`` (weights by a softmax over the positions) or
            ``"avg"`` (the mean: with ``"channel_mul"`` nearly a
            squeeze-and-excitation block).
        fusion_types: ``"channel_add"``, ``"channel_mul"`` or both, in any
            order: x is multiplied first.
        mask_bias: whether the scores have a bias. It cancels; the official
            code has it, the paper's equation has not.
        zero_init: whether the last layers start at zero.
        eps: of the layer norms.
        impl: ``"reference"`` (the official layers), ``"folded"`` (scores as a
            vector times the map, one step for both fusions) or ``"auto"``
            (folded).
        device, dtype: of the parameters.

    Shape:
        - Input: ``(B, C, H, W)``
        - Output: ``(B, C, H, W)``; at the start equal to x with
          ``"channel_add"`` alone, to x / 2 with ``"channel_mul"``

    Raises:
        ValueError: channels that do not fit, a ratio that leaves no channel,
            an unknown option.
        TypeError: an option of the wrong type, x not a floating-point tensor.

    Warns:
        UserWarning: a ratio that leaves one or two channels. The layer norm of
            one number returns its bias, of two numbers their order.

    Reference: arXiv 1904.11492; official code: ``ContextBlock`` in
    ``mmdet/ops/gcb/context_block.py``, xvjiarui/GCNet.

    Example:
        >>> GlobalContext(64)(torch.zeros(2, 64, 9, 7)).shape
        torch.Size([2, 64, 9, 7])
    """

    impls = CONTEXT_IMPLS

    def __init__(
        self,
        in_channels: int,
        *,
        ratio: float | None = None,
        pooling_type: str = "att",
        fusion_types: Sequence[str] = ("channel_add",),
        mask_bias: bool = True,
        zero_init: bool = True,
        eps: float = 1e-5,
        impl: str = "auto",
        device: Device = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        check_positive("in_channels", in_channels)
        check_choice("pooling_type", pooling_type, POOLINGS)
        check_choice("impl", impl, self.impls)
        check_flag("mask_bias", mask_bias)
        check_flag("zero_init", zero_init)
        if not isinstance(eps, float) or not 0 < eps < 1:
            raise ValueError(f"eps must lie between 0 and 1, got {eps!r}")
        if not isinstance(fusion_types, (tuple, list)):
            raise TypeError(
                f"fusion_types must be a tuple of names, got {fusion_types!r}"
            )
        if not fusion_types:
            raise ValueError(
                f"fusion_types must be one or both of {FUSIONS}, "
                f"got {fusion_types!r}"
            )
        for fusion in fusion_types:
            check_choice("fusion_types", fusion, FUSIONS)
        self.in_channels, self.ratio = in_channels, ratio
        self.hidden_channels = _hidden(in_channels, ratio)
        self.pooling_type, self.mask_bias = pooling_type, mask_bias
        self.fusion_types, self.impl = tuple(fusion_types), impl

        kw: dict[str, Any] = {"device": device, "dtype": dtype}
        self.key: nn.Conv2d | None = None
        if pooling_type == "att":
            self.key = nn.Conv2d(in_channels, 1, 1, bias=mask_bias, **kw)
            nn.init.kaiming_normal_(self.key.weight)
            if self.key.bias is not None:
                nn.init.zeros_(self.key.bias)

        def branch(name: str) -> Any:
            if name not in fusion_types:
                return None
            hidden = self.hidden_channels
            layers = nn.Sequential(
                nn.Conv2d(in_channels, hidden, 1, **kw),
                nn.LayerNorm([hidden, 1, 1], eps=eps, **kw),
                nn.ReLU(),
                nn.Conv2d(hidden, in_channels, 1, **kw),
            )
            if zero_init:
                for parameter in layers[3].parameters():
                    nn.init.zeros_(parameter)
            return layers

        self.add, self.mul = branch("channel_add"), branch("channel_mul")

    def forward(self, x: Tensor) -> Tensor:
        """Return x with its context, ``(B, C, H, W) -> (B, C, H, W)``."""
        check_map(self, x, self.in_channels, weight=self._any.weight)
        if self.impl == "reference":
            c = self._context(x).to(x.dtype)[..., None]  # (B, C, 1, 1)
            y = x
            if self.mul is not None:
                y = y * self.mul(c).sigmoid()
            if self.add is not None:
                y = y + self.add(c)
            return y
        with no_autocast(x):
            c = self._context(x)[..., 0]  # (B, C)
            gate: Any = None
            term: Any = None
            if self.mul is not None:
                gate = _transform(self.mul, c).sigmoid()
                gate = gate.to(x.dtype)[..., None, None]  # (B, C, 1, 1)
            if self.add is not None:
                term = _transform(self.add, c).to(x.dtype)[..., None, None]
            if gate is None or term is None:
                return x + term if gate is None else x * gate
            return torch.addcmul(term, x, gate)

    @property
    def _any(self) -> Any:
        """A layer that every choice of options has."""
        return (self.add if self.mul is None else self.mul)[0]

    def _context(self, x: Tensor) -> Tensor:
        """Pool all positions: (B, C, H, W) -> (B, C, 1), float32 for half."""
        if self.key is None:
            return x.flatten(2).mean(2, keepdim=True, dtype=wide(x.dtype))
        if self.impl == "reference":
            scores = self.key(x).flatten(2)  # (B, 1, N)
            return pool_positions(x.flatten(2), scores)
        row = self.key.weight.flatten(1)
        return context_attention(x.flatten(2), row, bias=self.key.bias)

    @torch.no_grad()
    def attention_map(
        self, x: Tensor, query: tuple[int, int] | None = None
    ) -> Tensor:
        """Return the weights with which x_j enters the context of y_i.

        Every row is the same, a view of one row: the N x N map takes N
        numbers.

        Args:
            x: the input map.
            query: ``(row, column)`` of one output position; all if not given.

        Shape:
            - x: ``(B, C, H, W)``
            - Output: ``(B, 1, N, N)``, row i over j;
              with ``query``: ``(B, 1, H, W)``

        Raises:
            ValueError, TypeError: as ``forward``, or a position off the map.
        """
        check_map(self, x, self.in_channels, weight=self._any.weight)
        flat = x.flatten(2)
        if self.key is None:
            row = torch.full_like(flat[:, :1], 1 / flat.shape[2])
        else:
            k = self.key.weight.flatten(1)
            row = context_weights(flat, k, self.key.bias).to(x.dtype)
        return _rows(self, row, x.shape[2:], query)

    def extra_repr(self) -> str:
        """Name the options in ``print(block)``."""
        names = "in_channels ratio pooling_type fusion_types mask_bias impl"
        return ", ".join(f"{n}={getattr(self, n)!r}" for n in names.split())


def _hidden(channels: int, ratio: float | None) -> int:
    """Channels inside the bottleneck."""
    if ratio is None:
        return max(4, channels // 16)
    if isinstance(ratio, bool) or not isinstance(ratio, (int, float)):
        raise TypeError(f"ratio must be a number, got {ratio!r}")
    if not (ratio > 0 and math.isfinite(ratio)):
        raise ValueError(f"ratio must be a number above 0, got {ratio!r}")
    hidden = int(channels * ratio)
    if hidden < 1:
        raise ValueError(
            f"ratio must leave at least one of {channels} channels: "
            f"at least {1 / channels:.3g}, got {ratio!r}"
        )
    if hidden < 3:
        what = "a constant" if hidden == 1 else "an order alone"
        warnings.warn(
            f"ratio={ratio!r} of {channels} channels leaves {hidden}: after "
            f"its layer norm the context is {what}",
            stacklevel=3,
        )
    return hidden


def _transform(branch: Any, c: Tensor) -> Tensor:
    """Apply a branch to vectors, in their dtype: (B, C) -> (B, C)."""
    w1, b1, g, b, w2, b2 = (
        t.flatten(1 if t.ndim == 4 else 0).to(c.dtype)
        for layer in (branch[0], branch[1], branch[3])
        for t in (layer.weight, layer.bias)
    )
    z = F.linear(c, w1, b1)  # (B, p)
    z = F.layer_norm(z, z.shape[1:], g, b, branch[1].eps)
    return F.linear(z.relu(), w2, b2)  # (B, C)


class SimplifiedNonLocal(nn.Module):
    """Simplified non-local (SNL) block: one row of weights, one matrix.

    y_i = x_i + W_v sum_j softmax_j(k . x_j) x_j.

    Args:
        in_channels: C, channels of the input and of the output.
        mask_bias: whether the scores have a bias. It cancels.
        zero_init: whether W_v starts at zero; the official code draws it, like
            k, from a normal distribution of deviation 0.01.
        impl: ``"reference"`` (W_v x_j for every position, as the official
            code), ``"folded"`` (W_v times the sum) or ``"auto"`` (folded).
        device, dtype: of the parameters.

    Shape:
        - Input: ``(B, C, H, W)``
        - Output: ``(B, C, H, W)``; equal to x at the start with ``zero_init``
          alone

    Raises:
        ValueError: channels that do not fit, an unknown ``impl``.
        TypeError: an option of the wrong type, x not a floating-point tensor.

    Reference: arXiv 1904.11492; code of the same group: ``ContextBlock`` with
    ``simple=True`` in ``mmdet/ops/context_block.py``,
    Howal/DNL-Object-Detection.

    Example:
        >>> SimplifiedNonLocal(64)(torch.zeros(2, 64, 9, 7)).shape
        torch.Size([2, 64, 9, 7])
    """

    impls = CONTEXT_IMPLS

    def __init__(
        self,
        in_channels: int,
        *,
        mask_bias: bool = True,
        zero_init: bool = False,
        impl: str = "auto",
        device: Device = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        check_positive("in_channels", in_channels)
        check_flag("mask_bias", mask_bias)
        check_flag("zero_init", zero_init)
        check_choice("impl", impl, self.impls)
        self.in_channels, self.mask_bias = in_channels, mask_bias
        self.impl = impl

        c: int = in_channels
        kw: dict[str, Any] = {"device": device, "dtype": dtype}
        self.key = nn.Conv2d(c, 1, 1, bias=mask_bias, **kw)
        self.value = nn.Conv2d(c, c, 1, bias=False, **kw)
        nn.init.normal_(self.key.weight, std=0.01)
        nn.init.normal_(self.value.weight, std=0.0 if zero_init else 0.01)
        if self.key.bias is not None:
            nn.init.zeros_(self.key.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Return x plus its context, ``(B, C, H, W) -> (B, C, H, W)``."""
        check_map(self, x, self.in_channels, weight=self.value.weight)
        c = context_attention(
            x.flatten(2),
            self.key.weight.flatten(1),
            self.value.weight.flatten(1),
            bias=self.key.bias,
            impl=self.impl,
        )  # (B, C, 1)
        return x + c.to(x.dtype)[..., None]

    @torch.no_grad()
    def attention_map(
        self, x: Tensor, query: tuple[int, int] | None = None
    ) -> Tensor:
        """Return the weights with which W_v x_j enters y_i: equal rows.

        Args:
            x: the input map.
            query: ``(row, column)`` of one output position; all if not given.

        Shape:
            - x: ``(B, C, H, W)``
            - Output: ``(B, 1, N, N)``, row i over j, a view of one row;
              with ``query``: ``(B, 1, H, W)``

        Raises:
            ValueError, TypeError: as ``forward``, or a position off the map.
        """
        check_map(self, x, self.in_channels, weight=self.value.weight)
        k = self.key.weight.flatten(1)
        row = context_weights(x.flatten(2), k, self.key.bias).to(x.dtype)
        return _rows(self, row, x.shape[2:], query)

    def extra_repr(self) -> str:
        """Name the options in ``print(block)``."""
        names = "in_channels mask_bias impl"
        return ", ".join(f"{n}={getattr(self, n)!r}" for n in names.split())
