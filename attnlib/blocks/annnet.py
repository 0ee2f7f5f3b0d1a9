"""ANNNet: every position attends to 110 anchors instead of N positions.

    A_ia = softmax_a(q_i . k_a / sqrt(K)),   k = P key(x),  v = P value(x)
    z_i  = norm(F [W sum_a A_ia v_a ; x_i])

P averages a map over the bins of a pyramid. Positions see each other through
the anchors, with the weights A P: every pair, and a rank of 110 at most.
Surprising: what is shared with what. The paper's figure takes one projection
for key and value, its code one for query and key. And the attention does not
end in a sum with x but in a concatenation.

Cost for N positions, S anchors: N C (K + V) + N S (K + V) + N V O + 2 N C O
multiply-adds as written, the last for the fusion. What is linear may follow
the pooling, then N C K + N S (K + O) + N C O. Chapter: book/cost/annnet. Zhu
et al. 2019, arXiv 1908.07678.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from attnlib._checks import check_map
from attnlib._layout import Device
from attnlib.blocks._pyramid import IMPLS, Pyramid


class PyramidNonLocal(Pyramid):
    """Asymmetric pyramid non-local block (APNB): one map attends to itself.

    Args:
        in_channels: C, channels of the input.
        key_channels: K, of query and key; C // 2 (at least 1) when not given.
        value_channels: V; K when not given.
        out_channels: O; C when not given. The official block takes C alone.
        pool_sizes: bins a side, one grid each; S anchors, the sum of squares.
        share: which projections are one. ``"query_key"``: the official code
            and mmsegmentation; ``"key_value"``: the paper's figure, with
            V = K; None: none.
        norm: batch norm and ReLU after the projections of query and key. The
            paper's equations show the projection alone.
        scale: divide the scores by sqrt(K), as the code does.
        fuse: concatenate with x and project. False: the attention alone, O
            channels, as the authors timed it.
        bias: biases in front of the norms. mmsegmentation has none.
        dropout: probability with which a channel of the output is dropped.
        double_update: the official code runs the shared projection twice a
            step, for query and for key, and its norm's statistics move twice.
            Here it runs once, with the momentum of two steps, 0.19. False:
            0.1. Outputs and gradients are the same.
        impl: ``"reference"``, ``"anchored"`` (pools, then applies the value's
            projection, W and its part of the fusion) or ``"auto"`` (what takes
            fewer multiply-adds a position).
        device, dtype: of the parameters.

    Shape:
        - Input: ``(B, C, H, W)``
        - Output: ``(B, O, H, W)``; not x at the start: W is zero there, F and
          the norm are not

    Raises:
        ValueError: channels that do not fit, an unknown option.
        TypeError: an option of the wrong type, x not a floating-point tensor.

    Reference: arXiv 1908.07678, section 3.2; official code: ``APNB`` in
    ``models/seg/utils/apnb.py``, MendelXu/ANN. Its argument ``sizes`` fails
    for anything but [1] and is not offered.

    Example:
        >>> PyramidNonLocal(64)(torch.zeros(2, 64, 9, 7)).shape
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
        pool_sizes: Sequence[int] = (1, 3, 6, 8),
        share: str | None = "query_key",
        norm: bool = True,
        scale: bool = True,
        fuse: bool = True,
        bias: bool = True,
        dropout: float = 0.05,
        double_update: bool = True,
        impl: str = "auto",
        device: Device = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(
            in_channels,
            (None, key_channels, value_channels, out_channels),
            2,
            pool_sizes,
            share,
            dropout,
            impl,
            {
                "norm": norm,
                "scale": scale,
                "fuse": fuse,
                "bias": bias,
                "double_update": double_update,
                "relu": True,
            },
            {"device": device, "dtype": dtype},
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return the fused map, ``(B, C, H, W) -> (B, O, H, W)``."""
        check_map(self, x, self.in_channels, weight=self.out.weight)
        return self._attend(x, x)

    @torch.no_grad()
    def attention_map(
        self, x: Tensor, query: tuple[int, int] | None = None
    ) -> Tensor:
        """Return the weights with which the values v_j enter y_i: A P.

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
        return self._map(x, x, query)

    def extra_repr(self) -> str:
        """Name the options in ``print(block)``."""
        more = f"share={self.share!r}, double_update={self.double_update!r}"
        return f"{super().extra_repr()}, {more}"


class FusionPyramidNonLocal(Pyramid):
    """Asymmetric fusion non-local block (AFNB): one map attends to another.

    Queries come from ``x``, the deep map; keys and values from the anchors of
    ``low``, an earlier one, which may have another size. No projection is
    shared, and no ReLU follows the fusion.

    Args:
        in_channels: C, channels of x.
        low_channels: L, channels of low; C when not given. In the official
            network 1024, and C is 2048.
        key_channels: K, of query and key; C // 8 (at least 1) when not given.
        value_channels: V; K when not given.
        out_channels: O; C when not given.
        pool_sizes, norm, scale, fuse, bias, dropout, impl: as in
            :class:`PyramidNonLocal`.
        out_norm: batch norm after W that starts at 0; W does not. Said by the
            authors to help where this block stands alone; neither code has it.
        device, dtype: of the parameters.

    Shape:
        - Input: x ``(B, C, H, W)``, low ``(B, L, h, w)``
        - Output: ``(B, O, H, W)``; not x at the start

    Raises:
        ValueError: channels that do not fit, an unknown option.
        TypeError: an option of the wrong type, x or low not a floating-point
            tensor.

    Reference: arXiv 1908.07678, section 3.3; official code: ``AFNB`` in
    ``models/seg/utils/afnb.py``, MendelXu/ANN, which takes low first.

    Example:
        >>> block = FusionPyramidNonLocal(64, low_channels=32)
        >>> x, low = torch.zeros(2, 64, 9, 7), torch.zeros(2, 32, 18, 14)
        >>> block(x, low).shape
        torch.Size([2, 64, 9, 7])
    """

    impls = IMPLS

    def __init__(
        self,
        in_channels: int,
        *,
        low_channels: int | None = None,
        key_channels: int | None = None,
        value_channels: int | None = None,
        out_channels: int | None = None,
        pool_sizes: Sequence[int] = (1, 3, 6, 8),
        norm: bool = True,
        scale: bool = True,
        fuse: bool = True,
        bias: bool = True,
        dropout: float = 0.05,
        out_norm: bool = False,
        impl: str = "auto",
        device: Device = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(
            in_channels,
            (low_channels, key_channels, value_channels, out_channels),
            8,
            pool_sizes,
            None,
            dropout,
            impl,
            {
                "norm": norm,
                "scale": scale,
                "fuse": fuse,
                "bias": bias,
                "out_norm": out_norm,
                "relu": False,
            },
            {"device": device, "dtype": dtype},
        )

    def forward(self, x: Tensor, low: Tensor | None = None) -> Tensor:
        """Return x fused with what it found in low; in x where none is given.

        ``(B, C, H, W), (B, L, h, w) -> (B, O, H, W)``
        """
        return self._attend(*self._check(x, low))

    def _check(self, x: Tensor, low: Tensor | None) -> tuple[Tensor, Tensor]:
        weight = self.out.weight
        check_map(self, x, self.in_channels, weight=weight)
        low = x if low is None else low
        check_map(self, low, self.low_channels, weight=weight, name="low")
        if low.shape[0] != x.shape[0]:
            raise ValueError(
                f"x and low must have the same batch, got {tuple(x.shape)} "
                f"and {tuple(low.shape)}"
            )
        return x, low

    @torch.no_grad()
    def attention_map(
        self,
        x: Tensor,
        query: tuple[int, int] | None = None,
        *,
        low: Tensor | None = None,
    ) -> Tensor:
        """Return the weights with which the values of low enter y_i: A P.

        Args:
            x: the deep map.
            query: ``(row, column)`` of one output position; all if not given.
            low: the earlier map, of M = h w positions; x when not given.

        Shape:
            - x: ``(B, C, H, W)``, low: ``(B, L, h, w)``
            - Output: ``(B, 1, N, M)``, row i over j;
              with ``query``: ``(B, 1, h, w)``

        Raises:
            ValueError, TypeError: as ``forward``, or a position off the map.
        """
        return self._map(*self._check(x, low), query)

    def extra_repr(self) -> str:
        """Name the options in ``print(block)``."""
        more = f"low_channels={self.low_channels}"
        more += f", out_norm={self.norm is not None!r}"
        return f"{super().extra_repr()}, {more}"
