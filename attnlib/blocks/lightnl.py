"""Lightweight non-local block (LightNL): nothing but products.

    y = x + BN(depthwise3x3(F)),   F_i = 1/D sum_j (q_i . k_j) v_j

v_j is the column x_j itself, q_i and k_j are its first c = r C channels, and j
runs over every s-th row and column.

Surprising: it is not only the N x N map that is missing. There are no
projections: c channels are taken as they come. There is no softmax: the three
factors may be bracketed where it is cheapest. One 3 x 3 filter a channel is
all that is learned. F grows with the cube of x, and the batch norm hides that
scale in training, but not in use: there the published port, which divides by H
and multiplies by W, and the published code are two different blocks.

Cost for N positions, M keys, C channels: min(N M (c + C), (N + M) c C) + 9 N C
multiply-adds and 11 C parameters. Chapter: book/cost/lightnl. Li et al. 2020,
arXiv 2004.01961.
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
    wide,
)
from attnlib._layout import Device, no_autocast, position
from attnlib.functional.light import (
    LIGHT_IMPLS,
    light_attention,
    light_weights,
)

NORMALIZERS = ("HW", "W/H", "keys")
INITS = ("official", "port")


class LightNonLocal(nn.Module):
    """Lightweight non-local block with its own residual.

    In the published networks it follows the linear projection of a mobile
    block, in blocks of stride 2, too, and before the block's own residual. How
    they were found, a search over widths, strides and places, is not here.

    Args:
        in_channels: C, channels of the input and of the output.
        nl_c: r, the share of the channels that queries and keys are made of:
            the first c = int(r C), cut off as in the official code.
        nl_s: s, the step at which rows and columns are taken as keys and
            values, from the first on.
        normalizer: D. ``"HW"``: all positions, with ``nl_s`` > 1, too
            (official). ``"keys"``: the M positions that are summed.
            ``"W/H"``: the factor W / H in place of a divisor, for checkpoints
            of the port; 1 on square maps.
        zero_init: whether the batch norm's weight starts at zero.
        init: first values of the depthwise filters. ``"official"``: uniform,
            up to sqrt(6 / (9 C + 9)). ``"port"``: normal, of deviation
            sqrt(2 / 9).
        eps, momentum: of the batch norm.
        impl: ``"reference"`` (the map first), ``"associative"`` (keys with
            values first) or ``"auto"`` (the one with fewer multiply-adds).
        device, dtype: of the parameters.

    Shape:
        - Input: ``(B, C, H, W)``
        - Output: ``(B, C, H, W)``; equal to x at the start with ``zero_init``

    Raises:
        ValueError: ``nl_c`` that leaves no channel (the official code returns
            zeros there), an unknown option; in train mode one position in all,
            which has no variance.
        TypeError: an option of the wrong type, x not a floating-point tensor.

    Products, filters and norm are computed in float32 for half inputs: the
    cube of 41 does not fit into float16. Nor do large variances: statistics of
    a block whose parameters are float16 end at 65504; with float32 parameters
    and autocast they do not.

    Reference: arXiv 2004.01961, section 3; official code: ``non_local_op`` and
    ``MnasBlock`` in ``model_def.py``, LiYingwei/AutoNL; source ``"port"``:
    ``Nonlocal`` in ``models/mobilenet_base.py``,
    meijieru/yet_another_mobilenet_series.

    Example:
        >>> LightNonLocal(64)(torch.zeros(2, 64, 9, 7)).shape
        torch.Size([2, 64, 9, 7])
    """

    impls = LIGHT_IMPLS

    def __init__(
        self,
        in_channels: int,
        *,
        nl_c: float = 0.25,
        nl_s: int = 1,
        normalizer: str = "HW",
        zero_init: bool = True,
        init: str = "official",
        eps: float = 1e-3,
        momentum: float = 0.01,
        impl: str = "auto",
        device: Device = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        check_positive("in_channels", in_channels)
        check_positive("nl_s", nl_s)
        check_choice("normalizer", normalizer, NORMALIZERS)
        check_choice("init", init, INITS)
        check_choice("impl", impl, self.impls)
        check_flag("zero_init", zero_init)
        for name, number in (("eps", eps), ("momentum", momentum)):
            if not isinstance(number, float) or not 0 < number < 1:
                raise ValueError(
                    f"{name} must be a number between 0 and 1, got {number!r}"
                )
        self.in_channels = in_channels
        self.key_channels = _share(in_channels, nl_c)
        self.nl_c, self.nl_s, self.normalizer = nl_c, nl_s, normalizer
        self.zero_init, self.init, self.impl = zero_init, init, impl

        c = in_channels
        kw: dict[str, Any] = {"device": device, "dtype": dtype}
        self.depthwise = nn.Conv2d(
            c, c, 3, padding=1, groups=c, bias=False, **kw
        )
        self.norm = nn.BatchNorm2d(c, eps=eps, momentum=momentum, **kw)
        if init == "official":
            limit = math.sqrt(6 / (9 * c + 9))
            nn.init.uniform_(self.depthwise.weight, -limit, limit)
        else:
            nn.init.normal_(self.depthwise.weight, std=math.sqrt(2 / 9))
        if zero_init:
            nn.init.zeros_(self.norm.weight)

    def forward(self, x: Tensor) -> Tensor:
        """Return ``x + BN(depthwise(F))``, ``(B, C, H, W)`` as x."""
        check_map(self, x, self.in_channels, weight=self.depthwise.weight)
        with no_autocast(x):
            full = x.to(wide(x.dtype))
            q, k, v = self._columns(full)
            divisor = self._divisor(x, k)
            y = light_attention(q, k, v, divisor=divisor, impl=self.impl)
            y = y.unflatten(2, x.shape[2:])  # (B, C, H, W)
            kernel = self.depthwise.weight.to(y.dtype)
            y = F.conv2d(y, kernel, padding=1, groups=self.in_channels)
            return (full + _normalised(self.norm, y)).to(x.dtype)

    def _columns(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return q (B, c, N), k (B, c, M) and v (B, C, M): views, if s = 1."""
        c, s = self.key_channels, self.nl_s
        v = x
        if s > 1:  # copied for every size: a traced graph cannot choose
            v = x[:, :, ::s, ::s].clone(memory_format=torch.contiguous_format)
        v = v.flatten(2)
        return x[:, :c].flatten(2), v[:, :c], v

    def _divisor(self, x: Tensor, keys: Tensor) -> float:
        """Return D, what the sum over the keys is divided by."""
        height, width = x.shape[2:]
        if self.normalizer == "HW":
            return height * width
        if self.normalizer == "keys":
            return keys.shape[2]
        return height / width

    @torch.no_grad()
    def attention_map(
        self, x: Tensor, query: tuple[int, int] | None = None
    ) -> Tensor:
        """Return the weights with which x_j enters F_i, before the filters.

        They have any sign. A position that is no key has the weight zero.

        Args:
            x: the input map.
            query: ``(row, column)`` of one output position; all if not given.

        Shape:
            - x: ``(B, C, H, W)``
            - Output: ``(B, 1, N, N)``, row i over j, of rank c at most;
              with ``query``: ``(B, 1, H, W)``

        Raises:
            ValueError, TypeError: as ``forward``, or a position off the map.
        """
        check_map(self, x, self.in_channels, weight=self.depthwise.weight)
        size, s = x.shape[2:], self.nl_s
        q, k, _ = self._columns(x)
        if query is not None:
            check_query(query, size)
            i = position(query, size)
            q = q[:, :, i : i + 1]
        found = light_weights(q, k, divisor=self._divisor(x, k)).to(x.dtype)
        weights = found.new_zeros(*found.shape[:2], *size)  # (B, N or 1, H, W)
        keys = weights[..., ::s, ::s]
        keys.copy_(found.view(keys.shape))
        return weights if query is not None else weights.flatten(2)[:, None]

    def extra_repr(self) -> str:
        """Name the options in ``print(block)``."""
        names = "in_channels nl_c nl_s normalizer zero_init init impl"
        return ", ".join(f"{n}={getattr(self, n)!r}" for n in names.split())


def _share(channels: int, nl_c: float) -> int:
    """Channels of queries and keys."""
    if isinstance(nl_c, bool) or not isinstance(nl_c, (int, float)):
        raise TypeError(f"nl_c must be a number, got {nl_c!r}")
    if not 0 < nl_c <= 1:
        raise ValueError(f"nl_c must be above 0 and at most 1, got {nl_c!r}")
    if int(nl_c * channels) == 0:
        least = math.ceil(1 / nl_c)
        least += int(nl_c * least) == 0  # as the product rounds
        raise ValueError(
            f"in_channels must be at least {least} for nl_c={nl_c!r}, which "
            f"leaves no channel of {channels}"
        )
    return int(nl_c * channels)


def _normalised(norm: nn.BatchNorm2d, y: Tensor) -> Tensor:
    """Apply a batch norm in y's dtype, which may be wider than the norm's."""
    if norm.weight.dtype == y.dtype:
        return norm(y)
    stats = [t for t in (norm.running_mean, norm.running_var) if t is not None]
    mean, var = (t.to(y.dtype) for t in stats)
    weight, bias = norm.weight.to(y.dtype), norm.bias.to(y.dtype)
    options: Any = norm.training, norm.momentum, norm.eps
    y = F.batch_norm(y, mean, var, weight, bias, *options)
    if norm.training:
        largest = torch.finfo(norm.weight.dtype).max
        for old, new in zip(stats, (mean, var), strict=True):
            old.copy_(new.clamp(-largest, largest))
        if norm.num_batches_tracked is not None:
            norm.num_batches_tracked.add_(1)
    return y
