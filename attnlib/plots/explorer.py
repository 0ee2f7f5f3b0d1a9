"""An attention map that answers the reader: one HTML figure, no kernel.

The figure holds a picture, the weights in as many bits as fit, and a script
that draws the row of whichever position the reader points at. Its bytes depend
on the numbers alone, so that a stored output can be compared. Where scripts do
not run, the first state stays: two pictures and a sentence.
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

import torch
from torch import Tensor

from attnlib import maps
from attnlib._checks import check_floating
from attnlib.plots._encode import NUDGE, numbers, pack, pixels, png, still

MAX_BYTES = 120_000


@dataclass(frozen=True)
class Explorer:
    """A figure for Jupyter: HTML, and its first state in words."""

    html: str
    text: str

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        return {"text/html": self.html, "text/plain": self.text}


def _colours(image: Tensor) -> Tensor:
    """(3, H, W) or (H, W) in [0, 1] -> (3, H, W)."""
    check_floating("image", image)
    if image.ndim == 2:
        image = image.expand(3, *image.shape)
    if image.ndim != 3 or image.shape[0] != 3:
        raise ValueError(
            f"image must be (3, h, w) or (h, w), got {tuple(image.shape)}"
        )
    if not image.numel() or not (image.min() >= 0 and image.max() <= 1):
        raise ValueError("image must have pixels, all in [0, 1]")
    return image.detach().cpu().to(torch.float64)


def _sentence(data: dict[str, Any], row: Tensor) -> str:
    """Describe the first state, as the script describes the later ones."""
    n = data["rows"] * data["columns"]
    here = data["row"] * data["columns"] + data["column"]

    def value(name: str) -> str:
        words: list[str] = data[name].split(" ")
        return words[0 if len(words) == 1 else data["group"] * n + here]

    def place(j: int) -> str:
        row, column = divmod(j, data["columns"])
        return f"row {row}, column {column}"

    title = ""
    if data["names"]:
        title = f"{data['parameter']}: {data['names'][data['group']]}. "
    title += f"Query: {place(here)}. "
    if value("entropy") == "nan":
        return title + "It gives no weight to any position."
    equal = value("equal")
    best = int(value("top"))
    sign = "-" if row.flatten()[best] < 0 else ""
    of = "of the sizes " if data["negative"][data["group"]] else ""
    return (
        f"{title}Largest weight {sign}{value('largest')} at {place(best)}. "
        f"Sum {value('sum')}. Entropy {of}{value('entropy')}, as if {equal} "
        f"{'position' if equal == '1' else 'positions'} shared equally. "
        f"Reach {value('reach')} steps."
    )


def _code(name: str) -> str:
    """A file of this folder without comments and indentation."""
    text = (files(__package__) / name).read_text(encoding="utf-8")
    text = re.sub(r"^\s*//[^\n]*\n|/\*.*?\*/\n", "", text, flags=re.M | re.S)
    return re.sub(r"^\s+", "", text, flags=re.M)


def _slider(
    name: str, label: str, count: int, start: int, text: str, width: int = 2
) -> str:
    # The value has a fixed width: else the slider moves under the finger.
    return (
        f'<label>{label} <input type="range" name="{name}" min="0" '
        f'max="{count - 1}" value="{start}">'
        f'<span class="attn-value" aria-hidden="true" '
        f'style="min-width:min({width}ch,100%)">{text}</span></label>'
    )


def explore(
    image: Tensor,
    attention: Tensor,
    *,
    size: tuple[int, int],
    query: tuple[int, int],
    look: str,
    parameter: str | None = None,
    values: Sequence[str] = (),
    start: int = 0,
    alt: str = "The picture.",
) -> Explorer:
    """Return a figure that shows the row of any query over the picture.

    Point at the picture; click, tap or use the arrow keys to stay. The colour
    of a position is its weight's share of the row's largest weight, rounded to
    the bits that fit, at most 8. Largest weight, sum,
    entropy and reach (:mod:`attnlib.maps`) are exact to three digits.

    Args:
        image: the picture in [0, 1], of any resolution.
        attention: the map, row i over j; G maps get a slider.
        size: ``(H, W)`` of the map, H W = N.
        query: ``(row, column)`` of the first state.
        look: the sentence that says what to look for.
        parameter: what differs between the G maps, for instance "head".
        values: the G settings of the parameter, as they are to be read.
        start: index of the first state's map.
        alt: what the picture shows, a sentence.

    Shape:
        - image: ``(3, h, w)`` or ``(h, w)``
        - attention: ``(N, N)``, ``(G, N, N)`` or ``(1, G, N, N)``
        - Output: an object that Jupyter shows; at most 120,000 bytes of HTML

    Raises:
        TypeError: a picture or map that is no floating-point tensor.
        ValueError: sizes that do not fit, a query or start outside, a
            parameter without values, or more weights than 120,000 bytes hold
            at three bits each.
    """
    image = _colours(image)
    check_floating("attention", attention)
    attention = attention.detach().cpu().to(torch.float64)
    if attention.ndim == 4 and len(attention) == 1:
        attention = attention[0]
    if attention.ndim == 2:
        attention = attention[None]
    (height, width), n = size, size[0] * size[1]
    if attention.shape[1:] != (n, n):
        raise ValueError(
            f"attention must be (N, N) or (G, N, N) with N = {n} for size "
            f"{size}, got {tuple(attention.shape)}"
        )
    groups = len(attention)
    if (groups > 1) != (parameter is not None) or (
        len(values) != (groups if parameter else 0)
    ):
        raise ValueError(
            f"values must name the {groups} maps of one parameter, "
            f"got parameter={parameter!r} and {len(values)} values"
        )
    if not (0 <= query[0] < height and 0 <= query[1] < width):
        raise ValueError(f"query must lie inside {size}, got {query}")
    if isinstance(start, bool) or start not in range(groups):
        raise ValueError(f"start must be below {groups}, got {start}")
    if not attention.isfinite().all():
        raise ValueError("attention must be finite, got infinities or NaN")
    for value in values:
        if not isinstance(value, str):
            raise TypeError(f"values must be strings, got {value!r}")

    strength = attention.abs()
    largest = strength.amax(-1)  # (G, N)
    # The first of those that differ by rounding alone.
    top = (strength >= (1 - NUDGE) * largest[..., None]).int().argmax(-1)
    sums = maps.row_sums(attention)
    sums[sums.abs() < NUDGE * strength.sum(-1)] = 0
    below = attention < -NUDGE * largest[..., None]
    negative = below.flatten(1).any(1).tolist()
    entropy, reach = maps.entropy(attention), maps.reach(attention, size)
    # Of a row that has all its weight in one place, rounding is what remains.
    entropy[entropy < 1e-6], reach[reach < 1e-6] = 0, 0
    equal = (entropy.exp() * (1 + NUDGE) + 0.5).floor()
    data: dict[str, Any] = {
        "rows": height, "columns": width, "negative": negative,
        "row": query[0], "column": query[1], "group": start,
        "parameter": parameter or "", "names": list(values),
        "top": " ".join(map(str, top.flatten().tolist())),
        "largest": numbers(largest),
        "sum": numbers(sums),
        "entropy": numbers(entropy),
        "equal": numbers(equal),
        "reach": numbers(reach),
    }  # fmt: skip
    first = attention[start, query[0] * width + query[1]].view(size)
    text = _sentence(data, first)
    frame = _frame(image, first, data, text, look, alt)
    room = MAX_BYTES - len(frame.encode()) - len(json.dumps(data).encode())
    bits = min(8, (room - 100) * 6 // attention.numel())
    if bits < 3:
        raise ValueError(
            f"attention has {attention.numel():,} weights, at most "
            f"{(room - 100) * 2:,} fit: average the map to fewer positions"
        )
    half = 2 ** (bits - 1) - 1
    share = attention / largest.clamp(min=1e-300)[..., None]
    levels = half + half * share if any(negative) else (2**bits - 1) * share
    levels = (levels + NUDGE).round().long()
    data["bits"], data["weights"] = bits, pack(levels, bits)
    content = json.dumps(data, ensure_ascii=False).replace("<", "\\u003c")
    page = content.join(frame.rsplit("@DATA@", 1))
    what = f"{height} x {width} positions"
    if parameter:
        what += f", {parameter}: {', '.join(values)}"
    return Explorer(page, f"Explorer, {what}. {look} {text}")


def _frame(
    image: Tensor, row: Tensor, data: dict[str, Any], text: str, look: str,
    alt: str,
) -> str:  # fmt: skip
    """Everything but the data: what is seen where scripts do not run."""
    rows, columns = data["rows"], data["columns"]
    mark = (
        f'<span class="attn-mark" style="left:{100 * data["column"] / columns}'
        f"%;top:{100 * data['row'] / rows}%;width:{100 / columns}%;"
        f'height:{100 / rows}%"></span>'
    )
    peak = numbers(row.abs().max())
    below = data["negative"][data["group"]]
    low, kind = (f"-{peak}", " attn-both") if below else ("0", "")
    sliders = [
        _slider(name, label, count, data[name], str(data[name]))
        for name, label, count in (
            ("row", "query row", rows),
            ("column", "query column", columns),
        )
    ]
    if names := data["names"]:
        label = html.escape(data["parameter"])
        value = html.escape(names[data["group"]])
        sliders.append(
            _slider(
                "group",
                label,
                len(names),
                data["group"],
                value,
                max(map(len, names)),
            )
        )
    escaped, alt = html.escape(text), html.escape(alt)
    narrow = f'style="max-width:{32 * columns / rows:.3g}rem"'
    return f"""\
<figure class="attn-explorer">
<style>{_code("explorer.css")}</style>
<figcaption>{html.escape(look)}</figcaption>
<div class="attn-panels">
<div class="attn-panel"><div class="attn-frame attn-picture" {narrow}>\
<img src="{png(pixels(image))}" alt="{alt}">{mark}</div>\
<p class="attn-note">Red: the query. A click keeps it.</p></div>
<div class="attn-panel"><div class="attn-frame attn-map" {narrow}>\
<img src="{still(image, row)}" alt="Weights over the picture. {escaped}">\
<canvas role="img" hidden></canvas>{mark}</div>
<p class="attn-scale"><span class="attn-low">{low}</span>\
<span class="attn-ramp{kind}"></span>\
<span class="attn-high">{peak}</span></p></div>
</div>
<p class="attn-result" role="status">{escaped}</p>
<div class="attn-controls" hidden>{"".join(sliders)}</div>
<details hidden><summary>The row as numbers</summary>
<div class="attn-table" role="region" aria-label="The row as numbers" \
tabindex="0"></div><p class="attn-step"></p></details>
<script type="application/json">@DATA@</script>
<script>{_code("explorer.js")}</script>
</figure>"""
