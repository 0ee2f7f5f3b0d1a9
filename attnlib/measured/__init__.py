"""Results of ``python -m benchmarks`` that the book draws: ratios, no seconds.

``load("cpu")`` returns a dictionary:

- ``machine``: device, processor, cores, threads, versions.
- ``settings``: rounds, seed, how the peak was read.
- ``rows``: one a form, shape, dtype and pass. ``subject`` (a function's name
  or a block's key), ``options``, ``impl``, ``shape``, ``positions`` (N),
  ``dtype``, ``passes`` ("forward" or "both": forward and backward),
  ``compiled``, ``macs`` (multiply-adds of the plain form for these passes,
  the unit of work), ``to_plain`` (time over the plain form's), ``to_matmul``
  (time over that of ``macs`` multiply-adds in one large matrix product),
  ``to_dense`` (time over a dense plain non-local block's; blocks alone),
  ``kept_bytes``, ``peak_bytes`` (of a fresh process).
  A number that was not measured is null.

The two times of a ratio are minima of alternating runs of one process.
"""

from __future__ import annotations

import json
from importlib import resources
from typing import Any

from attnlib._checks import check_choice

__all__ = ["load", "names"]


def names() -> list[str]:
    """Return the names of the stored results.

    Shape:
        - Output: names that :func:`load` accepts, such as ``"cpu"``
    """
    folder = resources.files(__name__)
    files = sorted(entry.name for entry in folder.iterdir())
    return [f.removesuffix(".json") for f in files if f.endswith(".json")]


def load(name: str = "cpu") -> dict[str, Any]:
    """Return one stored result.

    Args:
        name: a name from :func:`names`.

    Shape:
        - Output: a dictionary, described above

    Raises:
        ValueError: an unknown name.
    """
    check_choice("name", name, names())
    text = resources.files(__name__).joinpath(f"{name}.json").read_text()
    result: dict[str, Any] = json.loads(text)
    return result
