"""Checks of the chapter on cost, ``what_it_costs-1`` to ``-4``."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from attnlib.exercises import exercise
from attnlib.functional import softmax_attention
from attnlib.memory import allocations

Sizes = tuple[int, int, int, int]

# Typical slips on the two sides, and what to look at again.
_SLIPS = (
    ((215, 256), "one map fits. How many are alive at the worst moment?"),
    ((181, 215), "two maps: that is the forward pass alone."),
    ((152, 181), "four maps, but the scores are gone before the gradients."),
    ((231, 275), "three numbers a pair. How many bytes has a number?"),
    ((137, 163), "8 bytes are a number of float64; this is float32."),
    ((160, 191), "a GiB has 2**30 bytes, a little more than 10**9."),
    ((164, 195), "rounded up, and that one does not fit any more."),
    ((26754, 37837), "that is N. The map has a side of the root of N."),
    ((163, 326), "the map of pairs grows with the fourth power of the side."),
    ((163, 230), "N grows by the root of 2. And the side?"),
)


def _numbers(answer: Any) -> list[float]:
    """Return the numbers of a tuple, a list or a tensor; empty if none."""
    if hasattr(answer, "tolist"):
        answer = answer.tolist()
    try:
        return [float(number) for number in answer]
    except (TypeError, ValueError):
        return []


@exercise("what_it_costs-1", right="twice the memory buys 19 % more side.")
def _sides(answer: Any) -> str | None:
    got = _numbers(answer)
    if len(got) != 2:
        return "two whole numbers are asked for: a side for 8 and for 16 GiB."
    if got == [163, 194]:
        return None
    for slip, hint in _SLIPS:
        if [round(g) for g in got] == list(slip):
            return hint
    if got[0] == 163:
        return "8 GiB is right. The same three maps, twice the bytes?"
    return (
        "write the bytes of three maps as a function of the side, set them "
        "equal to the memory and solve; then round down."
    )


class Peak(NamedTuple):
    """Numbers alive at the two moments that can be the worst."""

    slopes: int
    last: int


def moments(n: int, m: int, d: int, dv: int) -> Peak:
    """Return what is alive when the scores' gradient, when q's and k's is."""
    always = (n + m) * dv + 2
    return Peak(3 * n * m + always, n * m + (n + m) * d + always)


def _plain(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return (q @ k.mT).softmax(-1) @ v


def _counted(n: int, m: int, d: int, dv: int) -> int:
    """Count the peak of the chapter's plain form, in bytes of float32."""
    sizes = (n, d), (m, d), (m, dv)
    tensors = (torch.randn(s, dtype=torch.float32) for s in sizes)
    return allocations(_plain, *tensors).peak


_SHAPES: tuple[Sizes, ...] = (
    (64, 64, 8, 8),
    (90, 40, 4, 12),
    (30, 110, 16, 5),
    (40, 30, 200, 20),
    (25, 60, 90, 1),
)


@exercise(
    "what_it_costs-2",
    right="to the byte, and where the vectors are wider than the map, too.",
)
def _peak(answer: Any) -> str | None:
    if not callable(answer):
        return "a function of N, M, d and dv is asked for."
    for sizes in _SHAPES:
        got = _numbers([answer(*sizes)])
        counted = _counted(*sizes)
        if not got:
            return "one number comes back: the bytes at the worst moment."
        # The loss and its gradient, two numbers, may be left out.
        if -8 <= got[0] - counted <= 0.5:
            continue
        return _peak_hint(got[0], counted, sizes)
    return None


def _peak_hint(got: float, counted: int, sizes: Sizes) -> str:
    """Say which part of the peak is missing."""
    n, m, d, dv = sizes
    shape = f"N={n}, M={m}, d={d}, dv={dv}"
    if abs(4 * got - counted) <= 8:
        return "that is the count of numbers; each has four bytes in float32."
    if abs(got - 2 * counted) <= 16:
        return "eight bytes a number are float64; this is float32."
    maps = round((got - counted) / (4 * n * m), 3)
    first = moments(*sizes).slopes
    if d > m and abs(got - 4 * first) <= 8:
        return (
            f"right while the vectors are narrow. At {shape} the worst moment "
            "is a later one: which tensors does the last step write?"
        )
    if maps in (-2, -1, 1, 2):
        word = "more" if maps < 0 else "fewer"
        return (
            f"at {shape} the count has {abs(maps):g} map(s) {word}: see the "
            "column of the figure that is highest."
        )
    if abs(got - 12 * n * m) <= 8:
        return (
            f"three maps, yes. At {shape} the output and the gradient of the "
            "values are alive as well."
        )
    return f"at {shape} the count is {counted:,} bytes, yours {got:,.0f}."


# (B, d, dv, H, W): equal widths, wide values, narrow values, width one.
_MAPS = (
    (1, 16, 16, 24, 20),
    (2, 8, 32, 20, 24),
    (1, 24, 6, 24, 20),
    (1, 1, 8, 20, 24),
    (1, 1, 1, 24, 20),
)


@exercise(
    "what_it_costs-3",
    right="the values and gradients of the formula, and no map anywhere.",
)
def _fused(answer: Any) -> str | None:
    if not callable(answer):
        return "a function is asked for: it takes three maps, returns one."
    for b, d, dv, h, w in _MAPS:
        maps = [
            torch.randn(b, c, h, w, dtype=torch.float64).requires_grad_()
            for c in (d, d, dv)
        ]
        expected = _reference(maps)
        got = answer(*maps)
        where = f"d = {d}, C_v = {dv}"
        if not isinstance(got, Tensor) or got.shape != expected.shape:
            return f"the output is a map of the values' shape ({where})."
        if not torch.allclose(got, expected):
            return _wrong_values(got, maps, where)
        slopes = torch.autograd.grad(
            got.square().sum(), maps, allow_unused=True
        )
        wanted = torch.autograd.grad(expected.square().sum(), maps)
        for slope, right in zip(slopes, wanted, strict=True):
            if slope is None or not torch.allclose(slope, right):
                return f"right values, wrong gradients ({where})."
        leaves = [t.detach() for t in maps]
        if allocations(answer, *leaves).largest >= 8 * b * (h * w) ** 2:
            return _lost(d, dv)
    return None


def _tokens(t: Tensor) -> Tensor:
    return t.flatten(2).transpose(1, 2)


def _reference(maps: list[Tensor], scale: float = 1.0) -> Tensor:
    q, k, v = map(_tokens, maps)
    y = softmax_attention(q, k, v, scale=scale, impl="reference")
    return y.transpose(1, 2).reshape(maps[2].shape)


def _wrong_values(got: Tensor, maps: list[Tensor], where: str) -> str:
    """Name the likely slip behind wrong values."""
    q, _, v = maps
    widths = {q.shape[1], max(q.shape[1], v.shape[1]), 2, 8}
    for width in widths:
        if torch.allclose(got, _reference(maps, width**-0.5)):
            return (
                f"these are values of the scale 1/sqrt({width}), which "
                f"PyTorch takes unless it is told ({where}). The formula "
                "has 1."
            )
    return f"the values differ from the formula's ({where})."


def _lost(d: int, dv: int) -> str:
    """Say for which widths a tensor as large as the map was made."""
    if d != dv and d > 1:
        return (
            f"right values, but at d = {d}, C_v = {dv} a tensor as large as "
            "the map is made: these widths differ. Zeros change no product."
        )
    if d == 1:
        return (
            "right values, and lean for wider vectors. At d = 1 a tensor as "
            "large as the map is made: print the strides there."
        )
    return (
        "right values, but a tensor as large as the map is made, even for "
        "equal widths. Count the dimensions, and print the last stride."
    )


@exercise(
    "what_it_costs-4",
    right="g + 2: one block a group is best, the more so the larger the map.",
)
def _groups(answer: Any) -> str | None:
    got = _numbers(answer)
    if len(got) != 4:
        return "four whole numbers are asked for, one for each group size."
    if [round(g) for g in got] == [3, 4, 5, 8]:
        return None
    hints: dict[tuple[int, ...], str] = {
        (8, 8, 8, 8): "that is the stack without checkpoints.",
        (3, 3, 3, 3): "a group of g is run again as a whole: what does it "
        "keep until its own backward pass is done?",
        (1, 2, 3, 6): "these maps are kept. Which two come on top?",
        (2, 3, 4, 7): "one is missing: A, its gradient, that of the scores.",
        (8, 5, 4, 3): "the other way round: sizes of groups, not numbers.",
    }
    known = hints.get(tuple(round(g) for g in got))
    return known or (
        "count with allocations, divide by the bytes of one map, round down: "
        "what is left over belongs to the features."
    )
