"""Which shapes a run takes: tables, nothing else.

A shape is ``(B, N, d, dv)`` for softmax attention, ``(B, C, H, W)`` for a
block. ``EVERY_BLOCK`` is each block of the catalogue with default options; a
line of its own adds shapes or options to one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

FUNCTION = "softmax_attention"
EVERY_BLOCK = "*"
Shape = tuple[int, ...]


class Line(NamedTuple):
    """One line of a preset: a subject with its shapes, dtypes and options."""

    subject: str
    shapes: Sequence[Shape]
    dtypes: tuple[str, ...] = ("float32",)
    options: tuple[tuple[str, Any], ...] = ()


def _squares(batch: int, channels: int, *sides: int) -> list[Shape]:
    return [(batch, channels, side, side) for side in sides]


_HALF_TOO = ("float32", "bfloat16")
_GROWTH = [(1, n, 64, 64) for n in (256, 1024, 2304, 4096, 9216)]
_LARGE = [
    (8, 1024, 64, 64),
    (8, 4096, 64, 64),
    (8, 9216, 64, 64),
    (8, 4096, 8, 64),
    (8, 9409, 256, 256),
]
_PRODUCT = (("pairwise", "dot_product"),)
_CONCATENATION = (("pairwise", "concatenation"),)

PRESETS: dict[str, list[Line]] = {
    "tiny": [
        Line(FUNCTION, [(1, 64, 8, 8), (2, 100, 4, 8)]),
        Line(EVERY_BLOCK, _squares(1, 16, 8)),
    ],
    "small": [
        Line(
            FUNCTION,
            [
                (1, 576, 64, 64),
                (1, 2304, 64, 64),
                (1, 2304, 8, 64),
                (2, 1024, 64, 64),
            ],
        ),
        Line(EVERY_BLOCK, _squares(1, 64, 24, 48)),
        Line("nonlocal", _squares(1, 64, 24, 48), options=_PRODUCT),
        Line("nonlocal", _squares(1, 64, 24, 48), options=_CONCATENATION),
    ],
    "growth": [
        Line(FUNCTION, _GROWTH),
        Line(EVERY_BLOCK, _squares(1, 64, 16, 32, 48, 64, 96)),
    ],
    # attnlib/measured/cpu.json
    "book": [
        Line(
            FUNCTION,
            [
                *_GROWTH,
                (1, 9409, 256, 256),
                (2, 1024, 128, 128),
                (1, 4096, 8, 64),
                (1, 4096, 64, 512),
            ],
            _HALF_TOO,
        ),
        Line("selfattention", _squares(1, 64, 32, 64, 96)),
        Line("nonlocal", _squares(1, 64, 32, 64, 96)),
        Line("nonlocal", _squares(1, 512, 48, 97)),
        Line("nonlocal", _squares(1, 64, 64), options=_PRODUCT),
        Line("nonlocal", _squares(1, 64, 64), options=_CONCATENATION),
    ],
    # The shape at which most papers of the book count.
    "paper": [
        Line(FUNCTION, [(1, 9409, 256, 256)]),
        Line(EVERY_BLOCK, _squares(1, 512, 97)),
    ],
    # Enough work for a GPU: attnlib/measured/cuda.json
    "gpu": [
        Line(FUNCTION, [*_LARGE, (8, 9409, 64, 512)], _HALF_TOO),
        Line(EVERY_BLOCK, _squares(8, 512, 97)),
    ],
    "large": [
        Line(FUNCTION, _LARGE, _HALF_TOO),
        Line(EVERY_BLOCK, _squares(8, 64, 32, 64, 96), _HALF_TOO),
        Line(EVERY_BLOCK, _squares(8, 512, 97), _HALF_TOO),
    ],
}
