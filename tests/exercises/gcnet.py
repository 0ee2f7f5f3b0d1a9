"""Answers to the exercises on global context: wrong and right."""

from __future__ import annotations

import numpy as np
import torch

KEY, BRANCH = 1025, 2 * 1024 * 128 + 128 + 1024 + 256


def simplify(b, phi, g, out):
    return phi.T @ b, out @ g


def by_einsum(b, phi, g, out):
    return torch.einsum("d,dc->c", b, phi), torch.einsum("ed,dc->ec", out, g)


WRONG = {
    "gcnet-1": [
        (6 * (KEY + BRANCH), "one fusion"),
        (12 * (KEY + BRANCH), "share one key"),
        (KEY + 2 * BRANCH, "one block"),
        (12 * BRANCH, "keys are missing"),
        (6 * (KEY - 1 + 2 * BRANCH), "the key has a bias"),
        (6 * KEY + 12 * (BRANCH - 256), "the layer norm"),
        (6 * KEY + 12 * (BRANCH - 128 - 1024), "have biases"),
        (12 * 2 * 1024 * 128, "those are the matrices"),
        (7, "count one block"),
        ("many", "one number"),
    ],
    "gcnet-2": [
        (0.5, "a function is asked for"),
        (lambda b, phi, g, out: phi.T @ b, "two tensors"),
        (lambda b, phi, g, out: (b, out @ g), "one number a channel"),
        (lambda b, phi, g, out: (phi.T @ b, g), "takes C channels"),
        (lambda b, phi, g, out: (g.T @ b, out @ g), "not from the value's"),
        (lambda b, phi, g, out: (phi.sum(0), out @ g), "the other side"),
        (lambda b, phi, g, out: (phi.T @ b, (out @ g).T), "transposed"),
        (lambda b, phi, g, out: (phi.T @ b, out @ phi), "not of the key's"),
        (lambda b, phi, g, out: (phi.T @ b, 2 * out @ g), "k is right"),
    ],
}
RIGHT = {
    "gcnet-1": [
        6 * (KEY + 2 * BRANCH),
        3_168_774,
        3168774.0,
        np.int64(3168774),
        torch.tensor(3168774),
    ],
    "gcnet-2": [simplify, by_einsum],
}
