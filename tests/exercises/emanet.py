"""Answers to the exercises on EMANet: wrong and right."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F


def folded(u: Tensor, mu: Tensor, W: Tensor, b: Tensor) -> Tensor:
    z = (u.T @ (W.T @ mu) + b @ mu).softmax(1)
    m = z.sum(0)
    means = (W @ (u @ z) + b[:, None] * m) / (m + 1e-6)
    return means / (means.norm(dim=0) + 1e-6)


def by_einsum(u: Tensor, mu: Tensor, W: Tensor, b: Tensor) -> Tensor:
    keys = torch.einsum("dc,dk->ck", W, mu)
    z = torch.softmax(torch.einsum("cn,ck->nk", u, keys) + b @ mu, dim=-1)
    shares = z / (z.sum(0, keepdim=True) + 1e-6)
    means = W @ (u @ shares) + torch.outer(b, shares.sum(0))
    return means / (means.square().sum(0).sqrt() + 1e-6)


def as_written(u: Tensor, mu: Tensor, W: Tensor, b: Tensor) -> Tensor:
    x = W @ u + b[:, None]
    z = (x.T @ mu).softmax(1)
    means = x @ (z / (z.sum(0) + 1e-6))
    return means / (means.norm(dim=0) + 1e-6)


def over_positions(u: Tensor, mu: Tensor, W: Tensor, b: Tensor) -> Tensor:
    x = W @ u + b[:, None]
    return F.normalize(x @ (x.T @ mu).softmax(0), dim=0)


def not_normalised(u: Tensor, mu: Tensor, W: Tensor, b: Tensor) -> Tensor:
    x = W @ u + b[:, None]
    z = (x.T @ mu).softmax(1)
    return x @ (z / (z.sum(0) + 1e-6))


def no_guard(*inputs: Tensor) -> Tensor:
    return F.normalize(folded(*inputs), dim=0)


def bias_lost_in_e(u: Tensor, mu: Tensor, W: Tensor, b: Tensor) -> Tensor:
    z = (u.T @ (W.T @ mu)).softmax(1)
    return F.normalize(W @ (u @ z) + b[:, None] * z.sum(0), dim=0)


def bias_lost_in_m(u: Tensor, mu: Tensor, W: Tensor, b: Tensor) -> Tensor:
    z = (u.T @ (W.T @ mu) + b @ mu).softmax(1)
    return F.normalize(W @ (u @ z), dim=0)


def bias_once(u: Tensor, mu: Tensor, W: Tensor, b: Tensor) -> Tensor:
    z = (u.T @ (W.T @ mu) + b @ mu).softmax(1)
    return F.normalize(W @ (u @ z) + b[:, None], dim=0)


def of_u(u: Tensor, mu: Tensor, W: Tensor, b: Tensor) -> Tensor:
    if len(u) != len(mu):
        return mu
    z = (u.T @ (W.T @ mu) + b @ mu).softmax(1)
    return F.normalize(u @ z, dim=0)


WRONG = {
    "emanet-1": [
        ((3, 44), "the other way round"),
        ((44, 2), "0.1 squared"),
        ((43, 3), "still 0.0108"),
        ((43.7, 2), "round up"),
        ((44, 7), "44 is right"),
        ((10, 1), "decay ** n"),
        (44, "two numbers"),
        ("ab", "two numbers"),
    ],
    "emanet-2": [
        (as_written, "D N numbers"),
        (over_positions, "not over the positions"),
        (not_normalised, "to length one"),
        (no_guard, "the official guards"),
        (bias_lost_in_e, "missing in the E-step"),
        (bias_lost_in_m, "missing in the M-step"),
        (bias_once, "not once"),
        (of_u, "those bases are of u"),
        (lambda u, mu, W, b: mu, "the old bases"),
        (lambda u, mu, W, b: 0 * mu, "start with x"),
        (lambda u, mu, W, b: mu.T, "a tensor of shape"),
        (lambda *inputs: None, "in place of the dots"),
        (0.5, "a function is asked for"),
    ],
}
RIGHT = {
    "emanet-1": [(44, 3), [44.0, 3.0], np.array([44, 3])],
    "emanet-2": [folded, by_einsum],
}
