"""Memory as a count, not a reading: bytes kept, bytes alive, largest tensor.

What a process occupies depends on the allocator, on what ran before and on
the system. These three numbers do not: two runs give the same bytes.

- kept: what autograd holds between forward and backward, seen through its
  saved-tensor hooks.
- peak and largest: the most bytes alive at one time, and the largest single
  allocation, from the profiler's memory events.
"""

from __future__ import annotations

import gc
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks
from torch.profiler import ProfilerActivity, profile

from attnlib._checks import check_flag, check_floating


def kept_bytes(
    function: Callable[..., Any],
    *inputs: Tensor,
    without: Iterable[Tensor] = (),
) -> int:
    """Return the bytes that autograd keeps after ``function(*inputs)``.

    Args:
        function: what to run, forward only.
        inputs: its arguments; those that require a gradient decide what is
            kept.
        without: tensors whose storage does not count, such as parameters.

    Shape:
        - Output: a number; a storage that several tensors share counts once

    Example:
        >>> x = torch.randn(100, requires_grad=True)
        >>> kept_bytes(torch.exp, x)  # exp keeps its result, not its input
        400
    """
    own = {t.untyped_storage().data_ptr() for t in without}
    kept: dict[int, torch.UntypedStorage] = {}

    def pack(t: Tensor) -> Tensor:
        storage = t.untyped_storage()
        if storage.data_ptr() not in own:
            # Held: a freed storage could hand its address to the next.
            kept[storage.data_ptr()] = storage
        # A result that saves itself would never be freed.
        return t.detach()

    with saved_tensors_hooks(pack, lambda t: t):
        function(*inputs)
    return sum(storage.nbytes() for storage in kept.values())


class Allocations(NamedTuple):
    """Bytes alive at the worst moment, and bytes of the largest tensor."""

    peak: int
    largest: int


def allocations(
    function: Callable[..., Tensor], *inputs: Tensor, backward: bool = True
) -> Allocations:
    """Return what ``function(*inputs)`` and its backward pass allocate.

    Args:
        function: what to run; returns a tensor.
        inputs: its arguments, on the CPU. They are copied before the count
            begins and do not count.
        backward: follow the forward pass by the backward pass of the output's
            sum, with gradients for all inputs; False: forward alone, without
            a graph.

    Shape:
        - Output: ``Allocations(peak, largest)``, in bytes

    Raises:
        TypeError: an input that is not a floating-point tensor.
        ValueError: an input that is not on the CPU (for a GPU, PyTorch counts:
            ``torch.cuda.max_memory_allocated``).
        RuntimeError: a profiler runs already; there is one a process.
    """
    check_flag("backward", backward)
    for t in inputs:
        if check_floating("inputs", t).device.type != "cpu":
            raise ValueError(f"inputs must be on the CPU, got {t.device}")
    if torch.autograd._profiler_enabled():  # type: ignore[attr-defined]
        raise RuntimeError(
            "allocations cannot count while another profiler runs: stop it, "
            "or call allocations outside of it"
        )
    leaves = [t.detach().clone().requires_grad_(backward) for t in inputs]
    profiler = profile(activities=[ProfilerActivity.CPU], profile_memory=True)
    gc.collect()  # PyTorch warns when what is older than the count is freed
    with _hushed():
        profiler.start()
    try:
        with torch.set_grad_enabled(backward):
            result = function(*leaves)  # alive until the count has ended
            if backward:
                result.sum().backward()
    finally:
        with _hushed():
            profiler.stop()
    inside: Any = profiler.profiler
    recorded = inside.kineto_results.events()
    alive, peak, largest = 0, 0, 0
    sizes = [
        (e.start_ns(), e.nbytes()) for e in recorded if e.name() == "[memory]"
    ]
    for _, size in sorted(sizes, key=lambda entry: entry[0]):
        alive += size
        peak, largest = max(peak, alive), max(largest, size)
    return Allocations(peak, largest)


@contextmanager
def _hushed() -> Iterator[None]:
    """Drop what is written to standard error: the profiler greets there."""
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
