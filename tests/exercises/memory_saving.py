"""Answers to the exercises on memory: plausible mistakes, right ones."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

import torch
from torch import Tensor

Report = tuple[Tensor, Tensor]
Blocks = Iterable[Report]
LOW = torch.finfo(torch.float64).min


def safe(t: Tensor) -> Tensor:
    return t.masked_fill(t == -math.inf, 0)


def online(
    *,
    shield: Callable[[Tensor], Tensor] = safe,
    start: float = -math.inf,
    rescale: bool = True,
    measure: bool = True,
    divide: str = "safely",
    report: str = "log-sum-exp",
) -> Callable[[Blocks], Report]:
    def attend(blocks: Blocks) -> Report:
        m, z, w = torch.tensor(start).double(), 0.0, 0.0
        for s, v in blocks:
            top = torch.maximum(m, s.amax(1, keepdim=True))
            base = shield(top) if measure else torch.zeros_like(top)
            if rescale and measure:
                old = (m - base).exp()
                z, w = z * old, w * old
            f = (s - base).exp()
            z, w, m = z + f.sum(1, keepdim=True), w + f @ v, top
        y = {"safely": w / z.clamp(min=1e-300), "": w, "plainly": w / z}
        last = m if measure else 0.0
        total = {
            "log-sum-exp": last + z.log(),
            "log": z.log(),
            "sum": z * m.exp(),
            "flat": (last + z.log())[:, 0],
        }
        return y[divide], total[report]

    return attend


def last_alone(blocks: Blocks) -> Report:
    for s, v in blocks:
        y, total = s.softmax(1) @ v, s.logsumexp(1, keepdim=True)
    return y, total


def zero_where_forbidden(blocks: Blocks) -> Report:
    return online()((safe(s), v) for s, v in blocks)


def skips_empty_blocks(blocks: Blocks) -> Report:
    """Forgets a row's past where the block allows it nothing."""
    m, z, w = torch.full((4, 1), -math.inf).double(), 0.0, 0.0
    for s, v in blocks:
        top = torch.maximum(m, s.amax(1, keepdim=True))
        some = (s > -math.inf).any(1, keepdim=True)
        old = (m - safe(top)).exp() * some
        f = (s - safe(top)).exp()
        z, w, m = z * old + f.sum(1, keepdim=True), w * old + f @ v, top
    return w / z.clamp(min=1e-300), m + z.log()


def at_once(blocks: Blocks) -> Report:
    s, v = zip(*blocks, strict=True)
    scores, values = torch.cat(s, 1), torch.cat(v)
    total = scores.logsumexp(1, keepdim=True)
    return scores.softmax(1).nan_to_num() @ values, total


def lowest(blocks: Blocks) -> Report:
    """Starts at the smallest finite number in place of -inf."""
    m, z, w = torch.tensor([[LOW / 4]], dtype=torch.float64), 0.0, 0.0
    for s, v in blocks:
        top = torch.maximum(m, s.amax(1, keepdim=True))
        f, old = (s - top).exp(), (m - top).exp()
        z, w, m = z * old + f.sum(1, keepdim=True), w * old + f @ v, top
    return torch.where(z > 0, w / z, 0), torch.where(z > 0, m, 0) + z.log()


def by_reports(blocks: Blocks) -> Report:
    each = [
        (s.softmax(1).nan_to_num() @ v, s.logsumexp(1, keepdim=True))
        for s, v in blocks
    ]
    return merged(each)


def swapped(blocks: Blocks) -> Report:
    y, total = online()(blocks)
    return total, y


def stacked(reports: list[Report]) -> list[Tensor]:
    return [torch.stack(part) for part in zip(*reports, strict=True)]


def merged(reports: list[Report]) -> Report:
    y, total = stacked(reports)
    weight = torch.where(total > -math.inf, total.softmax(0), 0)
    return (weight * y.nan_to_num()).sum(0), total.logsumexp(0)


def one_by_one(reports: list[Report]) -> Report:
    y, total = torch.zeros(5, 3).double(), torch.full((5, 1), -math.inf)
    for y_p, total_p in reports:
        some = total_p > -math.inf
        share = torch.where(some, (total_p - total).sigmoid(), 0)
        y = y + share * (torch.where(some, y_p, 0) - y)
        total = torch.logaddexp(total.double(), total_p)
    return y, total


def chapter(reports: list[Report]) -> Report:
    y, total = stacked(reports)
    whole = total.logsumexp(0)
    return ((total - whole).exp() * y).sum(0), whole


def no_maximum(reports: list[Report]) -> Report:
    y, total = stacked(reports)
    z = total.exp().sum(0)
    return (total.exp() * y).sum(0) / z, z.log()


def shifted_to_zero(reports: list[Report]) -> Report:
    """Measures from the largest L, but never from below zero."""
    y, total = stacked(reports)
    top = total.amax(0).clamp(min=0)
    z = (total - top).exp().sum(0)
    return ((total - top).exp() * y).sum(0) / z, top + z.log()


def ignores_empty(reports: list[Report]) -> Report:
    """Heals nan in the parts, not in a row without any part."""
    return chapter([(y.nan_to_num(), total) for y, total in reports])


def first_two(reports: list[Report]) -> Report:
    return merged(reports[:2])


def two_alone(reports: list[Report]) -> Report:
    a, b = reports[0], reports[1]
    return merged([a, b])


def finite_floor(reports: list[Report]) -> Report:
    """Takes an empty part for one whose L is zero."""
    return merged([(y.nan_to_num(), safe(total)) for y, total in reports])


def in_place(reports: list[Report]) -> Report:
    for _, total in reports:
        total += 1
    y, total = merged(reports)
    return y, total - 1


def weights(x: Tensor, v: Tensor, dy: Tensor) -> tuple[Tensor, Tensor]:
    A = (x @ x.T).softmax(1)
    return A, A * (dy @ v.T - (dy * (A @ v)).sum(1, keepdim=True))


def symmetric(x: Tensor, v: Tensor, dy: Tensor) -> Tensor:
    dS = weights(x, v, dy)[1]
    return (dS + dS.T) @ x


def by_autograd(x: Tensor, v: Tensor, dy: Tensor) -> Tensor:
    leaf = x.requires_grad_()
    return torch.autograd.grad((leaf @ leaf.T).softmax(1) @ v, leaf, dy)[0]


def no_average(x: Tensor, v: Tensor, dy: Tensor) -> Tensor:
    lift = (x @ x.T).softmax(1) * (dy @ v.T)
    return (lift + lift.T) @ x


def row_sums(x: Tensor, v: Tensor, dy: Tensor) -> Tensor:
    """Adds the row sums of dS, which are zero, instead of dS^T x."""
    dS = weights(x, v, dy)[1]
    return dS @ x + dS.abs().sum(1, keepdim=True) * x


WRONG = {
    "memory_saving-2": [
        (online(rescale=False), "what were the older sums measured from"),
        (online(measure=False), "lost at 10,000"),
        (online(start=0.0), "lost at -10,000"),
        (online(divide=""), "what is it divided by"),
        (online(divide="plainly"), "what do you divide by there"),
        (online(shield=lambda t: t), "what is -inf minus -inf"),
        (online(report="log"), "measured from the maximum"),
        (online(report="sum"), "the maximum plus the log"),
        (online(report="flat"), "L has shape (4, 1) here, yours (4,)"),
        (last_alone, "the last block alone"),
        (zero_where_forbidden, "does -inf stay -inf"),
        (skips_empty_blocks, "its sums must stay"),
        (swapped, "y has shape (4, 3) here, yours (4, 1)"),
        (lambda blocks: at_once(blocks)[0], "two tensors come back"),
        (lambda blocks: (1.0, 2.0), "y is a tensor"),
        (lambda blocks: (zeros := torch.zeros(4, 3), zeros[:, :1]), "by hand"),
    ],
    "memory_saving-3": [
        (chapter, "zero times nan is nan"),
        (ignores_empty, "What is -inf minus -inf"),
        (no_maximum, "lost near 1,000"),
        (shifted_to_zero, "near -1,000"),
        (first_two, "five do not"),
        (two_alone, "IndexError"),
        (finite_floor, "must change nothing"),
        (in_place, "writes into the reports"),
        (lambda r: (stacked(r)[0].mean(0), merged(r)[1]), "counts alike"),
        (lambda r: (stacked(r)[0].sum(0), merged(r)[1]), "means already"),
        (lambda r: (merged(r)[0], stacked(r)[1].sum(0)), "The logs?"),
        (
            lambda r: (merged(r)[0] * merged(r)[1].exp(), merged(r)[1]),
            "divide by the sum",
        ),
        (
            lambda r: (
                (lambda y, t: (t / t.sum(0) * y).sum(0))(*stacked(r)),
                merged(r)[1],
            ),
            "not with their logs",
        ),
        (lambda r: r[1], "on paper"),
        (lambda r: merged(r)[0], "two tensors come back"),
    ],
    "memory_saving-4": [
        (lambda x, v, dy: weights(x, v, dy)[1] @ x, "In which other scores"),
        (lambda x, v, dy: weights(x, v, dy)[1].T @ x, "as the query"),
        (lambda x, v, dy: 2 * weights(x, v, dy)[1] @ x, "dS is not"),
        (lambda x, v, dy: symmetric(x, v, dy) / 2, "nothing is averaged"),
        (no_average, "Who dropped D"),
        (row_sums, "from finite differences"),
        (lambda x, v, dy: symmetric(x, v, dy).T, "the shape of x"),
    ],
}
RIGHT = {
    "memory_saving-2": [online(), at_once, lowest, by_reports],
    "memory_saving-3": [merged, one_by_one],
    "memory_saving-4": [symmetric, by_autograd],
}
