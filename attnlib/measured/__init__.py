"""Results of ``python -m benchmarks`` that the book draws: ratios, no seconds.

``load("cpu")`` and ``load("cuda")`` return a dictionary each:

- ``machine``: device, processor or GPU, cores, threads, versions.
- ``settings``: preset of shapes, rounds (at least, at most), how well the two
  least times of a row have to agree and how many rows did not settle so,
  seed, sides of the large product, how the peak was read.
- ``rows``: one a form, shape, dtype and pass. ``subject`` (a function's name
  or a block's key), ``options``, ``impl``, ``shape``, ``positions`` (N),
  ``dtype``, ``passes`` ("forward" or "both": forward and backward),
  ``compiled``, ``macs`` (multiply-adds of the plain form for these passes,
  the unit of work), ``to_plain`` (time over the plain form's), ``to_matmul``
  (time over that of ``macs`` multiply-adds in one large matrix product),
  ``to_dense`` (time over a dense plain non-local block's; blocks alone),
  ``kernel`` (the fused attention kernel that PyTorch picked; null: none),
  ``kept_bytes`` (for backward; forward alone keeps 0), ``peak_bytes`` (read
  in a fresh process; on a GPU, counted by PyTorch) and
  ``counted_peak_bytes`` (``attnlib.memory``; CPU alone), both beyond inputs
  and parameters.
  A number that was not measured is null.
- ``skipped``: rows that are missing, with the ``reason``.

Forward alone is inference: no graph, eval mode. Both passes are training:
train mode, gradients of the input and of all parameters; their ``macs`` are
three times those of the forward pass.

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
