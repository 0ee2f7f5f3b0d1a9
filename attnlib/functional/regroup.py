"""Pad, crop, and sort positions into groups: four moves without arithmetic.

Each is the transpose of another, which is its backward pass: ``pad`` of
``crop``, ``to_groups`` of ``from_groups``. Traced for every size, views with
sizes like 8 ceil(H / 8) raise questions (is this 1? is that a multiple?) whose
answers would bind H; so in a traced graph each move is one operator.
"""

# No `from __future__ import annotations`: torch.library reads annotations.
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

# Axes of (B, C, rows of windows, dh, columns of windows, dw), as groups: the
# positions of a lattice share their place in the window, those of a window
# their window.
_ORDER = {"long": (0, 3, 5, 2, 4, 1), "short": (0, 2, 4, 3, 5, 1)}
_BACK = {"long": (0, 5, 3, 1, 4, 2), "short": (0, 5, 1, 3, 2, 4)}


def _pad(x: Tensor, height: int, width: int) -> Tensor:
    more_h, more_w = height - x.shape[2], width - x.shape[3]
    top, left = more_h // 2, more_w // 2
    return F.pad(x, (left, more_w - left, top, more_h - top))


def _crop(y: Tensor, height: int, width: int) -> Tensor:
    top, left = (y.shape[2] - height) // 2, (y.shape[3] - width) // 2
    return y[:, :, top : top + height, left : left + width]


def _to_groups(x: Tensor, dh: int, dw: int, step: str) -> Tensor:
    rows, columns = x.shape[2] // dh, x.shape[3] // dw
    cells = x.unflatten(3, (columns, dw)).unflatten(2, (rows, dh))
    cells = cells.permute(_ORDER[step]).contiguous()
    return cells.flatten(3, 4).flatten(1, 2)  # (B, groups, n, C)


def _from_groups(
    t: Tensor, dh: int, dw: int, height: int, width: int, step: str
) -> Tensor:
    window, grid = (dh, dw), (height // dh, width // dw)
    groups, within = (window, grid) if step == "long" else (grid, window)
    cells = t.unflatten(2, within).unflatten(1, groups).permute(_BACK[step])
    return cells.contiguous().flatten(4, 5).flatten(2, 3)  # (B, C, H', W')


def _operator(name: str, function: Callable[..., Tensor]) -> Any:
    def fresh(*args: Any) -> Tensor:  # an operator returns no view
        return function(*args).clone(memory_format=torch.contiguous_format)

    fresh.__annotations__ = function.__annotations__
    schema = torch.library.infer_schema(function, mutates_args=())
    return torch.library.custom_op(
        f"attnlib::{name}", fresh, mutates_args=(), schema=schema
    )


_OPS = {
    "pad": _operator("pad", _pad),
    "crop": _operator("crop", _crop),
    "to_groups": _operator("to_groups", _to_groups),
    "from_groups": _operator("from_groups", _from_groups),
}


@_OPS["pad"].register_fake
@_OPS["crop"].register_fake
def _(x: Tensor, height: int, width: int) -> Tensor:
    return x.new_empty(x.shape[0], x.shape[1], height, width)


@_OPS["to_groups"].register_fake
def _(x: Tensor, dh: int, dw: int, step: str) -> Tensor:
    grid, window = (x.shape[2] // dh) * (x.shape[3] // dw), dh * dw
    sizes = (window, grid) if step == "long" else (grid, window)
    return x.new_empty(x.shape[0], *sizes, x.shape[1])


@_OPS["from_groups"].register_fake
def _(
    t: Tensor, dh: int, dw: int, height: int, width: int, step: str
) -> Tensor:
    return t.new_empty(t.shape[0], t.shape[3], height, width)


def _keep(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    ctx.size, ctx.rest = inputs[0].shape[2:], inputs[1:]


def _of_pad(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
    return crop(grad, *ctx.size), None, None


def _of_crop(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
    return pad(grad, *ctx.size), None, None


def _of_to_groups(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
    dh, dw, step = ctx.rest
    height, width = ctx.size
    back = from_groups(grad, dh, dw, height, width, step)
    return back, None, None, None


def _of_from_groups(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
    dh, dw, _, _, step = ctx.rest
    return to_groups(grad, dh, dw, step), None, None, None, None, None


_OPS["pad"].register_autograd(_of_pad, setup_context=_keep)
_OPS["crop"].register_autograd(_of_crop, setup_context=_keep)
_OPS["to_groups"].register_autograd(_of_to_groups, setup_context=_keep)
_OPS["from_groups"].register_autograd(_of_from_groups, setup_context=_keep)


def _move(name: str, function: Callable[..., Tensor], *args: Any) -> Tensor:
    traced = torch.compiler.is_compiling()
    return _OPS[name](*args) if traced else function(*args)


def pad(x: Tensor, height: int, width: int) -> Tensor:
    """Put zeros around x: the larger half below and on the right."""
    return _move("pad", _pad, x, height, width)


def crop(y: Tensor, height: int, width: int) -> Tensor:
    """Cut the inner map out; a view, except where it is traced."""
    return _move("crop", _crop, y, height, width)


def to_groups(x: Tensor, dh: int, dw: int, step: str) -> Tensor:
    """(B, C, H', W') -> (B, groups, n, C)."""
    return _move("to_groups", _to_groups, x, dh, dw, step)


def from_groups(
    t: Tensor, dh: int, dw: int, height: int, width: int, step: str
) -> Tensor:
    """(B, groups, n, C) -> (B, C, H', W')."""
    args = (t, dh, dw, height, width, step)
    return _move("from_groups", _from_groups, *args)
