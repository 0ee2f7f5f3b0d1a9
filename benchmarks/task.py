"""Two tasks for all blocks: ``python -m benchmarks.task``.

Trains the network of ``attnlib.tasks`` with every block in its place, several
seeds each, on the same examples and for as many steps. A run that was
interrupted goes on where it stopped. The result file that the book draws is
``attnlib/tasks/results.json``.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from attnlib.catalog import list_blocks
from attnlib.cost import closed_form
from attnlib.tasks import LOCAL, Network, denoise, lookup
from benchmarks import machine, report
from benchmarks.timing import least_times

Row = dict[str, Any]
# Beside the blocks: one map over channels, and a second pass of criss-cross.
BLOCKS = {
    "lookup": (
        *LOCAL,
        *list_blocks(),
        "ChannelAttention",
        "RecurrentCrissCrossAttention",
    ),
    "denoise": (
        *LOCAL,
        "nonlocal",
        "ccnet",
        "gcnet",
        "lightnl",
        "nlsa",
    ),
}
STEPS = {"lookup": 1000, "denoise": 600}
SEEDS = 5


def _network(task: str, block: str) -> tuple[Network, Tensor]:
    """Return an untrained network and examples of one training step."""
    generator = torch.Generator().manual_seed(0)
    if task == "lookup":
        net = Network(block, lookup.KEYS + lookup.VALUES, lookup.VALUES)
        return net, lookup.pictures(lookup.BATCH, generator)[0]
    return Network(block, 1, 1), denoise.pieces(denoise.BATCH, generator)[0]


def network(task: str, block: str) -> Row:
    """Return what a network costs: time is a training step's, to local's."""
    torch.set_num_threads(1)
    net, x = _network(task, block)

    def step(of: str) -> Callable[[], None]:
        one, examples = _network(task, of)

        def run() -> None:
            one(examples).square().mean().backward()

        run()
        return run

    found = least_times(
        {name: step(name) for name in (LOCAL[0], block)},
        rounds=30,
        device="cpu",
    )
    inside = 0
    if block not in LOCAL:
        shape = (1, net.head.in_channels, *x.shape[2:])
        inside = closed_form(net.block, shape).macs
    return {
        "task": task,
        "block": block,
        "parameters": sum(p.numel() for p in net.parameters()),
        "macs": inside,
        "time": report.rounded(found[block].time / found[LOCAL[0]].time),
    }


def run(task: str, block: str, seed: int, steps: int) -> Row:
    """Train one network; return its score."""
    torch.set_num_threads(1)
    score: float | dict[str, float]
    if task == "lookup":
        score = round(lookup.accuracy(lookup.trained(block, seed, steps)), 4)
    else:
        found = denoise.quality(denoise.trained(block, seed, steps))
        score = {name: round(value, 3) for name, value in found.items()}
    return {
        "task": task,
        "block": block,
        "seed": seed,
        "steps": steps,
        "score": score,
    }


def parser() -> argparse.ArgumentParser:
    """Return the parser of the options."""
    p = argparse.ArgumentParser(
        prog="python -m benchmarks.task",
        description=__doc__.replace("``", "") if __doc__ else None,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    p.add_argument(
        "--tasks",
        nargs="+",
        choices=tuple(STEPS),
        default=tuple(STEPS),
        help="(default: both)",
    )
    p.add_argument(
        "--blocks",
        nargs="+",
        choices=BLOCKS["lookup"],
        metavar="NAME",
        help="such as local nonlocal (default: all of a task)",
    )
    p.add_argument(
        "--seeds",
        type=int,
        default=SEEDS,
        help="networks of each kind (default: %(default)s)",
    )
    p.add_argument(
        "--steps",
        type=int,
        help="of training (default: "
        + ", ".join(f"{n} for {task}" for task, n in STEPS.items())
        + ")",
    )
    p.add_argument(
        "--jobs",
        type=int,
        default=2,
        help="processes, one thread each (default: %(default)s)",
    )
    p.add_argument(
        "--out",
        type=Path,
        default=Path("_build/bench/task.json"),
        metavar="FILE",
        help="what is there is not run again (default: %(default)s)",
    )
    return p


def missing(
    rows: Sequence[Row],
    tasks: Sequence[str],
    blocks: Sequence[str] | None = None,
    seeds: int = SEEDS,
    steps: int | None = None,
) -> Iterator[tuple[str, str, int, int]]:
    """Yield the runs that are not among the rows, seed by seed."""
    done = {(r["task"], r["block"], r["seed"], r["steps"]) for r in rows}
    for seed in range(seeds):
        for task in tasks:
            for block in blocks or BLOCKS[task]:
                each = (task, block, seed, steps or STEPS[task])
                if each not in done:
                    yield each


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit status."""
    a = parser().parse_args(arguments)
    result: dict[str, Any] = {
        "machine": machine.describe("cpu"),
        "settings": {"steps": STEPS, "jobs": a.jobs},
        "networks": [],
        "rows": [],
    }
    if a.out.exists():
        result |= json.loads(a.out.read_text(encoding="utf-8"))
    networks, rows = result["networks"], result["rows"]
    # Times first, one at a time: nothing else runs beside them.
    known = {(row["task"], row["block"]) for row in networks}
    pairs = [(t, b) for t in a.tasks for b in a.blocks or BLOCKS[t]]
    todo = list(missing(rows, a.tasks, a.blocks, a.seeds, a.steps))
    try:
        new = [pair for pair in pairs if pair not in known]
        for pair in tqdm(new, unit="network"):
            networks.append(network(*pair))
            report.save(result, a.out)
        with ProcessPoolExecutor(a.jobs, get_context("spawn")) as pool:
            futures = [pool.submit(run, *each) for each in todo]
            try:
                for one in tqdm(as_completed(futures), total=len(todo)):
                    rows.append(one.result())
                    rows.sort(key=_order)
                    report.save(result, a.out)
            except KeyboardInterrupt:
                pool.shutdown(cancel_futures=True)
                raise
    except KeyboardInterrupt:
        print(f"interrupted: {a.out} has what is done", file=sys.stderr)
        return 130
    print(table(result))
    print(a.out)
    return 0


def _order(row: Row) -> tuple[int, int, int, int]:
    task, block = row["task"], row["block"]
    place = BLOCKS["lookup"].index(block)
    return list(STEPS).index(task), row["steps"], place, row["seed"]


def table(result: dict[str, Any]) -> str:
    """Return one line a task and block: size, time and the seeds' scores.

    Decibels are the mean over the photographs.
    """
    cost = {(n["task"], n["block"]): n for n in result["networks"]}
    lines: dict[tuple[str, str, int], str] = {}
    for row in result["rows"]:
        key = (row["task"], row["block"], row["steps"])
        n, score = cost[key[:2]], row["score"]
        if isinstance(score, dict):
            score = sum(score.values()) / len(score)
        start = (
            f"{key[0]:8} {key[1]:30} {key[2]:6} steps "
            f"{n['parameters']:8,} {n['time']:6.2f} x "
        )
        lines[key] = lines.get(key, start) + f" {score:.3f}"
    return "\n".join(lines.values())


if __name__ == "__main__":
    sys.exit(main())
