"""Criss-cross attention by other ways, and inputs for it."""

import itertools

import torch


def grids(size, batch=2, d=3, dv=6, dtype=torch.float64):
    """Return q, k, v as grids."""
    generator = torch.Generator().manual_seed(0)
    return [
        torch.randn(batch, *size, w, generator=generator, dtype=torch.float64)
        .to(dtype)
        .requires_grad_()
        for w in (d, d, dv)
    ]


def on_the_cross(size):
    """Return which pairs differ in at most one coordinate, (N, N)."""
    where = torch.tensor(list(itertools.product(*map(range, size))))
    return (where[:, None] != where).sum(-1) <= 1


def dense(q, k, v):
    """The oracle: the whole map, minus infinity off the cross."""
    scores = q.flatten(1, -2) @ k.flatten(1, -2).mT
    off = ~on_the_cross(q.shape[1:-1])
    weights = scores.masked_fill(off, -torch.inf).softmax(-1)
    return weights, (weights @ v.flatten(1, -2)).view(v.shape)


def slopes(y, inputs):
    probe = torch.arange(y.numel(), dtype=torch.float64).cos().view(y.shape)
    return torch.autograd.grad((y * probe.to(y)).sum(), inputs)


def official(x, block):
    """The official forward pass: column first, then row, one softmax."""
    h = x.shape[2]
    q, k, v = block.query(x), block.key(x), block.value(x)
    column = torch.einsum("bchw,bcgw->bhwg", q, k)
    own = torch.eye(h, dtype=torch.bool)[:, None]  # (H, 1, H)
    column = column.masked_fill(own, -torch.inf)
    row = torch.einsum("bchw,bchg->bhwg", q, k)
    weights = torch.cat([column, row], 3).softmax(3)
    out = torch.einsum("bhwg,bcgw->bchw", weights[..., :h], v)
    out = out + torch.einsum("bhwg,bchg->bchw", weights[..., h:], v)
    return block.gamma * out + x
