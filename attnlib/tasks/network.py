"""The network of both tasks: three convolutions, and a place for a block."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from attnlib.catalog import create_block

# What stands in the block's place in the networks that are local: nothing, or
# one more of their own layers, which costs as much as the largest block.
LOCAL = ("local", "local, wider")


def layer(before: int, after: int) -> nn.Sequential:
    """Return a 3 x 3 convolution, batch norm and ReLU."""
    return nn.Sequential(
        nn.Conv2d(before, after, 3, padding=1, bias=False),
        nn.BatchNorm2d(after),
        nn.ReLU(),
    )


class Network(nn.Module):
    """Two layers, a block, a layer, and a score for every position.

    Args:
        block: a module that takes and returns ``(B, C, H, W)``, or a name
            that :func:`attnlib.create_block` takes; ``"local"``: nothing
            stands there, and an output sees 3 positions far; ``"local,
            wider"``: one more layer, 4 positions.
        inputs: channels of the picture.
        outputs: numbers that it returns for a position.
        channels: C, width of the network.

    Shape:
        - x: ``(B, inputs, H, W)``
        - Output: ``(B, outputs, H, W)``

    Raises:
        ValueError: an unknown block, or one that refuses ``channels``.
    """

    def __init__(
        self,
        block: str | nn.Module,
        inputs: int,
        outputs: int,
        channels: int = 32,
    ) -> None:
        super().__init__()
        C = channels
        self.stem = nn.Sequential(layer(inputs, C), layer(C, C))
        self.block: nn.Module
        if isinstance(block, nn.Module):
            self.block = block
        elif block == LOCAL[0]:
            self.block = nn.Identity()
        elif block == LOCAL[1]:
            self.block = layer(C, C)
        else:
            self.block = create_block(block, C)
        self.body = layer(C, C)
        self.head = nn.Conv2d(C, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return the numbers of every position."""
        y: Tensor = self.head(self.body(self.block(self.stem(x))))
        return y


def train(
    net: nn.Module,
    draw: Callable[[], tuple[Tensor, Tensor]],
    loss: Callable[[Tensor, Tensor], Tensor],
    steps: int,
    *,
    rate: float = 5e-3,
) -> nn.Module:
    """Train with Adam on examples that are drawn anew at every step.

    The rate rises to ``rate`` and falls to nothing along one cycle.

    Args:
        net: the network, changed in place.
        draw: returns pictures and what is wanted of them.
        loss: of what the network returns and what is wanted.
        steps: how often the weights move.
        rate: the greatest learning rate.

    Shape:
        - Output: the same network, in eval mode
    """
    adam = torch.optim.Adam(net.parameters(), rate)
    cycle = torch.optim.lr_scheduler.OneCycleLR(adam, rate, total_steps=steps)
    net.train()
    for _ in range(steps):
        x, wanted = draw()
        adam.zero_grad()
        loss(net(x), wanted).backward()
        adam.step()
        cycle.step()
    return net.eval()
