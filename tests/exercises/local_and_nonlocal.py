"""Plausible wrong answers with their hints, and right ones, chapter 1."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import torch
import torch.nn.functional as F
from skimage.restoration import denoise_nl_means
from torch import Tensor


def scikit_exp(t: Tensor) -> Tensor:
    bits = (t * (2**20 / math.log(2))).trunc() + (1023 * 2**20 - 60801)
    return (bits.to(torch.int64) << 32).view(torch.float64)


def fast(
    first=-1,
    last=2,
    divisor=25,
    exp=scikit_exp,
    cut=5,
    power=2,
    edge="reflect",
    cut_on_sum=False,
):
    """Every partner of every pixel, one shift of the picture at a time."""

    def fast_nlm(x: Tensor, h: float) -> Tensor:
        (H, W), y, total = x.shape, 0, 0
        p = torch.from_numpy(np.pad(x.numpy(), 10, mode=edge))
        offsets = range(first, last + 1)
        for a in range(3, 18):
            for b in range(3, 18):
                D = sum(
                    (
                        p[10 + r : 10 + r + H, 10 + c : 10 + c + W]
                        - p[a + r : a + r + H, b + c : b + c + W]
                    ).square()
                    for r in offsets
                    for c in offsets
                ) / (divisor * h**power)
                far = divisor * D if cut_on_sum else D  # before the division
                f = torch.where(far <= cut, exp(-D), 0)
                y = y + f * p[a : a + H, b : b + W]
                total = total + f
        return y / total

    return fast_nlm


def by_boxes(x: Tensor, h: float) -> Tensor:
    """Sums of squares as a convolution with ones, all shifts at once."""
    H, W = x.shape
    p = F.pad(x[None, None], (10,) * 4, mode="reflect")
    part = F.unfold(p[..., 2:-1, 2:-1], (H + 3, W + 3))[0]
    part = part.T.reshape(225, H + 3, W + 3)  # 15 x 15 shifts
    mine = p[0, :, 9 : 12 + H, 9 : 12 + W]
    squares = (part - mine).square()[:, None]
    D = F.conv2d(squares, torch.ones(1, 1, 4, 4, dtype=x.dtype))[:, 0]
    D = D / 25 / h**2
    f = scikit_exp(-D) * (D < 5)
    values = part[:, 1 : 1 + H, 1 : 1 + W]
    return ((f * values).sum(0) / f.sum(0)).float()


def by_scikit(x: Tensor, h: float, fast_mode: bool = True) -> np.ndarray:
    return denoise_nl_means(x.numpy(), 5, 7, h, fast_mode=fast_mode)


def cut_at_the_border(x: Tensor, h: float) -> Tensor:
    H, W = x.shape
    p = F.pad(x[None, None], (10,) * 4, mode="reflect")[0, 0]
    y = torch.zeros_like(x)
    for r in range(H):
        for c in range(W):
            P = p[r + 9 : r + 13, c + 9 : c + 13]
            total = 0.0
            for s in range(max(r - 7, 0), min(r + 8, H)):
                for t in range(max(c - 7, 0), min(c + 8, W)):
                    other = p[s + 9 : s + 13, t + 9 : t + 13]
                    D = (P - other).square().sum() / (25 * h**2)
                    f = scikit_exp(-D) if D <= 5 else 0.0
                    y[r, c] += f * x[s, t]
                    total += f
            y[r, c] /= total
    return y


def similarity(P: Tensor, h: float) -> Tensor:
    return (-(P[:, None] - P).square().sum(-1) / h**2).exp()


def replaced(P: Tensor, h: float) -> Tensor:
    f = similarity(P, h).fill_diagonal_(-1)
    f.diagonal()[:] = f.max(1).values
    return f


def humble(P: Tensor, h: float) -> Tensor:
    f = replaced(P, h)
    return f / f.sum(1, keepdim=True)


def humble_softmax(P: Tensor, h: float) -> list[list[float]]:
    """Scores instead of weights: the largest other score of the row."""
    scores = -torch.cdist(P, P).square() / h**2
    other = scores.masked_fill(torch.eye(len(P), dtype=torch.bool), -math.inf)
    scores = scores.diagonal_scatter(other.amax(1))
    return scores.softmax(1).tolist()


def plain(P: Tensor, h: float) -> Tensor:
    f = similarity(P, h)
    return f / f.sum(1, keepdim=True)


def zero_diagonal(P: Tensor, h: float) -> Tensor:
    f = similarity(P, h).fill_diagonal_(0)
    return f / f.sum(1, keepdim=True)


def too_late(P: Tensor, h: float) -> Tensor:
    A = plain(P, h).fill_diagonal_(0)
    return A + A.amax(1).diag()


def columns(P: Tensor, h: float) -> Tensor:
    f = replaced(P, h)
    return f / f.sum(1)


def one_for_all(P: Tensor, h: float) -> Tensor:
    f = similarity(P, h).fill_diagonal_(0)
    f.fill_diagonal_(f.max().item())
    return f / f.sum(1, keepdim=True)


def own_row_included(P: Tensor, h: float) -> Tensor:
    f = similarity(P, h)
    f.diagonal()[:] = f.amax(1)
    return f / f.sum(1, keepdim=True)


WRONG = {
    "nlm-1": [
        ((..., ...), "two numbers"),
        ((9 / 5, ...), "two numbers"),
        ((305 / 256, 9 / 5), "wrong order"),
        ((45 / 8, 305 / 256), "weighted sum"),
        ((2, 305 / 256), "one of six"),
        ((1.908, 1.23), "goes on with a"),
        ((1.75, 1.05), "not zero"),
        ((1.967, 1.19), "counted from 0"),
        ((math.nan, 1.19), "P_5"),
        ((1.8, 49 / 256), "asks itself"),
        ((1.8, 1.254), "are 5, not 4"),
        ((1.8, 305 / 256 - 2 / 32 + 2 / 16), "are 5, not 4"),
        ((1.8, 1.234), "goes on with a"),
        ((1.8, 120 / 61), "y_4"),
        ((1.8, 25 / 8), "C(x_0)"),
        ((1.8, 21), "six weights"),
        ((1.8, 1.1), "a weight for each"),
        ((1.8, 1.2), "two decimals"),
    ],
    "nlm-3": [
        (lambda x, h: x, "itself alone"),
        (fast(-2, 2), "as the name promises"),
        (fast(-2, 1), "wrong side"),
        (fast(exp=torch.exp), "exponential"),
        (fast(cut=math.inf), "unlike"),
        (cut_at_the_border, "mirror image"),
        (fast(divisor=16), "16 squares"),
        (fast(divisor=1), "apart from h^2"),
        (fast(power=1), "unit of grey values"),
        (fast(edge="symmetric"), "not repeat the edge"),
        (fast(edge="edge"), "a mirror image"),
        (fast(edge="wrap"), "opposite side"),
        (fast(cut_on_sum=True), "before or after"),
        (fast(-2, 2, exp=torch.exp), "two things differ"),
        (fast(divisor=16, edge="symmetric"), "not divided by 16"),
        (fast(-2, 1, cut_on_sum=True), "two things differ"),
        (fast(-2, 2, edge="wrap", exp=torch.exp), "one pixel"),
        (fast(-1, 1), "one pixel"),
        (lambda x, h: by_scikit(x, h, False), "one pixel"),
        (lambda x, h: fast()(x, h)[1:-1, 1:-1], "expected (11, 12)"),
        (lambda x, h: 2 * fast()(x, h), "constant"),
        (torch.zeros(11, 12), "function itself"),
    ],
    "nlm-4": [
        (plain, "nlm_map"),
        (own_row_included, "nlm_map"),
        (zero_diagonal, "nobody asks itself"),
        (replaced, "do not sum to one yet"),
        (columns, "columns"),
        (too_late, "normalise afterwards"),
        (one_for_all, "each row"),
        (lambda P, h: plain(P, h) / 2, "do not sum"),
        (lambda P, h: humble(P, h**0.5), "rows sum to one, but"),
        (lambda P, h: humble(P, h)[0], "expected (7, 7)"),
        (torch.eye(7), "function itself"),
    ],
}
RIGHT = {
    "nlm-1": [
        (9 / 5, 305 / 256),
        [1.8, 1.19],
        (Fraction(9, 5), Fraction(305, 256)),
        torch.tensor([1.8, 1.1914]),
    ],
    "nlm-3": [fast(), by_boxes, by_scikit],
    "nlm-4": [humble, humble_softmax],
}
