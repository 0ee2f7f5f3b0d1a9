"""Which expressions say something about the number that they stand behind.

A bound is a comparison that has the printed number alone on one side and a
name of the notebook on the other; the prose around the number must say that it
is a bound. A value must be computed: the number itself, written into the
expression, is no result.
"""

from __future__ import annotations

import ast
import builtins
import operator
import re
from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Any

import numerals

FOLD: dict[type, Callable[..., Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Pow: operator.pow,
    ast.USub: operator.neg,
}
SAME = {"equal", "allclose", "isclose", "array_equal"}
PICKS = {"max", "min", "abs", "round", "int", "float", "sum"}
# In front of the number and behind it, in the same sentence or table cell.
ONE_SIDED = re.compile(
    r"\b(?:at (?:least|most|best|worst)|(?:more|less|fewer|greater|larger"
    r"|smaller|higher|lower|closer|nearer|longer|shorter|wider) than|under"
    r"|below|above|over|beyond|exceed\w*|within|up to|from|between|until"
    r"|beats?|never|no more)\b|[<>≤≥]|\\(?:[lg]eq?|ll|gg)\b|\bto\s+\$?$"
    r"|\bby a factor\b",
    re.IGNORECASE,
)
BEHIND = re.compile(
    r"^[\s$%*×]*(?:(?:times|percent|pixels|digits|dB)?\s*)?(?:or (?:more|less"
    r"|fewer|better|worse)|and (?:more|less)|at (?:least|most)|to \d+)\b",
    re.IGNORECASE,
)
TWO_SIDED = re.compile(
    r"\b(?:about|near(?:ly)?|around|roughly|some|almost|close to"
    r"|approximately)\b|≈|~|\\(?:approx|sim)\b",
    re.IGNORECASE,
)


def value(node: ast.AST) -> Fraction | None:
    """Return the number of a literal or of arithmetic with literals."""
    folded = _fold(node)
    return None if folded is None else Fraction(str(folded))


def _fold(node: ast.AST) -> int | float | None:
    if isinstance(node, ast.Constant):
        return node.value if type(node.value) in (int, float) else None
    if isinstance(node, ast.UnaryOp):
        parts = [_fold(node.operand)]
    elif isinstance(node, ast.BinOp):
        parts = [_fold(node.left), _fold(node.right)]
    else:
        return None
    fold = FOLD.get(type(node.op))
    if fold is None or None in parts:
        return None
    try:
        return fold(*parts)
    except (ArithmeticError, ValueError):
        return None


def names(node: ast.AST) -> set[str]:
    """Return the names that an expression takes from the notebook."""
    found = [n for n in ast.walk(node) if isinstance(n, ast.Name)]
    bound = {n.id for n in found if isinstance(n.ctx, ast.Store)}
    bound |= {n.arg for n in ast.walk(node) if isinstance(n, ast.arg)}
    return {
        n.id
        for n in found
        if n.id not in bound and not hasattr(builtins, n.id)
    }


def _named(node: ast.AST) -> bool:
    """Say whether a name stands there, the ones of a loop included."""
    return any(
        isinstance(n, ast.Name) and not hasattr(builtins, n.id)
        for n in ast.walk(node)
    )


def _has(node: ast.AST, number: numerals.Numeral) -> bool:
    """Say whether the printed number is written in an expression."""
    found = (value(n) for n in ast.walk(node))
    return any(v is not None and number.same(v) for v in found)


def _near(node: ast.expr, number: numerals.Numeral) -> str:
    """Return "is" for n, -n and 1/n, "near" for the like of n/10."""
    side = value(node)
    if side is None or not side or not number.value:
        return "is" if side is not None and number.same(side) else ""
    if any(map(number.same, (side, -side, 1 / side))):
        return "is"
    ratio = side / number.value
    slack = Fraction(1, 10**9)
    close = (
        _has(node, number) and Fraction(1, 10) - slack <= ratio <= 10 + slack
    )
    return "near" if close else ""


def _inner(node: ast.expr) -> ast.expr:
    """Return what ``all(...)``, ``(...).all()`` and the like speak of."""
    if isinstance(node, ast.Call):
        owner = node.func
        if isinstance(owner, ast.Attribute) and not node.args:
            if owner.attr in ("all", "any", "item"):
                return _inner(owner.value)
        elif isinstance(owner, ast.Name) and len(node.args) == 1:
            if owner.id in ("all", "any", "bool"):
                inside = node.args[0]
                if isinstance(inside, (ast.GeneratorExp, ast.ListComp)):
                    inside = inside.elt
                return _inner(inside)
    return node


def _same(node: ast.expr) -> bool:
    """Say whether this is a call that compares two different things."""
    if not isinstance(node, ast.Call):
        return False
    if not isinstance(node.func, ast.Attribute) or node.func.attr not in SAME:
        return False
    sides = [node.func.value, *node.args]
    texts = [ast.dump(side) for side in sides]
    return len(set(texts[:3])) == len(texts[:3]) and bool(names(node))


def truth(node: ast.expr) -> bool:
    """Say whether an expression is written as one that is true or false."""
    node = _inner(node)
    return (
        isinstance(node, (ast.Compare, ast.BoolOp))
        or (isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not))
        or _same(node)
    )


def bound(
    node: ast.expr, number: numerals.Numeral, before: str, behind: str
) -> Iterator[str]:
    """Yield why a true expression says nothing about a number.

    Args:
        node: the expression.
        number: the printed number.
        before: the text in front of it.
        behind: the text after it.
    """
    node = _inner(node)
    parts = [node]
    if isinstance(node, ast.BoolOp):
        if isinstance(node.op, ast.Or):
            yield "a bound has no 'or' in it"
            return
        parts = [_inner(part) for part in node.values]
    kinds: set[str] = set()
    for part in parts:
        if not isinstance(part, ast.Compare):
            if not _same(part):
                yield f"no comparison: {ast.unparse(part)}"
            elif _has(part, number):
                kinds.add("same")
            continue
        sides = [part.left, *part.comparators]
        for one, op, two in zip(sides, part.ops, sides[1:], strict=False):
            if not (_named(one) or _named(two)):
                yield f"compares no name: {ast.unparse(part)}"
            elif _named(one) and _named(two):
                continue
            elif near := _near(one if _named(two) else two, number):
                upper = isinstance(op, (ast.Lt, ast.LtE)) == _named(one)
                which = "upper" if upper else "lower"
                same = isinstance(op, (ast.Eq, ast.Is)) and near == "is"
                kinds.add("same" if same else f"{which} {near}")
    sides = {kind.partition(" ")[0] for kind in kinds}
    if not kinds or kinds in ({"upper near"}, {"lower near"}):
        yield f"{number.text} is not one side of a comparison"
    elif sides in ({"upper"}, {"lower"}):
        if not _told(before, behind, ONE_SIDED):
            yield (
                f"a bound, but the prose does not say that {number.text} is "
                "one (at least, below, within …)"
            )
    elif "same" not in sides and not (
        _told(before, behind, ONE_SIDED) or _told(before, behind, TWO_SIDED)
    ):
        yield f"bounds, but the prose does not say 'about {number.text}'"


def _told(before: str, behind: str, words: re.Pattern[str]) -> bool:
    sentence = re.split(r"[.;:!?]\s|\||\n\s*\n", before)[-1][-70:]
    behind = re.split(r"[.;:!?]\s|\||\n\s*\n", behind)[0]
    return bool(words.search(sentence) or BEHIND.search(behind))


def written(
    node: ast.expr, number: numerals.Numeral, modules: frozenset[str]
) -> bool:
    """Say whether the number is written where the result comes from.

    As in ``92 if a else 0``, ``92 + 0 * a``, ``max(a, 92)``, ``[1, 92][a]``
    or ``torch.tensor(92)``.
    """
    if not names(node) - modules and _has(node, number):
        return True
    if (literal := value(node)) is not None:
        return number.same(literal)
    inside: list[ast.expr] = []
    if isinstance(node, ast.IfExp):
        inside = [node.body, node.orelse]
    elif isinstance(node, ast.BoolOp):
        inside = node.values
    elif isinstance(node, ast.BinOp) and isinstance(
        node.op, (ast.Add, ast.Sub)
    ):
        inside = [node.left]
        inside += [node.right] if isinstance(node.op, ast.Add) else []
    elif isinstance(node, ast.UnaryOp):
        inside = [node.operand]
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        inside = node.args if node.func.id in PICKS else []
    elif isinstance(node, ast.Subscript):
        shown = node.value
        if isinstance(shown, (ast.List, ast.Tuple)):
            inside = shown.elts
        elif isinstance(shown, ast.Dict):
            inside = shown.values
    elif isinstance(node, ast.List):
        inside = [e for e in node.elts if not isinstance(e, ast.Starred)]
    return any(written(part, number, modules) for part in inside)
