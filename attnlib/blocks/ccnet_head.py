"""CCNet's head: criss-cross attention between two convolutions.

    a = conv(x),  b = conv(RCCA(a)),  logits = W conv([x, b])

The input is joined to the attention's result, x first. Official name:
``RCCAModule``; mmsegmentation's: ``CCHead``. Chapter: book/cost/ccnet. Huang
et al. 2019, arXiv 1811.11721.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from attnlib._checks import check_choice, check_map, check_positive
from attnlib._layout import Device
from attnlib.blocks.ccnet import RecurrentCrissCrossAttention
from attnlib.functional.criss_cross import CRISS_CROSS_IMPLS

ACTIVATIONS = ("leaky_relu", "relu")


class CCNetHead(nn.Module):
    """The head that CCNet puts on its backbone: features to class scores.

    Args:
        in_channels: channels of the input.
        num_classes: K, channels of the output.
        inter_channels: C, channels of the attention; in_channels // 4 when not
            given.
        out_channels: of the last 3 x 3 convolution; C when not given. The
            official code asks for 512 by a hard-coded width, mmsegmentation
            takes C.
        recurrence: R, as in :class:`RecurrentCrissCrossAttention`.
        reduction: as in :class:`RecurrentCrissCrossAttention`.
        activation: after each norm. ``"leaky_relu"``: slope 0.01, the
            official in-place norm; ``"relu"``: mmsegmentation.
        dropout: probability with which a channel is dropped before the end.
        impl: of the attention.
        device, dtype: of the parameters.

    Shape:
        - Input: ``(B, in_channels, H, W)``
        - Output: ``(B, K, H, W)``; not resized

    Raises:
        ValueError: channels that do not fit, an unknown option.
        TypeError: an option of the wrong type, x not a floating-point tensor.

    The official norm multiplies by the size of its weight, plus 1e-5.
    ``load_reference`` with ``"official"`` writes that number into the weight.

    Reference: arXiv 1811.11721, figure 2; official code: ``RCCAModule`` in
    ``networks/ccnet.py``, speedinghzl/CCNet; mmsegmentation's ``CCHead``.

    Example:
        >>> CCNetHead(64, 5)(torch.zeros(2, 64, 9, 7)).shape
        torch.Size([2, 5, 9, 7])
    """

    impls = CRISS_CROSS_IMPLS

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        *,
        inter_channels: int | None = None,
        out_channels: int | None = None,
        recurrence: int = 2,
        reduction: int = 8,
        activation: str = "leaky_relu",
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
        wide = c if out_channels is None else out_channels
        check_positive("out_channels", wide)
        check_choice("activation", activation, ACTIVATIONS)
        if not 0 <= dropout < 1:
            raise ValueError(f"dropout must lie in [0, 1), got {dropout!r}")
        if c < reduction:
            raise ValueError(
                f"inter_channels must be at least reduction = {reduction}, "
                f"got {c}"
            )
        self.in_channels, self.inter_channels = in_channels, c
        self.out_channels, self.activation = wide, activation
        kw: dict[str, Any] = {"device": device, "dtype": dtype}

        def conv(width: int, out: int) -> list[nn.Module]:
            return [
                nn.Conv2d(width, out, 3, padding=1, bias=False, **kw),
                nn.BatchNorm2d(out, **kw),
                nn.ReLU() if activation == "relu" else nn.LeakyReLU(0.01),
            ]

        self.before = nn.Sequential(*conv(in_channels, c))
        self.attention = RecurrentCrissCrossAttention(
            c, recurrence=recurrence, reduction=reduction, impl=impl, **kw
        )
        self.after = nn.Sequential(*conv(c, c))
        self.exit = nn.Sequential(
            *conv(in_channels + c, wide),
            nn.Dropout2d(dropout),
            nn.Conv2d(wide, num_classes, 1, **kw),
        )

    @property
    def impl(self) -> str:
        """The form of the attention."""
        return self.attention.impl

    @impl.setter
    def impl(self, value: str) -> None:
        self.attention.impl = value

    def forward(self, x: Tensor) -> Tensor:
        """Return class scores, ``(B, in, H, W) -> (B, K, H, W)``."""
        weight = self.attention.query.weight
        check_map(self, x, self.in_channels, weight=weight)
        a = self.before(x)  # (B, C, H, W)
        b = self.after(self.attention(a))  # (B, C, H, W)
        y: Tensor = self.exit(torch.cat([x, b], dim=1))  # (B, K, H, W)
        return y
