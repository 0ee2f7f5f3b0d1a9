"""Memory of one case, in a process of its own that ran nothing before.

Each case gets a process that is forked from one which has imported PyTorch and
nothing else (where there is no fork, a new interpreter). On Linux the peak is
the kernel's high-water mark; on a GPU it is PyTorch's own. Beside the reading
stand two counts, which do not depend on allocator or system.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
from multiprocessing.connection import Connection
from typing import Any

import torch
import torch._dynamo  # operators of our own load it when they run first

from attnlib.memory import allocations, kept_bytes
from benchmarks import machine
from benchmarks.subjects import Case, Work

Memory = dict[str, int | None]


def unknown() -> Memory:
    """Return the three numbers of a row whose memory was not measured."""
    return dict.fromkeys(("kept_bytes", "peak_bytes", "counted_peak_bytes"))


def measure(case: Case, device: str) -> Memory:
    """Return the memory of a case; call it in a fresh process.

    Shape:
        - Output: ``kept_bytes``, ``peak_bytes``, ``counted_peak_bytes``; the
          peaks beyond inputs and parameters; None: cannot be measured here
    """
    found = unknown()
    whole = case.compiled or device == "cuda"
    Work(case, device, small=not whole)()  # code and pools are loaded before
    work = Work(case, device)
    if device == "cuda":
        found["peak_bytes"] = _cuda_peak(work)
    elif sys.platform == "linux":
        found["peak_bytes"] = _process_peak(work)
    own = (*work.parameters, *work.buffers)
    if not case.compiled:  # whose graph of its own the counts would not see
        kept = kept_bytes(work.function, *work.inputs, without=own)
        found["kept_bytes"] = kept if work.backward else 0
        if device == "cpu":
            count = allocations(
                work.function, *work.inputs, backward=work.backward
            )
            found["counted_peak_bytes"] = count.peak
    return found


def _cuda_peak(work: Work) -> int:
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    work()
    torch.cuda.synchronize()
    return torch.cuda.max_memory_allocated() - before


def _process_peak(work: Work) -> int | None:
    try:
        with open("/proc/self/clear_refs", "w") as file:
            file.write("5")  # the high-water mark falls to the present level
        before = _status("VmRSS")
        work()
        return _status("VmHWM") - before
    except OSError:  # a container may forbid it
        return None


def _status(name: str) -> int:
    with open("/proc/self/status") as lines:
        line = next(line for line in lines if line.startswith(name))
    return int(line.split()[1]) * 1024


def in_fresh_process(
    case: Case, device: str, threads: int, *, deterministic: bool = False
) -> Memory | str:
    """Return what :func:`measure` returns, or why there is nothing."""
    # Large blocks of memory go back to the system as soon as they are free.
    os.environ["MALLOC_MMAP_THRESHOLD_"] = "131072"
    forks = "forkserver" in multiprocessing.get_all_start_methods()
    context: Any = multiprocessing.get_context(
        "forkserver" if forks else "spawn"
    )
    if forks:
        context.set_forkserver_preload([__name__])
    ours, theirs = context.Pipe()
    process = context.Process(
        target=_answer, args=(theirs, case, device, threads, deterministic)
    )
    process.start()
    theirs.close()
    try:
        answer: Memory | str = ours.recv()
    except EOFError:
        answer = "memory: the process was ended, likely for want of memory"
    process.join()
    return answer


def _answer(
    pipe: Connection,
    case: Case,
    device: str,
    threads: int,
    deterministic: bool,
) -> None:
    machine.prepare(device, threads, deterministic=deterministic)
    try:
        pipe.send(measure(case, device))
    except Exception as error:
        pipe.send(f"memory: {error}".splitlines()[0])
