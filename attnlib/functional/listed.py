"""Attention over lists of keys, one operator: chunks of a sorted sequence.

A chunk's queries share a list: the chunks before, at and after it, in a ring.
The keys of three neighbouring chunks lie side by side once the ring is closed
by a copy of its ends, so that a list is a window on it and nothing is laid out
three times. Rounds are merged one by one, each with the largest of its scores
and its sum of exponentials under that: a logarithm would round both.

The backward pass computes the scores again and keeps q, k, v, the order, the
output y, and over all rounds the largest score M and the sum Z of exponentials
under it. With P = exp(S - M) / Z of a round:

    dV += P^T dy,   dS = P (dy V^T - sum_c dy y),   dq += dS k,   dk += dS^T q

A ``torch.library`` operator, so that ``torch.compile`` and ``torch.export``
treat it as one node.
"""

# No `from __future__ import annotations`: torch.library reads annotations.
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import register_flop_formula

from attnlib._checks import wide
from attnlib.functional.hashing import inverse, meetings, padded_places

# As many chunks at a time as have about this many scores.
TOGETHER = 2**19


class _Lists:
    """One image's queries, keys and values, and the lists of its rounds."""

    def __init__(
        self,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        order: Tensor,
        chunk: int,
        ring: bool,
        dedup: bool,
    ) -> None:
        acc = wide(q.dtype)
        self.q, self.k, self.v = q.to(acc), k.to(acc), v.to(acc)  # (N, width)
        self.n, self.m, self.ring, self.dedup = q.shape[0], chunk, ring, dedup
        places = padded_places(self.n, chunk, q.device)
        self.at, self.rank = order[:, places], inverse(order)
        self.chunks = places.numel() // chunk
        self.home = self.rank // chunk  # (rounds, N)
        self.again = self.rank >= 2 * self.n - places.numel()

    def sort(self, t: Tensor, turn: int) -> Tensor:
        """(N, w) -> (chunks, m, w)."""
        return t[self.at[turn]].unflatten(0, (self.chunks, self.m))

    def close(self, t: Tensor) -> Tensor:
        """Put the ring's last chunk before its first, the first behind."""
        return torch.cat([t[-1:], t, t[:1]]) if self.ring else t

    def unsort(self, t: Tensor, turn: int) -> Tensor:
        """(chunks, m, w) -> (N, w), what was filled up dropped."""
        return t.flatten(0, 1)[self.rank[turn]]

    def collect(self, t: Tensor, turn: int) -> Tensor:
        """Sum a closed ring of slopes: (chunks + 2, m, w) -> (N, w)."""
        if self.ring:
            first, last = t[0], t[-1]
            t = t[1:-1]
            t[-1] += first
            t[0] += last
        t = t.flatten(0, 1)
        more = t.shape[0] - self.n
        t[self.n - more : self.n] += t[self.n :]
        return t[self.rank[turn]]

    def groups(self) -> Iterator[slice]:
        span = 3 if self.ring else 1
        step = max(1, TOGETHER // (span * self.m * self.m))
        for start in range(0, self.chunks, step):
            yield slice(start, min(start + step, self.chunks))

    def window(self, t: Tensor, group: slice) -> Tensor:
        """Lists of some chunks, a view: (g, list, w)."""
        if not self.ring:
            return t[group]
        rows = t[group.start : group.stop + 2].flatten(0, 1)
        return rows.unfold(0, 3 * self.m, self.m).mT

    def scores(self, qs: Tensor, ks: Tensor, g: slice, turn: int) -> Tensor:
        """(g, m, list); a key that comes c times loses log c each time."""
        s = torch.bmm(qs[g], self.window(ks, g).mT)
        if self.dedup:
            at = self.at[turn].view(self.chunks, self.m)
            i, j = at[g], self.window(self.close(at)[..., None], g)[..., 0]
            found = meetings(
                self.home[:, i],
                self.home[:, j],
                self.again[:, j],
                self.chunks,
            )
            # 0 where the query fills up and lives in another chunk: unused.
            s.sub_(found.clamp_(min=1).to(s.dtype).log_())
        return s


def _merge(old: Tensor, new: Tensor) -> tuple[Tensor, Tensor]:
    """Return the weight of the new share (N, 1), and both together (N, 2)."""
    top = torch.maximum(old[:, :1], new[:, :1])
    a = old[:, 1:] * (old[:, :1] - top).exp()
    b = new[:, 1:] * (new[:, :1] - top).exp()
    return b / (a + b), torch.cat([top, a + b], -1)


@torch.library.custom_op("attnlib::listed_attention", mutates_args=())
def _listed(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    order: Tensor,
    chunk: int,
    ring: bool,
    dedup: bool,
) -> tuple[Tensor, Tensor]:
    """Return y (B, N, dv) and M, Z (B, N, 2), in float32 for half."""
    acc, (b, rounds, n) = wide(q.dtype), order.shape
    y = torch.empty(v.shape, dtype=acc, device=v.device)
    total = torch.empty((b, n, 2), dtype=acc, device=v.device)
    for image in range(b):
        own = (q[image], k[image], v[image], order[image])
        lists = _Lists(*own, chunk, ring, dedup)
        for turn in range(rounds):
            qs = lists.sort(lists.q, turn)
            ks = lists.close(lists.sort(lists.k, turn))
            vs = lists.close(lists.sort(lists.v, turn))
            out = vs.new_empty(*qs.shape[:2], vs.shape[-1])
            share = vs.new_empty(*qs.shape[:2], 2)
            for g in lists.groups():
                s = lists.scores(qs, ks, g, turn)
                top = s.amax(-1, keepdim=True)
                norm = s.sub_(top).exp_().sum(-1, keepdim=True)
                out[g] = torch.bmm(s, lists.window(vs, g)).div_(norm)
                share[g] = torch.cat([top, norm], -1)
            out, share = lists.unsort(out, turn), lists.unsort(share, turn)
            if turn == 0:
                y[image], total[image] = out, share
            else:
                weight, total[image] = _merge(total[image], share)
                y[image].lerp_(out, weight)
    return y, total


@torch.library.custom_op("attnlib::listed_attention_backward", mutates_args=())
def _listed_backward(
    grad: Tensor,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    order: Tensor,
    y: Tensor,
    total: Tensor,
    chunk: int,
    ring: bool,
    dedup: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    slopes = [torch.zeros(t.shape, dtype=y.dtype, device=t.device)
              for t in (q, k, v)]  # fmt: skip
    for image in range(order.shape[0]):
        own = (q[image], k[image], v[image], order[image])
        lists = _Lists(*own, chunk, ring, dedup)
        dq, dk, dv = (t[image] for t in slopes)
        dy = grad[image].to(y.dtype)
        row_sum = (dy * y[image]).sum(-1, keepdim=True)
        top, norm = total[image].split(1, -1)  # (N, 1)
        dy, row_sum = dy / norm, row_sum / norm  # P enters without its divisor
        for turn in range(order.shape[1]):
            qs = lists.sort(lists.q, turn)
            ks = lists.close(lists.sort(lists.k, turn))
            vs = lists.close(lists.sort(lists.v, turn))
            gs, rs = lists.sort(dy, turn), lists.sort(row_sum, turn)
            ts = lists.sort(top, turn)
            # Queries that fill up the last chunk: their weights are zero.
            ts.flatten(0, 1)[lists.n :] = torch.inf
            dqs, dks, dvs = (torch.zeros_like(t) for t in (qs, ks, vs))
            for g in lists.groups():
                p = lists.scores(qs, ks, g, turn).sub_(ts[g]).exp_()
                ds = torch.bmm(gs[g], lists.window(vs, g).mT)
                ds.sub_(rs[g]).mul_(p)
                dqs[g] = torch.bmm(ds, lists.window(ks, g))
                for step in range(3 if ring else 1):
                    to = slice(g.start + step, g.stop + step)
                    part = slice(step * chunk, (step + 1) * chunk)
                    dvs[to].baddbmm_(p[..., part].mT, gs[g])
                    dks[to].baddbmm_(ds[..., part].mT, qs[g])
            dq += lists.unsort(dqs, turn)
            dk += lists.collect(dks, turn)
            dv += lists.collect(dvs, turn)
    dq, dk, dv = slopes
    return dq.to(q.dtype), dk.to(k.dtype), dv.to(v.dtype)


@_listed.register_fake
def _(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    order: Tensor,
    chunk: int,
    ring: bool,
    dedup: bool,
) -> tuple[Tensor, Tensor]:
    acc = wide(q.dtype)
    y = torch.empty(v.shape, dtype=acc, device=v.device)
    return y, y.new_empty(*q.shape[:2], 2)


@_listed_backward.register_fake
def _(
    grad: Tensor,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    order: Tensor,
    y: Tensor,
    total: Tensor,
    chunk: int,
    ring: bool,
    dedup: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    return q.new_empty(q.shape), k.new_empty(k.shape), v.new_empty(v.shape)


def _keep(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
    q, k, v, order, *ctx.geometry = inputs
    ctx.save_for_backward(q, k, v, order, *output)
    ctx.set_materialize_grads(False)


def _first_derivative(
    ctx: Any, grad: Tensor | None, _: None
) -> tuple[Any, ...]:
    if grad is None:
        return (None,) * 7
    slopes = _listed_backward(grad, *ctx.saved_tensors, *ctx.geometry)
    return *slopes, None, None, None, None


def _second_derivative(ctx: Any, *grads: Tensor) -> None:
    raise RuntimeError(
        "impl='streamed' has first derivatives only: its backward pass "
        "recomputes the scores. For Hessians or gradient penalties use "
        "impl='reference'"
    )


_listed.register_autograd(_first_derivative, setup_context=_keep)
_listed_backward.register_autograd(_second_derivative)


@register_flop_formula(torch.ops.attnlib.listed_attention)
def _flops(
    q: Any, k: Any, v: Any, order: Any, chunk: int, ring: bool,
    *args: Any, **kwargs: Any,
) -> int:  # fmt: skip
    """Two for each multiply-add: d + dv a query and entry of its list."""
    b, rounds, n = order
    whole = -(-n // chunk) * chunk
    keys = 3 * chunk if ring else chunk
    return int(2 * b * rounds * whole * keys * (q[-1] + v[-1]))


def listed_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    order: Tensor,
    chunk: int,
    ring: bool,
    dedup: bool,
) -> Tensor:
    """Return attention over the lists of ``order``, as one operator."""
    y: Tensor = _listed(q, k, v, order, chunk, ring, dedup)[0]
    return y.to(v.dtype)
