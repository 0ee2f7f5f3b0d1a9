"""The result as a file of ratios, as a table, and as figures.

A figure is drawn from the file alone, so that a stored result can be drawn
again: growth (cost against N, with fitted exponents) and ratios (bars).
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from attnlib.plots import show_growth, show_ratios
from benchmarks.presets import FUNCTION

Result = dict[str, Any]
Row = dict[str, Any]
Curves = dict[str, Any]

_PASSES = {"forward": "forward", "both": "forward and backward"}
_UNIT = "multiply-adds of a large matrix product in the same time"
_CURVES = 4  # as many as a figure of attnlib.plots takes


def rounded(ratio: float) -> float:
    """Three digits: no ratio of two times has more to say."""
    return float(f"{ratio:.3g}")


def save(result: Result, path: Path) -> None:
    """Write a result, one row a line."""
    parts = []
    for name, value in result.items():
        text = json.dumps(value)
        if isinstance(value, list) and value:
            lines = ",\n".join(f"  {json.dumps(row)}" for row in value)
            text = f"[\n{lines}\n ]"
        parts.append(f' "{name}": {text}')
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("{\n" + ",\n".join(parts) + "\n}\n", encoding="utf-8")


def table(result: Result) -> str:
    """Return the ratios as lines of text."""
    columns = ("to_plain", "to_matmul", "to_dense", "peak_bytes")
    lines = [f"{'':64}" + "".join(f"{name:>12}" for name in columns)]
    for row in result["rows"]:
        how = " compiled" if row["compiled"] else ""
        passes = f"{row['dtype']} {row['passes']}"
        name = f"{_subject(row)} {_shape(row)} {row['impl']}{how} {passes}"
        values = ("-" if row[c] is None else f"{row[c]:.3g}" for c in columns)
        lines.append(f"{name:64}" + "".join(f"{v:>12}" for v in values))
    for entry in result["skipped"]:
        name = f"{_subject(entry)} {_shape(entry)} {entry['impl']}"
        lines.append(f"skipped: {name}: {entry['reason']}")
    if unsettled := result["settings"]["unsettled"]:
        lines.append(
            f"unsettled: {unsettled} of {len(result['rows'])} rows; "
            "was the machine busy with something else?"
        )
    return "\n".join(lines)


def draw(result: Result, folder: Path, stem: str) -> list[Path]:
    """Draw the figures of a result; return their files.

    Args:
        result: as it stands in the file.
        folder: where they go.
        stem: what their names begin with.
    """
    folder.mkdir(parents=True, exist_ok=True)
    groups: dict[tuple[str, str, str], list[Row]] = {}
    for row in result["rows"]:
        key = (_subject(row), row["dtype"], row["passes"])
        groups.setdefault(key, []).append(row)
    drawn = []
    for (subject, dtype, passes), rows in groups.items():
        title = f"{subject}, {dtype}, {_PASSES[passes]}"
        name = f"{stem}-{subject}-{dtype}-{passes}".replace(" ", "-")
        for n, bars in enumerate(_bars(rows)):
            path = folder / f"{name}-ratios{_number(n)}.svg"
            with _figure(path):
                show_ratios(bars, title=f"{title}\ntime over the plain form's")
            drawn.append(path)
        for family, n, curves in _curves(rows):
            path = folder / f"{name}-growth-{family}{_number(n)}.svg"
            with _figure(path):
                show_growth(curves, title=f"{title}, {family}\n{_UNIT}")
            drawn.append(path)
    return drawn


@contextmanager
def _figure(path: Path) -> Iterator[None]:
    """Save what is drawn inside, the same bytes each time."""
    import matplotlib.pyplot as plt

    plt.switch_backend("agg")
    settings: Any = {
        "svg.hashsalt": "attnlib",
        "figure.constrained_layout.use": True,
        "axes.titlesize": "medium",
    }
    with plt.rc_context(settings), warnings.catch_warnings():
        # It need not be shown: it is saved.
        warnings.filterwarnings("ignore", "FigureCanvasAgg is non-interactive")
        yield
        plt.savefig(path, metadata={"Date": None})
        plt.close()


def _bars(rows: list[Row]) -> Iterator[dict[str, dict[str, float]]]:
    """Yield, for four forms at a time, shape -> form -> ratio."""
    ratios = [
        (_shape(row), _form(row), row["to_plain"])
        for row in rows
        if row["to_plain"] is not None and _form(row) != "reference"
    ]
    for forms in _fours(dict.fromkeys(form for _, form, _ in ratios)):
        bars: dict[str, dict[str, float]] = {}
        for shape, form, ratio in ratios:
            if form in forms:
                bars.setdefault(shape, {})[form] = ratio
        yield bars


def _curves(rows: list[Row]) -> Iterator[tuple[str, int, Curves]]:
    """Yield, for each family of shapes and four forms at a time, the curves.

    A family has everything in common but N. The values are multiply-adds: so
    many a large matrix product makes in the time that the form takes.
    """
    families: dict[str, dict[str, dict[int, float]]] = {}
    for row in rows:
        forms = families.setdefault(_family(row), {})
        work = row["to_matmul"] * row["macs"]
        forms.setdefault(_form(row), {})[row["positions"]] = work
    for row in rows:  # last, so that the forms keep their colours
        itself = row["subject"] == "nonlocal" and not row["options"]
        if row["to_dense"] and not itself:
            beside = families[_family(row)].setdefault("dense non-local", {})
            work = row["to_matmul"] * row["macs"] / row["to_dense"]
            beside.setdefault(row["positions"], work)
    for family, forms in families.items():
        long = {f: sorted(v.items()) for f, v in forms.items() if len(v) > 1}
        for n, names in enumerate(_fours(long)):
            curves = {f: tuple(zip(*long[f], strict=True)) for f in names}
            yield family, n, curves


def _fours(names: Iterable[str]) -> Iterator[list[str]]:
    names = list(names)
    for start in range(0, len(names), _CURVES):
        yield names[start : start + _CURVES]


def _number(n: int) -> str:
    return f"-{n + 1}" if n else ""


def _subject(row: Row) -> str:
    return " ".join([row["subject"], *map(str, row["options"].values())])


def _form(row: Row) -> str:
    return row["impl"] + (" compiled" if row["compiled"] else "")


def _shape(row: Row) -> str:
    return "x".join(map(str, row["shape"]))


def _family(row: Row) -> str:
    """Return the shape with N for the positions: 1xNx64x64, 1x64xN."""
    first, second, *rest = map(str, row["shape"])
    if row["subject"] == FUNCTION:
        return "x".join([first, "N", *rest])
    return "x".join([first, second, "N"])
