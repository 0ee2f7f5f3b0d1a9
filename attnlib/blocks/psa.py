"""Polarized Self-Attention: a gate for channels, a gate for positions.

    parallel    y = x s(u) + x s(t)
    sequential  z = x s(u),  y = z s(t(z))

s is the sigmoid, u one number a channel, t one number a position.

Surprising: paper and official code put the softmax of the spatial branch in
different places, and in the official parallel form that switches the branch
off: its N numbers t sum to one, so that all gates together differ from 1/2 by
at most 0.25, however many positions there are. The methods of the official
code have each other's names.

Cost for N positions and C channels: 1.5 N C^2 multiply-adds as written, about
3 N C + O(C^2) folded. Chapter: book/reach/psa. Liu et al. 2021, arXiv
2107.00782.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from attnlib._checks import check_choice, check_map, check_positive, wide
from attnlib._layout import Device, no_autocast
from attnlib.functional.polarized import pool_positions

LAYOUTS = ("parallel", "sequential")
VARIANTS = ("official", "paper")


class PolarizedSelfAttention(nn.Module):
    """Polarized self-attention in both layouts, as published and as coded.

    Args:
        in_channels: C, channels of the input and of the output; at least 2,
            and at least 8 for the official sequential layout.
        layout: ``"parallel"``: both branches see x, their results are added.
            ``"sequential"``: the spatial branch sees what the channel branch
            returns.
        variant: ``"official"``: no bias, and the softmax of the spatial branch
            over the positions, of its result t (parallel) or of theta
            (sequential); the sequential channel branch ends in a bottleneck.
            ``"paper"``: softmax over the channels of the pooled query, layer
            norm before the channel gate, biases.
        impl: ``"reference"`` (as written), ``"folded"`` (no tensor of C/2 x N,
            same sums in another order) or ``"auto"`` (folded).
        device, dtype: of the parameters.

    Shape:
        - Input: ``(B, C, H, W)``
        - Output: ``(B, C, H, W)``; no residual, so the block is not the
          identity at the start

    Raises:
        ValueError: channels that do not fit, an unknown option.
        TypeError: an option of the wrong type, x not a floating-point tensor.

    Reference: arXiv 2107.00782, figure 2; official code: ``PSA_p`` and
    ``PSA_s`` in ``semantic-segmentation/network/PSA.py``, DeLightCMU/PSA;
    source ``"fightingcv"``: the paper's form, in fightingcv-attention.

    Example:
        >>> PolarizedSelfAttention(64)(torch.zeros(2, 64, 9, 7)).shape
        torch.Size([2, 64, 9, 7])
    """

    impls = ("auto", "reference", "folded")

    def __init__(
        self,
        in_channels: int,
        *,
        layout: str = "parallel",
        variant: str = "official",
        impl: str = "auto",
        device: Device = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        check_positive("in_channels", in_channels)
        check_choice("layout", layout, LAYOUTS)
        check_choice("variant", variant, VARIANTS)
        check_choice("impl", impl, self.impls)
        bottleneck = layout == "sequential" and variant == "official"
        least = 8 if bottleneck else 2
        if in_channels < least:
            raise ValueError(
                f"in_channels must be at least {least} for the {variant} "
                f"{layout} form, got {in_channels}"
            )
        self.in_channels, self.layout = in_channels, layout
        self.variant, self.impl = variant, impl

        c, half = in_channels, in_channels // 2
        kw: dict[str, Any] = {"device": device, "dtype": dtype}
        bias = variant == "paper"
        self.channel_query = nn.Conv2d(c, 1, 1, bias=bias, **kw)
        self.channel_value = nn.Conv2d(c, half, 1, bias=bias, **kw)
        self.spatial_query = nn.Conv2d(c, half, 1, bias=bias, **kw)
        self.spatial_value = nn.Conv2d(c, half, 1, bias=bias, **kw)
        self.out: nn.Module
        if bottleneck:
            self.out = nn.Sequential(
                nn.Conv2d(half, half // 4, 1, **kw),
                nn.LayerNorm([half // 4, 1, 1], **kw),
                nn.ReLU(),
                nn.Conv2d(half // 4, c, 1, **kw),
            )
        else:
            self.out = nn.Conv2d(half, c, 1, bias=bias, **kw)
        self.norm = nn.LayerNorm(c, **kw) if bias else None
        if variant == "official":
            layers = self.channel_query, self.channel_value
            for layer in (*layers, self.spatial_query, self.spatial_value):
                nn.init.kaiming_normal_(layer.weight)

    def forward(self, x: Tensor) -> Tensor:
        """Return the gated map, ``(B, C, H, W) -> (B, C, H, W)``."""
        check_map(self, x, self.in_channels, weight=self.channel_query.weight)
        channel = self._channel_gate(x)  # (B, C, 1, 1)
        if self.layout == "sequential":
            z = x * channel
            return z * self._spatial_gate(z)
        spatial = self._spatial_gate(x)  # (B, 1, H, W)
        if self.impl == "reference":
            return x * channel + x * spatial
        return x * (channel + spatial)

    def _channel_gate(self, x: Tensor) -> Tensor:
        """Pool over all positions, keep the channels: (B, C, 1, 1)."""
        scores = self.channel_query(x).flatten(2)  # (B, 1, N)
        if self.impl == "reference":
            v = self.channel_value(x).flatten(2)  # (B, C/2, N)
            context = pool_positions(v, scores)  # (B, C/2, 1)
            context = context.to(v.dtype)[..., None]
        else:  # weights sum to one: pool x, then project one position
            pooled = pool_positions(x.flatten(2), scores)  # (B, C, 1)
            context = self.channel_value(pooled.to(x.dtype)[..., None])
        u: Tensor = self.out(context)  # (B, C, 1, 1)
        if self.norm is not None:
            u = self.norm(u.flatten(1))[..., None, None]
        return u.sigmoid()

    def _spatial_gate(self, x: Tensor) -> Tensor:
        """Pool over the channels with one query, keep the positions."""
        size = x.shape[2:]
        folds = self.variant == "paper" or self.layout == "parallel"
        if self.impl == "reference":
            g = self.spatial_query(x).mean((2, 3))[:, None]  # (B, 1, C/2)
        else:  # the mean of a projection is the projection of the mean
            mean = x.mean((2, 3), keepdim=True)
            g = self.spatial_query(mean)[..., 0].mT  # (B, 1, C/2)
        if self.variant == "paper":
            g = g.softmax(dim=-1)
        if self.impl != "reference" and folds:
            t = self._pull_through(g, x)  # (B, 1, N)
        else:
            theta = self.spatial_value(x).flatten(2)  # (B, C/2, N)
            if not folds:
                theta = theta.softmax(dim=-1)
            t = g.to(theta.dtype) @ theta  # (B, 1, N)
        if self.variant == "official" and self.layout == "parallel":
            t = t.softmax(dim=-1)
        return t.sigmoid().unflatten(2, size)

    def _pull_through(self, g: Tensor, x: Tensor) -> Tensor:
        """Return g . theta_i as (W^T g) . x_i: one vector instead of a map."""
        layer = self.spatial_value
        acc = wide(x.dtype)
        with no_autocast(x):
            g = g.to(acc)
            row = g @ layer.weight.flatten(1).to(acc)  # (B, 1, C)
            t = row @ x.flatten(2).to(acc)  # (B, 1, N)
            if layer.bias is not None:
                t = t + g @ layer.bias[:, None].to(acc)
            return t.to(x.dtype)

    @torch.no_grad()
    def gates(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return both gates, of channels and of positions.

        Gates are no maps over pairs: each position is scaled, none is moved.

        Args:
            x: the input map.

        Shape:
            - x: ``(B, C, H, W)``
            - Output: ``(B, C, 1, 1)`` and ``(B, 1, H, W)``, between 0 and 1;
              the second as the layout computes it

        Raises:
            ValueError, TypeError: as ``forward``.
        """
        check_map(self, x, self.in_channels, weight=self.channel_query.weight)
        channel = self._channel_gate(x)
        seen = x * channel if self.layout == "sequential" else x
        return channel, self._spatial_gate(seen)

    def extra_repr(self) -> str:
        """Name the options in ``print(block)``."""
        names = "in_channels layout variant impl"
        return ", ".join(f"{n}={getattr(self, n)!r}" for n in names.split())
