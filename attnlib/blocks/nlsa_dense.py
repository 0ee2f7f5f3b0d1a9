"""The dense block beside NLSA: three activated projections, one softmax.

    y_i = sum_j softmax_j(q_i . k_j) v_j + r x_i

It is the comparison in NLSA's official file. There r scales the input, in NLSA
the attention. Each projection has an activation of its own, a PReLU with one
slope, so that values are hardly ever negative. Cost for N positions and C
channels: 2 N C^2 + 1.5 N^2 C multiply-adds. Chapter: book/cost/nlsa. Mei, Fan
and Zhou, CVPR 2021.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from attnlib._checks import (
    check_choice,
    check_map,
    check_positive,
    check_query,
)
from attnlib._layout import Device, from_tokens, position, to_tokens
from attnlib.blocks.nlsa import check_factor
from attnlib.functional.softmax import (
    IMPLS,
    softmax_attention,
    softmax_weights,
)


class DenseNonLocalAttention(nn.Module):
    """Dense non-local attention as NLSA's authors compare with it.

    Args:
        in_channels: C, channels of the input and of the output; at least
            ``reduction``.
        reduction: queries and keys have C // reduction channels.
        res_scale: r, factor of x, not of the attention.
        impl: see :func:`attnlib.functional.softmax_attention`.
        device, dtype: of the parameters.

    Shape:
        - Input and output: ``(B, C, H, W)``

    Raises:
        ValueError: channels that do not fit, an unknown option.
        TypeError: an option of the wrong type, x not a floating-point tensor.

    The official class also takes ``ksize``, ``scale``, ``stride``,
    ``softmax_scale`` and ``average`` and does nothing with them.

    Reference: ``NonLocalAttention`` in ``src/model/attention.py``,
    HarukiYqM/Non-Local-Sparse-Attention.

    Example:
        >>> DenseNonLocalAttention(64)(torch.zeros(2, 64, 9, 7)).shape
        torch.Size([2, 64, 9, 7])
    """

    impls = IMPLS

    def __init__(
        self,
        in_channels: int,
        *,
        reduction: int = 2,
        res_scale: float = 1.0,
        impl: str = "auto",
        device: Device = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        check_positive("in_channels", in_channels)
        check_positive("reduction", reduction)
        check_factor("res_scale", res_scale)
        check_choice("impl", impl, self.impls)
        if in_channels < reduction:
            raise ValueError(
                f"in_channels must be at least reduction = {reduction}: "
                f"queries have in_channels // reduction; got {in_channels}"
            )
        self.in_channels, self.reduction = in_channels, reduction
        self.key_channels = in_channels // reduction
        self.res_scale, self.impl = res_scale, impl

        kw: dict[str, Any] = {"device": device, "dtype": dtype}

        def project(channels: int) -> nn.Sequential:
            conv = nn.Conv2d(in_channels, channels, 1, **kw)
            return nn.Sequential(conv, nn.PReLU(**kw))

        self.query = project(self.key_channels)
        self.key = project(self.key_channels)
        self.value = project(in_channels)

    def forward(self, x: Tensor) -> Tensor:
        """Return ``y + res_scale x``; ``(B, C, H, W) -> (B, C, H, W)``."""
        q, k = self._pair(x)  # (B, N, d)
        v = to_tokens(self.value(x))  # (B, N, C)
        y = softmax_attention(q, k, v, impl=self.impl)  # (B, N, C)
        return from_tokens(y, x) + self.res_scale * x

    def _pair(self, x: Tensor) -> tuple[Tensor, Tensor]:
        weight = self.query.get_parameter("0.weight")
        check_map(self, x, self.in_channels, weight=weight)
        return to_tokens(self.query(x)), to_tokens(self.key(x))

    @torch.no_grad()
    def attention_map(
        self, x: Tensor, query: tuple[int, int] | None = None
    ) -> Tensor:
        """Return the weights with which v_j enters y_i.

        Args:
            x: the input map.
            query: ``(row, column)`` of one output position; all if not given.

        Shape:
            - x: ``(B, C, H, W)``
            - Output: ``(B, 1, N, N)``, row i over j;
              with ``query``: ``(B, 1, H, W)``, without building N x N

        Raises:
            ValueError, TypeError: as ``forward``, or a position off the map.
        """
        q, k = self._pair(x)
        if query is None:
            return softmax_weights(q, k)[:, None]
        size = x.shape[2:]
        check_query(query, size)
        i = position(query, size)
        return softmax_weights(q[:, i : i + 1], k).unflatten(2, size)

    def extra_repr(self) -> str:
        """Name the options in ``print(block)``."""
        names = "in_channels reduction res_scale impl"
        return ", ".join(f"{n}={getattr(self, n)!r}" for n in names.split())
