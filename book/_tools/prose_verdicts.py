"""Does the value of an expression agree with the number in the prose?"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numerals
import prose_bounds
from nbformat import NotebookNode

LINE = re.compile(r"^prose (\d+): (.*)$", re.MULTILINE)


@dataclass(frozen=True)
class Verdict:
    """What evaluating one check has shown."""

    cell: int
    printed: str
    expression: str
    ok: bool
    got: str

    def __str__(self) -> str:
        return f"cell {self.cell}: {self.printed} <- {self.expression} " + (
            self.got
        )


def _flat(result: dict[str, Any]) -> Iterator[dict[str, Any]]:
    if "all" not in result:
        yield result
    for part in result.get("all", []):
        yield from _flat(part)


def _compare(
    printed: list[numerals.Numeral], expression: str, result: dict[str, Any]
) -> tuple[bool, str]:
    """Say whether a result agrees with the numbers, and what it is."""
    if "raised" in result:
        return False, f"raised {result['raised']}"
    if "impure" in result:
        return False, result["impure"]
    if "all" in result:
        parts = list(_flat(result))
        node = ast.parse(expression, mode="eval").body
        texts = [expression] * len(parts)
        if isinstance(node, ast.Tuple):
            texts = [ast.unparse(e) for e in node.elts]
        if not len(parts) == len(printed) == len(texts):
            return False, f"is {len(parts)} values for {len(printed)} numbers"
        both = [
            _compare([n], text, part)
            for n, text, part in zip(printed, texts, parts, strict=True)
        ]
        return all(ok for ok, _ in both), "; ".join(got for _, got in both)
    if len(printed) != 1:
        return False, f"is one value for {len(printed)} numbers"
    if "bool" in result:
        node = ast.parse(expression, mode="eval").body
        # What the prose around says is looked at without executing.
        why = list(prose_bounds.bound(node, printed[0], "at least", ""))
        said = f"is {result['bool']}" + "".join(f", {w}" for w in why)
        return result["bool"] and not why, said
    if "number" in result:
        value = Fraction(result["number"])
        whole = result["shown"].lstrip("-").isdigit()
        shown = result["shown"] if whole else f"{float(value):.6g}"
        return printed[0].agrees(value), f"is {shown}"
    return False, f"is no number: {result['other']}"


def verdicts(executed: NotebookNode) -> list[Verdict]:
    """Compare what the evaluation cells have printed with the prose."""
    # A kernel may hand a line over late, as the output of the next cell.
    text = "".join(
        o.text
        for cell in executed.cells
        for o in cell.get("outputs", [])
        if o.output_type == "stream" and o.name == "stdout"
    )
    said = {n: json.loads(line) for n, line in LINE.findall(text)}
    found = []
    for cell in executed.cells:
        due = cell.metadata.get("prose", [])
        results = said.get(str(cell.metadata.get("prose_place")))
        results = results or [None] * len(due)
        for check, result in zip(due, results, strict=True):
            printed = [
                n for t in check["numbers"] for n in numerals.numerals(t)
            ]
            ok, got = False, "was not evaluated"
            if not printed:
                got = "stands behind no number"
            elif result is not None:
                ok, got = _compare(printed, check["expression"], result)
            found.append(
                Verdict(
                    check["cell"],
                    ", ".join(check["numbers"]),
                    check["expression"],
                    ok,
                    got,
                )
            )
    return found
