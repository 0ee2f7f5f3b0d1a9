"""Attention inside buckets: a random hash decides which keys a query sees.

    y_i = sum_j c_ij exp(s_ij) v_j / sum_j c_ij exp(s_ij)
    s_ij = e_i . e_j / |e_j|

Each round sorts the positions by code, cuts them into chunks of m and lets a
chunk attend to itself and its two neighbours in a ring. c_ij counts how often
j stands in the lists of i, over all rounds: keys that are like the query stand
there in nearly every round. ``dedup`` counts each once.

``reference`` lays keys and values of three chunks side by side, for all rounds
at once. ``streamed`` (``functional/listed.py``) goes through rounds and chunks
and keeps nothing that is as large as a list.
"""

from __future__ import annotations

import torch
from torch import Tensor

from attnlib._checks import check_choice, check_positive, wide
from attnlib._layout import any_forward_mode, no_autocast
from attnlib.functional.hashing import (
    bucket_order,
    check_pair,
    check_rotations,
    geometry,
    hash_codes,
    inverse,
    list_counts,
    meetings,
    padded_places,
)
from attnlib.functional.listed import listed_attention
from attnlib.functional.softmax import Choice

BUCKET_IMPLS = ("auto", "reference", "streamed")
EPS = 5e-5


def bucket_weights(
    e: Tensor,
    rotations: Tensor,
    *,
    chunk_size: int = 144,
    signed: bool = True,
    dedup: bool = False,
    row: int | None = None,
) -> Tensor:
    """Return the weight with which value j enters y_i, over all rounds.

    Args:
        e: embeddings, as in :func:`bucket_attention`.
        rotations: as there.
        chunk_size: m.
        signed: as there.
        dedup: as there.
        row: a single query; all if not given.

    Shape:
        - e: ``(B, N, d)``
        - Output: ``(B, N, N)``, rows sum to one; ``(B, 1, N)`` with ``row``
    """
    order = bucket_order(hash_codes(e, rotations, signed=signed))
    counts = list_counts(order, chunk_size, row=row)
    if dedup:
        counts = counts.clamp(max=1)
    wide_e = e.to(wide(e.dtype))
    q = wide_e if row is None else wide_e[:, row : row + 1]
    scores = q @ _unit(wide_e).mT + counts.to(wide_e.dtype).log()
    return scores.softmax(-1).to(e.dtype)


def bucket_attention(
    e: Tensor,
    v: Tensor,
    rotations: Tensor,
    *,
    chunk_size: int = 144,
    signed: bool = True,
    dedup: bool = False,
    impl: str = "auto",
) -> Tensor:
    """Return means of the values that a query's lists hold.

    Args:
        e: embeddings: queries as they are, keys divided by their length.
        v: values.
        rotations: random directions, see :func:`hash_codes`.
        chunk_size: m; all positions are one chunk where there are fewer.
        signed: as in :func:`hash_codes`.
        dedup: a key that stands in several lists of a query counts once.
        impl: ``"reference"`` (lists laid out, any derivative), ``"streamed"``
            (chunk by chunk, recomputing backward, first derivatives only) or
            ``"auto"``, see :func:`explain_bucket_attention`.

    Shape:
        - e: ``(B, N, d)``, v: ``(B, N, dv)``
        - rotations: ``(1, d, rounds, directions)``
        - Output: ``(B, N, dv)``

    Raises:
        ValueError: shapes or devices that do not fit, an unknown ``impl``.
        TypeError: anything but floating-point tensors, e and v of two dtypes.
        NotImplementedError: forward-mode derivatives (jvp) of ``streamed``;
            ``auto`` takes the reference for those.

    Reference: Mei, Fan and Zhou, CVPR 2021; official code:
    ``NonLocalSparseAttention`` in HarukiYqM/Non-Local-Sparse-Attention.
    """
    check_choice("impl", impl, BUCKET_IMPLS)
    choice = explain_bucket_attention(e, v, chunk_size, dedup=dedup)
    if impl == "auto":
        impl = choice.impl
    elif impl == "streamed" and any_forward_mode(e, v):
        raise NotImplementedError(
            "impl='streamed' has no forward-mode derivative (jvp); "
            "use impl='reference'"
        )
    check_rotations(e, rotations)
    n, acc = e.shape[1], wide(e.dtype)
    with no_autocast(e):
        if impl == "dense":
            k = _unit(e.to(acc))
            one = torch.arange(n, device=e.device).expand(e.shape[0], 1, n)
            return listed_attention(e.to(acc), k, v, one, n, False, False)
        order = bucket_order(hash_codes(e, rotations, signed=signed))
        q = e.to(acc)
        if impl == "streamed":
            m = geometry(n, chunk_size)[0]
            return listed_attention(q, _unit(q), v, order, m, True, dedup)
        y = _laid_out(q, _unit(q), v.to(acc), order, chunk_size, dedup)
        return y.to(v.dtype)


def _laid_out(
    q: Tensor, k: Tensor, v: Tensor, order: Tensor, chunk: int, dedup: bool
) -> Tensor:
    """The official steps: sort, fill up, three chunks a list, merge.

    No axis is as long as there are chunks, or a traced graph would hold for
    one chunk alone, or for several alone.
    """
    b, h, n = order.shape
    m, chunks, filled = geometry(n, chunk)
    at = order[..., padded_places(n, m, order.device)]  # (B, h, chunks m)
    place = torch.arange(chunks * 3 * m, device=order.device)
    place = place // (3 * m) * m + place % (3 * m) - m  # one chunk before
    lists = at[..., place % (chunks * m)]  # (B, h, chunks 3 m), a ring

    def gather(t: Tensor, index: Tensor) -> Tensor:
        """(B, N, w) or (B, h, N, w), (B, h, L) -> (B, h, L, w)."""
        t = t[:, None] if t.ndim == 3 else t
        t = t.expand(-1, h, -1, -1)
        return t.gather(2, index[..., None].expand(-1, -1, -1, t.shape[-1]))

    def cut(t: Tensor, size: int) -> Tensor:  # (B h chunks, size, w)
        return t.flatten(0, 2).unflatten(0, (b * h * chunks, size))

    def join(t: Tensor) -> Tensor:  # (B, h, chunks m, w)
        return t.flatten(0, 1).unflatten(0, (b, h, chunks * m))

    s = torch.bmm(cut(gather(q, at), m), cut(gather(k, lists), 3 * m).mT)
    rank = inverse(order)
    if dedup:
        found = [rank // m, rank >= n - filled]  # each key's chunk; again
        home, again = (t.transpose(0, 1)[..., None] for t in found)

        def look_up(t: Tensor, index: Tensor, size: int) -> Tensor:
            """(h, B, N, 1) -> (h, B h chunks, size): rounds first."""
            turns = [cut(gather(one, index), size) for one in t]
            return torch.stack(turns)[..., 0]

        counts = meetings(
            look_up(home, at, m),
            look_up(home, lists, 3 * m),
            look_up(again, lists, 3 * m),
            chunks,
        )
        # 0 where the query fills up and lives in another chunk: unused.
        s = s - counts.clamp(min=1).to(s.dtype).log()
    lse = s.logsumexp(-1, keepdim=True)
    y = torch.bmm((s - lse).exp(), cut(gather(v, lists), 3 * m))
    y = gather(join(y), rank)  # (B, h, N, dv)
    share = gather(join(lse), rank).softmax(1)  # (B, h, N, 1)
    return (share * y).sum(1)


def explain_bucket_attention(
    e: Tensor, v: Tensor, chunk_size: int = 144, *, dedup: bool = False
) -> Choice:
    """Return the form that ``impl="auto"`` takes for these tensors, and why.

    Args:
        e: embeddings, as in :func:`bucket_attention`.
        v: values.
        chunk_size: m.
        dedup: as there.

    Shape:
        - Output: ``Choice(impl, reason)``; ``"dense"`` where the lists hold
          all keys equally often: one sum over all pairs, without a hash

    Raises:
        ValueError, TypeError: as :func:`bucket_attention`.
    """
    check_positive("chunk_size", chunk_size)
    check_pair(e, v)
    if any_forward_mode(e, v):
        reason = "forward-mode derivatives exist for the plain formula alone"
        return Choice("reference", reason)
    # A traced graph must hold for every size: none is compared in tracing.
    if not torch.compiler.is_compiling():
        n = e.shape[1]
        if n <= chunk_size:
            return Choice("dense", f"{n} positions are one chunk")
        if n == 3 * chunk_size:
            return Choice("dense", "three chunks: each is in each list once")
        if dedup and n < 3 * chunk_size:
            reason = "two or three chunks: each list holds every key"
            return Choice("dense", reason)
    return Choice("streamed", "same sums, no list is laid out")


def _unit(e: Tensor) -> Tensor:
    """Divide by the length, or by EPS where that is shorter."""
    return e / e.norm(dim=-1, keepdim=True).clamp_min(EPS)
