"""Weighted sums over a window: SAN's aggregation, with a weight a channel.

    y_ci = sum_j w_(c mod G)j x_c(i + offset_j),   j over the k x k window

``reference`` lays all windows out, k^2 numbers for each of x. ``shifted``
walks over the k^2 offsets instead, each a shifted view of the padded map, and
keeps x and w alone for the backward pass. Weights are shared by every G-th
channel (c mod G), not by neighbouring ones.
"""

# No `from __future__ import annotations`: torch.library reads annotations.
from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.flop_counter import register_flop_formula

from attnlib._checks import check_choice, check_floating, wide
from attnlib._layout import any_forward_mode, no_autocast

WINDOW_IMPLS = ("auto", "reference", "shifted")
PAD_MODES = ("reflect", "zero")


def pad_window(
    x: Tensor, kernel_size: int, dilation: int = 1, mode: str = "reflect"
) -> Tensor:
    """Pad a map so that every pixel has its whole window.

    Args:
        x: the map.
        kernel_size: k, odd.
        dilation: distance of neighbouring offsets.
        mode: ``"reflect"`` (the border pixel is not repeated) or ``"zero"``.

    Shape:
        - x: ``(B, C, H, W)``
        - Output: ``(B, C, H + 2 p, W + 2 p)``, p = dilation (k - 1) / 2

    Raises:
        ValueError: an unknown mode, an even kernel, or a map that is not
            larger than the reflected border.
        TypeError: x not a floating-point tensor.
    """
    check_floating("x", x)
    check_choice("mode", mode, PAD_MODES)
    if kernel_size % 2 == 0:
        raise ValueError(f"kernel_size must be odd, got {kernel_size}")
    pad = dilation * (kernel_size - 1) // 2
    if mode == "zero":
        return F.pad(x, (pad, pad, pad, pad))
    if min(x.shape[-2:]) <= pad:
        raise ValueError(
            f"x must be larger than the reflected border of {pad} in height "
            f"and width, got {tuple(x.shape)}"
        )
    return F.pad(x, (pad, pad, pad, pad), mode="reflect")


def _views(
    padded: Tensor, k: int, stride: int, dilation: int
) -> Iterator[Tensor]:
    """Yield the map shifted by each offset, (B, C, Ho, Wo), row-major."""
    reach = dilation * (k - 1)
    height, width = padded.shape[-2] - reach, padded.shape[-1] - reach
    for i in range(0, reach + 1, dilation):
        for j in range(0, reach + 1, dilation):
            yield padded[..., i : i + height : stride, j : j + width : stride]


def windows(
    padded: Tensor, kernel_size: int, stride: int = 1, dilation: int = 1
) -> Tensor:
    """Lay out the window of every output position.

    Args:
        padded: a map from :func:`pad_window`.
        kernel_size: k.
        stride: distance of neighbouring output positions.
        dilation: distance of neighbouring offsets.

    Shape:
        - padded: ``(B, C, H + 2 p, W + 2 p)``
        - Output: ``(B, C, k * k, Ho, Wo)``
    """
    views = list(_views(padded, kernel_size, stride, dilation))
    return torch.stack(views, dim=2)


def window_aggregation(
    x: Tensor,
    weights: Tensor,
    *,
    kernel_size: int,
    stride: int = 1,
    dilation: int = 1,
    mode: str = "reflect",
    impl: str = "auto",
) -> Tensor:
    """Return the weighted sum over each window, one weight a channel group.

    Args:
        x: values.
        weights: one number for each group of channels, window place and output
            position; channel c takes those of group c mod G.
        kernel_size: k, odd.
        stride: distance of neighbouring output positions.
        dilation: distance of neighbouring offsets.
        mode: padding, ``"reflect"`` or ``"zero"``.
        impl: ``"reference"`` (all windows laid out), ``"shifted"`` (offset by
            offset, keeps x and the weights alone, first derivatives only) or
            ``"auto"`` (shifted).

    Shape:
        - x: ``(B, C, H, W)``, weights: ``(B, G, k * k, Ho, Wo)``
        - Output: ``(B, C, Ho, Wo)``

    Raises:
        ValueError: shapes that do not fit, an even kernel, an unknown option.
        TypeError: anything but floating-point tensors.

    Reference: Zhao et al. 2020, arXiv 2004.13621, equation 2 and 4; official
    code: ``lib/sa/functions`` in hszhao/SAN.
    """
    check_choice("impl", impl, WINDOW_IMPLS)
    check_floating("weights", weights)
    padded = pad_window(x, kernel_size, dilation, mode)
    size = [(s - 1) // stride + 1 for s in x.shape[-2:]]
    places, groups = kernel_size * kernel_size, weights.shape[1:2].numel()
    wanted = (x.shape[0], groups, places, *size)
    if weights.shape != wanted or x.shape[1] % groups:
        raise ValueError(
            f"weights must be (B, G, {places}, Ho, Wo) with G a divisor of "
            f"the {x.shape[1]} channels of x {tuple(x.shape)}, "
            f"got {tuple(weights.shape)}"
        )
    with no_autocast(x):
        acc = wide(x.dtype)
        padded, w = padded.to(acc), weights.to(acc)
        if impl == "reference":
            u = windows(padded, kernel_size, stride, dilation)
            u = u.unflatten(1, (-1, groups))  # (B, C / G, G, k * k, Ho, Wo)
            y = (w[:, None] * u).sum(dim=3).flatten(1, 2)  # sum over j
        elif any_forward_mode(padded, w):
            raise NotImplementedError(
                "impl='shifted' has no forward-mode derivative (jvp); "
                "use impl='reference'"
            )
        else:
            y = _aggregate(padded, w, kernel_size, stride, dilation)
        return y.to(x.dtype)


@torch.library.custom_op("attnlib::window_aggregate", mutates_args=())
def _aggregate(
    padded: Tensor, weights: Tensor, k: int, stride: int, dilation: int
) -> Tensor:
    groups, height, width = weights.shape[1], *weights.shape[3:]
    y = padded.new_zeros(*padded.shape[:2], height, width)
    grouped = y.unflatten(1, (-1, groups))  # (B, C / G, G, Ho, Wo)
    for j, view in enumerate(_views(padded, k, stride, dilation)):
        view = view.unflatten(1, (-1, groups))
        grouped.addcmul_(view, weights[:, None, :, j])
    return y


@torch.library.custom_op("attnlib::window_aggregate_backward", mutates_args=())
def _aggregate_backward(
    grad: Tensor,
    padded: Tensor,
    weights: Tensor,
    k: int,
    stride: int,
    dilation: int,
) -> tuple[Tensor, Tensor]:
    groups = weights.shape[1]
    g = grad.unflatten(1, (-1, groups))  # (B, C / G, G, Ho, Wo)
    dx, dw = torch.zeros_like(padded), torch.empty_like(weights)
    product = torch.empty_like(g)
    slopes = _views(dx, k, stride, dilation)
    values = _views(padded, k, stride, dilation)
    for j, (slope, view) in enumerate(zip(slopes, values, strict=True)):
        torch.mul(g, view.unflatten(1, (-1, groups)), out=product)
        torch.sum(product, dim=1, out=dw[:, :, j])
        slope.unflatten(1, (-1, groups)).addcmul_(g, weights[:, None, :, j])
    return dx, dw


@_aggregate.register_fake
def _(
    padded: Tensor, weights: Tensor, k: int, stride: int, dilation: int
) -> Tensor:
    return padded.new_empty(*padded.shape[:2], *weights.shape[3:])


@_aggregate_backward.register_fake
def _(
    grad: Tensor,
    padded: Tensor,
    weights: Tensor,
    k: int,
    stride: int,
    dilation: int,
) -> tuple[Tensor, Tensor]:
    return torch.empty_like(padded), torch.empty_like(weights)


def _keep(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    padded, weights, *ctx.geometry = inputs
    ctx.save_for_backward(padded, weights)


def _first_derivative(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
    slopes = _aggregate_backward(grad, *ctx.saved_tensors, *ctx.geometry)
    return *slopes, None, None, None


def _second_derivative(ctx: Any, *grads: Tensor) -> None:
    raise RuntimeError(
        "impl='shifted' has first derivatives only; for Hessians or gradient "
        "penalties use impl='reference'"
    )


_aggregate.register_autograd(_first_derivative, setup_context=_keep)
_aggregate_backward.register_autograd(_second_derivative)


@register_flop_formula(torch.ops.attnlib.window_aggregate)
def _flops(padded: Any, weights: Any, *args: Any, **kwargs: Any) -> int:
    """Two for each multiply-add: k * k a channel and output position."""
    b, _, places, height, width = weights
    return int(2 * b * padded[1] * places * height * width)
