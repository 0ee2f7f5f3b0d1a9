"""How a check sees whether an answer goes through all pairs of positions."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

CASE = tuple[Tensor, Tensor, Tensor]


def draw(queries: int, keys: int, width: int) -> CASE:
    """Return a, b and v of a concatenation, at random."""
    a, b = torch.randn(queries).double(), torch.randn(keys).double()
    return a, b, torch.randn(keys, width).double()


class AllPairs(Exception):
    """As many numbers as there are pairs."""


class Meter(TorchDispatchMode):
    """Stop once the results hold ``limit`` numbers, alone or together."""

    def __init__(self, limit: int) -> None:
        super().__init__()
        self.limit, self.total = limit, 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        results = func(*args, **(kwargs or {}))
        every = results if isinstance(results, (tuple, list)) else [results]
        for result in every:
            size = result.numel() if isinstance(result, Tensor) else 0
            self.total += size
            if self.total >= self.limit:
                raise AllPairs("map" if size >= self.limit else "loop")
        return results


def timed(answer: Callable[..., Any], case: CASE) -> tuple[Any, float]:
    """Return the answer's result and the processor time that it took."""
    gc.disable()  # it would slow down the lists of a long loop
    try:
        start = time.process_time()
        y = answer(*case)
        return y, time.process_time() - start
    finally:
        gc.enable()


def slow(answer: Callable[..., Any], size: int, seconds: float) -> bool:
    """Compare with 8 runs of size / 8: a sort takes 1 to 2 times as long.

    All pairs take 6 times or more.
    """
    case = draw(size // 8, size // 8, 2)
    with Meter(size**2):
        return seconds > 4.5 * sum(timed(answer, case)[1] for _ in range(8))
