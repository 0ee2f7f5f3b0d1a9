"""What is measured: softmax attention alone, and each block of the catalogue.

A block joins by its catalogue entry: it is built for each shape of a preset,
and each of its ``impls`` becomes a row. Nothing here knows a block by name,
but for the dense non-local block that stands beside all others.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from attnlib import cost
from attnlib.catalog import CATALOG, create_block
from attnlib.functional import softmax_attention
from attnlib.functional.softmax import IMPLS
from benchmarks.presets import EVERY_BLOCK, FUNCTION, Line, Shape

PASSES = ("forward", "both")


@dataclass(frozen=True)
class Case:
    """What one row is about.

    Attributes:
        subject: a block's key, or ``"softmax_attention"``.
        options: of the block.
        impl: the form.
        shape: of the input, as in ``benchmarks.presets``.
        dtype: name of a dtype of torch.
        passes: ``"forward"`` (no graph, eval mode) or ``"both"`` (forward and
            backward, train mode).
        compiled: whether ``torch.compile`` compiles it.
    """

    subject: str
    impl: str
    shape: Shape
    dtype: str
    passes: str
    options: dict[str, Any] = field(default_factory=dict)
    compiled: bool = False

    def __str__(self) -> str:
        options = "".join(f" {value}" for value in self.options.values())
        shape = "x".join(str(size) for size in self.shape)
        how = " compiled" if self.compiled else ""
        form = f"{self.subject}{options} {self.impl}{how}"
        return f"{form} {shape} {self.dtype} {self.passes}"

    @property
    def positions(self) -> int:
        """N."""
        if self.subject == FUNCTION:
            return self.shape[1]
        return math.prod(self.shape[2:])

    @property
    def plain(self) -> Case:
        """The same work in the plain form."""
        return replace(self, impl="reference", compiled=False)

    @property
    def dense(self) -> Case | None:
        """The same input through a dense, plain non-local block."""
        if self.subject == FUNCTION:
            return None
        dims = len(self.shape) - 2
        options = {} if dims == 2 else {"dims": dims}
        return replace(self.plain, subject="nonlocal", options=options)

    def macs(self) -> int:
        """Count the plain form's multiply-adds.

        A product in the forward pass has two in the backward pass.
        """
        times = 3 if self.passes == "both" else 1
        if self.subject == FUNCTION:
            b, n, d, dv = self.shape
            return times * b * n * n * (d + dv)
        block = Work(self.plain, "meta").function
        return times * cost.count(block, self.shape, impl="reference").macs

    def head(self) -> dict[str, Any]:
        """Return what identifies the row, in the order of the file."""
        values = {**asdict(self), "positions": self.positions}
        order = "subject options impl shape positions dtype passes compiled"
        return {name: values[name] for name in order.split()}


class Work:
    """A case with its tensors; a call does the work once.

    Args:
        case: what to build.
        device: where.
        small: build at most some hundred positions, to warm up with.
    """

    def __init__(self, case: Case, device: str, *, small: bool = False):
        torch.manual_seed(0)
        kw: Any = {"dtype": getattr(torch, case.dtype), "device": device}
        self.backward = case.passes == "both"
        self.compiled = case.compiled
        self.function: Any
        self.parameters: list[Tensor] = []
        self.buffers: list[Tensor] = []
        if case.subject == FUNCTION:
            b, n, d, dv = case.shape
            n = min(n, 512) if small else n
            # Scores of variance 1, as a trained network has them: no
            # exponential vanishes into numbers that a processor takes long to
            # add.
            q, k = (torch.randn(b, n, d, **kw) / d**0.25 for _ in range(2))
            self.inputs = [q, k, torch.randn(b, n, dv, **kw)]
            self.function = partial(softmax_attention, impl=case.impl)
        else:
            b, c, *size = case.shape
            size = [min(s, 24) for s in size] if small else size
            block: Any = create_block(case.subject, c, **case.options, **kw)
            block.impl = case.impl
            block.train(self.backward)
            self.parameters = list(block.parameters())
            self.buffers = list(block.buffers())
            if device != "meta":
                _fill_zeros(self.parameters)
            self.inputs = [torch.randn(b, c, *size, **kw)]
            self.function = block
        if self.backward:
            self.inputs = [t.requires_grad_() for t in self.inputs]
        if case.compiled:
            self.function = torch.compile(self.function, dynamic=False)

    def __call__(self) -> None:
        """Run the passes once; output and gradients are dropped."""
        with torch.set_grad_enabled(self.backward):
            y = self.function(*self.inputs)
            if self.backward:
                trained = [p for p in self.parameters if p.requires_grad]
                leaves = [*self.inputs, *trained]
                slope = torch.ones_like(y)
                torch.autograd.grad(y, leaves, slope, allow_unused=True)


def _fill_zeros(parameters: Sequence[Tensor]) -> None:
    """Let no parameter be all zeros: gradients behind it would be zero."""
    for p in parameters:
        if not p.any():
            nn.init.constant_(p, 0.5)


class Trace(TorchDispatchMode):
    """The operators that run, and the most bytes alive among their results."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []
        self.peak = 0
        self.alive: dict[StorageWeakRef, int] = {}

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        """Run the operator and look at its results."""
        out = func(*args, **(kwargs or {}))
        self.names.append(str(func))
        for t in tree_leaves(out):
            if isinstance(t, Tensor):
                storage = t.untyped_storage()
                self.alive[StorageWeakRef(storage)] = storage.nbytes()
        self.alive = {r: n for r, n in self.alive.items() if not r.expired()}
        self.peak = max(self.peak, sum(self.alive.values()))
        return out


def needed_bytes(case: Case) -> int:
    """Bytes of the plain form at its peak, without allocating one of them."""
    work = Work(case.plain, "meta")
    with Trace() as trace:
        work()
    return trace.peak


def first_run(work: Work) -> str | None:
    """Run once; name the fused attention kernel that PyTorch picks, if any."""
    if work.compiled:
        work()
        return None
    with Trace() as trace:
        work()
    start = "aten._scaled_dot_product_"
    # Where a gradient is wanted the CPU's kernel runs inside of our operator.
    ours = {
        "attnlib.attention_sdpa.default": f"{start}flash_attention_for_cpu."
    }
    names = [ours.get(name, name) for name in trace.names]
    names = [name for name in names if name.startswith(start)]
    return names[0].removeprefix(start).split(".")[0] if names else None


def plan(
    lines: Sequence[Line],
    *,
    dtypes: Sequence[str] | None = None,
    compiled: bool = False,
    words: Sequence[str] = (),
) -> Iterator[list[Case]]:
    """Yield groups of cases that share subject, shape, dtype and passes.

    Args:
        lines: a preset.
        dtypes: instead of those of the preset.
        compiled: each form compiled, too.
        words: only cases whose name holds all of them.
    """
    for line in lines:
        every = line.subject == EVERY_BLOCK
        for subject in CATALOG if every else (line.subject,):
            options = dict(line.options)
            for shape in line.shapes:
                for dtype in dtypes or line.dtypes:
                    for passes in PASSES:
                        first = Case(
                            subject, "", shape, dtype, passes, options
                        )
                        group = _forms(first, compiled)
                        group = [
                            case
                            for case in group
                            if all(word in str(case) for word in words)
                        ]
                        if group:
                            yield group


def _forms(case: Case, compiled: bool) -> list[Case]:
    """Every form of a case; ``auto`` is one of the others."""
    impls: Sequence[str] = IMPLS
    if case.subject != FUNCTION:
        block: Any = create_block(
            case.subject, case.shape[1], device="meta", **case.options
        )
        impls = block.impls
    return [
        replace(case, impl=impl, compiled=how)
        for how in ((False, True) if compiled else (False,))
        for impl in impls
        if impl != "auto"
    ]
