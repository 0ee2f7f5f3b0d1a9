"""An attention operator of PyTorch from a forward and a backward function.

Autograd, ``torch.compile`` and ``torch.export`` see one operator and nothing
inside. It keeps q, k, v, its output, what rounding took from the output, and
lme, the logarithm of the mean of a row's exponentials.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, library

from attnlib._checks import wide

Triple = tuple[Tensor, Tensor, Tensor]
# (q, k, v, scale) -> out (B, N, dv), lme (B, N, 1), in the wide type
Forward = Callable[[Tensor, Tensor, Tensor, float], tuple[Tensor, Tensor]]
# (grad, q, k, v, out, lme, scale) -> dq, dk, dv
Backward = Callable[
    [Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, float], Triple
]


def attention_operator(impl: str, forward: Forward, backward: Backward) -> Any:
    """Register ``attnlib::attention_<impl>``; first derivatives only.

    Args:
        impl: the form that it computes. An operator that returns something
            else needs another name: PyTorch keeps compiled graphs on disk and
            finds them by the names of their operators.
        forward: computes the output and lme.
        backward: computes the three gradients from what was kept.

    Returns:
        The operator: (q, k, v, scale) -> (out, rest, lme). ``rest`` is empty
        where nothing was rounded.
    """

    def run(q: Tensor, k: Tensor, v: Tensor, scale: float) -> Triple:
        exact, lme = forward(q, k, v, scale)
        out = exact.to(q.dtype)
        if exact.dtype == q.dtype:
            return out, q.new_empty(0), lme
        return out, exact.sub_(out).to(q.dtype), lme

    def slopes(
        grad: Tensor,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        out: Tensor,
        rest: Tensor,
        lme: Tensor,
        scale: float,
    ) -> Triple:
        exact = out.to(lme.dtype) + rest if out.dtype != lme.dtype else out
        return backward(grad, q, k, v, exact, lme, scale)

    name = f"attnlib::attention_{impl}"
    operator = library.custom_op(name, run, mutates_args=())
    behind = library.custom_op(f"{name}_backward", slopes, mutates_args=())

    @operator.register_fake
    def _(q: Tensor, k: Tensor, v: Tensor, scale: float) -> Triple:
        acc = wide(q.dtype)
        out = q.new_empty(*q.shape[:2], v.shape[-1])
        rest = q.new_empty(0) if acc == q.dtype else torch.empty_like(out)
        return out, rest, q.new_empty(*q.shape[:2], 1, dtype=acc)

    @behind.register_fake
    def _(grad: Tensor, q: Tensor, k: Tensor, v: Tensor, *_: Any) -> Triple:
        return torch.empty_like(q), torch.empty_like(k), torch.empty_like(v)

    def first_derivative(
        ctx: Any, grad: Tensor | None, *_: None
    ) -> tuple[Any, ...]:
        if grad is None:
            return None, None, None, None
        return *behind(grad, *ctx.saved_tensors, ctx.scale), None

    def second_derivative(ctx: Any, *grads: Tensor) -> None:
        raise RuntimeError(
            f"impl={impl!r} has first derivatives only: its backward pass "
            "recomputes the map. For Hessians or gradient penalties use "
            "impl='reference'"
        )

    operator.register_autograd(first_derivative, setup_context=_keep)
    behind.register_autograd(second_derivative)
    return operator


def _keep(ctx: Any, inputs: tuple[Any, ...], output: Triple) -> None:
    q, k, v, scale = inputs
    ctx.save_for_backward(q, k, v, *output)
    ctx.scale = scale
    ctx.set_materialize_grads(False)
