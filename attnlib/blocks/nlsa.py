"""NLSA: attention among positions that a random hash puts together.

    y_i = x_i + r sum_j c_ij exp(s_ij) v_j / sum_j c_ij exp(s_ij)
    s_ij = e_i . e_j / |e_j|

One embedding e is query and key. Each round hashes it, sorts the positions by
bucket, cuts them into chunks of m and lets a chunk attend to itself and its
two neighbours; c_ij counts how often j comes up for i, over all rounds.

Surprising: more rounds do not lead to dense attention. A key that is like the
query comes up in nearly every round, another one in 3 m / N of them, so what
the rounds approach is sharper than the softmax. ``dedup=True`` counts each key
once and does approach it. And the hash is drawn anew in every call, in eval
mode, too: two calls differ, unless ``seed``, ``rotations`` or ``generator``
says otherwise.

Cost for N positions, h rounds, C channels, d = C/4, b buckets: N C (9 d + C) +
N d h b/2 + 3 m h N (d + C) multiply-adds, linear in N once b stops at 128;
dearer than dense below N = 3 m h. Chapter: book/cost/nlsa. Mei, Fan and Zhou,
CVPR 2021.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from attnlib._checks import (
    check_choice,
    check_flag,
    check_floating,
    check_map,
    check_positive,
    check_query,
    wide,
)
from attnlib._layout import (
    Device,
    from_tokens,
    no_autocast,
    position,
    to_tokens,
)
from attnlib.functional.buckets import (
    BUCKET_IMPLS,
    bucket_attention,
    bucket_weights,
)
from attnlib.functional.hashing import MOST, count_buckets


def check_factor(name: str, value: object) -> None:
    """Raise unless ``value`` is a number."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{name} must be a number, got {value!r}")


class NonLocalSparseAttention(nn.Module):
    """Non-local sparse attention (NLSA): hash, sort, attend among neighbours.

    Args:
        in_channels: C, channels of the input and of the output; at least
            ``reduction``.
        n_hashes: h, rounds of hashing.
        kernel_size: of the embedding's convolution; odd.
        reduction: the embedding has d = C // reduction channels. The official
            code needs a divisor of C.
        chunk_size: m. Where there are fewer positions, all are one chunk and
            the attention is dense: the official code raises there.
        res_scale: r, factor of the attention term, not of x.
        signed: hash to a direction or its opposite, as the code. False: to one
            of as many directions, as the paper's equation.
        dedup: count a key that comes up several times once.
        seed: draw the directions once, from this seed: every call uses the
            same. None: a new draw from PyTorch's generator in every call.
        impl: ``"reference"``, ``"streamed"`` or ``"auto"``, see
            :func:`attnlib.functional.bucket_attention`.
        device, dtype: of the parameters.

    Shape:
        - Input and output: ``(B, C, H, W)``

    Raises:
        ValueError: channels that do not fit, an unknown option.
        TypeError: an option of the wrong type, x not a floating-point tensor.

    A batch shares one draw. Equal codes keep row-major order (the official
    sort leaves it open). Under autocast embedding and attention stay in
    float32: a rounded embedding falls into other buckets. The paper's buckets
    without chunks have no bound on their size and are not offered.

    Reference: Mei, Fan and Zhou, "Image Super-Resolution with Non-Local Sparse
    Attention", CVPR 2021; official code: ``src/model/attention.py`` in
    HarukiYqM/Non-Local-Sparse-Attention.

    Example:
        >>> NonLocalSparseAttention(64)(torch.zeros(2, 64, 9, 7)).shape
        torch.Size([2, 64, 9, 7])
    """

    impls = BUCKET_IMPLS

    def __init__(
        self,
        in_channels: int,
        *,
        n_hashes: int = 4,
        kernel_size: int = 3,
        reduction: int = 4,
        chunk_size: int = 144,
        res_scale: float = 1.0,
        signed: bool = True,
        dedup: bool = False,
        seed: int | None = None,
        impl: str = "auto",
        device: Device = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        for name, value in (
            ("in_channels", in_channels),
            ("n_hashes", n_hashes),
            ("kernel_size", kernel_size),
            ("reduction", reduction),
            ("chunk_size", chunk_size),
        ):
            check_positive(name, value)
        check_factor("res_scale", res_scale)
        check_flag("signed", signed)
        check_flag("dedup", dedup)
        check_choice("impl", impl, self.impls)
        if kernel_size % 2 == 0:
            raise ValueError(f"kernel_size must be odd, got {kernel_size}")
        if in_channels < reduction:
            raise ValueError(
                f"in_channels must be at least reduction = {reduction}: the "
                f"embedding has in_channels // reduction; got {in_channels}"
            )
        if seed is not None and (
            isinstance(seed, bool) or not isinstance(seed, int)
        ):
            raise TypeError(f"seed must be an integer or None, got {seed!r}")
        self.in_channels, self.reduction = in_channels, reduction
        self.key_channels, self.n_hashes = in_channels // reduction, n_hashes
        self.kernel_size, self.chunk_size = kernel_size, chunk_size
        self.res_scale, self.signed, self.dedup = res_scale, signed, dedup
        self.seed, self.impl = seed, impl

        kw: dict[str, Any] = {"device": device, "dtype": dtype}
        self.embedding = nn.Conv2d(
            in_channels,
            self.key_channels,
            kernel_size,
            padding=kernel_size // 2,
            **kw,
        )
        self.value = nn.Conv2d(in_channels, in_channels, 1, **kw)
        # No buffer: the seed says it, checkpoints do not have it, and the cast
        # of a module would round it.
        self._most = MOST // 2 if signed else MOST  # directions
        self._fixed: Tensor | None = None
        if seed is not None:
            shape = (1, self.key_channels, n_hashes, self._most)
            own = torch.Generator("cpu").manual_seed(seed)
            self._fixed = torch.randn(
                shape, generator=own, dtype=torch.float64, device="cpu"
            )

    def forward(
        self,
        x: Tensor,
        rotations: Tensor | None = None,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """Return ``x + res_scale y``; ``(B, C, H, W) -> (B, C, H, W)``.

        Args:
            x: the input map.
            rotations: the hash's directions, of the shape that
                :meth:`draw_rotations` returns; drawn if not given.
            generator: what to draw them from. Two calls with generators in the
                same state return the same.
        """
        e, rotations = self._prepare(x, rotations, generator)
        v = to_tokens(self.value(x)).to(e.dtype)  # (B, N, C)
        y = bucket_attention(
            e,
            v,
            rotations,
            chunk_size=self.chunk_size,
            signed=self.signed,
            dedup=self.dedup,
            impl=self.impl,
        )  # (B, N, C)
        return from_tokens(y, x) * self.res_scale + x

    def draw_rotations(
        self, positions: int, generator: torch.Generator | None = None
    ) -> Tensor:
        """Return the directions for a map of so many positions.

        Args:
            positions: N = H W.
            generator: what to draw from; PyTorch's own if not given.

        Shape:
            - Output: ``(1, d, n_hashes, buckets / 2)``; as many directions as
              buckets with ``signed=False``
        """
        buckets = count_buckets(positions, self.chunk_size)
        wanted = buckets // 2 if self.signed else buckets
        weight = self.embedding.weight
        acc, most = wide(weight.dtype), self._most
        if torch.compiler.is_compiling():  # a shape that holds for any size
            drawn = self._fixed
            shape = (1, self.key_channels, self.n_hashes, most)
            if drawn is None:
                drawn = torch.randn(shape, device=weight.device, dtype=acc)
            drawn = drawn.to(device=weight.device, dtype=acc)
            beyond = torch.arange(most, device=weight.device) >= wanted
            return drawn.masked_fill(beyond, torch.nan)
        if self._fixed is not None and generator is None:
            fixed: Tensor = self._fixed[..., :wanted]
            return fixed.to(device=weight.device, dtype=acc)
        shape = (1, self.key_channels, self.n_hashes, wanted)
        if generator is None:
            return torch.randn(shape, device=weight.device, dtype=acc)
        drawn = torch.randn(
            shape, generator=generator, device=generator.device, dtype=acc
        )
        return drawn.to(weight.device)

    def _prepare(
        self,
        x: Tensor,
        rotations: Tensor | None,
        generator: torch.Generator | None,
    ) -> tuple[Tensor, Tensor]:
        """Check the arguments; return the embedding (B, N, d), rotations."""
        weight = self.embedding.weight
        check_map(self, x, self.in_channels, weight=weight)
        if rotations is not None and generator is not None:
            raise ValueError(
                "rotations and generator must not both be given: nothing is "
                "drawn when rotations are"
            )
        with no_autocast(x):
            e = to_tokens(self.embedding(x.to(weight.dtype)))
        positions = x.shape[2] * x.shape[3]
        if rotations is None:
            return e, self.draw_rotations(positions, generator)
        check_floating("rotations", rotations)
        buckets = count_buckets(positions, self.chunk_size)
        wanted = buckets // 2 if self.signed else buckets
        shape = (1, self.key_channels, self.n_hashes, wanted)
        if rotations.shape != shape:
            raise ValueError(
                f"rotations must be {shape} for {positions} positions in "
                f"chunks of {self.chunk_size}, got {tuple(rotations.shape)}"
            )
        return e, rotations

    @torch.no_grad()
    def attention_map(
        self,
        x: Tensor,
        query: tuple[int, int] | None = None,
        *,
        rotations: Tensor | None = None,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """Return the weights with which v_j enters y_i, over all rounds.

        Without ``seed``, ``rotations`` or ``generator``: those of a new draw,
        not those of an earlier call.

        Args:
            x: the input map.
            query: ``(row, column)`` of one output position; all if not given.
            rotations: as in ``forward``.
            generator: as in ``forward``.

        Shape:
            - x: ``(B, C, H, W)``
            - Output: ``(B, 1, N, N)``, row i over j;
              with ``query``: ``(B, 1, H, W)``, without building N x N

        Raises:
            ValueError, TypeError: as ``forward``, or a position off the map.
        """
        e, rotations = self._prepare(x, rotations, generator)
        size, row = x.shape[2:], None
        if query is not None:
            check_query(query, size)
            row = position(query, size)
        weights = bucket_weights(
            e,
            rotations,
            chunk_size=self.chunk_size,
            signed=self.signed,
            dedup=self.dedup,
            row=row,
        )[:, None]  # (B, 1, N, N) or (B, 1, 1, N)
        return weights if row is None else weights[:, 0].unflatten(2, size)

    def extra_repr(self) -> str:
        """Name the options in ``print(block)``."""
        names = "in_channels n_hashes kernel_size reduction chunk_size "
        names += "res_scale signed dedup seed impl"
        return ", ".join(f"{n}={getattr(self, n)!r}" for n in names.split())
