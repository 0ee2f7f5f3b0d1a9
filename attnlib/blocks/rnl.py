"""Region-based non-local: positions compared by what surrounds them.

    y_i = sum_j softmax_j(p_i . p_j) v_j,  p = region(v),  v = theta(x)
    z_i = x_i + W y_i

p_i is a filtered neighbourhood of v, one filter a channel. Surprising: one
projection makes query, key and value, so the block has half the parameters of
a non-local block, and without pooling its scores are symmetric. The official
code stores each depthwise filter as a dense one under a mask, and checkpoints
hold 32 times as many numbers as the block uses.

Cost for N positions, M keys, C channels, d inside, K taps: 2 N C d + N d K +
2 N M d multiply-adds; the plain form keeps its N x M map.
Chapter: book/reach/rnl. Huang and Bors 2020, arXiv 2007.09033.
"""

from __future__ import annotations

import math
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
)
from attnlib._layout import (
    BATCH_NORM,
    CONV,
    Device,
    from_tokens,
    max_pool,
    position,
    to_tokens,
    unpool,
)
from attnlib.functional import pairwise as pw
from attnlib.functional import softmax as sm
from attnlib.functional.polarized import pool_positions

PAIRWISE = ("gaussian", "relu")
REGIONS = ("depthwise", "dense")


class RegionNonLocal(nn.Module):
    """Region-based non-local block in one, two or three dimensions.

    Args:
        in_channels: C, channels of the input and of the output.
        inter_channels: d, inner channels; C // 2 (at least 1) when not given.
        dims: 1 ``(B, C, L)``, 2 ``(B, C, H, W)`` or 3 ``(B, C, T, H, W)``.
        kernel_size: odd size of the region, one number or one a dimension; the
            paper's network takes (3, 7, 7) early and (3, 3, 3) late. All 1: no
            region, positions are compared as they are.
        pairwise: ``"gaussian"``: exp(p_i . p_j), normalised by its sum;
            ``"relu"``: ReLU(p_i . p_j), divided by the number of keys.
        normalize: scale p_i to length one, so that the scores are cosines.
        subsample: max-pool keys and values by 2 in height and width, or in
            length, never in time. Of an odd size the last is no key.
        region: ``"depthwise"``: one filter a channel, without bias;
            ``"dense"``: a full convolution with bias, as a post on the paper
            has it.
        norm: batch norm after W that starts at 0. False: none, W starts at 0.
        impl: ``"auto"``, ``"reference"``, for ``"gaussian"`` also ``"sdpa"``
            and ``"chunked"``.
        device, dtype: of the parameters.

    Shape:
        - Input: ``(B, C, *S)``
        - Output: ``(B, C, *S)``; equal to x at the start

    Raises:
        ValueError: channels that do not fit, an even kernel, an unknown
            option, pooling of a map with one pixel in a pooled direction.
        TypeError: an option of the wrong type, x not a floating-point tensor.

    Reference: arXiv 2007.09033; official code: ``ops/rnl.py`` in
    guoxih/region-based-non-local-network (three dimensions). No scale on the
    scores: long p make the map an identity.

    Example:
        >>> RegionNonLocal(64)(torch.zeros(2, 64, 9, 7)).shape
        torch.Size([2, 64, 9, 7])
    """

    def __init__(
        self,
        in_channels: int,
        *,
        inter_channels: int | None = None,
        dims: int = 2,
        kernel_size: int | tuple[int, ...] = 3,
        pairwise: str = "gaussian",
        normalize: bool = False,
        subsample: bool = False,
        region: str = "depthwise",
        norm: bool = True,
        impl: str = "auto",
        device: Device = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        check_positive("in_channels", in_channels)
        if inter_channels is None:
            inter_channels = max(1, in_channels // 2)
        check_positive("inter_channels", inter_channels)
        check_choice("dims", dims, (1, 2, 3))
        kernel = _kernel(kernel_size, dims)
        check_choice("pairwise", pairwise, PAIRWISE)
        check_flag("normalize", normalize)
        check_flag("subsample", subsample)
        check_choice("region", region, REGIONS)
        check_flag("norm", norm)
        self.in_channels, self.inter_channels = in_channels, inter_channels
        self.dims, self.kernel_size = dims, kernel
        self.pairwise, self.normalize = pairwise, normalize
        self.subsample = subsample
        check_choice("impl", impl, self.impls)
        self.impl = impl

        conv, d = CONV[dims], inter_channels
        kw: dict[str, Any] = {"device": device, "dtype": dtype}
        self.value = conv(in_channels, d, 1, **kw)
        self.region: nn.Module = nn.Identity()
        if any(size > 1 for size in kernel):
            dense = region == "dense"
            self.region = conv(
                d,
                d,
                kernel,
                padding=tuple(size // 2 for size in kernel),
                groups=1 if dense else d,
                bias=dense,
                **kw,
            )
            if not dense:
                self._start_region()
        self.out = conv(d, in_channels, 1, **kw)
        self.norm = BATCH_NORM[dims](in_channels, **kw) if norm else None
        for parameter in (self.norm or self.out).parameters():
            nn.init.zeros_(parameter)  # the block starts as the identity

    @property
    def impls(self) -> tuple[str, ...]:
        """The values of ``impl`` for this block's similarity."""
        gaussian = self.pairwise == "gaussian"
        return sm.IMPLS if gaussian else ("auto", "reference")

    def _start_region(self) -> None:
        """Xavier's bound for the dense kernel that the official code masks."""
        d, taps = self.inter_channels, math.prod(self.kernel_size)
        width = d // max(d // 32, 1)
        bound = (6 / (width * taps + d * taps)) ** 0.5
        nn.init.uniform_(self.region.get_parameter("weight"), -bound, bound)

    def forward(self, x: Tensor) -> Tensor:
        """Return ``x + W y``, ``(B, C, *S) -> (B, C, *S)``."""
        self._check(x)
        q, k, v = self._project(x)[:3]  # (B, N, d), (B, M, d), (B, M, d)
        if self.pairwise == "gaussian":
            y = sm.softmax_attention(q, k, v, scale=1.0, impl=self.impl)
        else:
            y = pw.relu_attention(q, k, v)
        z: Tensor = self.out(from_tokens(y, x))  # (B, C, *S)
        return x + (z if self.norm is None else self.norm(z))

    def _check(self, x: Tensor) -> None:
        weight = self.value.weight
        check_map(self, x, self.in_channels, self.dims, weight=weight)
        pooled = x.shape[-min(2, self.dims) :]
        if self.subsample and any(size < 2 for size in pooled):
            raise ValueError(
                f"RegionNonLocal with subsample=True halves the last "
                f"{len(pooled)} dimension(s), which must be at least 2; "
                f"got x of {tuple(x.shape)}"
            )

    def _project(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return query, key and value as positions, and v as a map."""
        v = self.value(x)  # (B, d, *S)
        p = self.region(v)
        if self.normalize:
            # Autocast computes a norm in float32, on a GPU.
            p = F.normalize(p, dim=1).to(p.dtype)
        key, value = p, v
        if self.subsample:
            key, value = (max_pool(t, self.dims)[0] for t in (p, v))
        return to_tokens(p), to_tokens(key), to_tokens(value), v

    @torch.no_grad()
    def attention_map(
        self, x: Tensor, query: tuple[int, ...] | None = None
    ) -> Tensor:
        """Return the weights with which the values v_j enter y_i.

        With pooling each channel of v takes its value from one position of a
        window, so the weights differ by channel (G = d).

        Args:
            x: the input map.
            query: coordinates of one output position; all if not given.

        Shape:
            - x: ``(B, C, *S)``
            - Output: ``(B, G, N, N)``, row i over j;
              with ``query``: ``(B, G, *S)``

        Raises:
            ValueError, TypeError: as ``forward``, or a position off the map.
        """
        self._check(x)
        size = x.shape[2:]
        q, k, _, v = self._project(x)
        if query is not None:
            check_query(query, size)
            i = position(query, size)
            q = q[:, i : i + 1]
        gaussian = self.pairwise == "gaussian"
        weights = (sm.softmax_weights if gaussian else pw.relu_weights)(q, k)
        weights = weights[:, None]  # (B, 1, N, M)
        if self.subsample:
            weights = unpool(weights, v, self.dims)
        return (
            weights if query is None else weights[:, :, 0].unflatten(2, size)
        )

    def extra_repr(self) -> str:
        """Name the options in ``print(block)``."""
        names = "in_channels inter_channels dims kernel_size pairwise"
        names += " normalize subsample impl"
        return ", ".join(f"{n}={getattr(self, n)!r}" for n in names.split())


class ChannelGate(nn.Module):
    """The gate in front of the first region-based block: one shift a channel.

    A context vector, the same for all positions, is added to x:
    z = x + MLP(sum_j softmax_j(k(x_j)) x_j). It is nearer to a global context
    block than to a gate: nothing is multiplied.

    Args:
        in_channels: C, channels of the input and of the output.
        reduction: r; the MLP has C // r (at least 1) channels inside. The
            official network takes 2.
        dims: as in :class:`RegionNonLocal`.
        impl: ``"reference"`` or ``"auto"``, which is the same.
        device, dtype: of the parameters.

    Shape:
        - Input: ``(B, C, *S)``
        - Output: ``(B, C, *S)``; equal to x at the start

    Raises:
        ValueError: channels that do not fit, a bad option; in train mode a
            batch of one, of which a batch norm learns nothing.
        TypeError: an option of the wrong type, x not a floating-point tensor.

    Reference: ``ChannelGate`` in ``ops/rnl.py``,
    guoxih/region-based-non-local-network.

    Example:
        >>> ChannelGate(64)(torch.zeros(2, 64, 9, 7)).shape
        torch.Size([2, 64, 9, 7])
    """

    impls = ("auto", "reference")

    def __init__(
        self,
        in_channels: int,
        *,
        reduction: int = 16,
        dims: int = 2,
        impl: str = "auto",
        device: Device = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        check_positive("in_channels", in_channels)
        check_positive("reduction", reduction)
        check_choice("dims", dims, (1, 2, 3))
        check_choice("impl", impl, self.impls)
        self.in_channels, self.reduction = in_channels, reduction
        self.dims, self.impl = dims, impl
        inner = max(1, in_channels // reduction)
        kw: dict[str, Any] = {"device": device, "dtype": dtype}
        self.key = CONV[dims](in_channels, 1, 1, **kw)
        self.hidden = nn.Linear(in_channels, inner, **kw)
        self.norm = nn.BatchNorm1d(inner, momentum=0.01, **kw)
        self.out = nn.Linear(inner, in_channels, **kw)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Return x plus one number a channel, ``(B, C, *S)``."""
        weight = self.key.weight
        check_map(self, x, self.in_channels, self.dims, weight=weight)
        if self.training and x.shape[0] == 1:
            raise ValueError(
                "ChannelGate in train mode takes at least 2 images: its batch "
                f"norm sees one number of each; got x of {tuple(x.shape)}"
            )
        scores = self.key(x).flatten(2)  # (B, 1, N)
        context = pool_positions(x.flatten(2), scores)[..., 0]  # (B, C)
        hidden = self.norm(self.hidden(context.to(x.dtype))).relu()
        shift = self.out(hidden)  # (B, C)
        return x + shift.view(*shift.shape, *[1] * self.dims)

    @torch.no_grad()
    def attention_map(
        self, x: Tensor, query: tuple[int, ...] | None = None
    ) -> Tensor:
        """Return the weights with which x_j enters the context of output i.

        All rows are equal.

        Args:
            x: the input map.
            query: coordinates of one output position; all if not given.

        Shape:
            - x: ``(B, C, *S)``
            - Output: ``(B, 1, N, N)``, row i over j;
              with ``query``: ``(B, 1, *S)``

        Raises:
            ValueError, TypeError: as ``forward``, or a position off the map.
        """
        weight = self.key.weight
        check_map(self, x, self.in_channels, self.dims, weight=weight)
        row = self.key(x).flatten(2).softmax(-1)  # (B, 1, N)
        if query is not None:
            check_query(query, x.shape[2:])
            return row.unflatten(2, x.shape[2:])
        return row[:, :, None].expand(-1, -1, row.shape[-1], -1)

    def extra_repr(self) -> str:
        """Name the options in ``print(block)``."""
        names = "in_channels reduction dims impl"
        return ", ".join(f"{n}={getattr(self, n)!r}" for n in names.split())


def _kernel(kernel_size: object, dims: int) -> tuple[int, ...]:
    """Return one odd size a dimension."""
    if isinstance(kernel_size, (tuple, list)):
        sizes = tuple(kernel_size)
        if len(sizes) != dims:
            raise ValueError(
                f"kernel_size must have {dims} numbers, got {kernel_size!r}"
            )
    else:
        sizes = (kernel_size,) * dims
    for size in sizes:
        check_positive("kernel_size", size)
        if size % 2 == 0:
            raise ValueError(f"kernel_size must be odd, got {kernel_size!r}")
    return sizes
