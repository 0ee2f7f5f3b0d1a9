"""Cost against N on log axes, and ratios as bars."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn

from attnlib import cost
from attnlib._checks import check_choice

Curve = tuple[Sequence[float], Sequence[float]]

_COSTS = {
    "parameters": "parameters",
    "macs": "multiply-adds, forward",
    "kept_bytes": "bytes kept for backward",
}
_LINES = (
    ("-", "black", "o"),
    ("--", "#b2182b", "s"),
    (":", "#2166ac", "^"),
    ("-.", "#1b7837", "D"),
)


def _exponent(x: Sequence[float], y: Sequence[float]) -> float:
    """Slope of the least squares line through the logarithms.

    With more than three points, of the later half: small maps hide growth.
    """
    late = len(x) // 2 if len(x) > 3 else 0
    logs = torch.tensor([x[late:], y[late:]], dtype=torch.float64).log()
    u, v = logs - logs.mean(1, keepdim=True)
    return ((u @ v) / (u @ u)).item()


def _draw(axis: Any, curves: Mapping[str, Curve]) -> dict[str, float]:
    exponents = {}
    for (name, (x, y)), (dash, color, marker) in zip(
        curves.items(), _LINES, strict=False
    ):
        exponents[name] = _exponent(x, y)
        label = f"{name}: $N^{{{exponents[name]:.2f}}}$"
        axis.loglog(
            x, y, dash, color=color, marker=marker, markersize=4, label=label
        )
    axis.set(xlabel="positions N")
    axis.legend(frameon=False, fontsize=9)
    return exponents


def show_growth(
    curves: Mapping[str, Curve], *, title: str = ""
) -> dict[str, float]:
    """Draw curves against N on log axes; return the fitted exponents.

    An exponent is the slope of the least squares line through the points of
    the larger half: 2 means that twice the positions cost four times as much.

    Args:
        curves: name to ``(positions, values)``, two rising sequences of at
            least two numbers; at most four curves.
        title: what the values are.

    Shape:
        - Output: ``exponents[name]``, a number

    Raises:
        ValueError: more than four curves, or one with fewer than two points or
            with sequences of different length.
    """
    import matplotlib.pyplot as plt

    if len(curves) > len(_LINES):
        raise ValueError(
            f"curves must be at most {len(_LINES)}, got {len(curves)}"
        )
    for name, (x, y) in curves.items():
        if len(x) != len(y) or len(x) < 2:
            raise ValueError(
                f"curve {name!r} must have as many positions as values and "
                f"at least 2, got {len(x)} and {len(y)}"
            )
    _, axis = plt.subplots(figsize=(6.4, 3.4))
    exponents = _draw(axis, curves)
    axis.set(title=title)
    plt.show()
    return exponents


def show_ratios(
    ratios: Mapping[str, Mapping[str, float]], *, title: str = ""
) -> None:
    """Draw ratios as groups of bars, with a line at 1.

    Args:
        ratios: group (a shape, a block) to bar (a form) to ratio; at most four
            kinds of bars.
        title: what is divided by what.

    Raises:
        ValueError: more than four kinds of bars.
    """
    import matplotlib.pyplot as plt

    kinds = list(dict.fromkeys(k for group in ratios.values() for k in group))
    if len(kinds) > len(_LINES):
        raise ValueError(
            f"ratios must have at most {len(_LINES)} kinds of bars, got "
            f"{len(kinds)}: {kinds}"
        )
    thick = 0.8 / max(1, len(kinds))
    height = 0.7 + 0.24 * len(ratios) * (len(kinds) + 0.7)
    _, axis = plt.subplots(figsize=(6.4, height))
    for n, (kind, (_, color, _)) in enumerate(
        zip(kinds, _LINES, strict=False)
    ):
        rows = [i for i, group in enumerate(ratios.values()) if kind in group]
        widths = [list(ratios.values())[i][kind] for i in rows]
        places = [i + (n - (len(kinds) - 1) / 2) * thick for i in rows]
        bars = axis.barh(places, widths, 0.9 * thick, color=color, label=kind)
        axis.bar_label(bars, fmt="%.2g", padding=3, fontsize=9)
    axis.axvline(1, color="black", linewidth=0.8)
    axis.set_yticks(range(len(ratios)), list(ratios), fontsize=9)
    axis.invert_yaxis()
    axis.margins(x=0.12)
    axis.set(title=title)
    axis.legend(frameon=False, fontsize=9)
    plt.show()


def show_cost(
    blocks: Mapping[str, tuple[nn.Module, str | None]],
    sides: Sequence[int],
    *,
    fields: Sequence[str] = ("macs", "kept_bytes"),
) -> dict[str, dict[str, float]]:
    """Draw cost against N on log axes; return the fitted exponents.

    The cost of a block on a square map of one image comes from
    :func:`attnlib.cost.closed_form`, the exponents are those of
    :func:`show_growth`.

    Args:
        blocks: what to compare, name to ``(block, impl)``; at most four.
        sides: heights H = W of the maps, rising, at least two.
        fields: ``"macs"``, ``"kept_bytes"`` or ``"parameters"``, one axis
            each.

    Shape:
        - Output: ``exponents[field][name]``, a number

    Raises:
        ValueError: an unknown field, more than four blocks, fewer than two
            sides.
    """
    import matplotlib.pyplot as plt

    for field in fields:
        check_choice("fields", field, _COSTS)
    if len(blocks) > len(_LINES) or len(sides) < 2:
        raise ValueError(
            f"blocks must be at most {len(_LINES)} and sides at least 2, "
            f"got {len(blocks)} and {len(sides)}"
        )
    positions = [float(side**2) for side in sides]
    _, axes = plt.subplots(
        1, len(fields), figsize=(6.4, 3.0), squeeze=False, sharex=True
    )
    costs = {}
    for name, (block, impl) in blocks.items():
        channels: int = block.in_channels  # type: ignore[assignment]
        costs[name] = [
            cost.closed_form(block, (1, channels, s, s), impl=impl)
            for s in sides
        ]
    exponents: dict[str, dict[str, float]] = {}
    for axis, field in zip(axes.flat, fields, strict=True):
        curves = {
            name: (positions, [float(getattr(c, field)) for c in values])
            for name, values in costs.items()
        }
        exponents[field] = _draw(axis, curves)
        axis.set(title=_COSTS[field])
    plt.show()
    return exponents
