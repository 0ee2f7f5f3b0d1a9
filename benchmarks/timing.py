"""Times as ratios: the least of alternating rounds in one process.

All forms of a case, the dense block beside it and one large matrix product
take turns. A disturbance hits them alike, and the least time of each is the
one that was disturbed least. Seconds do not leave this file.
"""

from __future__ import annotations

import math
import time
import timeit
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch

# A form that is faster repeats until its turn takes this many seconds.
TURN = 0.02
# Side of the large matrix product.
SIDE = {"cpu": 3072, "cuda": 8192}
# Rounds end when each task's two least times agree this well ...
AGREEMENT = 1.05
# ... after so many rounds and seconds at least, so many seconds at most.
LEAST_ROUNDS, LEAST_SECONDS, MOST_SECONDS = 3, 2.0, 8.0


class Least(NamedTuple):
    """The least time of a task, and whether another round came near it.

    ``rounds`` has the time of every round: what one task took in a round may
    be compared with what another took in it.
    """

    time: float
    settled: bool
    rounds: tuple[float, ...] = ()


def clock(device: str) -> Callable[[], float]:
    """Return a clock that waits for the device before it looks."""
    if device != "cuda":
        return time.perf_counter

    def after_all_kernels() -> float:
        torch.cuda.synchronize()
        return time.perf_counter()

    return after_all_kernels


class MatrixProduct:
    """One large product; ``macs`` says how many multiply-adds it makes."""

    def __init__(self, dtype: str, device: str) -> None:
        side = SIDE[device]
        kw: Any = {"dtype": getattr(torch, dtype), "device": device}
        self.a, self.b = torch.randn(2, side, side, **kw)
        self.out = torch.empty(side, side, **kw)
        self.macs = side**3

    def __call__(self) -> None:
        """Multiply once."""
        torch.mm(self.a, self.b, out=self.out)


def least_times(
    tasks: Mapping[str, Callable[[], object]],
    *,
    rounds: int,
    device: str,
) -> dict[str, Least]:
    """Return the least time of each task; ratios of them are results.

    Args:
        tasks: what takes turns; each has run once before, so that what is
            compiled or tuned is ready.
        rounds: at most.
        device: where the tasks run.
    """
    now = clock(device)
    timers = {n: timeit.Timer(task, timer=now) for n, task in tasks.items()}
    repeats = {
        name: max(1, math.ceil(TURN / timer.timeit(1)))
        for name, timer in timers.items()
    }
    spent: dict[str, list[float]] = {name: [] for name in timers}
    begin = now()
    for n in range(1, rounds + 1):
        # There and back: nobody always follows the same neighbour.
        for name in list(timers) if n % 2 else reversed(timers):
            seconds = timers[name].timeit(repeats[name]) / repeats[name]
            spent[name].append(seconds)
        passed = now() - begin
        settled = all(map(_agree, spent.values()))
        enough = LEAST_SECONDS if settled else MOST_SECONDS
        if n >= LEAST_ROUNDS and passed > enough:
            break
    return {
        name: Least(min(times), _agree(times), tuple(times))
        for name, times in spent.items()
    }


def _agree(spent: list[float]) -> bool:
    """Whether the two least times agree: hardly anything disturbed them."""
    least, *others = sorted(spent)
    return bool(others) and others[0] <= AGREEMENT * least
