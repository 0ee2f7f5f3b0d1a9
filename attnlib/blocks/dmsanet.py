"""DMSANet: groups of channels; in each, half attends in space, half in depth.

    F_k = [channel(X_k first half), position(X_k second half)],  k = 1 .. G
    y   = shuffle([F_k softmax_k(Z_k)]),  Z_k a descriptor of F_k

Our reading: there is no official code, and the text leaves open what Z is, how
wide query and key are, whether groups share weights, and how the parts are
joined. Each of these is an option, with the reading that we find nearest as
default. Results are not comparable with the paper's.

Surprising: both gammas start at 0, as in DANet, and the block is no identity:
the softmax over groups divides by about G, and the shuffle moves channels.

Cost for N positions, C channels, G groups: 5 N C^2 / (4 G) + N^2 C
multiply-adds; the plain form keeps G maps N x N.
Chapter: book/reach/dmsanet. Sagar 2021, arXiv 2106.08382.
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
)
from attnlib._layout import Device
from attnlib.blocks.danet import ChannelAttention, PositionAttention
from attnlib.functional.channel import SIGNS
from attnlib.functional.softmax import IMPLS

DESCRIPTORS = ("gap", "se")


class DualMultiScaleAttention(nn.Module):
    """Dual multi-scale attention in our reading of the paper.

    Args:
        in_channels: C, channels of the input and of the output; a multiple of
            2 G.
        groups: G.
        descriptor: Z. ``"gap"``: the mean of F_k over positions. ``"se"``:
            that mean through a small squeeze-and-excitation network, which all
            groups share.
        reduction: of the network in ``"se"``: C / (G reduction) (at least 1)
            channels inside.
        share: whether the groups share the weights of both branches.
        shuffle: whether the halves of the result are interleaved, channel 2 c
            from the first, 2 c + 1 from the second.
        sign: of the channel branch, as in
            :class:`~attnlib.ChannelAttention`; ``"paper"`` is the equation.
        multiscale: a convolution in front of group k, 3 x 3, 5 x 5, 7 x 7 and
            so on, without bias: a guess at what the name means.
        impl: of the position branch: ``"reference"``, ``"sdpa"``,
            ``"chunked"`` or ``"auto"``.
        device, dtype: of the parameters.

    Shape:
        - Input: ``(B, C, H, W)``
        - Output: ``(B, C, H, W)``; not the identity at the start

    Raises:
        ValueError: channels that do not fit, an unknown option.
        TypeError: an option of the wrong type, x not a floating-point tensor.

    Reference: arXiv 2106.08382. The equations repeat those of DANet (arXiv
    1809.02983); grouping and shuffle are those of SA-Net.

    Example:
        >>> DualMultiScaleAttention(64)(torch.zeros(2, 64, 9, 7)).shape
        torch.Size([2, 64, 9, 7])
    """

    impls = IMPLS

    def __init__(
        self,
        in_channels: int,
        *,
        groups: int = 2,
        descriptor: str = "gap",
        reduction: int = 4,
        share: bool = True,
        shuffle: bool = True,
        sign: str = "paper",
        multiscale: bool = False,
        impl: str = "auto",
        device: Device = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        check_positive("in_channels", in_channels)
        check_positive("groups", groups)
        check_choice("descriptor", descriptor, DESCRIPTORS)
        check_positive("reduction", reduction)
        check_flag("share", share)
        check_flag("shuffle", shuffle)
        check_choice("sign", sign, SIGNS)
        check_flag("multiscale", multiscale)
        check_choice("impl", impl, self.impls)
        if in_channels % (2 * groups):
            raise ValueError(
                f"in_channels must be a multiple of 2 groups = {2 * groups}, "
                f"got {in_channels}"
            )
        self.in_channels, self.groups = in_channels, groups
        self.descriptor, self.share, self.shuffle = descriptor, share, shuffle
        self.sign, self.multiscale = sign, multiscale

        half, width = in_channels // (2 * groups), in_channels // groups
        kw: dict[str, Any] = {"device": device, "dtype": dtype}
        owners = 1 if share else groups
        self.channel = nn.ModuleList(
            ChannelAttention(half, sign=sign, **kw) for _ in range(owners)
        )
        self.position = nn.ModuleList(
            PositionAttention(half, key_channels=half, impl=impl, **kw)
            for _ in range(owners)
        )
        self.excite: nn.Module = nn.Identity()
        if descriptor == "se":
            inner = max(1, width // reduction)
            self.excite = nn.Sequential(
                nn.Conv2d(width, inner, 1, **kw),
                nn.ReLU(),
                nn.Conv2d(inner, width, 1, **kw),
                nn.Sigmoid(),
            )
        self.split = nn.ModuleList(
            nn.Conv2d(width, width, 2 * k + 3, padding=k + 1, bias=False, **kw)
            for k in range(groups if multiscale else 0)
        )

    @property
    def impl(self) -> str:
        """The form of the position branches."""
        return self._position(0).impl

    @impl.setter
    def impl(self, value: str) -> None:
        for module in self.position:
            assert isinstance(module, PositionAttention)
            module.impl = value

    def _position(self, k: int) -> PositionAttention:
        module = self.position[0 if self.share else k]
        assert isinstance(module, PositionAttention)
        return module

    def forward(self, x: Tensor) -> Tensor:
        """Return the recombined groups, ``(B, C, H, W) -> (B, C, H, W)``."""
        weight = self._position(0).gamma
        check_map(self, x, self.in_channels, weight=weight)
        parts = self._parts(x)  # (B, G, C / G, H, W)
        half = parts.shape[2] // 2
        if self.share:  # groups are images of a larger batch
            flat = parts.flatten(0, 1)
            f = self._branches(flat[:, :half], flat[:, half:], 0)
            f = f.view(parts.shape)
        else:
            each = [
                self._branches(part[:, :half], part[:, half:], k)
                for k, part in enumerate(parts.unbind(1))
            ]
            f = torch.stack(each, dim=1)
        z = f.mean((3, 4), keepdim=True)  # (B, G, C / G, 1, 1)
        z = self.excite(z.flatten(0, 1)).view(z.shape)
        y = (f * z.softmax(dim=1)).flatten(1, 2)  # (B, C, H, W)
        if self.shuffle:
            halves = y.unflatten(1, (2, self.in_channels // 2))
            y = halves.transpose(1, 2).flatten(1, 2)
        return y

    def _parts(self, x: Tensor) -> Tensor:
        """Cut x into groups of channels, (B, G, C / G, H, W)."""
        parts = x.unflatten(1, (self.groups, -1))
        if not self.multiscale:
            return parts
        each = zip(self.split, parts.unbind(1), strict=True)
        return torch.stack([conv(part) for conv, part in each], dim=1)

    def _branches(self, a: Tensor, b: Tensor, k: int) -> Tensor:
        """Return F_k: both halves attended and joined again."""
        channel: Tensor = self.channel[k](a)
        return torch.cat([channel, self._position(k)(b)], dim=1)

    @torch.no_grad()
    def attention_map(
        self, x: Tensor, query: tuple[int, int] | None = None
    ) -> Tensor:
        """Return the maps of the position branches, one a group.

        The first half of each group's channels stays at its position.

        Args:
            x: the input map.
            query: ``(row, column)`` of one output position; all if not given.

        Shape:
            - x: ``(B, C, H, W)``
            - Output: ``(B, G, N, N)``, row i over j;
              with ``query``: ``(B, G, H, W)``

        Raises:
            ValueError, TypeError: as ``forward``, or a position off the map.
        """
        weight = self._position(0).gamma
        check_map(self, x, self.in_channels, weight=weight)
        parts = self._parts(x)
        half = parts.shape[2] // 2
        maps = [
            self._position(k).attention_map(part[:, half:], query)
            for k, part in enumerate(parts.unbind(1))
        ]
        return torch.cat(maps, dim=1)

    def extra_repr(self) -> str:
        """Name the options in ``print(block)``."""
        names = "in_channels groups descriptor share shuffle sign multiscale"
        names += " impl"
        return ", ".join(f"{n}={getattr(self, n)!r}" for n in names.split())
