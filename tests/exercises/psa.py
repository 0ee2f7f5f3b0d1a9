"""Answers to the exercises on polarized self-attention: wrong and right."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

LOW = math.tanh(0.5) / 2


def folded(x: Tensor, G: Tensor, b_G: Tensor, T: Tensor, b_T: Tensor):
    g = (G @ x.mean(1) + b_G).softmax(0)
    return ((g @ T) @ x + g @ b_T).sigmoid()


def by_einsum(x: Tensor, G: Tensor, b_G: Tensor, T: Tensor, b_T: Tensor):
    g = torch.softmax(torch.einsum("dc,c->d", G, x.mean(dim=-1)) + b_G, 0)
    row = torch.einsum("d,dc->c", g, T)
    return torch.sigmoid(torch.einsum("c,cn->n", row, x) + (g * b_T).sum())


def as_written(x: Tensor, G: Tensor, b_G: Tensor, T: Tensor, b_T: Tensor):
    g = (G @ x + b_G[:, None]).mean(1).softmax(0)
    return (g @ (T @ x + b_T[:, None])).sigmoid()


def half_folded(x: Tensor, G: Tensor, b_G: Tensor, T: Tensor, b_T: Tensor):
    g = (G @ x.mean(1) + b_G).softmax(0)
    return (g @ (T @ x + b_T[:, None])).sigmoid()


def official(x: Tensor, G: Tensor, b_G: Tensor, T: Tensor, b_T: Tensor):
    g = G @ x.mean(1) + b_G
    return ((g @ T) @ x + g @ b_T).softmax(0).sigmoid()


def no_softmax(x: Tensor, G: Tensor, b_G: Tensor, T: Tensor, b_T: Tensor):
    g = G @ x.mean(1) + b_G
    return ((g @ T) @ x + g @ b_T).sigmoid()


def no_sigmoid(*inputs: Tensor) -> Tensor:
    return folded(*inputs).logit()


def bias_of_g_lost(x: Tensor, G: Tensor, b_G: Tensor, T: Tensor, b_T: Tensor):
    return folded(x, G, 0 * b_G, T, b_T)


def bias_lost(x: Tensor, G: Tensor, b_G: Tensor, T: Tensor, b_T: Tensor):
    return folded(x, G, b_G, T, 0 * b_T)


def mean_bias(x: Tensor, G: Tensor, b_G: Tensor, T: Tensor, b_T: Tensor):
    return (folded(x, G, b_G, T, 0 * b_T).logit() + b_T.mean()).sigmoid()


WRONG = {
    "psa-1": [
        ((LOW, 0.25), "one softmax"),
        ((0.5, 2 * LOW), "the other way round"),
        ((0.0, 0.5), "above a chord"),
        ((1.462, 1.5), "these are gates"),
        ((0.3808, 0.5), "a sigmoid of its own"),
        ((0.4, 0.5), "And if all weight"),
        ((0.1, 1.0), "to each head"),
        (0.5, "two numbers"),
        ("ab", "two numbers"),
    ],
    "psa-2": [
        (as_written, "d N numbers"),
        (half_folded, "d N numbers"),
        (official, "the official code"),
        (no_softmax, "where is the softmax of g"),
        (no_sigmoid, "the sigmoid is missing"),
        (bias_of_g_lost, "the bias of G"),
        (bias_lost, "what is g . b"),
        (mean_bias, "enters once"),
        (lambda *inputs: inputs[0].mean(0), "start with t"),
        (lambda *inputs: folded(*inputs)[None], "a tensor of shape"),
        (0.5, "a function is asked for"),
    ],
}
RIGHT = {
    "psa-1": [
        (2 * LOW, 0.5),
        [0.4621, 0.5],
        np.array([0.462, 0.5]),
        torch.tensor([math.tanh(0.5), 0.5]),
    ],
    "psa-2": [folded, by_einsum],
}
