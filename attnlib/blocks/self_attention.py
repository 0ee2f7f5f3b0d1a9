"""Self-attention as in an overview: four 1 x 1 convolutions and one softmax.

    y_i = sum_j softmax_j(f(x_i) . g(x_j)) h(x_j),        output_i = o(y_i)

Surprising: nothing is added back. Without ``gamma`` the block replaces the
feature map, and at the start it is no identity. The overview's text calls f
the key and g the query; its formula and its code use f at the output position
i, which everybody calls the query, and g at the summed position j, the key.
The layers keep the names of the code.

Cost for N positions and C channels: 4 N C^2 + 2 N^2 C multiply-adds; the plain
form keeps the N x N map for the backward pass, the fast forms keep O(N C).
Chapter: book/foundations/self_attention. Nearest papers: arXiv 1711.07971,
arXiv 1805.08318.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from attnlib._checks import (
    check_choice,
    check_flag,
    check_map,
    check_positive,
    check_query,
)
from attnlib._layout import Device, from_tokens, position, to_tokens
from attnlib.functional.softmax import (
    IMPLS,
    softmax_attention,
    softmax_weights,
)


class SelfAttention(nn.Module):
    """Dense self-attention over the positions of a feature map.

    Args:
        in_channels: C, channels of the input and of the output.
        reduction: k; the query f and the key g have C // k channels.
        gamma: False: return o(y), as the overview does. True: return
            x + gamma o(y) with one learned number gamma that starts at 0, as
            the same author's Non-local post does.
        impl: ``"reference"``, ``"sdpa"``, ``"chunked"`` or ``"auto"``, see
            :func:`attnlib.functional.softmax_attention`.
        device, dtype: of the parameters.

    Shape:
        - Input: ``(B, C, H, W)``
        - Output: ``(B, C, H, W)``

    Raises:
        ValueError: channels that do not fit, ``reduction`` larger than C, an
            unknown ``impl``.
        TypeError: an option of the wrong type, x not a floating-point tensor.

    Reference: the overview's ``SelfAttention`` class (source ``"document"``);
    its variant with ``reduction=8, gamma=True`` (source ``"post"``). There
    gamma is a plain tensor, so no optimiser ever sees it and the block stays
    the identity; here it is a parameter.

    Example:
        >>> SelfAttention(64)(torch.zeros(2, 64, 9, 7)).shape
        torch.Size([2, 64, 9, 7])
    """

    impls = IMPLS

    def __init__(
        self,
        in_channels: int,
        *,
        reduction: int = 1,
        gamma: bool = False,
        impl: str = "auto",
        device: Device = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        check_positive("in_channels", in_channels)
        check_positive("reduction", reduction)
        check_flag("gamma", gamma)
        check_choice("impl", impl, self.impls)
        if reduction > in_channels:
            raise ValueError(
                f"reduction must be at most in_channels = {in_channels}, "
                f"got {reduction}: no channel would be left to compare"
            )
        self.in_channels, self.reduction = in_channels, reduction
        self.impl = impl

        width = in_channels // reduction
        kw: dict[str, Any] = {"device": device, "dtype": dtype}
        self.f = nn.Conv2d(in_channels, width, 1, **kw)  # query
        self.g = nn.Conv2d(in_channels, width, 1, **kw)  # key
        self.h = nn.Conv2d(in_channels, in_channels, 1, **kw)  # value
        self.o = nn.Conv2d(in_channels, in_channels, 1, **kw)  # output
        self.gamma = nn.Parameter(torch.zeros(1, **kw)) if gamma else None

    def forward(self, x: Tensor) -> Tensor:
        """Return the attended map, ``(B, C, H, W) -> (B, C, H, W)``."""
        check_map(self, x, self.in_channels, weight=self.f.weight)
        q = to_tokens(self.f(x))  # (B, N, C // k)
        k = to_tokens(self.g(x))  # (B, N, C // k)
        v = to_tokens(self.h(x))  # (B, N, C)
        y = softmax_attention(q, k, v, scale=1.0, impl=self.impl)  # (B, N, C)
        out: Tensor = self.o(from_tokens(y, x))  # (B, C, H, W)
        return out if self.gamma is None else x + self.gamma * out

    @torch.no_grad()
    def attention_map(
        self, x: Tensor, query: tuple[int, int] | None = None
    ) -> Tensor:
        """Return the weights with which the values h(x_j) enter y_i.

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
        check_map(self, x, self.in_channels, weight=self.f.weight)
        size = x.shape[2:]
        q, k = to_tokens(self.f(x)), to_tokens(self.g(x))
        if query is not None:
            check_query(query, size)
            i = position(query, size)
            return softmax_weights(q[:, i : i + 1], k).unflatten(2, size)
        return softmax_weights(q, k)[:, None]

    def extra_repr(self) -> str:
        """Name the options in ``print(block)``."""
        return (
            f"in_channels={self.in_channels}, reduction={self.reduction}, "
            f"gamma={self.gamma is not None}, impl={self.impl!r}"
        )
