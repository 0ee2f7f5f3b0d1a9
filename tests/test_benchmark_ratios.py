"""Ratios of times, with a clock that passes only when a task says so."""

import pytest
from bench_rows import RATIOS

from benchmarks import run, subjects, timing
from benchmarks.presets import PRESETS


class Clock:
    """A time that passes only when a task says so."""

    def __init__(self):
        self.now = 0.0
        self.calls = []

    def task(self, name, *spans):
        """A task that takes the spans in turn, then the last for ever."""
        left = list(spans)

        def work():
            self.calls.append(name)
            self.now += left.pop(0) if len(left) > 1 else left[0]

        return work


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(timing, "clock", lambda device: lambda: clock.now)
    return clock


def test_the_least_of_alternating_rounds_counts(clock):
    """One call says how long it takes; a disturbed round changes nothing."""
    tasks = {
        "slow": clock.task("slow", 9.0, 0.75, 0.5, 0.5),
        "fast": clock.task("fast", 9.0, 0.125, 8.0, 0.25),
    }
    found = timing.least_times(tasks, rounds=3, device="cpu")
    assert found["slow"] == (0.5, True, (0.75, 0.5, 0.5))
    assert found["fast"] == (0.125, False, (0.125, 8.0, 0.25))
    there, back = ["slow", "fast"], ["fast", "slow"]
    assert clock.calls == [*there, *there, *back, *there]


def test_a_short_task_repeats_until_its_turn_is_long(clock):
    short = clock.task("short", 2**-10)
    found = timing.least_times({"short": short}, rounds=3, device="cpu")
    assert found == {"short": (2**-10, True, (2**-10,) * 3)}
    each = (len(clock.calls) - 1) / 3
    assert timing.TURN <= each * 2**-10 < timing.TURN + 2**-10


@pytest.mark.parametrize(
    ("spans", "rounds"),
    [
        ([1.0], 3),  # they agree, and two seconds are over
        ([0.25], 9),  # they agree, and too soon
        ([0.5, 2.0, 1.5, 1.0, 1.03125], 4),  # until two agree
        ([1.0, 1.5, 3.0], 4),  # not within the most seconds
        ([1.0, *(2.0**-n for n in range(11))], 10),  # never
    ],
)
def test_rounds_end_when_the_least_times_agree(clock, spans, rounds):
    tasks = {"one": clock.task("one", *spans)}
    found = timing.least_times(tasks, rounds=10, device="cpu")["one"]
    assert len(clock.calls) == 1 + rounds
    first, second, *_ = sorted((spans[1:] + spans[-1:] * 10)[:rounds])
    assert found[:2] == (first, second <= 1.05 * first)


def test_ratios_divide_the_right_times(monkeypatch):
    """A plain form of 6 s, a dense block of 12 s, a product of 2 s."""
    group = next(
        plan
        for plan in subjects.plan(PRESETS["tiny"], words=["selfatt", "both"])
    )
    plain, dense = str(group[0].plain), str(group[0].dense)
    fast = next(str(case) for case in group if case.impl == "sdpa")

    def least_times(tasks, *, rounds, device):
        known = {plain: 6.0, dense: 12.0, fast: 1.0, run._PRODUCT: 2.0}
        return {
            name: timing.Least(known.get(name, 3.0), name != fast)
            for name in tasks
        }

    monkeypatch.setattr(run, "least_times", least_times)
    settings = run.Settings("cpu", "tiny")
    found, skipped, unsettled = run._times(group, settings)
    assert (skipped, unsettled) == ([], 1)  # the fast one alone
    rows = {str(case): row for case, row in found}
    assert [rows[plain][name] for name in RATIOS[::2]] == [1, 0.5]
    assert [rows[fast][name] for name in RATIOS[::2]] == [0.167, 0.0833]
    side = timing.SIDE["cpu"]
    matmul = 1.0 / (2.0 * rows[fast]["macs"] / side**3)
    assert rows[fast]["to_matmul"] == float(f"{matmul:.3g}")
