"""Answers to the exercises on DANet: wrong and right."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


def safe(a: Tensor) -> Tensor:
    rows = a if a.dtype == torch.float64 else a.float()
    return (-(rows @ rows.T)).softmax(1).to(a.dtype)


def in_double(a: Tensor) -> Tensor:
    rows = a.double()
    gram = torch.einsum("cn,en->ce", rows, rows)
    return torch.softmax(gram.amax(1, keepdim=True) - gram, 1).to(a.dtype)


def official(a: Tensor) -> Tensor:
    gram = a @ a.T
    return (gram.max(1, keepdim=True)[0] - gram).softmax(1)


def clamped(a: Tensor) -> Tensor:
    gram = (a @ a.T).clamp(max=torch.finfo(a.dtype).max)
    return (-gram).softmax(1)


def always_float(a: Tensor) -> Tensor:
    rows = a.float()
    return (-(rows @ rows.T)).softmax(1)


def rounded_to_float(a: Tensor) -> Tensor:
    return always_float(a).to(a.dtype)


def wide_in_half(a: Tensor) -> Tensor:
    rows = a if a.dtype == torch.float64 else a.float()
    return (-(rows @ rows.T)).softmax(1)


def plus(a: Tensor) -> Tensor:
    return (a @ a.T).softmax(1)


def columns(a: Tensor) -> Tensor:
    return (-(a @ a.T)).softmax(0)


WRONG = {
    "danet-1": [
        ((16 / 19, 16 / 25), "the plus first"),
        ((8 / 13, 8 / 11), "before a is doubled"),
        ((8 / 25, 16 / 19), "no longer listens"),
        ((16, 1), "divide by their sum"),
        ((0.5, 8 / 11), "a . b doubles too"),
        ((16 / 25, 0.5), "the plus is right"),
        ((0.5, 16 / 19), "the minus is right"),
        ((0.1, 0.2), "b's dot products"),
        (0.5, "two numbers"),
        ("abc", "two numbers"),
    ],
    "danet-2": [
        (official, "NaN in float16"),
        (clamped, "when do you round"),
        (always_float, "another type"),
        (rounded_to_float, "lose digits"),
        (wide_in_half, "float16 in, float16 out"),
        (plus, "the paper's sign"),
        (columns, "softmax over e"),
        (lambda a: -(a @ a.T), "the softmax is missing"),
        (lambda a: a @ a.T, "not yet"),
        (lambda a: a, "a tensor of shape (6, 6)"),
        (0.5, "a function is asked for"),
    ],
}
RIGHT = {
    "danet-1": [
        (16 / 25, 16 / 19),
        [0.64, 0.8421],
        np.array([0.64, 0.842]),
        torch.tensor([16 / 25, 16 / 19]),
    ],
    "danet-2": [safe, in_double],
}
