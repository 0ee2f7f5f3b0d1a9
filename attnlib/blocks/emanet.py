"""EMANet: N positions attend to K bases that were fitted to them.

    x_i = W u_i + b
    E   z_ik = softmax_k(lambda x_i . mu_k)
    M   mu_k = sum_i z_ik x_i / sum_i z_ik, then of length one
    y_i = ReLU(u_i + norm(W_o ReLU(sum_k z_ik mu_k)))

E and M alternate T times, from bases that a moving average over the training
images supplies.

Surprising: no gradient passes the iteration. W and b stay as they were drawn,
and the input learns through the residual alone. What the block trains is W_o.

Cost for N positions, C channels, K bases: 2 N C^2 + (2T + 1) N C K
multiply-adds as written; folded, N C^2 of them become 2 T C^2 K. No N x N map.
Chapter: book/cost/emanet. Li et al. 2019, arXiv 1907.13426.
"""

from __future__ import annotations

import math
from contextlib import nullcontext
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn import functional as F

from attnlib._checks import (
    check_choice,
    check_flag,
    check_floating,
    check_map,
    check_positive,
    check_query,
    wide,
)
from attnlib._layout import Device, position
from attnlib.functional.em import IMPLS, Mixture, expectation_maximization

VARIANTS = ("official", "mmseg")


class EMAttention(nn.Module):
    """Expectation-maximisation attention unit (EMAU).

    Training moves the bases' start ``mu`` towards what the iteration found::

        y, bases = block(x, return_bases=True)
        block.update_bases(bases)  # before or after the backward pass

    or by itself, with ``auto_update=True``. A block in train mode without
    either keeps the start that it drew.

    Args:
        in_channels: C, channels of the input and of the output.
        bases: K, how many bases.
        stages: T, how often the E-step and the M-step alternate.
        scale: factor on the scores, the paper's lambda; K-means in the limit.
        variant: ``"official"``: 1e-6 is added to both divisors, and ``mu``
            moves towards the mean of the bases. ``"mmseg"``: the divisors are
            at least 1e-12, and the mean is brought to length one first.
        differentiate: let gradients through the iteration. If not, as in all
            published code, ``project`` is frozen.
        decay: weight of the old value of ``mu``; the mean's is 1 - decay. The
            official code calls 0.9 its momentum; mmsegmentation's momentum,
            0.1, is the weight of the new value: the same decay.
        auto_update: call ``update_bases`` in each forward pass of train mode,
            as mmsegmentation does.
        norm: batch norm after the output's projection, which then has no
            bias. Without: a bias and no norm.
        norm_momentum: of that batch norm, weight of the new value. 3e-4 is the
            official head's, 0.1 mmsegmentation's.
        impl: ``"reference"``, ``"folded"`` or ``"auto"``, see
            :func:`attnlib.functional.expectation_maximization`.
        device, dtype: of the parameters.

    Shape:
        - Input: ``(B, C, H, W)``, meant to be without negative numbers
        - Output: ``(B, C, H, W)``, without negative numbers; with
          ``return_bases`` also the bases of each image, ``(B, C, K)``

    Raises:
        ValueError: channels that do not fit, an unknown option.
        TypeError: an option of the wrong type, x not a floating-point tensor.

    Reference: arXiv 1907.13426, section 3; official code: ``EMAU`` in
    ``network.py``, XiaLiPKU/EMANet; mmsegmentation's ``EMAModule`` and the two
    convolutions around it.

    Example:
        >>> EMAttention(64)(torch.zeros(2, 64, 9, 7)).shape
        torch.Size([2, 64, 9, 7])
    """

    impls = IMPLS
    mu: Tensor

    def __init__(
        self,
        in_channels: int,
        *,
        bases: int = 64,
        stages: int = 3,
        scale: float = 1.0,
        variant: str = "official",
        differentiate: bool = False,
        decay: float = 0.9,
        auto_update: bool = False,
        norm: bool = True,
        norm_momentum: float = 3e-4,
        impl: str = "auto",
        device: Device = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        check_positive("in_channels", in_channels)
        check_positive("bases", bases)
        check_positive("stages", stages)
        check_choice("variant", variant, VARIANTS)
        check_flag("differentiate", differentiate)
        check_flag("auto_update", auto_update)
        check_flag("norm", norm)
        check_choice("impl", impl, self.impls)
        if not scale > 0:
            raise ValueError(f"scale must be above 0, got {scale!r}")
        for name, share in (
            ("decay", decay),
            ("norm_momentum", norm_momentum),
        ):
            if not 0 <= share <= 1:
                raise ValueError(f"{name} must lie in [0, 1], got {share!r}")
        c = self.in_channels = in_channels
        self.bases, self.stages, self.scale = bases, stages, scale
        self.variant, self.differentiate = variant, differentiate
        self.decay, self.auto_update, self.impl = decay, auto_update, impl

        kw: dict[str, Any] = {"device": device, "dtype": dtype}
        start = torch.randn(1, c, bases, **kw)  # its length does not matter
        self.register_buffer("mu", F.normalize(start, dim=1))
        self.project = nn.Conv2d(c, c, 1, **kw)
        self.out = nn.Conv2d(c, c, 1, bias=not norm, **kw)
        self.norm = (
            nn.BatchNorm2d(c, momentum=norm_momentum, **kw) if norm else None
        )
        for layer in (self.project, self.out):
            nn.init.normal_(layer.weight, std=math.sqrt(2 / c))
        self.project.requires_grad_(differentiate)

    def forward(
        self, x: Tensor, *, return_bases: bool = False
    ) -> Tensor | tuple[Tensor, Tensor]:
        """Return y, and the bases if asked for."""
        check_map(self, x, self.in_channels, weight=self.out.weight)
        through = nullcontext() if self.differentiate else torch.no_grad()
        with through:
            found = self._fit(x)
            z = found.reconstruct().to(x.dtype).relu_()  # (B, C, N)
        if self.auto_update and self.training:
            self.update_bases(found.bases)
        z = self.out(z.view(x.shape))  # (B, C, H, W)
        if self.norm is not None:
            z = self.norm(z)
        y = (z + x).relu_()
        return (y, found.bases.to(x.dtype)) if return_bases else y

    def _fit(self, x: Tensor) -> Mixture:
        """Run T times through E and M."""
        u = x.flatten(2)
        weight, bias = self.project.weight.flatten(1), self.project.bias
        if not self.differentiate:
            u = u.detach()  # from forward-mode derivatives, too
        return expectation_maximization(
            u,
            self.mu,
            weight=weight,
            bias=bias,
            scale=self.scale,
            stages=self.stages,
            guard="added" if self.variant == "official" else "floor",
            impl=self.impl,
        )

    @torch.no_grad()
    def update_bases(self, bases: Tensor) -> None:
        """Move ``mu`` towards the mean of bases that ``forward`` returned.

        In a group of processes the mean is that of all of them, so every
        process has to call it. Without images nothing moves.

        Args:
            bases: one set an image.

        Shape:
            - bases: ``(B, C, K)``

        Raises:
            ValueError: bases of another shape.
            TypeError: anything but a floating-point tensor.
        """
        check_floating("bases", bases)
        if bases.shape[1:] != self.mu.shape[1:]:
            size = ", ".join(str(n) for n in self.mu.shape[1:])
            raise ValueError(
                f"bases must be (B, {size}), got {tuple(bases.shape)}"
            )
        acc = wide(self.mu.dtype)
        total = bases.to(acc).sum(dim=0, keepdim=True)  # (1, C, K)
        images = total.new_full((), bases.shape[0])
        if dist.is_available() and dist.is_initialized():
            dist.all_reduce(total)
            dist.all_reduce(images)
        mean = total / images
        if self.variant == "mmseg":
            mean = F.normalize(mean, dim=1)
        old = self.mu.to(acc)
        moved = self.decay * old + (1 - self.decay) * mean
        self.mu.copy_(torch.where(images > 0, moved, old))

    @torch.no_grad()
    def attention_map(
        self, x: Tensor, query: tuple[int, int] | None = None
    ) -> Tensor:
        """Return the weights with which the projected x_j enter y_i.

        Position i asks K bases, and a base is a sum over positions, so the
        map is a product of rank K: symmetric, without negative weights. A row
        sums to the mean of 1 / length of the means that i asks.

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
        check_map(self, x, self.in_channels, weight=self.out.weight)
        size = x.shape[2:]
        if query is None:
            return self._fit(x).map().to(x.dtype)[:, None]
        check_query(query, size)
        row = self._fit(x).map(position(query, size))
        return row.to(x.dtype).unflatten(2, size)

    def extra_repr(self) -> str:
        """Name the options in ``print(block)``."""
        names = "in_channels bases stages scale variant differentiate decay "
        names += "auto_update impl"
        return ", ".join(f"{n}={getattr(self, n)!r}" for n in names.split())
