"""Checks of arguments: a message says which, what came, what is accepted."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

import torch
from torch import Tensor

_MANY = 16  # more names than these are not all listed
_LAYOUTS = {1: "(B, C, L)", 2: "(B, C, H, W)", 3: "(B, C, T, H, W)"}


def check_choice(name: str, value: object, accepted: Iterable[object]) -> None:
    """Raise ``ValueError`` unless ``value`` is one of ``accepted``.

    The message suggests the nearest; of many it names no others.
    """
    accepted = tuple(accepted)
    # `in` alone would let 1 pass for True: another type, another meaning.
    if any(value == item and type(value) is type(item) for item in accepted):
        return
    names = [str(item) for item in accepted]
    if len(names) > _MANY:
        first, second, third = map(
            repr, difflib.get_close_matches(str(value), names, n=3, cutoff=0)
        )
        raise ValueError(
            f"{name} must be one of {len(names)} names, got {value!r}; "
            f"did you mean {first}, {second} or {third}?"
        )
    near = difflib.get_close_matches(str(value), names, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    raise ValueError(f"{name} must be one of {accepted}, got {value!r}{hint}")


def check_flag(name: str, value: object) -> None:
    """Raise ``TypeError`` unless ``value`` is True or False."""
    if not isinstance(value, bool):
        raise TypeError(f"{name} must be True or False, got {value!r}")


def check_positive(name: str, value: object) -> None:
    """Raise unless ``value`` is an integer of at least 1."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(
            f"{name} must be an integer, got {value!r} "
            f"of type {type(value).__name__}"
        )
    if value < 1:
        raise ValueError(f"{name} must be at least 1, got {value}")


def check_floating(name: str, x: object) -> Tensor:
    """Return x; raise ``TypeError`` unless it is a floating-point tensor."""
    if not isinstance(x, Tensor):
        raise TypeError(f"{name} must be a tensor, got {type(x).__name__}")
    if not x.is_floating_point():
        raise TypeError(
            f"{name} must be a floating-point tensor, got {x.dtype}"
        )
    return x


def check_map(
    block: object,
    x: object,
    channels: int,
    dims: int = 2,
    *,
    weight: Tensor,
    name: str = "x",
) -> None:
    """Raise unless ``x`` is a feature map for ``block``.

    Checked are type, rank, channels, size, dtype and device. ``weight`` is one
    of the block's parameters: x must have its dtype (except under autocast)
    and its device. ``name`` is what a message calls x.
    """
    x = check_floating(name, x)
    owner = type(block).__name__
    if x.ndim != dims + 2:
        raise ValueError(
            f"{owner} takes {name} of shape {_LAYOUTS[dims]}, "
            f"that is {dims + 2} dimensions; got {x.ndim}: {tuple(x.shape)}"
        )
    if x.shape[1] != channels:
        raise ValueError(
            f"{owner} was built for {channels} channels "
            f"(dimension 1 of {name}); got {x.shape[1]}: {tuple(x.shape)}"
        )
    if any(size < 1 for size in x.shape[2:]):
        raise ValueError(
            f"{owner} needs at least one position; "
            f"got {name} of {tuple(x.shape)}"
        )
    if x.device != weight.device:
        raise ValueError(
            f"{owner} is on {weight.device}, {name} on {x.device}: "
            "move one of them"
        )
    device = x.device.type
    if x.dtype != weight.dtype and not torch.is_autocast_enabled(device):
        raise TypeError(
            f"{owner} has {weight.dtype} parameters, got {name} of {x.dtype}: "
            "convert one of them or use torch.autocast"
        )


def check_query(query: tuple[int, ...], size: tuple[int, ...]) -> None:
    """Raise unless ``query`` names one position of a map of ``size``."""
    if not isinstance(query, (tuple, list)) or not all(
        isinstance(n, int) and not isinstance(n, bool) for n in query
    ):
        raise TypeError(
            f"query must be a tuple of {len(size)} integers, got {query!r}"
        )
    if len(query) != len(size):
        raise ValueError(
            f"query must have {len(size)} coordinates, got {query!r}"
        )
    if not all(0 <= n < s for n, s in zip(query, size, strict=True)):
        raise ValueError(
            f"query must lie inside the map of size {tuple(size)}, "
            f"got {query!r}"
        )


def check_tokens(q: object, k: object, v: object) -> None:
    """Raise unless q (*, N, d), k (*, M, d) and v (*, M, dv) go together.

    They must agree in shape, dtype and device.
    """
    q = check_floating("q", q)
    k = check_floating("k", k)
    v = check_floating("v", v)
    for name, t in (("q", q), ("k", k), ("v", v)):
        if t.ndim < 2:
            raise ValueError(
                f"{name} must be (..., positions, width), got {tuple(t.shape)}"
            )
    shapes = f"q {tuple(q.shape)}, k {tuple(k.shape)}, v {tuple(v.shape)}"
    if not q.shape[:-2] == k.shape[:-2] == v.shape[:-2]:
        raise ValueError(
            f"q, k and v must have the same leading dimensions, got {shapes}"
        )
    if q.shape[-1] != k.shape[-1]:
        raise ValueError(
            f"q and k must have the same width (last dimension), got {shapes}"
        )
    if k.shape[-2] != v.shape[-2]:
        raise ValueError(
            f"k and v must have the same number of positions, got {shapes}"
        )
    if k.shape[-2] == 0:
        raise ValueError(f"k must have at least one position, got {shapes}")
    if not q.dtype == k.dtype == v.dtype:
        raise TypeError(
            "q, k and v must share one dtype, "
            f"got {q.dtype}, {k.dtype}, {v.dtype}"
        )
    if not q.device == k.device == v.device:
        raise ValueError(
            "q, k and v must be on one device, "
            f"got {q.device}, {k.device}, {v.device}"
        )


def wide(dtype: torch.dtype) -> torch.dtype:
    """The dtype to accumulate in: float32 for half precision, else itself."""
    return torch.float32 if dtype in (torch.float16, torch.bfloat16) else dtype
