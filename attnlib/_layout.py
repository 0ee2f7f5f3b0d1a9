"""Maps (B, C, *S) as positions (B, N, C); layers by number of dimensions."""

from __future__ import annotations

import math
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd import forward_ad

Device = torch.device | str | None

CONV: dict[int, Any] = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
BATCH_NORM: dict[int, Any] = {
    1: nn.BatchNorm1d,
    2: nn.BatchNorm2d,
    3: nn.BatchNorm3d,
}


def no_autocast(x: Tensor) -> AbstractContextManager[Any]:
    """Keep the dtypes that a function chooses: attention mixes them."""
    device = x.device.type
    if x.is_meta or not torch.is_autocast_enabled(device):
        return nullcontext()  # leaves no trace in an exported graph
    return torch.autocast(device, enabled=False)


def any_forward_mode(*tensors: Tensor) -> bool:
    """True if one of the tensors carries a forward-mode tangent."""
    if torch.compiler.is_compiling():
        return False
    return any(forward_ad.unpack_dual(t).tangent is not None for t in tensors)


def gradient_wanted(*tensors: Tensor) -> bool:
    """True if autograd records what is done with one of the tensors."""
    return torch.is_grad_enabled() and any(t.requires_grad for t in tensors)


def to_tokens(x: Tensor) -> Tensor:
    """(B, C, *S) -> (B, N, C), positions in row-major order; a view."""
    return x.flatten(2).transpose(1, 2)


def from_tokens(y: Tensor, like: Tensor) -> Tensor:
    """(B, N, C) -> (B, C, *S) with the size and memory layout of ``like``."""
    y = y.transpose(1, 2).unflatten(2, like.shape[2:])
    return y.contiguous() if like.is_contiguous() else y


def position(query: tuple[int, ...], size: tuple[int, ...]) -> int:
    """Row-major number of the position ``query`` in a map of ``size``."""
    return sum(n * math.prod(size[axis + 1 :]) for axis, n in enumerate(query))


def max_pool(x: Tensor, dims: int) -> tuple[Tensor, Tensor]:
    """Max-pool (B, C, *S) by 2 in height and width or in length, not time.

    Returns the pooled map and, for each of its entries, the row-major number
    of the winner.
    """
    if dims == 3:
        return F.max_pool3d(x, (1, 2, 2), return_indices=True)
    pool = F.max_pool2d if dims == 2 else F.max_pool1d
    return pool(x, 2, return_indices=True)


def unpool(weights: Tensor, source: Tensor, dims: int) -> Tensor:
    """Weights over max-pooled keys as weights over where they came from.

    Each channel c of ``source`` (B, G, *S) takes its maximum from one position
    of a window, which receives the key's whole weight:
    (B, 1, N, M) -> (B, G, N, positions of ``source``).
    """
    queries = weights.shape[2]
    winner = max_pool(source, dims)[1].flatten(2)  # (B, G, M)
    winner = winner[:, :, None].expand(-1, -1, queries, -1)  # (B, G, N, M)
    full = weights.new_zeros(*winner.shape[:3], source.shape[2:].numel())
    return full.scatter_(3, winner, weights.expand_as(winner))


class ChannelAffine(nn.Module):
    """y = weight * x + bias, one pair of numbers a channel.

    It is a batch norm with frozen statistics.

    Args:
        channels: C.
        device, dtype: of the parameters.

    Shape:
        - Input and output: ``(B, C, *S)``
    """

    def __init__(
        self,
        channels: int,
        *,
        device: Device = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        kw: dict[str, Any] = {"device": device, "dtype": dtype}
        self.weight = nn.Parameter(torch.ones(channels, **kw))
        self.bias = nn.Parameter(torch.zeros(channels, **kw))

    def forward(self, x: Tensor) -> Tensor:
        """Scale and shift each channel."""
        shape = (-1, *[1] * (x.ndim - 2))
        return self.weight.view(shape) * x + self.bias.view(shape)
