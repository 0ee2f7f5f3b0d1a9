"""Answers to the exercises on the self-attention block: wrong and right."""

from __future__ import annotations

from fractions import Fraction

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


WRONG = {
    "sa-1": [
        ((7, 10), "position 0"),
        ([61 / 12, -3 / 12], "one layer is missing"),
        (torch.tensor([58.0, 119.0]) / 12, "Does o add"),
        ((59.0, 117.0), "do not sum to one"),
        ((6.4, 9.2), "score of 0"),
        ((54 / 11, 90 / 11), "one of the positions that it hears"),
        ((7.92, 5.83), "Which channel comes first"),
        ((5.8, 7.9), "two digits"),
        ((70 / 12, 8.0), "one channel is right"),
        ((1.0, 2.0), "write six scores"),
        (70 / 12, "two numbers"),
        ("70/12, 95/12", "two numbers"),
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
        (lambda z, beta: near(z, beta).T, "over j"),
        (lambda z, beta: (beta * z @ z.T).exp().exp(), "not finite"),
        (lambda z, beta: near(z, beta)[0], "(N, N)"),
        (0.5, "a function"),
    ],
}
RIGHT = {
    "sa-1": [
        (Fraction(70, 12), Fraction(95, 12)),
        [5.83, 7.92],
        torch.tensor([[[70.0]], [[95.0]]]) / 12,
    ],
    "sa-2": [
        {"h.weight", "h.bias", "o.weight", "o.bias"},
        ["o.bias", "o.weight", "h.bias", "h.weight"],
    ],
    "sa-3": [fold, fold_to_layer],
    "sa-4": [50, torch.tensor(49.99)],
    "sa-5": [near, near_by_loops, near_by_cosine],
}
