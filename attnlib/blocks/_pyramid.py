"""Attention to pyramid anchors: what APNB and AFNB have in common.

The public classes and the equation stand in ``blocks/annnet.py``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from attnlib._checks import (
    check_choice,
    check_flag,
    check_positive,
    check_query,
    wide,
)
from attnlib._layout import from_tokens, no_autocast, position, to_tokens
from attnlib.functional.pyramid import (
    check_sizes,
    pyramid_matrix,
    pyramid_pool,
)
from attnlib.functional.softmax import softmax_attention, softmax_weights

IMPLS = ("auto", "reference", "anchored")
SHARES = ("query_key", "key_value", None)
WIDTHS = ("low", "key", "value", "out")


class Pyramid(nn.Module):
    """Queries of x, keys and values of ``low``'s anchors, fusion with x.

    Args:
        in_channels: C.
        widths: further numbers of channels, in the order of ``WIDTHS``.
        reduction: C / K by default.
        pool_sizes, share, dropout, impl: as in the public classes.
        flags: the options that are True or False, by name; ``relu``: whether
            the fusion ends with one.
        kw: device and dtype of the parameters.
    """

    impls = IMPLS

    def __init__(
        self,
        in_channels: int,
        widths: Sequence[int | None],
        reduction: int,
        pool_sizes: Sequence[int],
        share: str | None,
        dropout: float,
        impl: str,
        flags: dict[str, bool],
        kw: dict[str, Any],
    ) -> None:
        super().__init__()
        check_positive("in_channels", in_channels)
        c = in_channels
        low, k, v, o = widths
        low, o = (c if width is None else width for width in (low, o))
        k = max(1, c // reduction) if k is None else k
        v = k if v is None else v
        for name, width in zip(WIDTHS, (low, k, v, o), strict=True):
            check_positive(f"{name}_channels", width)
        self.pool_sizes = check_sizes("pool_sizes", pool_sizes)
        check_choice("share", share, SHARES)
        for name, flag in flags.items():
            check_flag(name, flag)
        check_choice("impl", impl, self.impls)
        if isinstance(dropout, bool) or not 0 <= dropout < 1:
            raise ValueError(f"dropout must lie in [0, 1), got {dropout!r}")
        if share == "key_value" and k != v:
            raise ValueError(
                "value_channels must equal key_channels with "
                f"share='key_value', got {v} and {k}"
            )
        self.in_channels, self.low_channels = c, low
        self.key_channels, self.value_channels, self.out_channels = k, v, o
        self.share, self.dropout, self.impl = share, dropout, impl
        self.scale, self.bias = flags["scale"], flags["bias"]
        self.double_update = flags.get("double_update", False)
        once = share != "query_key" or not flags["norm"]
        self._twice = self.double_update and not once

        def transform(width: int) -> nn.Sequential:
            norm, bias = flags["norm"], flags["bias"] or not flags["norm"]
            layers: list[nn.Module] = [nn.Conv2d(width, k, 1, bias=bias, **kw)]
            if norm:  # two steps of 0.1 towards one number: 1 - 0.9^2
                step = 0.19 if self._twice else 0.1
                layers += [nn.BatchNorm2d(k, momentum=step, **kw), nn.ReLU()]
            return nn.Sequential(*layers)

        self.key = transform(low)
        self.query = None if share == "query_key" else transform(c)
        self.value: nn.Conv2d | None = None
        if share != "key_value":
            self.value = nn.Conv2d(low, v, 1, **kw)
        self.out = nn.Conv2d(v, o, 1, **kw)
        self.norm: nn.BatchNorm2d | None = None
        if flags.get("out_norm"):
            self.norm = nn.BatchNorm2d(o, **kw)
        for parameter in (self.norm or self.out).parameters():
            nn.init.zeros_(parameter)
        self.fuse: nn.Sequential | None = None
        if flags["fuse"]:
            self.fuse = nn.Sequential(
                nn.Conv2d(o + c, o, 1, bias=flags["bias"], **kw),
                nn.BatchNorm2d(o, **kw),
                # Factors that are not negative: before the ReLU the same, and
                # what the ReLU keeps is the output.
                nn.Dropout2d(dropout),
                nn.ReLU() if flags["relu"] else nn.Identity(),
            )

    @property
    def anchors(self) -> int:
        """S, the number of keys."""
        return sum(s * s for s in self.pool_sizes)

    @property
    def form(self) -> str:
        """The form that runs: ``auto`` takes fewer multiply-adds."""
        if self.impl != "auto":
            return self.impl
        o, v, s = self.out_channels, self.value_channels, self.anchors
        plain, anchored = s * v + v * o, s * o
        if self.value is not None:
            plain += self.low_channels * v
            anchored += self.low_channels * sum(self.pool_sizes)
        if self.fuse is not None and self.norm is None:
            plain += o * o
        return "anchored" if anchored <= plain else "reference"

    def _attend(self, x: Tensor, low: Tensor) -> Tensor:
        """X (B, C, H, W), low (B, L, h, w) -> (B, O, H, W)."""
        f: Tensor = self.key(low)  # (B, K, h, w)
        if self._twice:
            self._count_again()
        q = f if self.query is None else self.query(x)  # (B, K, H, W)
        if self.form == "anchored":
            return self._anchored(x, low, q, f)
        v = f if self.value is None else self.value(low)  # (B, V, h, w)
        k, v = (
            pyramid_pool(t, self.pool_sizes, impl="reference") for t in (f, v)
        )  # (B, S, K), (B, S, V)
        y = softmax_attention(
            to_tokens(q), k, v, scale=self._factor, impl="reference"
        )  # (B, N, V)
        y = self.out(from_tokens(y, x))  # (B, O, H, W)
        if self.norm is not None:
            y = self.norm(y)
        if self.fuse is not None:
            y = self.fuse(torch.cat([y, x], dim=1))
        return y

    def _anchored(
        self, x: Tensor, low: Tensor, q: Tensor, f: Tensor
    ) -> Tensor:
        """Do what is linear on S anchors instead of on N positions."""
        dtype, acc = q.dtype, wide(q.dtype)
        with no_autocast(x):
            k = pyramid_pool(f, self.pool_sizes)  # (B, S, K)
            v = k.mT.to(acc)  # (B, V, S)
            if self.value is not None:
                means = pyramid_pool(low, self.pool_sizes).mT.to(acc)
                v = _project(self.value.weight, self.value.bias, means)
            m = _project(self.out.weight, None, v)  # (B, O, S)
            c = self.out.get_parameter("bias").to(acc)[:, None]  # (O, 1)
            if self.fuse is not None and self.norm is None:
                both = self.fuse[0].get_parameter("weight")
                own, xs = both.split([m.shape[1], x.shape[1]], 1)
                m, c = _project(own, None, m), own.flatten(1).to(acc) @ c
                if self.bias:
                    bias = self.fuse[0].get_parameter("bias")
                    c = c + bias.to(acc)[:, None]
                c = _project(xs, c, x.flatten(2).to(dtype))  # (B, O, N)
            a = softmax_weights(to_tokens(q), k, scale=self._factor)
            y = torch.baddbmm(c.to(dtype), m.to(dtype), a.mT)  # (B, O, N)
            y = y.unflatten(2, x.shape[2:])
        if self.norm is not None:
            y = self.norm(y)
            return y if self.fuse is None else self.fuse(torch.cat([y, x], 1))
        return y if self.fuse is None else self.fuse[1:](y)

    @property
    def _factor(self) -> float:
        return self.key_channels**-0.5 if self.scale else 1.0

    def _count_again(self) -> None:
        """Count the second of the two updates in one; see ``step`` above."""
        for layer in self.key:
            if isinstance(layer, nn.BatchNorm2d) and layer.training:
                assert layer.num_batches_tracked is not None
                layer.num_batches_tracked.add_(1)

    def _map(
        self, x: Tensor, low: Tensor, query: tuple[int, int] | None
    ) -> Tensor:
        """Return A P, (B, 1, N, M), or one of its rows as a picture."""
        f = _still(self.key, low)
        q = to_tokens(f if self.query is None else _still(self.query, x))
        if query is not None:
            check_query(query, x.shape[2:])
            i = position(query, x.shape[2:])
            q = q[:, i : i + 1]
        k = pyramid_pool(f, self.pool_sizes, impl="reference")
        size, acc = (low.shape[2], low.shape[3]), wide(q.dtype)
        a = softmax_weights(q.to(acc), k.to(acc), scale=self._factor)
        p = pyramid_matrix(size, self.pool_sizes, device=x.device, dtype=acc)
        full = (a @ p).to(x.dtype)[:, None]  # (B, 1, N, M)
        return full if query is None else full[:, :, 0].unflatten(2, size)

    def extra_repr(self) -> str:
        """Name the options in ``print(block)``."""
        names = "in_channels key_channels value_channels out_channels "
        names += "pool_sizes scale bias impl"
        text = ", ".join(f"{n}={getattr(self, n)!r}" for n in names.split())
        return f"{text}, fuse={self.fuse is not None!r}"


def _project(weight: Tensor, bias: Tensor | None, t: Tensor) -> Tensor:
    """Apply a 1 x 1 convolution to columns: (B, C, M) -> (B, O, M)."""
    matrix = weight.flatten(1).to(t.dtype).expand(t.shape[0], -1, -1)
    if bias is None:
        return torch.bmm(matrix, t)
    return torch.baddbmm(bias.to(t.dtype).view(-1, 1), matrix, t)


def _still(layers: nn.Sequential, x: Tensor) -> Tensor:
    """Apply the layers as ``forward`` does; no running statistic moves."""
    for layer in layers:
        if isinstance(layer, nn.BatchNorm2d) and layer.training:
            w, b, eps = layer.weight, layer.bias, layer.eps
            x = F.batch_norm(x, None, None, w, b, training=True, eps=eps)
        else:
            x = layer(x)
    return x
