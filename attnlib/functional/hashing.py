"""Who meets whom: hash codes, their order, and the lists that it makes.

    code_t(i) = argmax [e_i R_t, -e_i R_t],   t = 1 .. rounds

Each round sorts the positions by code and cuts them into chunks of m. The last
chunk is filled up with the last sorted items once more. A chunk's queries find
the keys of three chunks in their list: the one before, their own, the next, in
a ring. Of one chunk alone every key stands there three times.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from attnlib._checks import check_floating, wide
from attnlib._layout import no_autocast

MOST = 128  # buckets


def count_buckets(positions: int, chunk_size: int = 144) -> int:
    """Return the number of buckets, about one a chunk: even, at most 128.

    Args:
        positions: N.
        chunk_size: m.

    Shape:
        - Output: a number, at least 2
    """
    whole = torch.sym_max(positions // chunk_size, 1)
    return torch.sym_min(whole + whole % 2, MOST)


def hash_codes(e: Tensor, rotations: Tensor, *, signed: bool = True) -> Tensor:
    """Return the bucket of each position in each round.

    Args:
        e: embeddings; their length does not matter.
        rotations: random directions, for each round; called rotations in the
            literature, but not orthogonal.
        signed: a direction and its opposite are two buckets. False: the
            directions alone, as the paper's equation has it.

    Shape:
        - e: ``(B, N, d)``, rotations: ``(1, d, rounds, directions)``
        - Output: ``(B, rounds, N)``, integers below directions, below twice
          as many if signed. Of equal products the first wins.

    Raises:
        ValueError: shapes or devices that do not fit.
        TypeError: anything but floating-point tensors.
    """
    check_pair(e, e)
    check_rotations(e, rotations)
    acc = wide(e.dtype)
    with no_autocast(e), torch.no_grad():
        _, _, rounds, directions = rotations.shape
        flat = rotations[0].to(acc).flatten(1)  # (d, rounds * directions)
        z = (e.to(acc) @ flat).unflatten(-1, (rounds, directions))
        z = z.transpose(1, 2)  # (B, rounds, N, directions)
        missing = z.isnan() if torch.compiler.is_compiling() else None
        high, code = _without(z, missing, -torch.inf).max(-1)
        if signed:
            low, other = _without(z, missing, torch.inf).min(-1)
            code = torch.where(high >= -low, code, other + directions)
        return code


def _without(z: Tensor, missing: Tensor | None, value: float) -> Tensor:
    """In a traced graph the number of directions is fixed: NaN for none."""
    return z if missing is None else z.masked_fill(missing, value)


def bucket_order(codes: Tensor) -> Tensor:
    """Return the positions sorted by code, in each round.

    Args:
        codes: as :func:`hash_codes` returns them.

    Shape:
        - codes: ``(B, rounds, N)``
        - Output: ``(B, rounds, N)``. Equal codes stay in row-major order,
          which the official code leaves to chance.
    """
    return codes.sort(dim=-1, stable=True).indices


def list_counts(
    order: Tensor, chunk_size: int, *, row: int | None = None
) -> Tensor:
    """Return how often key j stands in the lists of query i: c_ij.

    Args:
        order: positions as :func:`bucket_order` sorts them.
        chunk_size: m.
        row: a single query; all if not given.

    Shape:
        - order: ``(B, rounds, N)``
        - Output: ``(B, N, N)``; ``(B, 1, N)`` with ``row``
    """
    m, chunks, filled = geometry(order.shape[-1], chunk_size)
    rank = inverse(order).transpose(0, 1)  # (rounds, B, N)
    home, again = rank // m, rank >= order.shape[-1] - filled
    query = home if row is None else home[..., row : row + 1]
    return meetings(query, home, again, chunks)


def geometry(n: int, chunk_size: int) -> tuple[int, int, int]:
    """Return chunk size, number of chunks, places to fill up."""
    m = torch.sym_min(n, chunk_size)
    chunks = -(-n // m)
    return m, chunks, chunks * m - n


def padded_places(n: int, chunk: int, device: torch.device) -> Tensor:
    """Places in the sorted sequence, filled up to whole chunks: (chunks m,).

    The last p sorted items are appended again, in their order.
    """
    whole = -(-n // chunk) * chunk
    place = torch.arange(whole, device=device)
    return torch.where(place < n, place, place - (whole - n))


def inverse(order: Tensor) -> Tensor:
    """Return the place of each position, (*, N): a scatter, no second sort."""
    place = torch.arange(order.shape[-1], device=order.device)
    return torch.empty_like(order).scatter_(-1, order, place.expand_as(order))


def meetings(
    home_i: Tensor, home_j: Tensor, again_j: Tensor, chunks: int
) -> Tensor:
    """How often each key stands in each query's lists, over all rounds.

    Args:
        home_i: chunk of each query, rounds first.
        home_j: chunk of each key.
        again_j: whether the key also fills up the last chunk.
        chunks: their number.

    Shape:
        - ``(rounds, *, I)``, ``(rounds, *, J)`` twice -> ``(*, I, J)``
    """

    def lists(distance: Tensor) -> Tensor:
        """Places of a chunk in the list of one that far along the ring."""
        distance = distance % chunks
        steps = (0, 1 % chunks, (chunks - 1) % chunks)
        return sum((distance == step).int() for step in steps)  # type: ignore[return-value]

    total: Any = 0
    turns = zip(
        home_i.unbind(), home_j.unbind(), again_j.unbind(), strict=True
    )
    for i, j, again in turns:
        total = total + lists(i[..., :, None] - j[..., None, :])
        filled = lists(i - (chunks - 1))[..., :, None]
        total = total + filled * again[..., None, :]
    return total


def check_pair(e: object, v: object) -> None:
    """Raise unless e (B, N, d) and v (B, N, dv) go together."""
    e, v = check_floating("e", e), check_floating("v", v)
    for name, t in (("e", e), ("v", v)):
        if t.ndim != 3 or t.shape[1] < 1:
            raise ValueError(
                f"{name} must be (B, N, width) with at least one position, "
                f"got {tuple(t.shape)}"
            )
    shapes: Any = f"e {tuple(e.shape)}, v {tuple(v.shape)}"
    if e.shape[:2] != v.shape[:2]:
        raise ValueError(f"e and v must have the same positions, got {shapes}")
    if e.dtype != v.dtype:
        raise TypeError(
            f"e and v must share one dtype, got {e.dtype}, {v.dtype}"
        )
    if e.device != v.device:
        raise ValueError(
            f"e and v must be on one device, got {e.device}, {v.device}"
        )


def check_rotations(e: Tensor, rotations: object) -> None:
    """Raise unless rotations (1, d, rounds, directions) fit e (B, N, d)."""
    r = check_floating("rotations", rotations)
    if r.ndim != 4 or r.shape[0] != 1 or r.shape[1] != e.shape[2]:
        raise ValueError(
            f"rotations must be (1, {e.shape[2]}, rounds, directions), "
            f"got {tuple(r.shape)}"
        )
    if r.shape[2] < 1 or r.shape[3] < 1:
        raise ValueError(
            "rotations must have at least one round and one direction, "
            f"got {tuple(r.shape)}"
        )
    if r.device != e.device:
        raise ValueError(
            f"rotations must be on the device of e, {e.device}, got {r.device}"
        )
