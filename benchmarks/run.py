"""The run: group by group, first the times, then the memory of each row."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from tqdm import tqdm

from benchmarks import machine, peak
from benchmarks.presets import PRESETS
from benchmarks.report import Result, Row, rounded
from benchmarks.subjects import Case, Work, first_run, needed_bytes, plan
from benchmarks.timing import (
    AGREEMENT,
    LEAST_ROUNDS,
    SIDE,
    MatrixProduct,
    least_times,
)

_product = cache(MatrixProduct)
_PRODUCT = "large matrix product"
_READINGS = {
    "cpu": "high-water mark of a fresh process",
    "cuda": "most bytes that PyTorch allocated",
}


@dataclass(frozen=True)
class Settings:
    """What the command line says.

    Attributes:
        device: ``"cpu"`` or ``"cuda"``.
        shapes: name of a preset.
        words: what the names of the rows hold.
        dtypes: instead of the preset's.
        compiled: each form compiled, too.
        rounds: alternating rounds at most.
        deterministic: whether PyTorch is asked for deterministic algorithms.
        memory: whether memory is measured.
        limit: bytes that a plain form may need.
    """

    device: str
    shapes: str
    words: tuple[str, ...] = ()
    dtypes: tuple[str, ...] | None = None
    compiled: bool = False
    rounds: int = 30
    deterministic: bool = False
    memory: bool = True
    limit: int = 2**33


def measure(settings: Settings) -> Result:
    """Measure what the settings ask for; return what the file holds."""
    groups = list(
        plan(
            PRESETS[settings.shapes],
            dtypes=settings.dtypes,
            compiled=settings.compiled,
            words=settings.words,
        )
    )
    rows: list[Row] = []
    skipped: list[Row] = []
    unsettled = 0
    with tqdm(total=sum(map(len, groups)), unit="row") as bar:
        for group in groups:
            bar.set_description(str(group[0]))
            found, left_out, restless = _times(group, settings)
            skipped += left_out
            unsettled += restless
            bar.update(len(group) - len(found))
            if settings.device == "cuda":  # the fresh processes want it
                torch.cuda.empty_cache()
            for case, row in found:
                bar.set_description(str(case))
                memory: peak.Memory | str = peak.unknown()
                if settings.memory:
                    memory = _memory(case, settings)
                if isinstance(memory, str):
                    skipped.append(_skip(case, memory))
                    memory = peak.unknown()
                rows.append({**row, **memory})
                bar.update()
    return {
        "machine": machine.describe(settings.device),
        "settings": {
            "shapes": settings.shapes,
            "filter": list(settings.words),
            "rounds": [min(LEAST_ROUNDS, settings.rounds), settings.rounds],
            "agreement": AGREEMENT,
            "unsettled": unsettled,
            "seed": 0,
            "large_product": [SIDE[settings.device]] * 3,
            "deterministic": settings.deterministic,
            "peak": _READINGS[settings.device] if settings.memory else None,
        },
        "rows": rows,
        "skipped": skipped,
    }


def _memory(case: Case, settings: Settings) -> peak.Memory | str:
    """Return the memory of a case, or why there is nothing."""
    if settings.device == "cuda":  # PyTorch counts, the same in any process
        try:
            return peak.measure(case, "cuda")
        except RuntimeError as error:
            return f"memory: {error}"
    return peak.in_fresh_process(
        case,
        settings.device,
        torch.get_num_threads(),
        deterministic=settings.deterministic,
    )


def _times(
    group: list[Case], settings: Settings
) -> tuple[list[tuple[Case, Row]], list[Row], int]:
    """Return the rows of a group, without memory, and what was left out.

    The last number says how many rows the least times did not settle for.
    """
    device, plain, dense = settings.device, group[0].plain, group[0].dense
    need = max(needed_bytes(case) for case in (plain, dense) if case)
    if need > settings.limit:
        reason = (
            f"the plain form needs {need / 2**30:.3g} GiB, "
            f"the limit is {settings.limit / 2**30:.3g}"
        )
        return [], [_skip(case, reason) for case in group], 0
    torch.compiler.reset()  # or compilations of other shapes would pile up
    skipped = []
    kernels: dict[str, str | None] = {}
    tasks: dict[str, Callable[[], object]] = {}
    for case in [plain, *([dense] if dense else []), *group]:
        if str(case) in tasks:
            continue
        try:
            work = Work(case, device)
            kernels[str(case)] = first_run(work)
            tasks[str(case)] = work
        except (RuntimeError, ValueError) as error:
            if case in group:
                skipped.append(_skip(case, str(error)))
    tasks[_PRODUCT] = product = _product(plain.dtype, device)
    found = least_times(tasks, rounds=settings.rounds, device=device)
    times = {name: least.time for name, least in found.items()}
    restless = {name for name, least in found.items() if not least.settled}

    macs = plain.macs()
    a_mac = times[_PRODUCT] / product.macs

    def ratio(case: Case, other: Case | None) -> float | None:
        if other is None or str(other) not in times:
            return None
        return rounded(times[str(case)] / times[str(other)])

    rows = []
    for case in group:
        if str(case) in times:
            row: dict[str, Any] = {
                **case.head(),
                "macs": macs,
                "to_plain": ratio(case, plain),
                "to_matmul": rounded(times[str(case)] / (macs * a_mac)),
                "to_dense": ratio(case, dense),
                "kernel": kernels[str(case)],
            }
            rows.append((case, row))
    beside = {str(plain), str(dense), _PRODUCT} & restless
    moved = [case for case, _ in rows if beside or str(case) in restless]
    return rows, skipped, len(moved)


def _skip(case: Case, reason: str) -> Row:
    """Say what is missing and why; no path of this machine."""
    line = (reason.strip() or "no reason given").splitlines()[0]
    return {**case.head(), "reason": re.sub(r"\S*[/\\]\S*", "...", line)}
