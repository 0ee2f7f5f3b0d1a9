"""A2-Net: gather the picture into n descriptors, then hand them out again.

    z_i = sum_k softmax_k(v_ki) sum_j softmax_j(b_kj) a_j
    y_i = x_i + W z_i

Surprising: two softmaxes over two different axes, and copies of the block that
take the wrong one still run and train: over positions twice, or, where the
axis is left out, over the images of the batch. Written as a map over positions
the block has rank n, far below N.

Cost for N positions, C channels, m and n inside, folded: 4 n C N + 2 n m C
multiply-adds, linear in N. Chapter: book/reach/a2net. Chen et al. 2018, arXiv
1810.11579.
"""

from __future__ import annotations

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
from attnlib._layout import CONV, Device, no_autocast, position
from attnlib.functional.double import double_attention, double_weights

_CONV: dict[int, Any] = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}


class DoubleAttention(nn.Module):
    """Double attention block of A2-Nets in one, two or three dimensions.

    Args:
        in_channels: C, channels of the input.
        value_channels: m, channels of the gathered values; C // 4 (at least 1)
            when not given.
        descriptors: n, how many are gathered; C // 4 (at least 1) when not
            given.
        dims: 1 ``(B, C, L)``, 2 ``(B, C, H, W)`` or 3 ``(B, C, T, H, W)``.
        reconstruct: project z back to C channels. False: return m channels.
        residual: add x; needs C channels to be added to.
        zero_init: let the projection W start at zero, so that the block starts
            as x (as 0 without residual). No reference does.
        impl: ``"reference"`` (as the equation says), ``"folded"`` (x is pooled
            before it is projected, W acts on the n descriptors: the same sums
            in another order) or ``"auto"`` (folded).
        device, dtype: of the parameters.

    Shape:
        - Input: ``(B, C, *S)``
        - Output: ``(B, C, *S)``; ``(B, m, *S)`` without ``reconstruct``

    Raises:
        ValueError: channels that do not fit, an unknown option, a residual
            without C channels to add to.
        TypeError: an option of the wrong type, x not a floating-point tensor.

    Reference: arXiv 1810.11579, equations 3 to 6 and its figure of the block.
    There is no official PyTorch code; source ``"official"`` reads the names
    that most ports use.

    Example:
        >>> DoubleAttention(64)(torch.zeros(2, 64, 9, 7)).shape
        torch.Size([2, 64, 9, 7])
    """

    impls = ("auto", "reference", "folded")

    def __init__(
        self,
        in_channels: int,
        *,
        value_channels: int | None = None,
        descriptors: int | None = None,
        dims: int = 2,
        reconstruct: bool = True,
        residual: bool = True,
        zero_init: bool = False,
        impl: str = "auto",
        device: Device = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        check_positive("in_channels", in_channels)
        quarter = max(1, in_channels // 4)
        m = quarter if value_channels is None else value_channels
        n = quarter if descriptors is None else descriptors
        check_positive("value_channels", m)
        check_positive("descriptors", n)
        check_choice("dims", dims, (1, 2, 3))
        check_flag("reconstruct", reconstruct)
        check_flag("residual", residual)
        check_flag("zero_init", zero_init)
        if residual and not reconstruct and m != in_channels:
            raise ValueError(
                f"residual adds {in_channels} channels, but without "
                f"reconstruct there are value_channels={m}: use residual=False"
            )
        if zero_init and not reconstruct:
            raise ValueError("zero_init needs reconstruct=True, got False")
        self.in_channels, self.value_channels = in_channels, m
        self.descriptors, self.dims = n, dims
        self.reconstruct, self.residual = reconstruct, residual
        check_choice("impl", impl, self.impls)
        self.impl = impl

        conv = CONV[dims]
        kw: dict[str, Any] = {"device": device, "dtype": dtype}
        self.value = conv(in_channels, m, 1, **kw)
        self.gather = conv(in_channels, n, 1, **kw)
        self.distribute = conv(in_channels, n, 1, **kw)
        self.out = conv(m, in_channels, 1, **kw) if reconstruct else None
        if self.out is not None and zero_init:
            nn.init.zeros_(self.out.weight)
            nn.init.zeros_(self.out.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Return ``x + W z``, ``(B, C, *S) -> (B, C, *S)``."""
        check_map(
            self, x, self.in_channels, self.dims, weight=self.value.weight
        )
        if self.impl != "reference":
            return self._folded(x)
        a = self.value(x).flatten(2)  # (B, m, N)
        b = self.gather(x).flatten(2)  # (B, n, N)
        v = self.distribute(x).flatten(2)  # (B, n, N)
        z = double_attention(a, b, v)  # (B, m, N)
        y: Tensor = z.unflatten(2, x.shape[2:])
        if self.out is not None:
            y = self.out(y)  # (B, C, *S)
        return x + y if self.residual else y

    def _folded(self, x: Tensor) -> Tensor:
        """Sum over positions first, over channels afterwards.

        Rows of P sum to one, so projecting the pooled x pools the projected x,
        bias included; columns of Q sum to one, so W may act on descriptors.
        Both scores come from one convolution, which reads x once.
        """
        layers: tuple[Any, ...] = self.gather, self.distribute
        weight = torch.cat([layer.weight for layer in layers])
        bias = torch.cat([layer.bias for layer in layers])
        scores = _CONV[self.dims](x, weight, bias).flatten(2)  # (B, 2 n, N)
        with no_autocast(x):
            b, v = scores.chunk(2, dim=1)
            gather, distribute = double_weights(b, v)  # (B, n, N) each
            del scores, b, v  # as large as both weights
            acc = gather.dtype
            tokens = x.flatten(2)  # (B, C, N)
            pooled = tokens.to(acc) @ gather.mT  # (B, C, n)
            g = _project(self.value, pooled)  # (B, m, n)
            if self.out is not None:
                g = _project(self.out, g)  # (B, C, n)
            if self.residual:  # x + g Q, without a tensor for g Q
                y = torch.baddbmm(tokens.to(acc), g, distribute)
            else:
                y = g @ distribute
            return y.to(x.dtype).unflatten(2, x.shape[2:])

    @torch.no_grad()
    def attention_map(
        self, x: Tensor, query: tuple[int, ...] | None = None
    ) -> Tensor:
        """Return the weights with which the values a_j enter z_i: Q^T P.

        Args:
            x: the input map.
            query: coordinates of one output position; all if not given.

        Shape:
            - x: ``(B, C, *S)``
            - Output: ``(B, 1, N, N)``, row i over j, of rank n;
              with ``query``: ``(B, 1, *S)``

        Raises:
            ValueError, TypeError: as ``forward``, or a position off the map.
        """
        check_map(
            self, x, self.in_channels, self.dims, weight=self.value.weight
        )
        size = x.shape[2:]
        gather, distribute = double_weights(
            self.gather(x).flatten(2), self.distribute(x).flatten(2)
        )
        rows = distribute.mT  # (B, N, n)
        if query is not None:
            check_query(query, size)
            i = position(query, size)
            row = rows[:, i : i + 1] @ gather  # (B, 1, N)
            return row.to(x.dtype).unflatten(2, size)
        return (rows @ gather).to(x.dtype)[:, None]

    def extra_repr(self) -> str:
        """Name the options in ``print(block)``."""
        names = "in_channels value_channels descriptors dims reconstruct"
        names += " residual impl"
        return ", ".join(f"{n}={getattr(self, n)!r}" for n in names.split())


def _project(layer: Any, columns: Tensor) -> Tensor:
    """Apply a 1 x 1 convolution to columns, (B, C, n) -> (B, out, n)."""
    weight = layer.weight.flatten(1).to(columns.dtype)
    return weight @ columns + layer.bias[:, None].to(columns.dtype)
