"""Expectation maximisation: attention of N positions to K bases.

    E   z_ik = softmax over k of scale * x_i . mu_k
    M   mu_k = sum_i z_ik x_i / sum_i z_ik, then of length one
    R   y_i  = sum_k z_ik mu_k

E and M alternate; R takes the last M-step's bases and the last E-step's
weights, which belong to the bases before. With x_i = W u_i + b nobody needs
x: the E-step is u_i . (W^T mu_k) + b . mu_k, and the M-step's sums are
W (sum_i z_ik u_i) + b sum_i z_ik. That is ``folded``.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from attnlib._checks import check_choice, check_floating, check_positive, wide
from attnlib._layout import no_autocast

IMPLS = ("auto", "reference", "folded")
GUARDS = ("added", "floor")


class Mixture(NamedTuple):
    """What the iteration ends with.

    Attributes:
        bases: mu, ``(B, D, K)``, of the last M-step.
        weights: z, ``(B, N, K)``, of the last E-step; each row sums to one.
        mass: ``(B, 1, K)``, sums of z over the positions, guarded.
        length: ``(B, 1, K)``, norms of the means before they are divided by
            them, guarded.
    """

    bases: Tensor
    weights: Tensor
    mass: Tensor
    length: Tensor

    def reconstruct(self) -> Tensor:
        """Return y, each position as a sum of bases, ``(B, D, N)``."""
        return self.bases @ self.weights.mT

    def map(self, row: int | None = None) -> Tensor:
        """Return the weights with which x_j enters y_i, of rank K at most.

        All of them ``(B, N, N)``, or those of one row i, ``(B, 1, N)``.
        """
        z = self.weights
        shares = z / self.mass / self.length  # bases = x @ shares
        rows = z if row is None else z[:, row : row + 1]
        return rows @ shares.mT


def expectation_maximization(
    x: Tensor,
    bases: Tensor,
    *,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    scale: float = 1.0,
    stages: int = 3,
    guard: str = "added",
    impl: str = "auto",
) -> Mixture:
    """Fit K bases of unit length to the N columns of x, from given ones.

    Args:
        x: one column a position.
        bases: where the iteration starts; for each map or for all.
        weight: a matrix that is applied to x first; none if not given.
        bias: what is added then.
        scale: factor on the scores, the paper's lambda. The larger, the
            harder the assignment; in the limit it is k-means.
        stages: T, how often E and M alternate.
        guard: ``"added"``: 1e-6 is added to the two divisors, as the official
            code does; ``"floor"``: they are at least 1e-12, as in
            mmsegmentation.
        impl: ``"reference"`` (as written), ``"folded"`` (``weight`` is applied
            to K bases, never to N positions) or ``"auto"``.

    Shape:
        - x: ``(B, C, N)``, bases: ``(B, D, K)`` or ``(1, D, K)``, weight:
          ``(D, C)``, bias: ``(D,)``; D = C without ``weight``
        - Output: ``Mixture(bases, weights, mass, length)``, float32 for half
          inputs

    Raises:
        ValueError: shapes that do not fit, an unknown option.
        TypeError: anything but floating-point tensors, ``stages`` no integer.

    Reference: Li et al. 2019, arXiv 1907.13426, section 3.
    """
    check_choice("guard", guard, GUARDS)
    check_choice("impl", impl, IMPLS)
    check_positive("stages", stages)
    _check(x, bases, weight, bias)
    fold = impl == "folded"
    if impl == "auto" and weight is not None:
        fold = folding_pays(x.shape, bases, stages)
    acc = wide(x.dtype)
    with no_autocast(x):
        if weight is not None and not fold:
            x = F.conv1d(x.to(weight.dtype), weight[..., None], bias)
        x = x.to(acc)
        mu = bases.to(acc).expand(x.shape[0], -1, -1)  # (B, D, K)
        if weight is None or not fold:
            return _plain(x, mu, scale, stages, guard)
        w = weight.to(acc).expand(x.shape[0], -1, -1)  # (B, D, C)
        b = None if bias is None else bias.to(acc)[:, None]  # (D, 1)
        return _folded(x, mu, w, b, scale, stages, guard)


def _plain(
    x: Tensor, mu: Tensor, scale: float, stages: int, guard: str
) -> Mixture:
    """Alternate E and M as they are written."""
    for _ in range(stages):
        z = (x.mT @ (scale * mu)).softmax(dim=-1)  # (B, N, K)
        mass = _guarded(z.sum(dim=1, keepdim=True), guard)  # (B, 1, K)
        means = x @ (z / mass)  # (B, D, K)
        length = _guarded(_norm(means), guard)  # (B, 1, K)
        mu = means / length
    return Mixture(mu, z, mass, length)


def _folded(
    u: Tensor,
    mu: Tensor,
    w: Tensor,
    b: Tensor | None,
    scale: float,
    stages: int,
    guard: str,
) -> Mixture:
    """Alternate E and M for x = w u + b without x."""
    for _ in range(stages):
        mu = scale * mu
        scores = u.mT @ (w.mT @ mu)  # (B, N, K)
        if b is not None:
            scores = scores + (b * mu).sum(dim=1, keepdim=True)
        z = scores.softmax(dim=-1)
        total = z.sum(dim=1, keepdim=True)  # (B, 1, K)
        sums = w @ (u @ z)  # (B, D, K)
        if b is not None:
            sums = sums + b * total
        mass = _guarded(total, guard)
        means = sums / mass
        length = _guarded(_norm(means), guard)  # (B, 1, K)
        mu = means / length
    return Mixture(mu, z, mass, length)


def folding_pays(shape: tuple[int, ...], bases: Tensor, stages: int) -> bool:
    """Say whether folding saves multiply-adds for x of ``shape``.

    Two products of D x C x K a stage stand against one of D x C x N. A traced
    graph must hold for every size: there it is taken to pay.
    """
    if torch.compiler.is_compiling():
        return True
    return shape[-1] > 2 * stages * bases.shape[-1]


def _norm(means: Tensor) -> Tensor:
    return torch.linalg.vector_norm(means, dim=1, keepdim=True)


def _guarded(divisor: Tensor, guard: str) -> Tensor:
    """Keep a divisor from zero: a base that no position uses has both."""
    return divisor + 1e-6 if guard == "added" else divisor.clamp_min(1e-12)


def _check(
    x: Tensor, bases: Tensor, weight: Tensor | None, bias: Tensor | None
) -> None:
    """Raise unless the shapes go together."""
    check_floating("x", x)
    check_floating("bases", bases)
    if x.ndim != 3:
        raise ValueError(f"x must be (B, C, N), got {tuple(x.shape)}")
    width = x.shape[1]
    if weight is not None:
        check_floating("weight", weight)
        if weight.ndim != 2 or weight.shape[1] != width:
            raise ValueError(
                f"weight must be (D, {width}), got {tuple(weight.shape)}"
            )
        width = weight.shape[0]
    if bias is not None:
        check_floating("bias", bias)
        if weight is None or bias.shape != (width,):
            raise ValueError(
                f"bias must be ({width},) and come with weight, "
                f"got {tuple(bias.shape)}"
            )
    fits = bases.ndim == 3 and bases.shape[1] == width
    if not fits or bases.shape[0] not in (1, x.shape[0]):
        raise ValueError(
            f"bases must be (B, {width}, K) or (1, {width}, K) for x "
            f"{tuple(x.shape)}, got {tuple(bases.shape)}"
        )
