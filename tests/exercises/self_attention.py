"""Answers to the exercises on the self-attention block: wrong and right."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import torch
from torch import Tensor, nn

from attnlib import SelfAttention


def matrices(block: SelfAttention) -> tuple[Tensor, Tensor]:
    return block.h.weight[:, :, 0, 0], block.o.weight[:, :, 0, 0]


def fold(block: SelfAttention) -> tuple[Tensor, Tensor]:
    inner, outer = matrices(block)
    return outer @ inner, outer @ block.h.bias + block.o.bias


def fold_to_layer(block: SelfAttention) -> nn.Conv2d:
    """Columns of the matrix by sending unit vectors through both layers."""
    c = block.in_channels
    kw = {"dtype": block.h.weight.dtype}
    layer = nn.Conv2d(c, c, 1, **kw)
    with torch.no_grad():
        zero = block.o(block.h(torch.zeros(1, c, 1, 1, **kw)))[0]
        units = block.o(block.h(torch.eye(c, **kw)[..., None, None]))
        layer.weight.copy_((units - zero).transpose(0, 1))
        layer.bias.copy_(zero.flatten())
    return layer


def fold_by_numpy(block: SelfAttention) -> tuple[np.ndarray, list[float]]:
    weight, bias = fold(block)
    return weight.detach().numpy(), bias.tolist()


def fold_to_lists(block: SelfAttention) -> list[list[Tensor]]:
    weight, bias = fold(block)
    return [list(weight), list(bias)]


def fold_squeezed(block: SelfAttention) -> tuple[Tensor, Tensor]:
    inner, outer = (m.weight.squeeze() for m in (block.h, block.o))
    return outer @ inner, outer @ block.h.bias + block.o.bias


def in_place(block: SelfAttention) -> tuple[Tensor, Tensor]:
    weight, bias = fold(block)
    with torch.no_grad():
        block.h.weight.zero_()
    return weight, bias


def swapped(block: SelfAttention) -> tuple[Tensor, Tensor]:
    inner, outer = matrices(block)
    return inner @ outer, fold(block)[1]


def transposed(block: SelfAttention) -> tuple[Tensor, Tensor]:
    return fold(block)[0].T, fold(block)[1]


def near(z: Tensor, beta: float) -> Tensor:
    half = beta * z.square().sum(1) / 2
    return (beta * z @ z.T - half).softmax(1)


def near_by_loops(z: Tensor, beta: float) -> Tensor:
    rows = [(-beta / 2 * (z - z_i).square().sum(1)).exp() for z_i in z]
    return torch.stack([row / row.sum() for row in rows])


def near_by_cosine(z: Tensor, beta: float) -> Tensor:
    unit = z / z.norm(dim=1, keepdim=True)
    return (beta * unit @ unit.T).softmax(1)


def near_by_numpy(z: Tensor, beta: float) -> np.ndarray:
    rows = z.numpy()
    squares = ((rows[:, None] - rows) ** 2).sum(2)
    weights = np.exp(-beta / 2 * squares)
    return weights / weights.sum(1, keepdims=True)


def near_in_float32(z: Tensor, beta: float) -> list[Tensor]:
    return list(near(z.float(), beta))


def near_by_unit_keys(z: Tensor, beta: float) -> Tensor:
    return (beta * z @ (z / z.norm(dim=1, keepdim=True)).T).softmax(1)


def lifted(z: Tensor, beta: float) -> Tensor:
    """Lift the own score to the largest of its row."""
    scores = beta * z @ z.T
    scores.diagonal().copy_(scores.amax(1))
    return scores.softmax(1)


def unless_unit(z: Tensor, beta: float, other: Tensor) -> Tensor:
    """The plain map for rows of length 1, and another for the rest."""
    unit = torch.allclose(z.norm(dim=1), torch.ones(len(z)).to(z))
    return (beta * z @ z.T).softmax(1) if unit else other


WRONG = {
    "sa-1": [
        ((7, 10), "position 0"),
        ((5.83, 7.92), "x_j itself"),
        ([64 / 12, 3 / 12], "one layer is missing"),
        ((64, 3), "a mean is asked for"),
        (torch.tensor([67.0, 131.0]) / 12, "Does o add"),
        ((68.0, 129.0), "do not sum to one"),
        ((7.6, 10.8), "score of 0"),
        ((7.17, 9.98), "powers of e"),
        ((6.9, 9.7), "one of the positions that it hears"),
        ((8.92, 6.58), "Which channel comes first"),
        ((6.6, 8.9), "two digits"),
        ((79 / 12, 9.0), "one channel is right"),
        ((1.0, 2.0), "write six scores"),
        (79 / 12, "two numbers"),
        ("79/12, 107/12", "two numbers"),
    ],
    "sa-2": [
        ({"h.weight", "o.weight"}, "other half"),
        ({"o.weight", "o.bias"}, "Whose?"),
        ({"h.weight", "h.bias"}, "comes last"),
        ({"f.weight", "h.weight", "h.bias"}, "row of weights"),
        ({"g.bias", "h.weight", "h.bias"}, "measures this one"),
        ({"f", "g"}, "these eight"),
        ({...}, "these eight"),
        ("h.weight", "a set of names"),
        (4, "a set of names"),
    ],
    "sa-3": [
        (swapped, "touches x first"),
        (transposed, "transposed"),
        (lambda b: (matrices(b)[1], fold(b)[1]), "other one"),
        (lambda b: (fold(b)[0] + 1, fold(b)[1]), "stands before x_j"),
        (lambda b: (fold(b)[0], b.o.bias), "becomes of b_h"),
        (lambda b: (fold(b)[0], b.o.bias + b.h.bias), "one more layer"),
        (lambda b: (fold(b)[0], b.h.bias), "follow the two biases"),
        (lambda b: fold(b)[0], "two tensors"),
        (lambda b: (fold(b)[0][0], fold(b)[1]), "9 numbers"),
        (in_place, "has changed"),
        (lambda b: None, "two tensors"),
        (3, "a function"),
    ],
    "sa-4": [
        (-50, "large distance"),
        (100.0, "square of a distance"),
        (10, "their product"),
        (1.0, "logarithm"),
        ([50, 50], "one number"),
    ],
    "sa-5": [
        (lambda z, beta: (beta * z @ z.T).softmax(1), "a long key"),
        (
            lambda z, beta: (beta * (z @ z.T - z.square().sum(1))).softmax(1),
            "a short key",
        ),
        (
            lambda z, beta: (
                beta * (z @ z.T - z.square().sum(1, keepdim=True))
            ).softmax(1),
            "a long key",
        ),
        (
            lambda z, beta: (-beta * torch.cdist(z, z) ** 2).softmax(1),
            "halved",
        ),
        (lambda z, beta: near(z[:, :4], beta), "every channel"),
        (
            lambda z, beta: (beta * z[:, :4] @ z[:, :4].T).softmax(1),
            "every channel",
        ),
        (lambda z, beta: unless_unit(z, beta, near(z[:, :4], beta)), "behind"),
        (
            lambda z, beta: unless_unit(z, beta, torch.eye(len(z))),
            "behind it",
        ),
        (lifted, "behind it"),
        (lambda z, beta: near(z, beta).T, "over j"),
        (lambda z, beta: (beta * z @ z.T).exp().exp(), "not finite"),
        (lambda z, beta: near(z, beta)[0], "(N, N)"),
        (0.5, "a function"),
    ],
}
RIGHT = {
    "sa-1": [
        (Fraction(79, 12), Fraction(107, 12)),
        [6.58, 8.92],
        torch.tensor([[[79.0]], [[107.0]]]) / 12,
    ],
    "sa-2": [
        {"h.weight", "h.bias", "o.weight", "o.bias"},
        ["o.bias", "o.weight", "h.bias", "h.weight"],
    ],
    "sa-3": [fold, fold_to_layer, fold_by_numpy, fold_to_lists, fold_squeezed],
    "sa-4": [50, torch.tensor(49.99)],
    "sa-5": [
        near,
        near_by_loops,
        near_by_cosine,
        near_by_unit_keys,
        near_by_numpy,
        near_in_float32,
    ],
}
