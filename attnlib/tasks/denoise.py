"""Noise out of photographs, where similar places are often far apart.

A network is given a grey photograph with noise of standard deviation
``SIGMA`` and returns the noise. It learns on pieces of seven photographs and
is judged on three others, by the peak signal-to-noise ratio in decibels:
10 log10 (1 / mean squared error).

The photographs ship with scikit-image. Each is averaged to half its size.
"""

from __future__ import annotations

from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from attnlib.tasks.network import Network, train

LEARNED = {
    "astronaut": (256, 256),
    "camera": (256, 256),
    "coffee": (200, 300),
    "rocket": (213, 320),
    "moon": (256, 256),
    "grass": (256, 256),
    "gravel": (256, 256),
}
JUDGED = {"brick": (256, 256), "cat": (150, 225), "coins": (151, 192)}
SIGMA = 50 / 255
BATCH, SIDE = 8, 32  # what is learned from: BATCH pieces of SIDE x SIDE
CUT = 128  # what is judged: the middle, CUT x CUT


@cache
def grey(name: str) -> Tensor:
    """Return a photograph of one of the two lists.

    Shape:
        - Output: ``(H, W)``, float32 in [0, 1]
    """
    from attnlib.plots import photograph  # which needs more than torch

    size = {**LEARNED, **JUDGED}[name]
    return photograph(name, size, gray=True).float()


def pieces(batch: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Draw noisy pieces of the photographs to learn from, and their noise.

    Shape:
        - Output: ``(batch, 1, SIDE, SIDE)`` twice
    """
    found = []
    for n in torch.randint(len(LEARNED), (batch,), generator=generator):
        whole = grey(list(LEARNED)[int(n)])
        top, left = (
            int(torch.randint(size - SIDE + 1, (), generator=generator))
            for size in whole.shape
        )
        found.append(whole[top : top + SIDE, left : left + SIDE])
    clean = torch.stack(found)[:, None]
    noise = SIGMA * torch.randn(clean.shape, generator=generator)
    return clean + noise, noise


def judged(name: str) -> tuple[Tensor, Tensor]:
    """Return the middle of a photograph that is not learned from, and noise.

    Shape:
        - Output: clean picture and noise, ``(1, 1, CUT, CUT)`` each
    """
    whole = grey(name)
    top, left = ((size - CUT) // 2 for size in whole.shape)
    clean = whole[None, None, top : top + CUT, left : left + CUT]
    generator = torch.Generator().manual_seed(list(JUDGED).index(name))
    return clean, SIGMA * torch.randn(clean.shape, generator=generator)


def decibels(clean: Tensor, found: Tensor) -> float:
    """Return the peak signal-to-noise ratio of ``found``."""
    return float(-10 * torch.log10(F.mse_loss(found.double(), clean.double())))


def trained(block: str | nn.Module, seed: int, steps: int) -> nn.Module:
    """Train a network with a block in it; all blocks see the same pieces.

    Args:
        block: as :class:`attnlib.tasks.Network` takes it.
        seed: of the weights and of the pieces.
        steps: of training, on BATCH pieces each.

    Shape:
        - Output: the network, in eval mode
    """
    torch.manual_seed(seed)
    net = Network(block, 1, 1)
    generator = torch.Generator().manual_seed(seed)
    return train(net, lambda: pieces(BATCH, generator), F.mse_loss, steps)


@torch.no_grad()
def quality(net: nn.Module) -> dict[str, float]:
    """Return the decibels of each photograph that is judged."""
    found = {}
    for name in JUDGED:
        clean, noise = judged(name)
        noisy = clean + noise
        found[name] = decibels(clean, noisy - net(noisy))
    return found
