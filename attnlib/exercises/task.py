"""Checks of the chapter on one task for all, ``task-2`` and ``task-3``."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from attnlib.exercises import exercise


def _pictures(
    size: tuple[int, int], batch: int, generator: torch.Generator
) -> tuple[Tensor, Tensor, Tensor]:
    """Three items and three queries; where the queries are, what is right."""
    H, W = size
    places = torch.rand(batch, H * W, generator=generator).topk(6).indices
    item, query = places.split(3, 1)
    key = torch.rand(batch, 4, generator=generator).argsort(1)[:, :3]
    value = torch.randint(4, (batch, 3), generator=generator)
    x = torch.zeros(batch, 8, H * W)
    b = torch.arange(batch)[:, None]
    x[b, key, item] = x[b, key, query] = x[b, 4 + value, item] = 1
    return x.unflatten(2, size), query, value


class _Largest(TorchDispatchMode):
    """The size of the largest tensor that an operation returns."""

    size = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        for t in out if isinstance(out, (tuple, list)) else (out,):
            if isinstance(t, Tensor):
                self.size = max(self.size, t.numel())
        return out


@exercise(
    "task-2",
    right="every query of every picture, and no position was compared with "
    "another.",
)
def _scores(answer: Any) -> str | None:
    if not callable(answer):
        return "a function of pictures is asked for."
    generator = torch.Generator().manual_seed(5)
    for size, batch in (((12, 12), 50), ((5, 9), 50), ((20, 30), 3)):
        x, query, value = _pictures(size, batch, generator)
        kept = x.clone()
        with _Largest() as largest:
            got = answer(x)
        if not isinstance(got, Tensor):
            return "a tensor of scores must come back."
        if got.shape != (batch, 4, *size):
            return (
                f"for pictures of {tuple(x.shape)} scores of "
                f"{(batch, 4, *size)} are asked for, got {tuple(got.shape)}."
            )
        if not torch.equal(x, kept):
            return "the pictures have changed. Work on a copy."
        best = got.flatten(2).argmax(1)
        right = (best.gather(1, query) == value).double().mean()
        if right < 1:
            return (
                f"{100 * right:.0f} % of the queries are right. Sum over all "
                "positions value times key, then let each position's key "
                "read the table. One table a picture."
            )
        if largest.size >= batch * (size[0] * size[1]) ** 2:
            return (
                "right, but some tensor has an entry for each pair of "
                "positions. Move the bracket."
            )
    return None


@exercise(
    "task-3",
    right="the share that is seen, and a guess for the rest.",
)
def _ceiling(answer: Any) -> str | None:
    if not callable(answer):
        return "a function of four things is asked for."
    generator = torch.Generator().manual_seed(6)
    everything = torch.ones(30, 30, dtype=torch.bool)
    some = torch.rand(30, 30, generator=generator) < 0.3
    cases = (
        (everything, 4, "where every item is heard, nothing forbids 1."),
        (~everything, 4, "where no item is heard, one in four is left."),
        (~everything, 7, "with seven values a guess is right less often."),
        (some, 4, None),
        (some.triu(), 5, None),
    )
    for hears, values, hint in cases:
        item, query = torch.randint(30, (2, 200), generator=generator)
        got = answer(hears, item, query, values)
        try:
            got = float(got)
        except (TypeError, ValueError):
            return "one number must come back."
        r = hears[query, item].double().mean().item()
        if abs(got - (r + (1 - r) / values)) > 1e-9:
            swapped = hears[item, query].double().mean().item()
            whole = hears.double().mean().item()
            if abs(got - (swapped + (1 - swapped) / values)) < 1e-9:
                return "does the query hear the item, or the item the query?"
            if abs(got - (whole + (1 - whole) / values)) < 1e-9:
                return (
                    "that is the share of all pairs. Count the pairs of item "
                    "and query that are asked for."
                )
            if abs(got - r) < 1e-9:
                return "who does not hear the item may still guess."
            return (
                hint or "r is the share of pairs that are heard; then guess."
            )
    return None
