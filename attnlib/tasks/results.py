"""What ``python -m benchmarks.task`` found, stored with the package."""

from __future__ import annotations

import json
from importlib import resources
from typing import Any


def load_results() -> dict[str, Any]:
    """Return the stored result of both tasks.

    Shape:
        - Output: a dictionary: ``machine`` and ``settings`` of the run, and
          ``rows``, one a task, block and seed: ``task`` ("lookup" or
          "denoise"), ``block`` (a key or class of the catalogue, or one of
          ``LOCAL``), ``seed``, ``steps``, ``parameters`` (of the whole
          network), ``macs`` (multiply-adds of the block for one picture),
          ``time`` (over that of the network "local" with the same seed) and
          ``score``: the share of right answers, or the decibels of each
          photograph
    """
    text = resources.files(__package__).joinpath("results.json").read_text()
    found: dict[str, Any] = json.loads(text)
    return found
