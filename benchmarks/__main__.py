"""Command line: measure, write the file, draw it."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import torch

from benchmarks import machine, report
from benchmarks.presets import PRESETS
from benchmarks.run import Settings, measure

_ABOUT = """\
Measure time and peak memory of every form of every block, and of softmax
attention alone, forward and forward + backward. Times are ratios: to the plain
form, to one large matrix product with as many multiply-adds, and to a dense
plain non-local block, all from alternating rounds of one process. Peak memory
is that of a fresh process.
"""
_EXAMPLES = """\
examples:
  python -m benchmarks --filter softmax_attention
  python -m benchmarks --filter nonlocal sdpa --shapes growth --threads 1
  python -m benchmarks --device cuda --shapes large --dtypes float32,bfloat16
  python -m benchmarks --plot _build/bench/cpu.json
"""


def parser() -> argparse.ArgumentParser:
    """Return the parser of the options."""
    p = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=_ABOUT,
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    p.add_argument(
        "--device",
        choices=("auto", "cpu", "cuda"),
        default="auto",
        help="auto: the GPU where there is one (default)",
    )
    p.add_argument(
        "--shapes",
        choices=PRESETS,
        default="small",
        help="a table of benchmarks/presets.py (default: %(default)s)",
    )
    p.add_argument(
        "--filter",
        nargs="+",
        default=[],
        metavar="WORD",
        help="rows whose name holds every WORD; a name is, for example, "
        "'nonlocal sdpa 1x64x48x48 float32 both'",
    )
    p.add_argument(
        "--dtypes",
        type=_dtypes,
        metavar="A,B",
        help="such as float32,bfloat16; instead of the preset's",
    )
    p.add_argument(
        "--compile",
        action="store_true",
        help="each form once more through torch.compile",
    )
    p.add_argument(
        "--threads",
        type=_positive,
        default=torch.get_num_threads(),
        help="of the CPU (default: PyTorch's, here %(default)s)",
    )
    p.add_argument(
        "--rounds",
        type=_positive,
        default=30,
        help="alternating rounds at most; they end when the two least times "
        "of each form agree within 5 %% (default: %(default)s)",
    )
    p.add_argument(
        "--deterministic",
        action="store_true",
        help="ask PyTorch for deterministic algorithms",
    )
    p.add_argument(
        "--no-memory",
        action="store_true",
        help="times alone: no fresh processes",
    )
    p.add_argument(
        "--limit",
        type=float,
        metavar="GIB",
        help="skip, and say so, what needs more in its plain form "
        "(default: half of the memory that is free)",
    )
    p.add_argument(
        "--quick",
        action="store_true",
        help="tiny shapes and three rounds: does it run?",
    )
    p.add_argument(
        "--out",
        type=Path,
        metavar="FILE",
        help="where the result goes (default: _build/bench/DEVICE.json)",
    )
    p.add_argument(
        "--figures",
        type=Path,
        metavar="FOLDER",
        help="where the figures go (default: beside the result)",
    )
    p.add_argument(
        "--plot",
        type=Path,
        metavar="FILE",
        help="draw the figures of FILE and measure nothing",
    )
    return p


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit status."""
    p = parser()
    a = p.parse_args(arguments)
    if a.plot:
        try:
            result = json.loads(a.plot.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            p.error(f"--plot: {error}")
        _draw(result, a.figures or a.plot.parent, a.plot.stem)
        return 0
    gpu = torch.cuda.is_available()
    if a.device == "cuda" and not gpu:
        p.error("--device cuda: PyTorch sees no GPU")
    device = "cuda" if gpu and a.device != "cpu" else "cpu"
    machine.prepare(device, a.threads, deterministic=a.deterministic)
    limit = a.limit * 2**30 if a.limit else machine.free_bytes(device) / 2
    settings = Settings(
        device=device,
        shapes="tiny" if a.quick else a.shapes,
        words=tuple(a.filter),
        dtypes=a.dtypes,
        compiled=a.compile,
        rounds=3 if a.quick else a.rounds,
        deterministic=a.deterministic,
        memory=not a.no_memory,
        limit=int(limit),
    )
    try:
        result = measure(settings)
    except KeyboardInterrupt:
        print("interrupted: nothing is written", file=sys.stderr)
        return 130
    if not result["rows"] and not result["skipped"]:
        p.error(f"--filter: no row's name holds all of {a.filter}")
    out = a.out or Path("_build/bench") / f"{device}.json"
    report.save(result, out)
    print(report.table(result))
    print(out)
    _draw(result, a.figures or out.parent, out.stem)
    return 0


def _draw(result: report.Result, folder: Path, stem: str) -> None:
    for path in report.draw(result, folder, stem):
        print(path)


def _dtypes(text: str) -> tuple[str, ...]:
    names = tuple(text.split(","))
    for name in names:
        dtype = getattr(torch, name, None)
        if not (isinstance(dtype, torch.dtype) and dtype.is_floating_point):
            raise argparse.ArgumentTypeError(
                f"{name!r} is no floating-point dtype of torch"
            )
    return names


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, got {number}")
    return number


if __name__ == "__main__":
    sys.exit(main())
