"""The segmentation head of EMANet, as published and as in mmsegmentation."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from attnlib._checks import check_flag, check_map, check_positive
from attnlib._layout import Device
from attnlib.blocks.emanet import EMAttention


class EMANetHead(nn.Module):
    """A convolution, the attention unit, a convolution, the classes.

    Args:
        in_channels: channels of the backbone's map.
        num_classes: channels of the result.
        inter_channels: C of the unit; in_channels // 4 when not given.
        out_channels: channels before the classes; C // 2 when not given.
        concat_input: a further convolution sees the backbone's map beside the
            result, as in mmsegmentation.
        bases, stages, variant, differentiate, decay, auto_update: of the unit,
            as in :class:`EMAttention`.
        norm_momentum: of every batch norm of the head; 3e-4 in the official
            code, 0.1 in mmsegmentation.
        dropout: probability with which a channel is dropped before the
            classes.
        impl: of the unit.
        device, dtype: of the parameters.

    Shape:
        - Input: ``(B, in_channels, H, W)``
        - Output: ``(B, num_classes, H, W)``, not resized; with
          ``return_bases`` also the bases of each image, ``(B, C, K)``

    Raises:
        ValueError: channels that do not fit, an unknown option.
        TypeError: an option of the wrong type, x not a floating-point tensor.

    Reference: arXiv 1907.13426, figure 2; official code: ``fc0``, ``emau``,
    ``fc1`` and ``fc2`` of ``EMANet`` in ``network.py``, XiaLiPKU/EMANet;
    mmsegmentation's ``EMAHead``: ``variant="mmseg"``, ``concat_input=True``,
    ``auto_update=True``, ``norm_momentum=0.1``.

    Example:
        >>> EMANetHead(64, 5)(torch.zeros(2, 64, 9, 7)).shape
        torch.Size([2, 5, 9, 7])
    """

    impls = EMAttention.impls

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        *,
        inter_channels: int | None = None,
        out_channels: int | None = None,
        concat_input: bool = False,
        bases: int = 64,
        stages: int = 3,
        variant: str = "official",
        differentiate: bool = False,
        decay: float = 0.9,
        auto_update: bool = False,
        norm_momentum: float = 3e-4,
        dropout: float = 0.1,
        impl: str = "auto",
        device: Device = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        check_positive("in_channels", in_channels)
        check_positive("num_classes", num_classes)
        check_flag("concat_input", concat_input)
        c = max(1, in_channels // 4)
        c = c if inter_channels is None else inter_channels
        check_positive("inter_channels", c)
        narrow = max(1, c // 2) if out_channels is None else out_channels
        check_positive("out_channels", narrow)
        if not 0 <= dropout < 1:
            raise ValueError(f"dropout must lie in [0, 1), got {dropout!r}")
        self.in_channels, self.inter_channels = in_channels, c
        self.out_channels, self.num_classes = narrow, num_classes
        self.concat_input = concat_input
        kw: dict[str, Any] = {"device": device, "dtype": dtype}

        def conv(width: int, result: int) -> nn.Sequential:
            return nn.Sequential(
                nn.Conv2d(width, result, 3, padding=1, bias=False, **kw),
                nn.BatchNorm2d(result, momentum=norm_momentum, **kw),
                nn.ReLU(),
            )

        self.reduce = conv(in_channels, c)
        self.attention = EMAttention(
            c,
            bases=bases,
            stages=stages,
            variant=variant,
            differentiate=differentiate,
            decay=decay,
            auto_update=auto_update,
            norm_momentum=norm_momentum,
            impl=impl,
            **kw,
        )
        self.narrow = conv(c, narrow)
        self.join = (
            conv(in_channels + narrow, narrow) if concat_input else None
        )
        self.classes = nn.Sequential(
            nn.Dropout2d(dropout), nn.Conv2d(narrow, num_classes, 1, **kw)
        )

    @property
    def impl(self) -> str:
        """The form of the attention unit."""
        return self.attention.impl

    @impl.setter
    def impl(self, value: str) -> None:
        self.attention.impl = value

    def forward(
        self, x: Tensor, *, return_bases: bool = False
    ) -> Tensor | tuple[Tensor, Tensor]:
        """Return the classes' map, and the unit's bases if asked for."""
        weight = self.attention.out.weight
        check_map(self, x, self.in_channels, weight=weight)
        z, bases = self.attention(self.reduce(x), return_bases=True)
        z = self.narrow(z)  # (B, narrow, H, W)
        if self.join is not None:
            z = self.join(torch.cat([x, z], dim=1))
        y: Tensor = self.classes(z)  # (B, classes, H, W)
        return (y, bases) if return_bases else y
