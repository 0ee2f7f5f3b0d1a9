"""ISANet: attend to the far ones, then to the near ones, in small groups.

    u_m = sum_j in L(m) softmax_j(q_m . k_j / sqrt K) v_j         lattices
    y_i = sum_m in S(i) softmax_m(q'_i . k'_m / sqrt K) v'_m      windows

L(m) holds the positions that are whole multiples of (dh, dw) away from m, S(i)
the window of dh x dw around i; the second step sees W u through norm and ReLU.

Surprising: both maps are almost empty, and their product has no zero. A
lattice meets a window in exactly one position, so one path leads from every j
to every i, and the price of it is N (N / P + P) weights, P = dh dw, not N^2.

Cost for N positions, C = V = O channels and K = C / 2, one factor: 9 N C^2
+ 1.5 N C (N / P + P) multiply-adds, least at P = sqrt N.
Chapter: book/cost/isanet. Huang et al. 2019, arXiv 1907.12273.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

from attnlib._checks import (
    check_choice,
    check_flag,
    check_map,
    check_positive,
    check_query,
)
from attnlib._layout import Device
from attnlib.functional.interlaced import (
    Factor,
    check_factor,
    crop,
    deinterlace,
    group_weights,
    interlaced_attention,
    interlaced_product,
    pad_to_multiple,
    spread,
)
from attnlib.functional.softmax import IMPLS

NORMS = ("batch", "inplace_abn")


class InterlacedSparseAttention(nn.Module):
    """Interlaced sparse self-attention: lattices, then windows.

    Args:
        in_channels: C, channels of the input.
        key_channels: K, width of queries and keys; C // 2 (at least 1) when
            not given.
        value_channels: V, width of the values; C when not given.
        out_channels: O, channels of the output; C when not given.
        down_factors: pairs ``(dh, dw)``, each with both steps of its own. One:
            its result is joined to x. Several: all are joined to a projection
            of x.
        norm: ``"batch"``: batch norm and ReLU. ``"inplace_abn"``: what the
            published configurations name: weights enter as ``|weight| +
            1e-5``, and the activation is a leaky ReLU of slope 0.01.
        value_bias: whether the value projection has a bias (mmsegmentation
            and the version of 2019 have one).
        out_norm: whether norm and activation follow W. False: a bias, as in
            the version of 2019.
        dropout: probability with which an output channel is dropped in train
            mode; the official network sets 0.05.
        impl: ``"reference"``, ``"sdpa"``, ``"chunked"`` or ``"auto"``, see
            :func:`attnlib.functional.interlaced_attention`.
        device, dtype: of the parameters.

    Shape:
        - Input: ``(B, C, H, W)``; padded with zeros, on both sides, to
          multiples of each factor. The new positions are keys, too: nothing
          masks them, as in the official code
        - Output: ``(B, O, H, W)``, not negative; no residual is added

    Raises:
        ValueError: channels or factors that do not fit, an unknown option.
        TypeError: an option of the wrong type, x not a floating-point tensor.

    Reference: arXiv 1907.12273; official code: ``ISA_Module`` in
    ``lib/models/modules/isa_block.py``, openseg-group/openseg.pytorch;
    mmsegmentation's ``ISAHead`` (source ``"mmseg"`` reads both steps and its
    ``out_conv``; build the block with ``value_bias=True``).

    Example:
        >>> InterlacedSparseAttention(64)(torch.zeros(2, 64, 9, 7)).shape
        torch.Size([2, 64, 9, 7])
    """

    impls = IMPLS

    def __init__(
        self,
        in_channels: int,
        *,
        key_channels: int | None = None,
        value_channels: int | None = None,
        out_channels: int | None = None,
        down_factors: Sequence[Factor] = ((8, 8),),
        norm: str = "batch",
        value_bias: bool = False,
        out_norm: bool = True,
        dropout: float = 0.0,
        impl: str = "auto",
        device: Device = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        check_positive("in_channels", in_channels)
        c = in_channels
        key = max(1, c // 2) if key_channels is None else key_channels
        value = c if value_channels is None else value_channels
        out = c if out_channels is None else out_channels
        check_positive("key_channels", key)
        check_positive("value_channels", value)
        check_positive("out_channels", out)
        if not isinstance(down_factors, (tuple, list)) or not down_factors:
            raise TypeError(
                "down_factors must hold at least one pair of integers, "
                f"got {down_factors!r}"
            )
        for factor in down_factors:
            check_factor("down_factors", factor)
        check_choice("norm", norm, NORMS)
        check_flag("value_bias", value_bias)
        check_flag("out_norm", out_norm)
        if not 0 <= dropout < 1:
            raise ValueError(f"dropout must lie in [0, 1), got {dropout!r}")
        check_choice("impl", impl, self.impls)
        self.in_channels, self.out_channels = in_channels, out
        self.key_channels, self.value_channels = key, value
        self.down_factors = tuple((dh, dw) for dh, dw in down_factors)
        self.norm, self.value_bias, self.out_norm = norm, value_bias, out_norm
        self.impl = impl

        kw: dict[str, Any] = {"device": device, "dtype": dtype}

        def step(width: int) -> _Step:
            options: dict[str, Any] = {
                "norm": norm,
                "bias": value_bias,
                "out_norm": out_norm,
            }
            return _Step(width, key, value, out, **options, **kw)

        count = len(self.down_factors)
        self.long = nn.ModuleList(step(c) for _ in range(count))
        self.short = nn.ModuleList(step(out) for _ in range(count))
        self.up: nn.Module | None = None
        if count > 1:
            c = count * out
            self.up = nn.Sequential(*_layer(in_channels, c, norm, **kw))
        self.out = nn.Sequential(*_layer(c + count * out, out, norm, **kw))
        self.drop = nn.Dropout2d(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """Return the joined map, ``(B, C, H, W) -> (B, O, H, W)``."""
        self._check(x)
        contexts = []
        for stage, factor in enumerate(self.down_factors):
            u = pad_to_multiple(x, factor)  # (B, C, H', W')
            u = self.long[stage](u, factor, "long", self.impl)
            u = self.short[stage](u, factor, "short", self.impl)
            contexts.append(crop(u, x.shape[2:]))  # (B, O, H, W)
        identity = x if self.up is None else self.up(x)
        # The identity stands first; mmsegmentation joins the other way round.
        y: Tensor = self.out(torch.cat([identity, *contexts], dim=1))
        return self.drop(y)

    @torch.no_grad()
    def attention_map(
        self, x: Tensor, query: tuple[int, int] | None = None
    ) -> Tensor:
        """Return the product of both steps' weights, from j over m to i.

        One map a factor. Rows sum to one where nothing is padded, to less
        where zeros take a share. Between the steps stand W, a norm and a ReLU:
        the product says through which weights j reaches i, not that the second
        step aggregates values of the first unchanged.

        Args:
            x: the input map.
            query: ``(row, column)`` of one output position; all if not given.

        Shape:
            - x: ``(B, C, H, W)``
            - Output: ``(B, G, N, N)``, row i over j, G = number of factors;
              with ``query``: ``(B, G, H, W)``

        Raises:
            ValueError, TypeError: as ``forward``, or a position off the map.
        """
        self._check(x)
        size = x.shape[2:]
        if query is not None:
            check_query(query, size)
        maps = []
        for stage, factor in enumerate(self.down_factors):
            long, short, padded = self._weights(x, stage)
            if query is None:
                full = interlaced_product(long, short, factor, padded)
                numbers = torch.arange(full.shape[1], device=x.device)
                inner = crop(numbers.view(1, 1, *padded), size).flatten()
                maps.append(full[:, inner][:, :, inner])  # (B, N, N)
                continue
            (i, j), (dh, dw) = query, factor
            i += (padded[0] - size[0]) // 2  # its place on the padded map
            j += (padded[1] - size[1]) // 2
            g = i // dh * (padded[1] // dw) + j // dw  # its window
            p = i % dh * dw + j % dw  # its place in the window
            row = short[:, g, p, :, None] * long[:, :, g]  # (B, P, G)
            row = deinterlace(row[..., None], factor, padded, step="long")
            maps.append(crop(row, size)[:, 0])  # (B, H, W)
        return torch.stack(maps, dim=1)

    @torch.no_grad()
    def step_maps(self, x: Tensor, stage: int = 0) -> tuple[Tensor, Tensor]:
        """Return the map of the long and of the short step, zeros included.

        Args:
            x: the input map.
            stage: which of ``down_factors``.

        Shape:
            - x: ``(B, C, H, W)``
            - Output: two of ``(B, N', N')``, positions of the padded map; rows
              sum to one

        Raises:
            ValueError, TypeError: as ``forward``.
        """
        self._check(x)
        check_choice("stage", stage, range(len(self.down_factors)))
        long, short, padded = self._weights(x, stage)
        factor = self.down_factors[stage]
        return (
            spread(long, factor, padded, step="long"),
            spread(short, factor, padded, step="short"),
        )

    def _weights(
        self, x: Tensor, stage: int
    ) -> tuple[Tensor, Tensor, tuple[int, ...]]:
        """Return weights by lattice, by window, and the padded size."""
        factor = self.down_factors[stage]
        long: Any = self.long[stage]
        short: Any = self.short[stage]
        kept = [buffer.clone() for buffer in self.buffers()]
        u = pad_to_multiple(x, factor)
        far = long.weights(u, factor, "long")
        u = long(u, factor, "long", "reference")
        near = short.weights(u, factor, "short")
        # In train mode the norms have counted this as a pass: undone.
        for buffer, before in zip(self.buffers(), kept, strict=True):
            buffer.copy_(before)
        return far, near, tuple(u.shape[2:])

    def _check(self, x: Tensor) -> None:
        first: Any = self.out[0]
        check_map(self, x, self.in_channels, weight=first.weight)

    def extra_repr(self) -> str:
        """Name the options in ``print(block)``."""
        names = "in_channels key_channels value_channels out_channels "
        names += "down_factors norm value_bias out_norm impl"
        return ", ".join(f"{n}={getattr(self, n)!r}" for n in names.split())


class _Step(nn.Module):
    """Attention inside the groups of one step, with its projections.

    All of them act on one position at a time, so they run on the map before it
    is sorted into groups: batch norm sees the same numbers either way.
    """

    def __init__(
        self,
        width: int,
        key: int,
        value: int,
        out: int,
        *,
        norm: str,
        bias: bool,
        out_norm: bool,
        **kw: Any,
    ) -> None:
        super().__init__()
        self.scale = key**-0.5

        def deep() -> nn.Sequential:
            first = _layer(width, key, norm, **kw)
            return nn.Sequential(*first, *_layer(key, key, norm, **kw))

        self.query, self.key = deep(), deep()
        self.value = nn.Conv2d(width, value, 1, bias=bias, **kw)
        last = _layer(value, out, norm, **kw)
        if not out_norm:
            last = [nn.Conv2d(value, out, 1, **kw)]
        self.out = nn.Sequential(*last)

    def forward(
        self, u: Tensor, factor: Factor, step: str, impl: str
    ) -> Tensor:
        """(B, C, H', W') -> (B, O, H', W')."""
        q, k, v = self.query(u), self.key(u), self.value(u)
        y = interlaced_attention(
            q, k, v.to(q.dtype), factor, step=step, scale=self.scale, impl=impl
        )  # (B, V, H', W')
        return self.out(y)

    def weights(self, u: Tensor, factor: Factor, step: str) -> Tensor:
        """Return the maps of all groups, (B, groups, n, n)."""
        q, k = self.query(u), self.key(u)
        return group_weights(q, k, factor, step=step, scale=self.scale)


class _AbsoluteNorm(_NormBase):
    """Batch norm that scales by |weight| + eps, as inplace_abn does.

    No ``BatchNorm2d``: PyTorch would convert that to a synchronised norm,
    which scales by the weight as it is.
    """

    def forward(self, x: Tensor) -> Tensor:
        weight, bias = self.weight.abs() + self.eps, self.bias
        train = self.training
        if train and self.num_batches_tracked is not None:
            self.num_batches_tracked.add_(1)
        return F.batch_norm(
            x,
            self.running_mean,
            self.running_var,
            weight,
            bias,
            train,
            self.momentum or 0.0,
            self.eps,
        )


def _layer(width: int, out: int, norm: str, **kw: Any) -> list[nn.Module]:
    """Return a 1 x 1 convolution without bias, its norm, its activation."""
    conv = nn.Conv2d(width, out, 1, bias=False, **kw)
    if norm == "batch":
        return [conv, nn.BatchNorm2d(out, **kw), nn.ReLU()]
    return [conv, _AbsoluteNorm(out, **kw), nn.LeakyReLU(0.01)]
