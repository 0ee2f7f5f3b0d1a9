"""One row a block: what it computes, how it begins, what it costs.

The rows of the book's map. Nothing in them is typed but the two facts of the
catalogue, similarity and normaliser: the rest is measured on a block with
seeded weights, or comes from :mod:`attnlib.cost`; one column was measured once
and stored.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from attnlib import maps, measured
from attnlib.catalog import CATALOG, create_block, list_blocks
from attnlib.cost import closed_form

__all__ = ["Row", "changes", "example", "row", "rows", "seeded"]

# Where maps are measured. 768 positions are more than the 432 on which NLSA's
# chunks are the whole map, and both sides are multiples of ISANet's 8. With 64
# channels scores are spread enough for a softmax to have full rank in float64.
CHANNELS, SIZE = 64, (24, 32)
SHAPE = (1, 256, 64, 64)
SIDES = (64, 128, 256, 512)
# Where a training step was timed, in float32: ``measured.load("cuda")``.
TIMED = (8, 512, 97, 97)


@dataclass(frozen=True)
class Row:
    """What the map says about one block with its default options.

    Attributes:
        key: name for :func:`attnlib.create_block`.
        part: part of the book.
        chapter: path of its chapter, without ending.
        options: of its class, as the row was measured, device and dtype left
            out.
        similarity: what makes the score of a pair (catalogue).
        normaliser: what divides the scores (catalogue).
        pairs: share of the N x N pairs with a weight that is not zero; None
            for a block without a map over pairs.
        rank: of the map, the largest over its groups.
        sums: smallest and largest row sum.
        start: distance between output and input of a fresh block, relative to
            the input; zero for the identity.
        parameters: numbers that an optimiser sees, at ``SHAPE``.
        macs: multiply-adds of a forward pass at ``SHAPE``.
        kept_bytes: kept for backward at ``SHAPE``, in float32.
        growth: exponent of the multiply-adds in N, fitted over ``SIDES``.
        step: time of a training step on a GPU over a dense non-local block's,
            of the block's fastest form, at ``TIMED``: stored, not measured
            here; None where the options are not the defaults.
    """

    key: str
    part: str
    chapter: str
    options: dict[str, Any] = field(hash=False)
    similarity: str
    normaliser: str
    pairs: float | None
    rank: int | None
    sums: tuple[float, float] | None
    start: float
    parameters: int
    macs: int
    kept_bytes: int
    growth: float
    step: float | None


def seeded(block: nn.Module, seed: int = 2) -> nn.Module:
    """Draw all weights anew, from one seed, and switch to eval mode.

    Matrices and filters keep the size of their input on average; factors are
    near one, biases near zero. What is drawn and not trained, such as EMANet's
    bases, is drawn anew, too. A block that begins as the identity is none
    afterwards.

    Args:
        block: any block; changed in place.
        seed: of the draw.

    Shape:
        - Output: the same block
    """
    g = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, p in block.named_parameters():
            drawn = torch.randn(p.shape, generator=g, dtype=torch.float64)
            if p.ndim > 1:
                drawn = drawn / math.sqrt(p[0].numel())
            else:
                factor = name.endswith(("weight", "gamma"))
                drawn = int(factor) + drawn / 4
            p.copy_(drawn)
        for b in block.buffers():
            if b.ndim > 1:  # bases in columns, of length about one
                drawn = torch.randn(b.shape, generator=g, dtype=torch.float64)
                b.copy_(drawn / math.sqrt(b.shape[1]))
    return block.eval()


def example(size: tuple[int, int] = SIZE) -> Tensor:
    """Return the input on which the rows are measured: normal, seeded.

    Args:
        size: ``(H, W)``.

    Shape:
        - Output: ``(1, CHANNELS, H, W)``, float64
    """
    g = torch.Generator().manual_seed(1)
    shape = (1, CHANNELS, *size)
    return torch.randn(shape, generator=g, dtype=torch.float64)


def _options(block: nn.Module, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the class of a block may be told, and what holds here."""
    known = inspect.signature(type(block)).parameters.values()
    return {
        option.name: given.get(option.name, option.default)
        for option in known
        if option.default is not option.empty
        and option.name not in ("device", "dtype")
    }


def _growth(block: nn.Module) -> float:
    """Slope of the least squares line through the logarithms."""
    points = [
        (math.log(s * s), math.log(closed_form(block, (1, *shape)).macs))
        for s in SIDES
        if (shape := (SHAPE[1], s, s))
    ]
    u, v = torch.tensor(points, dtype=torch.float64).T
    u, v = u - u.mean(), v - v.mean()
    return float((u @ v) / (u @ u))


def _step(key: str) -> float | None:
    """Return the least of the stored ratios to a dense non-local block."""
    wanted: tuple[Any, ...] = (
        key, {}, list(TIMED), "float32", "both", False,
    )  # fmt: skip
    names = ("subject", "options", "shape", "dtype", "passes", "compiled")
    ratios = [
        found["to_dense"]
        for found in measured.load("cuda")["rows"]
        if tuple(found[name] for name in names) == wanted
    ]
    return min(ratios, default=None)


def row(key: str, **options: Any) -> Row:
    """Measure one block: about half a second.

    Args:
        key: a name from :func:`attnlib.list_blocks`.
        options: of the block's class, where not the defaults are asked about.

    Shape:
        - Output: a :class:`Row`

    Random generators are afterwards what they were.

    Raises:
        ValueError: an unknown name.
        TypeError: an option that the block does not have.
    """
    x = example()
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(0)
        block: Any = create_block(
            key, CHANNELS, dtype=torch.float64, **options
        )
        moved = block(x) - x
        torch.manual_seed(0)
        seeded(block)
        pairs, rank, sums = None, None, None
        if hasattr(block, "attention_map"):
            A = block.attention_map(x)  # (1, G, N, N)
            pairs = float((maps.support(A) / A.shape[-1]).mean())
            rank = int(maps.rank(A).max())
            total = maps.row_sums(A)
            sums = (float(total.min()), float(total.max()))
        large = create_block(key, SHAPE[1], dtype=torch.float32, **options)
        cost = closed_form(large, SHAPE)
        growth = _growth(large)
    info = CATALOG[key]
    return Row(
        key=key,
        part=info.part,
        chapter=info.chapter,
        options=_options(block, options),
        similarity=info.similarity,
        normaliser=info.normaliser,
        pairs=pairs,
        rank=rank,
        sums=sums,
        start=float(moved.norm() / x.norm()),
        parameters=cost.parameters,
        macs=cost.macs,
        kept_bytes=cost.kept_bytes,
        growth=growth,
        step=None if options else _step(key),
    )


def rows(keys: Sequence[str] | None = None) -> list[Row]:
    """Measure several blocks.

    Args:
        keys: names; all of :func:`attnlib.list_blocks` when not given.

    Shape:
        - Output: one :class:`Row` a name, in that order
    """
    return [row(key) for key in (list_blocks() if keys is None else keys)]


def changes(before: Mapping[str, Any], now: Row) -> list[str]:
    """Say in words in which columns and options a row is not what it was.

    Args:
        before: the earlier row as a mapping, such as ``asdict`` or JSON gives.
        now: the row as it is.

    Shape:
        - Output: a sentence a column or option; empty if nothing changed

    Numbers that differ by less than a millionth are the same.
    """
    old, new = _flat(before), _flat(asdict(now))
    return [
        f"{now.key}: {name} was {_told(a)}, is {_told(b)}"
        for name in {**old, **new}
        if not _same(
            a := old.get(name, "absent"), b := new.get(name, "absent")
        )
    ]


def _flat(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return the columns, each option as a column of its own."""
    columns = {name: row[name] for name in row if name != "options"}
    options = row.get("options", {})
    return {f"option {name}": options[name] for name in options} | columns


def _told(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        a_range = all(isinstance(number, float) for number in value)
        return (" to " if a_range else ", ").join(map(_told, value))
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, (list, tuple)) and isinstance(b, (list, tuple)):
        return len(a) == len(b) and all(map(_same, a, b))
    if isinstance(a, float) and isinstance(b, (int, float)):
        return math.isclose(a, b, rel_tol=1e-6, abs_tol=1e-9)
    return bool(a == b)
