"""SAN: attention in a small window, with a weight for every channel.

    y_ci = sum_j w_(c mod G)ij v_cj,   j over the k x k window around i
    pairwise    w_ij = softmax_j(gamma([delta(q_i, k_j), p_i - p_j]))
    patchwise   w_i = gamma(delta(q_i, all k_j of the window))

Surprising: the weights are vectors. A small network gamma makes one number a
channel group for each pair, so the map is no single N x N table, and no dot
product needs to occur at all. Patchwise has no softmax: its weights may be
negative, and it knows which neighbour is which, so it contains convolution.

Cost for N positions, channels I -> O, R compared, G groups, k x k windows:
N (2 I R + I O) + gamma + k^2 N O multiply-adds, linear in N.
Chapter: book/reach/san. Zhao, Jia and Koltun 2020, arXiv 2004.13621.
"""

from __future__ import annotations

import math
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
from attnlib._layout import Device, position
from attnlib.functional.window import (
    WINDOW_IMPLS,
    pad_window,
    window_aggregation,
    windows,
)

PAIRWISE = (
    "subtraction",
    "summation",
    "concatenation",
    "hadamard",
    "dot_product",
)
PATCHWISE = ("concatenation", "star_product", "clique_product")


class _Window(nn.Module):
    """What both kinds share: three projections, a window, aggregation."""

    impls = WINDOW_IMPLS

    def __init__(
        self,
        in_channels: int,
        out_channels: int | None,
        rel_channels: int | None,
        share: int | None,
        kernel_size: int,
        impl: str,
        kw: dict[str, Any],
    ) -> None:
        super().__init__()
        check_positive("in_channels", in_channels)
        out = in_channels if out_channels is None else out_channels
        check_positive("out_channels", out)
        if rel_channels is None:
            rel_channels = max(1, in_channels // 16)
        check_positive("rel_channels", rel_channels)
        share = math.gcd(8, out) if share is None else share
        check_positive("share", share)
        if out % share:
            raise ValueError(
                f"share must divide out_channels = {out}, got {share}"
            )
        check_positive("kernel_size", kernel_size)
        if kernel_size % 2 == 0:
            raise ValueError(f"kernel_size must be odd, got {kernel_size}")
        check_choice("impl", impl, self.impls)
        self.in_channels, self.out_channels = in_channels, out
        self.rel_channels, self.share = rel_channels, share
        self.groups, self.kernel_size = out // share, kernel_size
        self.impl, self.softmax = impl, False
        self.stride, self.dilation = 1, 1
        self.query = nn.Conv2d(in_channels, rel_channels, 1, **kw)
        self.key = nn.Conv2d(in_channels, rel_channels, 1, **kw)
        self.value = nn.Conv2d(in_channels, out, 1, **kw)

    def weights(self, x: Tensor) -> Tensor:
        """Return w, ``(B, G, k * k, Ho, Wo)``."""
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        """Return the weighted sums, ``(B, I, H, W) -> (B, O, Ho, Wo)``."""
        self._check(x)
        w = self.weights(x)  # (B, G, k * k, Ho, Wo)
        return window_aggregation(
            self.value(x),
            w,
            kernel_size=self.kernel_size,
            stride=self.stride,
            dilation=self.dilation,
            impl=self.impl,
        )

    def _check(self, x: Tensor) -> None:
        check_map(self, x, self.in_channels, weight=self.query.weight)
        pad = self.dilation * (self.kernel_size - 1) // 2
        if min(x.shape[2:]) <= pad:
            raise ValueError(
                f"{type(self).__name__} reflects a border of {pad}: height "
                f"and width must be at least {pad + 1}; got x of "
                f"{tuple(x.shape)}"
            )

    def _windows(self, t: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, k * k, Ho, Wo)."""
        padded = pad_window(t, self.kernel_size, self.dilation)
        return windows(padded, self.kernel_size, self.stride, self.dilation)

    def _centres(self, t: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, 1, Ho, Wo)."""
        return t[:, :, None, :: self.stride, :: self.stride]

    @torch.no_grad()
    def attention_map(
        self, x: Tensor, query: tuple[int, int] | None = None
    ) -> Tensor:
        """Return the weights with which the values v_j enter y_i.

        Channel c of the output has those of group c mod G. At the border a
        mirrored position counts as often as the window meets it.

        Args:
            x: the input map.
            query: ``(row, column)`` of one output position; all if not given.

        Shape:
            - x: ``(B, I, H, W)``
            - Output: ``(B, G, Ho * Wo, N)``, row i over j;
              with ``query``: ``(B, G, H, W)``

        Raises:
            ValueError, TypeError: as ``forward``, or a position off the map.
        """
        self._check(x)
        w = self.weights(x)
        out, size = w.shape[3:], x.shape[2:]
        numbers = torch.arange(size.numel(), device=x.device)
        grid = numbers.view(1, 1, *size).double()
        where = self._windows(grid)[0, 0].long()  # (k * k, Ho, Wo)
        where = where.flatten(1).T  # (L, k * k)
        w = w.flatten(3).mT  # (B, G, L, k * k)
        if query is not None:
            check_query(query, out)
            i = position(query, out)
            w, where = w[:, :, i : i + 1], where[i : i + 1]
        full = w.new_zeros(*w.shape[:3], size.numel())
        full.scatter_add_(3, where.expand(w.shape), w)
        return full if query is None else full[:, :, 0].unflatten(2, size)

    def extra_repr(self) -> str:
        """Name the options in ``print(block)``."""
        names = "in_channels relation out_channels rel_channels share"
        names += " kernel_size stride dilation softmax impl"
        return ", ".join(f"{n}={getattr(self, n)!r}" for n in names.split())


class PairwiseSelfAttention(_Window):
    """Pairwise self-attention: a set operation, each neighbour by itself.

    Args:
        in_channels: I, channels of the input.
        relation: how a query meets a key: ``"subtraction"`` q_i - k_j (the
            official code's), ``"summation"``, ``"concatenation"``,
            ``"hadamard"`` (entry by entry) or ``"dot_product"``.
        out_channels: O; I when not given. The official network takes I / 4.
        rel_channels: R, channels of query and key; I // 16 (at least 1) when
            not given.
        share: output channels that share a weight, so that G = O / share; the
            largest of 8, 4, 2, 1 that divides O when not given.
        kernel_size: k, odd.
        stride: distance of neighbouring output positions.
        dilation: distance of neighbouring window places.
        softmax: normalise over the window, as the code does; the paper's
            formula does not say so.
        position: append the difference of trainable linear coordinates in
            [-1, 1] to the relation.
        impl: of the aggregation: ``"reference"``, ``"shifted"`` or ``"auto"``,
            see :func:`attnlib.functional.window_aggregation`.
        device, dtype: of the parameters.

    Shape:
        - Input: ``(B, I, H, W)``
        - Output: ``(B, O, Ho, Wo)``, ``(B, I, H, W)`` by default

    Raises:
        ValueError: channels that do not fit, an even kernel, an unknown
            option, a map that is not larger than the reflected border.
        TypeError: an option of the wrong type, x not a floating-point tensor.

    Reference: arXiv 2004.13621, equation 2; official code: ``SAM`` with
    ``sa_type=0`` in ``model/san.py``, hszhao/SAN. It has the subtraction
    alone; for the other relations the width of gamma is our choice.

    Example:
        >>> PairwiseSelfAttention(64)(torch.zeros(2, 64, 9, 7)).shape
        torch.Size([2, 64, 9, 7])
    """

    def __init__(
        self,
        in_channels: int,
        *,
        relation: str = "subtraction",
        out_channels: int | None = None,
        rel_channels: int | None = None,
        share: int | None = None,
        kernel_size: int = 3,
        stride: int = 1,
        dilation: int = 1,
        softmax: bool = True,
        position: bool = True,
        impl: str = "auto",
        device: Device = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        kw: dict[str, Any] = {"device": device, "dtype": dtype}
        super().__init__(
            in_channels,
            out_channels,
            rel_channels,
            share,
            kernel_size,
            impl,
            kw,
        )
        check_choice("relation", relation, PAIRWISE)
        check_positive("stride", stride)
        check_positive("dilation", dilation)
        check_flag("softmax", softmax)
        check_flag("position", position)
        self.relation, self.softmax = relation, softmax
        self.stride, self.dilation = stride, dilation
        r = self.rel_channels
        width = {"concatenation": 2 * r, "dot_product": 1}.get(relation, r)
        self.position = nn.Conv2d(2, 2, 1, **kw) if position else None
        width += 2 if position else 0
        self.gamma = nn.Sequential(
            nn.BatchNorm2d(width, **kw),
            nn.ReLU(),
            nn.Conv2d(width, r, 1, bias=False, **kw),
            nn.BatchNorm2d(r, **kw),
            nn.ReLU(),
            nn.Conv2d(r, self.groups, 1, **kw),
        )

    def weights(self, x: Tensor) -> Tensor:
        """Return w, ``(B, I, H, W) -> (B, G, k * k, Ho, Wo)``."""
        q = self._centres(self.query(x))  # (B, R, 1, Ho, Wo)
        k = self._windows(self.key(x))  # (B, R, k * k, Ho, Wo)
        delta = self._relation(q, k)  # (B, D, k * k, Ho, Wo)
        if self.position is not None:
            p = self.position(self._coordinates(x))  # (1, 2, H, W)
            offset = self._centres(p) - self._windows(p)
            offset = offset.to(delta.dtype).expand(x.shape[0], -1, -1, -1, -1)
            delta = torch.cat([delta, offset], dim=1)
        scores: Tensor = self.gamma(delta.flatten(3))  # (B, G, k * k, L)
        if self.softmax:
            scores = scores.softmax(dim=2)
        return scores.unflatten(3, delta.shape[3:])

    def _relation(self, q: Tensor, k: Tensor) -> Tensor:
        if self.relation == "subtraction":
            return q - k
        if self.relation == "summation":
            return q + k
        if self.relation == "hadamard":
            return q * k
        if self.relation == "dot_product":
            return (q * k).sum(dim=1, keepdim=True)
        return torch.cat([q.expand_as(k), k], dim=1)

    def _coordinates(self, x: Tensor) -> Tensor:
        """Columns, then rows, each from -1 to 1: (1, 2, H, W)."""
        height, width = x.shape[2:]
        kw: Any = {"device": x.device, "dtype": self.query.weight.dtype}
        across = torch.arange(width, **kw) * 2 / max(width - 1, 1) - 1
        down = torch.arange(height, **kw) * 2 / max(height - 1, 1) - 1
        grid = (
            across[None, :].expand(height, -1),
            down[:, None].expand(-1, width),
        )
        return torch.stack(grid)[None]


class PatchwiseSelfAttention(_Window):
    """Patchwise self-attention: the whole window decides on each weight.

    Args:
        in_channels: I, channels of the input.
        relation: ``"concatenation"`` of q_i and all k_j (the official code's),
            ``"star_product"`` q_i . k_j for all j, or ``"clique_product"``
            q_j . k_l for all pairs of the window: k^4 numbers, slow beyond
            k = 3.
        out_channels: O; I when not given. The official network takes I / 4.
        rel_channels: R, channels of query and key; I // 16 (at least 1) when
            not given.
        share: as in :class:`PairwiseSelfAttention`.
        kernel_size: k, odd.
        softmax: normalise over the window; neither paper nor code does.
        impl: as in :class:`PairwiseSelfAttention`.
        device, dtype: of the parameters.

    Shape:
        - Input: ``(B, I, H, W)``
        - Output: ``(B, O, H, W)``, ``(B, I, H, W)`` by default

    Raises:
        ValueError: channels that do not fit, an even kernel, an unknown
            option, a map that is not larger than the reflected border.
        TypeError: an option of the wrong type, x not a floating-point tensor.

    Reference: arXiv 2004.13621, equation 4; official code: ``SAM`` with
    ``sa_type=1`` in ``model/san.py``, hszhao/SAN, whose arguments stride and
    dilation fail there: stride and dilation are 1 here.

    Example:
        >>> PatchwiseSelfAttention(64)(torch.zeros(2, 64, 9, 7)).shape
        torch.Size([2, 64, 9, 7])
    """

    def __init__(
        self,
        in_channels: int,
        *,
        relation: str = "concatenation",
        out_channels: int | None = None,
        rel_channels: int | None = None,
        share: int | None = None,
        kernel_size: int = 3,
        softmax: bool = False,
        impl: str = "auto",
        device: Device = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        kw: dict[str, Any] = {"device": device, "dtype": dtype}
        super().__init__(
            in_channels,
            out_channels,
            rel_channels,
            share,
            kernel_size,
            impl,
            kw,
        )
        check_choice("relation", relation, PATCHWISE)
        check_flag("softmax", softmax)
        self.relation, self.softmax = relation, softmax
        places, g = self.kernel_size**2, self.groups
        width = {
            "concatenation": self.rel_channels * (places + 1),
            "star_product": places,
            "clique_product": places**2,
        }[relation]
        self.gamma = nn.Sequential(
            nn.BatchNorm2d(width, **kw),
            nn.ReLU(),
            nn.Conv2d(width, g, 1, bias=False, **kw),
            nn.BatchNorm2d(g, **kw),
            nn.ReLU(),
            nn.Conv2d(g, g * places, 1, **kw),
        )

    def weights(self, x: Tensor) -> Tensor:
        """Return w, ``(B, I, H, W) -> (B, G, k * k, H, W)``."""
        q, k = self.query(x), self._windows(self.key(x))
        if self.relation == "concatenation":  # channel r * k * k + j
            delta = torch.cat([q, k.flatten(1, 2)], dim=1)
        elif self.relation == "star_product":
            delta = (q[:, :, None] * k).sum(dim=1)
        else:
            pairs = torch.einsum("brjhw,brlhw->bjlhw", self._windows(q), k)
            delta = pairs.flatten(1, 2)
        scores: Tensor = self.gamma(delta)  # (B, G * k * k, H, W)
        w = scores.unflatten(1, (self.groups, -1))
        return w.softmax(dim=2) if self.softmax else w


class SANBottleneck(nn.Module):
    """The residual block of SAN: norm, attention, norm, back to P channels.

    Args:
        in_channels: P, channels of the input and of the output.
        kind: ``"pairwise"`` or ``"patchwise"``.
        kernel_size: k, odd; the official network takes 3 in its first stage, 7
            later.
        impl: as in :class:`PairwiseSelfAttention`.
        device, dtype: of the parameters.

    Shape:
        - Input: ``(B, P, H, W)``
        - Output: ``(B, P, H, W)``

    Raises:
        ValueError: channels that do not fit, an unknown option, a map that is
            not larger than the reflected border.
        TypeError: an option of the wrong type, x not a floating-point tensor.

    Reference: ``Bottleneck`` in ``model/san.py``, hszhao/SAN: attention from P
    to P / 4 channels with R = P / 16.

    Example:
        >>> SANBottleneck(64)(torch.zeros(2, 64, 9, 7)).shape
        torch.Size([2, 64, 9, 7])
    """

    impls = WINDOW_IMPLS

    def __init__(
        self,
        in_channels: int,
        *,
        kind: str = "pairwise",
        kernel_size: int = 3,
        impl: str = "auto",
        device: Device = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        check_positive("in_channels", in_channels)
        check_choice("kind", kind, ("pairwise", "patchwise"))
        self.in_channels, self.kind = in_channels, kind
        inner = max(1, in_channels // 4)
        kw: dict[str, Any] = {"device": device, "dtype": dtype}
        attention: Any = PairwiseSelfAttention
        if kind == "patchwise":
            attention = PatchwiseSelfAttention
        self.norm = nn.BatchNorm2d(in_channels, **kw)
        self.attention = attention(
            in_channels,
            out_channels=inner,
            kernel_size=kernel_size,
            impl=impl,
            **kw,
        )
        self.norm_out = nn.BatchNorm2d(inner, **kw)
        self.out = nn.Conv2d(inner, in_channels, 1, **kw)

    @property
    def impl(self) -> str:
        """The form of the aggregation."""
        impl: str = self.attention.impl
        return impl

    @impl.setter
    def impl(self, value: str) -> None:
        self.attention.impl = value

    def forward(self, x: Tensor) -> Tensor:
        """Return ``x`` plus the attended map, ``(B, P, H, W)``."""
        check_map(self, x, self.in_channels, weight=self.norm.weight)
        y = self.attention(self.norm(x).relu())  # (B, P / 4, H, W)
        z: Tensor = self.out(self.norm_out(y).relu())  # (B, P, H, W)
        return x + z

    @torch.no_grad()
    def attention_map(
        self, x: Tensor, query: tuple[int, int] | None = None
    ) -> Tensor:
        """Return the map of the attention inside.

        Args:
            x: the input map.
            query: ``(row, column)`` of one output position; all if not given.

        Shape:
            - x: ``(B, P, H, W)``
            - Output: ``(B, G, N, N)``, row i over j;
              with ``query``: ``(B, G, H, W)``

        Raises:
            ValueError, TypeError: as ``forward``, or a position off the map.
        """
        check_map(self, x, self.in_channels, weight=self.norm.weight)
        seen = self.norm(x).relu()
        weights: Tensor = self.attention.attention_map(seen, query)
        return weights

    def extra_repr(self) -> str:
        """Name the options in ``print(block)``."""
        k = self.attention.kernel_size
        return (
            f"in_channels={self.in_channels}, kind={self.kind!r}, "
            f"kernel_size={k}, impl={self.impl!r}"
        )
