"""Does a code cell assert anything that could be false?

``assert True``, ``assert x == x``, ``assert_close(x, x)`` and an assertion in
a function that nobody calls prove nothing; a comment or an import even less.
"""

from __future__ import annotations

import ast
import builtins
from collections.abc import Iterator

from nbformat import NotebookNode
from page import bound_by_import, parsed

CLOSE = {"assert_close", "assert_allclose", "assert_array_equal"}
SAME = {"equal", "allclose", "isclose", "array_equal"}
SIDES = ("actual", "expected", "desired")
LITERAL = (
    ast.Constant, ast.Tuple, ast.List, ast.Dict, ast.Set, ast.JoinedStr,
    ast.Lambda,
)  # fmt: skip
FUNCTION = (ast.FunctionDef, ast.AsyncFunctionDef)
REFLEXIVE = (ast.Eq, ast.Is, ast.LtE, ast.GtE)


def called(node: ast.AST) -> str:
    """Return the last part of a name: ``b`` for ``b`` and for ``a.b``."""
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


def variables(node: ast.AST, modules: frozenset[str]) -> set[str]:
    """Return the names of an expression that it does not bind itself."""
    names = [n for n in ast.walk(node) if isinstance(n, ast.Name)]
    bound = {n.id for n in names if isinstance(n.ctx, ast.Store)}
    bound |= {n.arg for n in ast.walk(node) if isinstance(n, ast.arg)}
    return {n.id for n in names} - bound - modules - set(dir(builtins))


def aliases(notebook: NotebookNode) -> frozenset[str]:
    """Return all names under which the notebook calls ``assert_close``."""
    found = set(CLOSE)
    for cell in notebook.cells:
        if cell.cell_type != "code" or not any(
            n in cell.source for n in CLOSE
        ):
            continue
        for node in ast.walk(parsed(cell.source)):
            if isinstance(node, ast.ImportFrom):
                found |= {
                    name.asname
                    for name in node.names
                    if name.name in CLOSE and name.asname
                }
            elif isinstance(node, ast.Assign):
                value = node.value
                if isinstance(value, ast.Call) and called(value.func) == (
                    "partial"
                ):
                    value = value.args[0]
                if called(value) in CLOSE:
                    found |= {called(target) for target in node.targets}
    return frozenset(found)


def same(one: ast.AST, other: ast.AST) -> bool:
    """Say whether two expressions are written alike."""
    return ast.dump(one) == ast.dump(other)


def named(node: ast.AST) -> bool:
    """Say whether any name stands in an expression."""
    return any(isinstance(n, ast.Name) for n in ast.walk(node))


def empty(test: ast.expr) -> bool:
    """Say whether an expression is true whatever its variables are."""
    if isinstance(test, LITERAL):
        return True
    if isinstance(test, ast.BoolOp):
        how = all if isinstance(test.op, ast.And) else any
        return how(map(empty, test.values))
    if isinstance(test, ast.UnaryOp):
        return empty(test.operand)
    if isinstance(test, ast.Compare):
        sides = [test.left, *test.comparators]
        return all(
            (same(one, other) and isinstance(op, REFLEXIVE))
            or not (named(one) or named(other))
            for one, op, other in zip(sides, test.ops, sides[1:], strict=False)
        )
    if isinstance(test, ast.Call):
        name, args = called(test.func), list(test.args)
        if isinstance(test.func, ast.Attribute) and name in (
            SAME | {"all", "any", "item"}
        ):
            # x.equal(x) and (x == x).all(), but torch.equal(x, x), too
            owner = test.func.value
            if not args:
                return empty(owner)
            args = args if len(args) > 1 else [owner, *args]
        if name in SAME and len(args) > 1:
            return same(args[0], args[1])
        if name in ("all", "any", "bool") and len(args) == 1:
            inner = args[0]
            if isinstance(inner, (ast.GeneratorExp, ast.ListComp)):
                inner = inner.elt
            return empty(inner)
    return False


def _swallows(node: ast.With | ast.Try) -> bool:
    """Say whether an assertion that fails inside goes unnoticed."""
    if isinstance(node, ast.With):
        return any(
            isinstance(item.context_expr, ast.Call)
            and called(item.context_expr.func) in ("suppress", "raises")
            for item in node.items
        )
    return any(
        not any(isinstance(n, ast.Raise) for n in ast.walk(handler))
        and (
            handler.type is None
            or {called(n) for n in ast.walk(handler.type)}
            & {"AssertionError", "Exception", "BaseException"}
        )
        for handler in node.handlers
    )


def _runs(body: list[ast.stmt], calls: set[str]) -> Iterator[ast.stmt]:
    """Yield the statements that run, as far as can be seen."""
    for node in body:
        yield node
        if isinstance(node, FUNCTION) and node.name not in calls:
            continue
        if isinstance(node, ast.ClassDef):
            continue
        if isinstance(node, (ast.If, ast.While)) and (
            isinstance(node.test, ast.Constant) and not node.test.value
        ):
            yield from _runs(node.orelse, calls)
            continue
        if isinstance(node, (ast.With, ast.Try)) and _swallows(node):
            continue
        for part in ("body", "orelse", "finalbody"):
            yield from _runs(getattr(node, part, []), calls)


def asserts(
    source: str,
    modules: frozenset[str],
    close: frozenset[str] = frozenset(CLOSE),
) -> bool:
    """Say whether a cell asserts something about its variables.

    Args:
        source: the cell.
        modules: names that are modules, see ``page.bound_by_import``.
        close: names of ``assert_close``, see :func:`aliases`.

    Raises:
        SyntaxError: the cell is no Python.
    """
    tree = parsed(source)
    calls = {called(n.func) for n in ast.walk(tree) if isinstance(n, ast.Call)}
    for node in _runs(tree.body, calls):
        if isinstance(node, ast.Assert):
            if variables(node.test, modules) and not empty(node.test):
                return True
        elif isinstance(node, ast.Expr):
            for call in ast.walk(node):
                if isinstance(call, ast.Call) and called(call.func) in close:
                    if _compares(call, modules):
                        return True
    return False


def _compares(call: ast.Call, modules: frozenset[str]) -> bool:
    """Say whether ``assert_close`` gets two things, one of them a variable."""
    given = {k.arg: k.value for k in call.keywords}
    sides = call.args[:2] + [given[s] for s in SIDES if s in given]
    return (
        len(sides) == 2
        and not same(sides[0], sides[1])
        and any(variables(side, modules) for side in sides)
    )


def asserting(notebook: NotebookNode) -> list[int]:
    """Return the places of the code cells that assert something."""
    modules, close = bound_by_import(notebook), aliases(notebook)
    found = []
    for n, cell in enumerate(notebook.cells, 1):
        if cell.cell_type == "code":
            try:
                if asserts(cell.source, modules, close):
                    found.append(n)
            except SyntaxError:  # asserts nothing
                continue
    return found
