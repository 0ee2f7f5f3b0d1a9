"""The blocks to test: every entry of the catalogue, with its options.

A new block is tested by its catalogue entry and a module in ``systems``, which
names its options and the laws that hold for it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import systems
import torch
from torch import Tensor, nn

from attnlib.catalog import CATALOG, create_block

CHANNELS = 8
# How close a block comes to a recorded run, in outputs and gradients.
RECORDED = {"rtol": 0, "atol": 1e-10}
SIZES = {1: (11,), 2: (5, 7), 3: (3, 4, 5)}
VARIANTS: dict[str, list[dict[str, Any]]] = systems.table("VARIANTS")


@dataclass(frozen=True)
class Case:
    """One block with one set of options."""

    key: str
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def dims(self) -> int:
        return self.options.get("dims", 2)

    @property
    def size(self) -> tuple[int, ...]:
        return SIZES[self.dims]

    @property
    def traits(self) -> set[str]:
        """The laws that hold, of ``systems.TRAITS``."""
        found: set[str] = systems.owner(self.key).traits(self)
        assert found <= systems.TRAITS
        return found

    @property
    def pooled(self) -> bool:
        return bool({"pooled", "halves"} & self.traits)

    def __str__(self) -> str:
        options = "-".join(f"{k}={v}" for k, v in self.options.items())
        return f"{self.key}-{options}" if options else self.key

    def build(
        self, *, dtype: torch.dtype = torch.float64, **more: Any
    ) -> nn.Module:
        """Build the block with random parameters, in eval mode."""
        # Those of other devices take longer than the block.
        torch.default_generator.manual_seed(0)
        block = create_block(
            self.key, CHANNELS, dtype=dtype, **self.options, **more
        )
        return randomise(block).eval()

    def input(
        self, batch: int = 2, *, dtype: torch.dtype = torch.float64
    ) -> Tensor:
        shape = (batch, CHANNELS, *self.size)
        generator = torch.Generator().manual_seed(1)
        x = torch.randn(shape, generator=generator, dtype=torch.float64)
        return x.to(dtype)


def randomise(block: nn.Module, std: float = 0.5) -> nn.Module:
    """Give every parameter and buffer random values: no zero hides a bug."""
    random = {
        "generator": torch.Generator().manual_seed(2),
        "dtype": torch.float64,
    }
    tensors = [*block.named_parameters(), *block.named_buffers()]
    with torch.no_grad():
        for name, tensor in tensors:
            if not tensor.is_floating_point():
                continue
            values = torch.randn(tensor.shape, **random) * std
            if name.endswith("running_var"):
                values = values.abs() + 0.5
            tensor.copy_(values)
    return block


def gradients(block: nn.Module, x: Tensor) -> dict[str, Tensor]:
    """Return output and all gradients of a fixed random projection of it."""
    x = x.clone().requires_grad_()
    y = block(x)
    generator = torch.Generator().manual_seed(3)
    probe = torch.randn(y.shape, generator=generator, dtype=torch.float64)
    leaves = {"input": x}
    leaves |= {n: p for n, p in block.named_parameters() if p.requires_grad}
    loss = (y * probe.to(y.dtype)).sum()
    grads = torch.autograd.grad(loss, list(leaves.values()))
    return {"output": y.detach(), **dict(zip(leaves, grads, strict=True))}


# Every key and every further class of the catalogue.
KEYS = [
    key
    for info in CATALOG.values()
    for key in (info.key, *(cls.__name__ for cls in info.others))
]
CASES = [
    Case(key, options) for key in KEYS for options in VARIANTS.get(key, [{}])
]
IMPL_CASES = [
    (case, impl)
    for case in CASES
    for impl in case.build().impls
    if impl != "reference"
]

# Tracing is slow: each fast form of a block's first case, and the choice of
# ``auto``, which is one of them, for each further case; for the first, too,
# where there is no further one or no other form.
FIRST_CASES = [
    Case(key, options)
    for key in KEYS
    for options in VARIANTS.get(key, [{}])[:1]
]
_FURTHER = {case.key for case in CASES if case not in FIRST_CASES}
_FAST = {str(case) for case, impl in IMPL_CASES if impl != "auto"}


def _is_traced(case: Case, impl: str) -> bool:
    if case not in FIRST_CASES:
        return impl == "auto"
    return impl != "auto" or case.key not in _FURTHER or str(case) not in _FAST


TRACED = [(case, impl) for case, impl in IMPL_CASES if _is_traced(case, impl)]


def having(trait: str) -> list[Case]:
    """Return the cases for which a law holds."""
    return [case for case in CASES if trait in case.traits]
