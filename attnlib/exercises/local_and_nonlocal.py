"""Self-checks of chapter 1, local and non-local filters."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from itertools import combinations
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from attnlib.exercises import exercise

Exp = Callable[[Tensor], Tensor]


@exercise(
    "nlm-1", right="two lookalikes share a value; a loner keeps its own."
)
def _(answer: object) -> str | None:
    try:
        y, total = (float(number) for number in answer)  # type: ignore[attr-defined]
    except (TypeError, ValueError):
        return "put two numbers in place of the dots: y_5, then C(x_4)."
    if _near(total, 9 / 5) and _near(y, 305 / 256):
        return "two good numbers in the wrong order: y_5 first, then C(x_4)."
    if not _near(y, 9 / 5):
        rest = "write P_5 down. Does the table hold that patch already?"
        return f"y_5: {_about(y, _ABOUT_Y, rest)}"
    if _near(total, 305 / 256):
        return None
    rest = "six squared distances to P_4 = (0 2 2), a weight for each."
    if total > 6:
        rest = "six weights of at most 1 each cannot sum to that."
    return f"C(x_4): {_about(total, _ABOUT_TOTAL, rest)}"


def _near(number: float, wanted: float) -> bool:
    """Within half a unit of the second decimal."""
    return abs(number - wanted) < 0.006


_ABOUT_Y = [
    (45 / 8, "that is the weighted sum; which number divides it?"),
    (2, "the pixel's own value is one of six that are averaged."),
    (1376 / 721, "the mirror repeats no edge pixel: a b goes on with a."),
    (576 / 329, "outside the picture the patch is mirrored, not zero."),
    (120 / 61, "that is pixel 4. Positions are counted from 0."),
]
_ABOUT_TOTAL = [
    (1.2, "right, but rounded: two decimals, or a fraction."),
    (49 / 256, "position 4 asks itself too. At which distance?"),
    (321 / 256, "two of the squared distances are 5, not 4."),
    (79 / 64, "the mirror repeats no edge pixel: a b goes on with a."),
    (120 / 61, "that is y_4. C is the sum of the weights alone."),
    (25 / 8, "that is C(x_0); compare all patches with P_4 instead."),
]


def _about(number: float, known: list[tuple[float, str]], rest: str) -> str:
    return next((hint for x, hint in known if _near(number, x)), rest)


@exercise("nlm-3", right="4 x 4 pixels under the name of 5 x 5, and a mirror.")
def _(answer: object) -> str | None:
    if not callable(answer):
        return "hand over the function itself: check('nlm-3', fast_nlm)."
    flat = torch.full((11, 12), 0.25, dtype=torch.float64)
    y, hint = _tensor(answer(flat.clone(), 0.1), flat.shape)
    if hint:
        return hint
    if not _same(y, flat):
        return (
            "a constant picture does not stay constant. Are the weights "
            "divided by their sum, and is the picture mirrored before "
            "anything is shifted?"
        )
    for x, h in _pictures():
        y, hint = _tensor(answer(x.clone(), h), x.shape)
        if hint:
            return hint
        if not _same(y, _fast(x, h)):
            return _about_fast(y, x, h)
    return None


def _pictures() -> Iterator[tuple[Tensor, float]]:
    """Yield small noisy ramps; the last h leaves some partners too far."""
    g = torch.Generator().manual_seed(1)
    for H, W, h in [(11, 14, 0.14), (13, 11, 0.05)]:
        noise = torch.rand(H, W, generator=g, dtype=torch.float64)
        ramp = torch.linspace(0, 1, W, dtype=torch.float64)
        yield 0.3 * noise + 0.5 * ramp, h


def _same(a: Tensor, b: Tensor) -> bool:
    return bool((a - b).abs().max() < 2e-5)


def _tensor(value: object, shape: torch.Size) -> tuple[Tensor, str | None]:
    """The answer's result as float64, or a hint on its type or shape."""
    if value is None:
        return torch.empty(0), "the function returns nothing yet."
    y = torch.as_tensor(value).detach().double()
    if y.shape != shape:
        return y, f"the result is {tuple(y.shape)}, expected {tuple(shape)}."
    if not y.isfinite().all():
        return y, "the result holds numbers that are infinite or undefined."
    return y, None


def _scikit_exp(t: Tensor) -> Tensor:
    """Schraudolph's straight line into the exponent bits of a float."""
    bits = (t * (2**20 / math.log(2))).trunc() + (1023 * 2**20 - 60801)
    return (bits.to(torch.int64) << 32).view(torch.float64)


def _continued(x: Tensor, edge: str) -> Tensor:
    """Add 10 pixels to each side of x (H, W)."""
    if edge != "symmetric":
        return F.pad(x[None, None], (10,) * 4, mode=edge)[0, 0]
    for axis in (0, 1):
        ends = (x.narrow(axis, start, 10).flip(axis) for start in (0, -10))
        x = torch.cat([next(ends), x, next(ends)], axis)
    return x


def _fast(
    x: Tensor, h: float, *, first: int = -1, last: int = 2,
    divisor: float = 25, power: int = 2, exp: Exp = _scikit_exp,
    cut: float = 5, edge: str = "reflect", mirrored: bool = True,
) -> Tensor:  # fmt: skip
    """Fast non-local means of scikit-image, or of one who misread it."""
    (H, W), p = x.shape, _continued(x, edge)
    size = last - first + 1

    def shifted(a: int, b: int) -> Tensor:
        return p[10 + a : 10 + a + H, 10 + b : 10 + b + W]

    def around(a: int, b: int) -> Tensor:  # every patch of the shifted picture
        top, left = 10 + a + first, 10 + b + first
        part = p[top : top + H + size - 1, left : left + W + size - 1]
        return part.unfold(0, size, 1).unfold(1, size, 1)

    row, column = torch.arange(H)[:, None], torch.arange(W)
    y, total = torch.zeros_like(x), torch.zeros_like(x)
    for a in range(-7, 8):
        for b in range(-7, 8):
            D = (around(0, 0) - around(a, b)).square().sum((-1, -2))
            D = D / (divisor * h**power)
            f = exp(-D) * (D <= cut)
            if not mirrored:
                f = f * ((row + a >= 0) & (row + a < H))
                f = f * ((column + b >= 0) & (column + b < W))
            y, total = y + f * shifted(a, b), total + f
    return y / total


# What differs from scikit-image's filter, and the hint for it.
_MISREAD: list[tuple[dict[str, Any], str]] = [
    ({"first": -2},
     "you compare 5 x 5 pixels, as the name promises. Which offsets does "
     "the fast mode take?"),
    ({"first": -2, "last": 1}, "4 x 4 pixels, on the wrong side: -2 ... 1."),
    ({"divisor": 16}, "16 squares, yet they are not divided by 16 h^2."),
    ({"divisor": 1}, "apart from h^2, what divides the sum of squares?"),
    ({"power": 1}, "h has the unit of grey values; a square has not."),
    ({"edge": "symmetric"}, "the mirror must not repeat the edge pixel."),
    ({"edge": "replicate"}, "past the edge there should be a mirror image."),
    ({"edge": "circular"}, "past the edge the opposite side comes in."),
    ({"mirrored": False},
     "right inside, wrong near the border: a window that leaves the "
     "picture goes on in its mirror image."),
    ({"cut": 1 / 5},
     "too many partners have weight 0. Is 5 compared with the sum before "
     "or after the division?"),
    ({"cut": math.inf},
     "some partners are so unlike that their weight should be 0: past 5, "
     "after the division."),
    ({"exp": torch.exp},
     "the exponential: the true one is off by a per cent or so. Which one "
     "does scikit-image use?"),
]  # fmt: skip


def _about_fast(y: Tensor, x: Tensor, h: float) -> str:
    if _same(y, x):
        return "the picture comes back: each pixel has asked itself alone."
    for changes, hint in _MISREAD:
        if _same(y, _fast(x, h, **changes)):
            return hint
    for (one, hint), (other, _) in combinations(_MISREAD, 2):
        if not one.keys() & other and _same(y, _fast(x, h, **one, **other)):
            return f"two things differ, one of them here: {hint}"
    return (
        "the result differs. Take one pixel and one partner, and compare in "
        "turn their sum of squares, what divides it, the exponential, the "
        "cut-off at 5, and what lies past the edge."
    )


@exercise("nlm-4", right="rows sum to one, and no pixel trusts itself most.")
def _(answer: object) -> str | None:
    if not callable(answer):
        return "hand over the function itself: check('nlm-4', humble_map)."
    g = torch.Generator().manual_seed(2)
    pair = torch.tensor([[0.0, 1], [1, 1]], dtype=torch.float64)
    for P, h in [
        (torch.randn(7, 4, generator=g, dtype=torch.float64), 1.5),
        (pair, 0.8),  # two patches: both weights are 1/2
        (pair[[0, 1, 0]] / 10, 0.3),  # twins: f = 1 off the diagonal
        (torch.randn(9, 25, generator=g, dtype=torch.float64) / 9, 0.5),
    ]:
        A, hint = _tensor(answer(P.clone(), h), torch.Size([len(P)] * 2))
        if hint:
            return hint
        f = (-(P[:, None] - P).square().sum(-1) / h**2).exp()
        best = f.clone().fill_diagonal_(-1).amax(1)
        if not _same(A, _rows(f - f.diag().diag() + best.diag())):
            return _about_map(A, f, best)
    return None


def _rows(f: Tensor) -> Tensor:
    return f / f.sum(1, keepdim=True)


def _about_map(A: Tensor, f: Tensor, best: Tensor) -> str:
    off = f - f.diag().diag()
    mended = off + best.diag()
    late = _rows(f) - _rows(f).diag().diag() + (best / f.sum(1)).diag()
    one = _rows(off + best.amax() * torch.eye(len(f)))
    for wrong, hint in [
        (_rows(f), "that is nlm_map: the diagonal still holds f = 1."),
        (_rows(off), "nobody asks itself now; it may, like its best match."),
        (mended, "the rows do not sum to one yet."),
        (mended / mended.sum(1), "something divides columns, not rows."),
        (late, "replace the diagonal first and normalise afterwards."),
        (one, "one maximum for all: each row has its own."),
    ]:
        if _same(A, wrong):
            return hint
    if not _same(A.sum(1), torch.ones(len(f))):
        return "the rows do not sum to one."
    return (
        "rows sum to one, but the weights differ. After normalising, the "
        "diagonal should equal the largest other weight of its row."
    )
