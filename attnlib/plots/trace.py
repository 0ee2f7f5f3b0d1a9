"""The shapes that pass through a module's layers, read off by hooks."""

from __future__ import annotations

import html
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

HEAD = ("layer", "kind", "in", "out", "parameters")


@dataclass(frozen=True)
class ShapeTrace:
    """A table: one row a layer, in the order in which they ran."""

    rows: tuple[tuple[str, str, str, str, int], ...]

    def _cells(self) -> list[list[str]]:
        return [list(HEAD), *([*r[:4], f"{r[4]:,}"] for r in self.rows)]

    def __repr__(self) -> str:
        cells = self._cells()
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        lines = (
            "  ".join(
                word.rjust(width) if n == 4 else word.ljust(width)
                for n, (word, width) in enumerate(
                    zip(line, widths, strict=True)
                )
            )
            for line in cells
        )
        return "\n".join(line.rstrip() for line in lines)

    def _repr_html_(self) -> str:
        head, *body = (
            [html.escape(word) for word in line] for line in self._cells()
        )
        top = "".join(f'<th scope="col">{word}</th>' for word in head)
        rows = "".join(
            f'<tr><th scope="row"><code>{line[0]}</code></th>'
            + "".join(f"<td>{word}</td>" for word in line[1:])
            + "</tr>"
            for line in body
        )
        return f"<table><tr>{top}</tr>{rows}</table>"


def _shape(value: Any) -> str:
    """Return the shapes of the tensors in a value."""

    def shapes(value: Any) -> Iterator[str]:
        if isinstance(value, Tensor):
            yield " x ".join(map(str, value.shape)) or "number"
        elif isinstance(value, tuple | list):
            for item in value:
                yield from shapes(item)

    return ", ".join(shapes(value))


def shape_trace(module: nn.Module, *inputs: Tensor) -> ShapeTrace:
    """Run a module and return the shapes at each of its layers, as a table.

    A layer is a submodule without submodules; one that runs twice has two
    rows. Operations between layers leave no row: they are the block's own.

    Args:
        module: the module.
        inputs: what it is called with.

    Shape:
        - Output: a :class:`ShapeTrace`, whose ``rows`` hold name, kind, shape
          in, shape out and number of parameters

    Raises:
        TypeError: a module that is no ``nn.Module``.
    """
    if not isinstance(module, nn.Module):
        raise TypeError(
            f"module must be an nn.Module, got {type(module).__name__}"
        )
    rows: list[tuple[str, str, str, str, int]] = []

    def watch(name: str, layer: nn.Module) -> Any:
        count = sum(p.numel() for p in layer.parameters())

        def hook(_: nn.Module, given: Any, result: Any) -> None:
            kind = type(layer).__name__
            rows.append((name, kind, _shape(given), _shape(result), count))

        return layer.register_forward_hook(hook)

    handles = [
        watch(name or type(layer).__name__, layer)
        for name, layer in module.named_modules()
        if not any(True for _ in layer.children())
    ]
    try:
        with torch.no_grad():
            module(*inputs)
    finally:
        for handle in handles:
            handle.remove()
    return ShapeTrace(tuple(rows))
