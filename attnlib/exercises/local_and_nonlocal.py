"""Self-checks of chapter 1, local and non-local filters."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

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
        return _about_y(y)
    return None if _near(total, 305 / 256) else _about_total(total)


def _near(number: float, wanted: float) -> bool:
    """Within half a unit of the second decimal."""
    return abs(number - wanted) < 0.006


def _about_y(y: float) -> str:
    if _near(y, 45 / 8):
        return "y_5: that is the weighted sum; which number divides it?"
    if _near(y, 2):
        return "y_5: the pixel's own value is one of six that are averaged."
    if _near(y, 1376 / 721):
        return "y_5: the mirror repeats no edge pixel: a b goes on with a."
    if _near(y, 576 / 329):
        return "y_5: outside the picture the patch is mirrored, not zero."
    if _near(y, 120 / 61):
        return "y_5: that is pixel 4. Positions are counted from 0."
    return "y_5: write P_5 down. Does the table hold that patch already?"


def _about_total(total: float) -> str:
    if _near(total, 49 / 256):
        return "C(x_4): position 4 asks itself too. At which distance?"
    if _near(total, 305 / 256 - 2 / 32 + 2 / 16):
        return "C(x_4): two of the squared distances are 5, not 4."
    if _near(total, 79 / 64):
        return "C(x_4): the mirror repeats no edge pixel: a b goes on with a."
    if _near(total, 120 / 61):
        return "C(x_4): that is y_4. C is the sum of the weights alone."
    if _near(total, 25 / 8):
        return "C(x_4): that is C(x_0); compare all patches with P_4 instead."
    if total > 6:
        return "C(x_4): six weights of at most 1 each cannot sum to that."
    return "C(x_4): six squared distances to P_4 = (0 2 2), a weight for each."


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


def _fast(
    x: Tensor,
    h: float,
    *,
    first: int = -1,
    last: int = 2,
    divisor: float = 25,
    exp: Exp = _scikit_exp,
    cut: float = 5,
    mirrored: bool = True,
) -> Tensor:
    """Fast non-local means of scikit-image, or of one who misread it."""
    H, W = x.shape
    p = F.pad(x[None, None], (10,) * 4, mode="reflect")[0, 0]
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
            D = D / (divisor * h**2)
            f = exp(-D) * (D <= cut)
            if not mirrored:
                f = f * ((row + a >= 0) & (row + a < H))
                f = f * ((column + b >= 0) & (column + b < W))
            y, total = y + f * shifted(a, b), total + f
    return y / total


def _about_fast(y: Tensor, x: Tensor, h: float) -> str:
    if _same(y, _fast(x, h, first=-2)):
        return (
            "you compare 5 x 5 pixels, as the name promises. Which offsets "
            "does the fast mode take?"
        )
    if _same(y, _fast(x, h, first=-2, last=1)):
        return "4 x 4 pixels, but cut off on the wrong side: -2 ... 1."
    if _same(y, _fast(x, h, exp=torch.exp)):
        return (
            "everything is right but the exponential: the true one is "
            "off by a per cent or so. Which one does scikit-image use?"
        )
    if _same(y, _fast(x, h, cut=math.inf)):
        return "some partners are so unlike that their weight should be 0."
    if _same(y, _fast(x, h, mirrored=False)):
        return (
            "right inside, wrong near the border: a window that leaves the "
            "picture goes on in its mirror image."
        )
    if _same(y, _fast(x, h, divisor=16)):
        return "16 squares are summed, yet they are not divided by 16 h^2."
    if _same(y, _fast(x, h, divisor=1)):
        return "by what is the sum of squares divided, apart from h^2?"
    if _same(y, _fast(x, h, divisor=25 / h)):
        return "h has the unit of grey values; a squared difference has not."
    return (
        "the result differs. Take one pixel and one partner, and compare "
        "the sum of their 16 squared differences by hand."
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
        n = len(P)
        A, hint = _tensor(answer(P.clone(), h), torch.Size((n, n)))
        if hint:
            return hint
        f = (-(P[:, None] - P).square().sum(-1) / h**2).exp()
        best = f.clone().fill_diagonal_(-1).amax(1)
        wanted = _rows(f - f.diag().diag() + best.diag())
        if not _same(A, wanted):
            return _about_map(A, f, best)
    return None


def _rows(f: Tensor) -> Tensor:
    return f / f.sum(1, keepdim=True)


def _about_map(A: Tensor, f: Tensor, best: Tensor) -> str:
    off = f - f.diag().diag()
    if _same(A, _rows(f)):
        return "that is nlm_map: the diagonal still holds f = 1."
    if _same(A, _rows(off)):
        return (
            "nobody asks itself now. It may, but no more than its best match."
        )
    if _same(A, off + best.diag()):
        return "the rows do not sum to one yet."
    if _same(A, (off + best.diag()) / (off + best.diag()).sum(1)):
        return "something divides the columns instead of the rows."
    late = _rows(f)
    late = late - late.diag().diag() + (best / f.sum(1)).diag()
    if _same(A, late):
        return "replace the diagonal first and normalise afterwards."
    if _same(A, _rows(off + best.amax() * torch.eye(len(f)))):
        return "one maximum for all: each row has its own largest other entry."
    if not _same(A.sum(1), torch.ones(len(f))):
        return "the rows do not sum to one."
    return (
        "rows sum to one, but the weights differ. After normalising, the "
        "diagonal should equal the largest other weight of its row."
    )
