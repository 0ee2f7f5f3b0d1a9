"""Checks of the chapter on global context, ``gcnet-1`` and ``-2``."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from attnlib.exercises import exercise

BLOCKS, C, P = 6, 1024, 128
KEY = C + 1  # the scores, with their bias
MATRICES, BIASES, NORM = 2 * C * P, P + C, 2 * P
BRANCH = MATRICES + BIASES + NORM


@exercise("gcnet-1", right="six keys, twelve bottlenecks.")
def _parameters(answer: Any) -> str | None:
    try:
        found = round(float(answer))
    except (TypeError, ValueError):
        return "one number is asked for."
    wanted = BLOCKS * (KEY + 2 * BRANCH)
    if found == wanted:
        return None
    hints = {
        BLOCKS * (KEY + BRANCH): "that is one fusion; there are two, and "
        "each has a bottleneck of its own.",
        2 * BLOCKS * (KEY + BRANCH): "both fusions share one key: there is "
        "one context.",
        wanted // BLOCKS: "that is one block; there are six.",
        wanted - BLOCKS * KEY: "the keys are missing.",
        wanted - BLOCKS: "the key has a bias: one number a block.",
        wanted - 2 * BLOCKS * NORM: "the layer normalisation has a weight and "
        "a bias for each of its channels.",
        wanted - 2 * BLOCKS * BIASES: "both layers of a bottleneck have "
        "biases.",
        2 * BLOCKS * MATRICES: "those are the matrices; keys, biases and the "
        "norm come on top.",
    }
    return hints.get(found, "count one block: key, then each bottleneck.")


@exercise("gcnet-2", right="the same block, and nobody asks.")
def _simplified(answer: Any) -> str | None:
    if not callable(answer):
        return "a function is asked for: it returns k and W."
    for d, channels in ((3, 5), (4, 4), (1, 6)):
        b = torch.randn(d, dtype=torch.float64)
        phi, g = torch.randn(2, d, channels, dtype=torch.float64)
        out = torch.randn(channels, d, dtype=torch.float64)
        found = answer(*(t.clone() for t in (b, phi, g, out)))
        if found is None:
            return "put your lines in place of the dots: it returned nothing."
        if not isinstance(found, (tuple, list)) or len(found) != 2:
            return "two tensors are asked for: k and W."
        k, w = found
        if not isinstance(k, Tensor) or k.shape != (channels,):
            return f"k has one number a channel of x: shape ({channels},)."
        if not isinstance(w, Tensor) or w.shape != (channels, channels):
            return f"W takes C channels to C: shape {(channels, channels)}."
        if not torch.allclose(k, phi.T @ b):
            if torch.allclose(k, g.T @ b):
                return "k comes from the key's matrix, not from the value's."
            return "k . x must be b . (Phi x): move Phi to the other side."
        if torch.allclose(w, out @ g):
            continue
        if torch.allclose(w, (out @ g).T):
            return "W is transposed: G acts first, then O."
        if torch.allclose(w, out @ phi):
            return "W is made of the value's matrix, not of the key's."
        return "k is right. W x must be O (G x)."
    return None
