"""What the tests need to know about each system, a module a system.

A module may define

- ``VARIANTS``: options worth a case of their own, by key of the catalogue or
  by class; a class that is not named is tested with its defaults.
- ``traits(case)``: which laws hold for a case, of ``TRAITS``.
- ``KEY_BIAS``: name of the key's bias, for the law ``shift``.
- ``rebuild(block, x, weights)``: the block's output from its attention map.
- ``golden(facts, impl)``: block and source of a recorded run, where
  ``facts["block"]`` is one of ``GOLDEN``.
- ``given(tensors)``: what a recorded run's ``forward`` took beside x, by name.
- ``outputs(facts)``: the endings of its outputs' names, where it has several.
- ``MUTANTS``: planted bugs, and ``FIRST``: the test file that sees a file's
  bugs first.
"""

from __future__ import annotations

import importlib
import pkgutil
from types import ModuleType
from typing import Any

# map         has attention_map, a map over positions
# softmax     rows of the map are weights: not negative, sum to one
# permutes    permuting the positions of x permutes those of the output
# transposes  transposing the picture transposes the output
# everywhere  every position moves every output
# shift       a constant added to the bias ``KEY_BIAS`` cancels
# halves      as pooled, but the dropped last row is seen through a region
# border      refuses a map that is not larger than its reflected border
# pair        refuses a batch of one in train mode
# wide        refuses to be built for one channel
# frozen      keeps parameters that no gradient reaches
# pooled      refuses a map of one pixel in a pooled direction
TRAITS = {"map", "softmax", "permutes", "transposes", "everywhere"}
TRAITS |= {"shift", "pooled", "halves", "pair", "wide", "border", "frozen"}


def modules() -> list[ModuleType]:
    names = sorted(m.name for m in pkgutil.iter_modules(__path__))
    return [importlib.import_module(f"{__name__}.{name}") for name in names]


def table(name: str) -> dict[str, Any]:
    """Merge a dictionary that several modules define."""
    merged: dict[str, Any] = {}
    for module in modules():
        part = getattr(module, name, {})
        assert not merged.keys() & part.keys(), f"{name} twice: {module}"
        merged |= part
    return merged


def owner(key: str) -> ModuleType:
    """Return the module that knows a key or class."""
    return next(m for m in modules() if key in m.VARIANTS)
