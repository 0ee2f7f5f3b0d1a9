"""The non-local block: each position receives a normalised sum over all.

    y_i = 1 / C(x_i) sum_j f(x_i, x_j) g(x_j),        z_i = W y_i + x_i

Surprising: four descriptions that circulate as one block are not equal. They
pool before or after the projections, which changes the keys, and the code has
a scale that the paper has not: options here, combined by ``NonLocal.preset``.

Cost for N positions, M keys, C channels, d inner channels, pooling first:
(2 N + 2 M) C d + 2 N M d multiply-adds; the plain form keeps its N x M map.
Chapter: book/reach/nonlocal. Wang et al. 2018, arXiv 1711.07971.
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
    check_query,
)
from attnlib._layout import (
    BATCH_NORM,
    CONV,
    ChannelAffine,
    Device,
    from_tokens,
    max_pool,
    position,
    to_tokens,
    unpool,
)
from attnlib.functional import pairwise as pw
from attnlib.functional import softmax as sm

PAIRWISE = ("embedded_gaussian", "gaussian", "dot_product", "concatenation")
PRESETS: dict[str, dict[str, Any]] = {
    "paper": {"subsample": "after", "scale": False, "norm": True},
    "official": {"subsample": "before", "scale": True, "norm": True},
    "alexhex7": {"subsample": "after", "scale": False, "norm": True},
    "mmcv": {"subsample": None, "scale": True, "norm": False},
}


class NonLocal(nn.Module):
    """Non-local block with four similarities in one, two or three dimensions.

    Args:
        in_channels: C, channels of the input and of the output.
        inter_channels: d, inner channels; C // 2 (at least 1) when not given.
        dims: 1 ``(B, C, L)``, 2 ``(B, C, H, W)`` or 3 ``(B, C, T, H, W)``.
        pairwise: similarity f. ``"embedded_gaussian"`` exp(theta_i . phi_j)
            and ``"gaussian"`` exp(x_i . x_j) are normalised by their sum over
            j, ``"dot_product"`` theta_i . phi_j and ``"concatenation"``
            ReLU(w_f . [theta_i; phi_j]) are divided by the number of keys.
        subsample: max-pool keys and values by 2 in height and width, or in
            length, never in time: ``"before"`` or ``"after"`` the projections.
            None: no pooling. Of an odd size the last row or column is no key.
        scale: multiply theta_i . phi_j by d**-0.5 in ``"embedded_gaussian"``.
            No source scales the other three: there it changes nothing.
        norm: after W. True: batch norm that starts at 0. False: none, W starts
            at 0. ``"affine"``: a scale and shift a channel, W starts at 0.
        out_bias: whether W has a bias (mmcv drops it when a norm follows).
        impl: ``"auto"``, ``"reference"``, and by ``pairwise`` ``"sdpa"`` or
            ``"chunked"`` (the Gaussians), ``"associative"`` (dot product),
            ``"sorted"`` (concatenation).
        device, dtype: of the parameters.

    Shape:
        - Input: ``(B, C, *S)``
        - Output: ``(B, C, *S)``; equal to x at the start, whatever the weights

    Raises:
        ValueError: channels that do not fit, an unknown option, pooling of a
            map with one pixel in a pooled direction.
        TypeError: an option of the wrong type, x not a floating-point tensor.

    Reference: arXiv 1711.07971, equations 1 to 6, section 3.3; official code:
    ``lib/models/nonlocal_helper.py`` in facebookresearch/video-nonlocal-net.

    Example:
        >>> NonLocal(64)(torch.zeros(2, 64, 9, 7)).shape
        torch.Size([2, 64, 9, 7])
    """

    def __init__(
        self,
        in_channels: int,
        *,
        inter_channels: int | None = None,
        dims: int = 2,
        pairwise: str = "embedded_gaussian",
        subsample: str | None = None,
        scale: bool = False,
        norm: bool | str = True,
        out_bias: bool = True,
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
        check_choice("pairwise", pairwise, PAIRWISE)
        check_choice("subsample", subsample, (None, "before", "after"))
        check_flag("scale", scale)
        check_choice("norm", norm, (True, False, "affine"))
        check_flag("out_bias", out_bias)
        self.in_channels, self.inter_channels = in_channels, inter_channels
        self.dims, self.pairwise = dims, pairwise
        self.subsample, self.scale = subsample, scale
        check_choice("impl", impl, self.impls)
        self.impl = impl

        conv = CONV[dims]
        kw: dict[str, Any] = {"device": device, "dtype": dtype}
        self.query, self.key = nn.Identity(), nn.Identity()
        if pairwise != "gaussian":  # the Gaussian compares x itself
            self.query = conv(in_channels, inter_channels, 1, **kw)
            self.key = conv(in_channels, inter_channels, 1, **kw)
        self.value = conv(in_channels, inter_channels, 1, **kw)
        self.out = conv(inter_channels, in_channels, 1, bias=out_bias, **kw)
        self.norm: nn.Module = nn.Identity()
        if norm:
            layer = ChannelAffine if norm == "affine" else BATCH_NORM[dims]
            self.norm = layer(in_channels, **kw)
        if pairwise == "concatenation":
            self.w_f = nn.Parameter(torch.empty(2 * inter_channels, **kw))
            bound = (2 * inter_channels) ** -0.5
            nn.init.uniform_(self.w_f, -bound, bound)  # as a 1 x 1 convolution
        last = self.norm if norm is True else self.out
        for parameter in last.parameters():
            nn.init.zeros_(parameter)  # the block starts as the identity

    @property
    def impls(self) -> tuple[str, ...]:
        """The values of ``impl`` for this block's similarity."""
        if self.pairwise == "dot_product":
            return pw.DOT_PRODUCT_IMPLS
        if self.pairwise == "concatenation":
            return pw.CONCATENATION_IMPLS
        return sm.IMPLS

    @classmethod
    def preset(
        cls,
        name: str,
        in_channels: int,
        *,
        inter_channels: int | None = None,
        dims: int = 2,
        pairwise: str = "embedded_gaussian",
        impl: str = "auto",
        device: Device = None,
        dtype: torch.dtype | None = None,
    ) -> NonLocal:
        """Build the block of one source: its options and initial weights.

        Args:
            name: ``"paper"`` (pool after, no scale, He initialisation),
                ``"official"`` (pool before, scale, weights from N(0, 0.01)),
                ``"alexhex7"`` (pool after, no scale, PyTorch's initialisation)
                or ``"mmcv"`` (no pooling, scale, no norm, N(0, 0.01)).
            in_channels: C.
            inter_channels: d; C // 2 when not given.
            dims: 1, 2 or 3.
            pairwise: the similarity f.
            impl: as in the class.
            device: of the parameters.
            dtype: of the parameters.

        Raises:
            ValueError: an unknown name, or a similarity that it does not have.
        """
        check_choice("name", name, PRESETS)
        if name == "official":
            official = ("embedded_gaussian", "dot_product")
            check_choice("pairwise", pairwise, official)
        options = {**PRESETS[name], "dims": dims, "pairwise": pairwise}
        options.update(inter_channels=inter_channels, impl=impl)
        block = cls(in_channels, device=device, dtype=dtype, **options)
        if name != "alexhex7":  # which keeps PyTorch's initial weights
            starts_at_zero = isinstance(block.norm, nn.Identity)
            layers: list[Any] = [block.query, block.key, block.value]
            for layer in layers if starts_at_zero else [*layers, block.out]:
                if isinstance(layer, nn.Identity):
                    continue
                nn.init.zeros_(layer.bias)
                if name == "paper":
                    nn.init.kaiming_normal_(layer.weight)
                else:
                    nn.init.normal_(layer.weight, std=0.01)
        return block

    def forward(self, x: Tensor) -> Tensor:
        """Return ``W y + x``, ``(B, C, *S) -> (B, C, *S)``."""
        self._check(x)
        q, k, v = self._project(x)  # (B, N, d), (B, M, d), (B, M, d)
        # Each similarity gives y, (B, N, d).
        if self.pairwise == "dot_product":
            y = pw.dot_product_attention(q, k, v, impl=self.impl)
        elif self.pairwise == "concatenation":
            a, b = self._halves(q, k)  # (B, N), (B, M)
            y = pw.concatenation_attention(a, b, v, impl=self.impl)
        else:
            scale = self._factor
            y = sm.softmax_attention(q, k, v, scale=scale, impl=self.impl)
        z: Tensor = self.norm(self.out(from_tokens(y, x)))  # (B, C, *S)
        return z + x

    def _check(self, x: Tensor) -> None:
        weight = self.value.weight
        check_map(self, x, self.in_channels, self.dims, weight=weight)
        pooled = x.shape[-min(2, self.dims) :]
        if self.subsample and any(size < 2 for size in pooled):
            raise ValueError(
                f"NonLocal with subsample={self.subsample!r} halves the last "
                f"{len(pooled)} dimension(s), which must be at least 2; "
                f"got x of {tuple(x.shape)}"
            )

    def _project(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return theta, phi and g as positions; pooled, M < N."""
        source = max_pool(x, self.dims)[0] if self.subsample == "before" else x
        theta, phi, g = self.query(x), self.key(source), self.value(source)
        if self.subsample == "after":
            phi, g = max_pool(phi, self.dims)[0], max_pool(g, self.dims)[0]
        # They differ in dtype under autocast alone.
        dtype = torch.promote_types(theta.dtype, g.dtype)
        q, k, v = (to_tokens(t).to(dtype) for t in (theta, phi, g))
        return q, k, v

    def _halves(self, q: Tensor, k: Tensor) -> tuple[Tensor, Tensor]:
        """Return a and b with w_f . [q_i; k_j] = a_i + b_j."""
        w_q, w_k = self.w_f.to(q.dtype).chunk(2)
        a = (q @ w_q[:, None])[..., 0]  # (B, N), a_i = w_q . q_i
        b = (k @ w_k[:, None])[..., 0]  # (B, M), b_j = w_k . k_j
        return a, b

    @property
    def _factor(self) -> float:
        scaled = self.scale and self.pairwise == "embedded_gaussian"
        return self.inter_channels**-0.5 if scaled else 1.0

    @torch.no_grad()
    def attention_map(
        self, x: Tensor, query: tuple[int, ...] | None = None
    ) -> Tensor:
        """Return the weights with which position j enters y_i.

        Without pooling these are f(x_i, x_j) / C(x_i) on the values g(x_j),
        and G = 1. With pooling each channel takes its value from one of the
        pooled positions, so the weights differ by channel: of g (G = d,
        ``subsample="after"``) or of x (G = C, ``"before"``).

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
        q, k, _ = self._project(x)
        if query is not None:
            check_query(query, size)
            i = position(query, size)
            q = q[:, i : i + 1]
        if self.pairwise == "dot_product":
            weights = pw.dot_product_weights(q, k)
        elif self.pairwise == "concatenation":
            weights = pw.concatenation_weights(*self._halves(q, k))
        else:
            weights = sm.softmax_weights(q, k, scale=self._factor)
        weights = weights[:, None]  # (B, 1, N, M)
        if self.subsample:
            source = x if self.subsample == "before" else self.value(x)
            weights = unpool(weights, source, self.dims)
        if query is None:
            return weights
        return weights[:, :, 0].unflatten(2, size)

    def extra_repr(self) -> str:
        """Name the options in ``print(block)``."""
        names = "in_channels inter_channels dims pairwise subsample scale impl"
        return ", ".join(f"{n}={getattr(self, n)!r}" for n in names.split())
