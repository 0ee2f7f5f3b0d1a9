"""A task that needs two distant places: look up the value of a key.

A picture has three items and three queries, one position each, and nothing
else. An item shows a key and a value, a query a key alone. What is asked at a
query is the value of the item with its key.

Item and query lie at least ``APART`` rows or columns apart, and values are
drawn evenly and independently of all else. A network that sees fewer than
``APART`` positions far knows nothing of the value that it is asked for, so
none of that kind is right more often than one time in ``VALUES``.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from attnlib.tasks.network import Network, train

KEYS, VALUES = 4, 4
SIZE, ITEMS, APART = (12, 12), 3, 7
BATCH = 32
NOTHING = -100  # an answer that cross_entropy leaves out


def too_near(size: tuple[int, int] = SIZE, apart: int = APART) -> Tensor:
    """Return which positions are no place for the query of an item.

    Shape:
        - Output: ``(N, N)``, row i for an item at position i
    """
    H, W = size
    row, column = torch.arange(H * W) // W, torch.arange(H * W) % W
    far = [(t[:, None] - t).abs() for t in (row, column)]
    return torch.maximum(*far) < apart


def pictures(
    batch: int, generator: torch.Generator, *, items: int = ITEMS
) -> tuple[Tensor, Tensor]:
    """Draw pictures and their answers.

    Args:
        batch: B, number of pictures.
        generator: of all that is random.
        items: items of a picture, each with a key of its own: at most KEYS.

    Shape:
        - Output: x ``(B, KEYS + VALUES, H, W)``, zeros and ones; answers
          ``(B, H, W)``, ``NOTHING`` where no query is

    Raises:
        ValueError: no items, or more than keys.
    """
    if not 1 <= items <= KEYS:
        raise ValueError(f"items must be 1 to {KEYS}, got {items}")
    near = too_near()
    N = len(near)
    noise = torch.rand(batch, N, generator=generator)
    noise[:, near.all(1)] = -1  # the middle is far from nothing
    b = torch.arange(batch)[:, None]
    item = noise.topk(items).indices  # (B, items), no two alike
    query = torch.empty_like(item)
    for n in range(items):
        noise = torch.rand(batch, N, generator=generator)
        noise[near[item[:, n]]] = -1
        noise[b, item] = -1
        noise[b, query[:, :n]] = -1
        query[:, n] = noise.argmax(1)
    order = torch.rand(batch, KEYS, generator=generator).argsort(1)
    key = order[:, :items]
    value = torch.randint(VALUES, (batch, items), generator=generator)
    x = torch.zeros(batch, KEYS + VALUES, N)
    answers = torch.full((batch, N), NOTHING)
    x[b, key, item] = 1
    x[b, key, query] = 1
    x[b, KEYS + value, item] = 1
    answers[b, query] = value
    return x.unflatten(2, SIZE), answers.unflatten(1, SIZE)


def _loss(scores: Tensor, answers: Tensor) -> Tensor:
    return F.cross_entropy(scores, answers, ignore_index=NOTHING)


def trained(
    block: str | nn.Module, seed: int, steps: int, *, items: int = ITEMS
) -> nn.Module:
    """Train a network with a block in it.

    Pictures depend on the seed alone: all blocks see the same.

    Args:
        block: as :class:`attnlib.tasks.Network` takes it.
        seed: of the weights and of the pictures.
        steps: of training, on BATCH pictures each.
        items: items of a picture.

    Shape:
        - Output: the network, in eval mode
    """
    torch.manual_seed(seed)
    net = Network(block, KEYS + VALUES, VALUES)
    generator = torch.Generator().manual_seed(seed)
    return train(
        net, lambda: pictures(BATCH, generator, items=items), _loss, steps
    )


@torch.no_grad()
def accuracy(
    net: nn.Module, *, items: int = ITEMS, count: int = 1000
) -> float:
    """Return the share of queries that a network answers rightly.

    On ``count`` pictures that no training sees.
    """
    generator = torch.Generator().manual_seed(2**31)
    x, answers = pictures(count, generator, items=items)
    asked = answers != NOTHING
    right = net(x).argmax(1)[asked] == answers[asked]
    return float(right.double().mean())
