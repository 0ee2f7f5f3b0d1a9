"""Answers to the exercises on the non-local block: wrong and right."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from attnlib import NonLocal


def by_matrices(x: Tensor, theta: Tensor, phi: Tensor, g: Tensor) -> Tensor:
    few = F.max_pool2d(x[None], 2)[0].flatten(1)
    q, k, v = theta @ x.flatten(1), phi @ few, g @ few
    A = (q.T @ k / len(q) ** 0.5).softmax(dim=-1)
    return (A @ v.T).T.reshape(-1, *x.shape[1:])


def by_library(x: Tensor, theta: Tensor, phi: Tensor, g: Tensor) -> Tensor:
    d, c = theta.shape
    block = NonLocal(
        c, inter_channels=d, subsample="before", scale=True, norm=False
    ).double()
    with torch.no_grad():
        for layer, weight in (
            (block.query, theta), (block.key, phi), (block.value, g)
        ):  # fmt: skip
            layer.weight.copy_(weight[..., None, None])
            layer.bias.zero_()
    q, k, v = block._project(x[None])
    y = F.scaled_dot_product_attention(q, k, v)
    return y[0].T.unflatten(1, x.shape[1:])


def after(x: Tensor, theta: Tensor, phi: Tensor, g: Tensor) -> Tensor:
    return _one(x, theta, phi, g, after=True)


def sentence(x: Tensor, theta: Tensor, phi: Tensor, g: Tensor) -> Tensor:
    return _one(x, theta * len(theta) ** 0.5, phi, g, after=True)


def unpooled(x: Tensor, theta: Tensor, phi: Tensor, g: Tensor) -> Tensor:
    return _one(x, theta, phi, g, few=x)


def equation(x: Tensor, theta: Tensor, phi: Tensor, g: Tensor) -> Tensor:
    return _one(x, theta * len(theta) ** 0.5, phi, g, few=x)


def no_factor(x: Tensor, theta: Tensor, phi: Tensor, g: Tensor) -> Tensor:
    return _one(x, theta * len(theta) ** 0.5, phi, g)


def inverse(x: Tensor, theta: Tensor, phi: Tensor, g: Tensor) -> Tensor:
    return _one(x, theta * len(theta), phi, g)


def divided(x: Tensor, theta: Tensor, phi: Tensor, g: Tensor) -> Tensor:
    return _one(x, theta / len(theta) ** 0.5, phi, g)


def columns(x: Tensor, theta: Tensor, phi: Tensor, g: Tensor) -> Tensor:
    return _one(x, theta, phi, g, axis=0)


def small_queries(x: Tensor, theta: Tensor, phi: Tensor, g: Tensor) -> Tensor:
    q = torch.einsum("dc,chw->dhw", theta, x)
    q = F.interpolate(F.max_pool2d(q, 2)[None], x.shape[1:])[0]
    few = F.max_pool2d(x, 2).flatten(1)
    A = (q.flatten(1).T @ (phi @ few) / len(theta) ** 0.5).softmax(1)
    return (g @ few @ A.T).view(-1, *x.shape[1:])


def _one(
    x: Tensor,
    theta: Tensor,
    phi: Tensor,
    g: Tensor,
    *,
    after: bool = False,
    few: Tensor | None = None,
    axis: int = 1,
) -> Tensor:
    pool = nn.MaxPool2d(2)
    size = x.shape[1:]
    if after:
        k, v = (
            pool((w @ x.flatten(1)).view(-1, *size)).flatten(1)
            for w in (phi, g)
        )
    else:
        few = (pool(x) if few is None else few).flatten(1)
        k, v = phi @ few, g @ few
    q = theta @ x.flatten(1) / len(theta) ** 0.5
    return (v @ (q.T @ k).softmax(axis).T).view(-1, *size)


WRONG = {
    "nonlocal-1": [
        ((-2, 2), "the other way round"),
        ((-3, -2), "minus the minimum"),
        ((3, 2), "for g = a - b"),
        ((2, -3), "in no window"),
        ((2, 2), "after is right"),
        ((1, -2), "before is right"),
        ((0, 0), "one window"),
        (2.0, "two numbers"),
        ("ab", "two numbers"),
    ],
    "nonlocal-2": [
        (after, "as the ports do"),
        (sentence, "sentence of the paper"),
        (unpooled, "nothing is pooled"),
        (equation, "neither pooled nor scaled"),
        (no_factor, "the factor is missing"),
        (inverse, "the wrong way up"),
        (divided, "divided by d"),
        (small_queries, "stay at full size"),
        (columns, "over the keys"),
        (lambda x, *w: w[2] @ x.flatten(1), "has the shape"),
        (
            lambda x, *w: (w[2] @ x.flatten(1)).view(-1, *x.shape[1:]),
            "not yet y",
        ),
        (0.5, "a function is asked for"),
    ],
    "nonlocal-3": [
        ((14716928, 1.83), "in millions"),
        ((14.7005, 1.833), "each norm"),
        ((14.717, 2.149), "pooled after"),
        ((14.717, 3.068), "not pooled"),
        ((14.717, 0.833), "network included"),
        ((14.717, 1.473), "ResNet-101"),
        ((11.567, 1.946), "four blocks stand"),
        ((7.358, 1.417), "five blocks"),
        ((14.717, 1.2), "the parameters are right"),
        ((10.0, 1.833), "the factor is right"),
        ((1.0, 1.0), "four times one_block"),
        (14.717, "two numbers"),
    ],
}
RIGHT = {
    "nonlocal-1": [(2, -2), [2.0, -2.0], torch.tensor([2.0, -2.0])],
    "nonlocal-2": [by_matrices, by_library],
    "nonlocal-3": [(14.717, 1.833), np.array([14.716928, 1.8331])],
}
