"""What is said about a reference implementation."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from torch import Tensor, nn

# Our entry -> names that the source may use for it; where it has several, they
# must agree. No name: the source has no
# such entry and zero says the same (a bias in front of a batch norm).
Names = dict[str, tuple[str, ...]]
Entries = dict[str, Tensor]

STATISTICS = ("running_mean", "running_var", "num_batches_tracked")


class Source(NamedTuple):
    """One implementation that a block's parameters may come from.

    Attributes:
        names: for a block, built with the source's options, its table.
        prepare: brings entries that differ in form into that of the table.
        hints: for an entry of ours, what to say when it is missing.
    """

    names: Callable[[Any], Names]
    prepare: Callable[[Entries], Entries] | None = None
    hints: Mapping[str, str] = MappingProxyType({})


# For each block its sources by name.
Sources = dict[type[nn.Module], dict[str, Source]]
