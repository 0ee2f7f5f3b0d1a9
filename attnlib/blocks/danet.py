"""DANet: attention between positions and, beside it, between channels.

    position   y_i = x_i + gamma sum_j softmax_j(q_i . k_j) v_j
    channel    y_c = x_c + gamma sum_e softmax_e(-x_c . x_e) x_e

Surprising: the paper writes softmax(+x_c . x_e). The code subtracts the
entries from their row's maximum, which turns the sign round, so that a channel
listens to the one that resembles it least. With the paper's sign, channels of
one size listen to themselves alone, and the block is a factor 1 + gamma.

Cost for N positions and C channels: 1.25 N C^2 + 1.125 N^2 C multiply-adds for
positions, 2 N C^2 for channels; the plain position form keeps its N x N map.
Chapter: book/reach/danet. Fu et al. 2019, arXiv 1809.02983.
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
from attnlib.functional.channel import (
    SIGNS,
    channel_attention,
    channel_weights,
)
from attnlib.functional.softmax import (
    IMPLS,
    softmax_attention,
    softmax_weights,
)


class PositionAttention(nn.Module):
    """Position attention module (PAM): every position attends to every one.

    Args:
        in_channels: C, channels of the input and of the output.
        key_channels: d, channels of query and key; C // 8 (at least 1) when
            not given. The paper compares all C.
        impl: ``"reference"``, ``"sdpa"``, ``"chunked"`` or ``"auto"``, see
            :func:`attnlib.functional.softmax_attention`.
        device, dtype: of the parameters.

    Shape:
        - Input: ``(B, C, H, W)``
        - Output: ``(B, C, H, W)``; equal to x at the start

    Raises:
        ValueError: channels that do not fit, an unknown ``impl``.
        TypeError: an option of the wrong type, x not a floating-point tensor.

    Reference: arXiv 1809.02983, section 3.2; official code:
    ``encoding/nn/da_att.py`` in junfu1115/DANet. No factor 1/sqrt(d) there, no
    norm and no ReLU after the projections.

    Example:
        >>> PositionAttention(64)(torch.zeros(2, 64, 9, 7)).shape
        torch.Size([2, 64, 9, 7])
    """

    impls = IMPLS

    def __init__(
        self,
        in_channels: int,
        *,
        key_channels: int | None = None,
        impl: str = "auto",
        device: Device = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        check_positive("in_channels", in_channels)
        if key_channels is None:
            key_channels = max(1, in_channels // 8)
        check_positive("key_channels", key_channels)
        check_choice("impl", impl, self.impls)
        self.in_channels, self.key_channels = in_channels, key_channels
        self.impl = impl

        kw: dict[str, Any] = {"device": device, "dtype": dtype}
        self.query = nn.Conv2d(in_channels, key_channels, 1, **kw)
        self.key = nn.Conv2d(in_channels, key_channels, 1, **kw)
        self.value = nn.Conv2d(in_channels, in_channels, 1, **kw)
        self.gamma = nn.Parameter(torch.zeros(1, **kw))

    def forward(self, x: Tensor) -> Tensor:
        """Return ``x + gamma y``, ``(B, C, H, W) -> (B, C, H, W)``."""
        check_map(self, x, self.in_channels, weight=self.gamma)
        q = to_tokens(self.query(x))  # (B, N, d)
        k = to_tokens(self.key(x))  # (B, N, d)
        v = to_tokens(self.value(x))  # (B, N, C)
        y = softmax_attention(q, k, v, scale=1.0, impl=self.impl)  # (B, N, C)
        return x + self.gamma * from_tokens(y, x)

    @torch.no_grad()
    def attention_map(
        self, x: Tensor, query: tuple[int, int] | None = None
    ) -> Tensor:
        """Return the weights with which the values v_j enter y_i.

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
        check_map(self, x, self.in_channels, weight=self.gamma)
        size = x.shape[2:]
        q, k = to_tokens(self.query(x)), to_tokens(self.key(x))
        if query is not None:
            check_query(query, size)
            i = position(query, size)
            return softmax_weights(q[:, i : i + 1], k).unflatten(2, size)
        return softmax_weights(q, k)[:, None]

    def extra_repr(self) -> str:
        """Name the options in ``print(block)``."""
        names = "in_channels key_channels impl"
        return ", ".join(f"{n}={getattr(self, n)!r}" for n in names.split())


class ChannelAttention(nn.Module):
    """Channel attention module (CAM): every channel attends to every channel.

    Its one parameter is gamma.

    Args:
        in_channels: C, channels of the input and of the output.
        sign: ``"official"``: softmax of minus the similarity, as the code;
            ``"paper"``: of plus the similarity.
        impl: ``"reference"`` or ``"auto"``, which is the same: no cheaper
            exact form is known.
        device, dtype: of gamma.

    Shape:
        - Input: ``(B, C, H, W)``
        - Output: ``(B, C, H, W)``; equal to x at the start

    Raises:
        ValueError: channels that do not fit, an unknown option.
        TypeError: an option of the wrong type, x not a floating-point tensor.

    Reference: arXiv 1809.02983, section 3.3; official code:
    ``encoding/nn/da_att.py`` in junfu1115/DANet.

    Example:
        >>> ChannelAttention(64)(torch.zeros(2, 64, 9, 7)).shape
        torch.Size([2, 64, 9, 7])
    """

    impls = ("auto", "reference")

    def __init__(
        self,
        in_channels: int,
        *,
        sign: str = "official",
        impl: str = "auto",
        device: Device = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        check_positive("in_channels", in_channels)
        check_choice("sign", sign, SIGNS)
        check_choice("impl", impl, self.impls)
        self.in_channels, self.sign, self.impl = in_channels, sign, impl
        self.gamma = nn.Parameter(torch.zeros(1, device=device, dtype=dtype))

    def forward(self, x: Tensor) -> Tensor:
        """Return ``x + gamma y``, ``(B, C, H, W) -> (B, C, H, W)``."""
        check_map(self, x, self.in_channels, weight=self.gamma)
        y = channel_attention(x.flatten(2), sign=self.sign)  # (B, C, N)
        return x + self.gamma * y.view(x.shape)

    @torch.no_grad()
    def channel_map(self, x: Tensor) -> Tensor:
        """Return the weights with which channel e enters output channel c.

        A map over channels, not over positions: each position mixes its own
        channels alone, with weights that all positions decide together.

        Args:
            x: the input map.

        Shape:
            - x: ``(B, C, H, W)``
            - Output: ``(B, C, C)``, row c over e

        Raises:
            ValueError, TypeError: as ``forward``.
        """
        check_map(self, x, self.in_channels, weight=self.gamma)
        return channel_weights(x.flatten(2), sign=self.sign)

    def extra_repr(self) -> str:
        """Name the options in ``print(block)``."""
        names = "in_channels sign impl"
        return ", ".join(f"{n}={getattr(self, n)!r}" for n in names.split())


class DANetHead(nn.Module):
    """The segmentation head of DANet: both modules side by side, three exits.

    Args:
        in_channels: channels of the backbone's map.
        num_classes: K, channels of each exit.
        inter_channels: C inside; in_channels // 4 when not given.
        key_channels: d of the position branch; C // 8 when not given.
        sign: of the channel branch, as in :class:`ChannelAttention`.
        dropout: probability with which a channel is dropped before an exit.
        impl: of the position branch, as in :class:`PositionAttention`.
        device, dtype: of the parameters.

    Shape:
        - Input: ``(B, in_channels, H, W)``
        - Output: three maps ``(B, K, H, W)``: of the sum (for prediction), of
          the position branch, of the channel branch; not resized

    Raises:
        ValueError: channels that do not fit, an unknown option.
        TypeError: an option of the wrong type, x not a floating-point tensor.

    Reference: arXiv 1809.02983, figure 2; official code: ``DANetHead`` in
    ``encoding/models/sseg/danet.py``, junfu1115/DANet; mmsegmentation's
    ``DAHead``.

    Example:
        >>> [len(y) for y in DANetHead(64, 5)(torch.zeros(2, 64, 9, 7))]
        [2, 2, 2]
    """

    impls = IMPLS

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        *,
        inter_channels: int | None = None,
        key_channels: int | None = None,
        sign: str = "official",
        dropout: float = 0.1,
        impl: str = "auto",
        device: Device = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        check_positive("in_channels", in_channels)
        check_positive("num_classes", num_classes)
        c = inter_channels
        if c is None:
            c = max(1, in_channels // 4)
        check_positive("inter_channels", c)
        if not 0 <= dropout < 1:
            raise ValueError(f"dropout must lie in [0, 1), got {dropout!r}")
        self.in_channels, self.inter_channels = in_channels, c
        kw: dict[str, Any] = {"device": device, "dtype": dtype}

        def conv(width: int) -> nn.Sequential:
            return nn.Sequential(
                nn.Conv2d(width, c, 3, padding=1, bias=False, **kw),
                nn.BatchNorm2d(c, **kw),
                nn.ReLU(),
            )

        def exit_() -> nn.Sequential:
            layer = nn.Conv2d(c, num_classes, 1, **kw)
            return nn.Sequential(nn.Dropout2d(dropout), layer)

        self.position_in, self.channel_in = (
            conv(in_channels),
            conv(in_channels),
        )
        self.position = PositionAttention(
            c, key_channels=key_channels, impl=impl, **kw
        )
        self.channel = ChannelAttention(c, sign=sign, **kw)
        self.position_out, self.channel_out = conv(c), conv(c)
        self.sum_exit, self.position_exit = exit_(), exit_()
        self.channel_exit = exit_()

    @property
    def impl(self) -> str:
        """The form of the position branch."""
        return self.position.impl

    @impl.setter
    def impl(self, value: str) -> None:
        self.position.impl = value

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the three exits, ``(B, in, H, W) -> 3 x (B, K, H, W)``."""
        weight = self.position.gamma
        check_map(self, x, self.in_channels, weight=weight)
        # a and b: (B, C, H, W)
        a = self.position_out(self.position(self.position_in(x)))
        b = self.channel_out(self.channel(self.channel_in(x)))
        return (
            self.sum_exit(a + b),
            self.position_exit(a),
            self.channel_exit(b),
        )
