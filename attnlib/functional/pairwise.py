"""The Non-local similarities that need no softmax, and no N x M map either.

    dot product     y_i = 1/M sum_j (q_i . k_j) v_j
    concatenation   y_i = 1/M sum_j ReLU(w_f . [q_i; k_j]) v_j

The normaliser is C(x_i) = M, the number of keys. Both sums can be re-ordered
exactly:

- dot product: (q k^T) v = q (k^T v). A d x dv matrix takes the place of the
  N x M map.
- concatenation: w_f . [q_i; k_j] = a_i + b_j, two scalars. A key counts for
  query i where b_j > -a_i, so after sorting b every query needs one suffix of
  the keys: y_i = 1/M (a_i sum_suffix v_j + sum_suffix b_j v_j),
  O((N + M) log M + (N + M) dv).
"""

from __future__ import annotations

import torch
from torch import Tensor

from attnlib._checks import check_choice, check_floating, check_tokens, wide
from attnlib._layout import no_autocast

DOT_PRODUCT_IMPLS = ("auto", "reference", "associative")
CONCATENATION_IMPLS = ("auto", "reference", "sorted")


def dot_product_weights(q: Tensor, k: Tensor) -> Tensor:
    """Return the map A, A_ij = q_i . k_j / M.

    Its weights have any sign, and its rows need not sum to one.

    Args:
        q: queries.
        k: keys.

    Shape:
        - q: ``(*, N, d)``, k: ``(*, M, d)``
        - Output: ``(*, N, M)``
    """
    acc = wide(q.dtype)
    # Divided before it is multiplied: no overflow.
    return (q.to(acc) / k.shape[-2] @ k.to(acc).mT).to(q.dtype)


def dot_product_attention(
    q: Tensor, k: Tensor, v: Tensor, *, impl: str = "auto"
) -> Tensor:
    """Return (q k^T) v / M, the dot-product similarity of Non-local Networks.

    Args:
        q: queries.
        k: keys.
        v: values.
        impl: ``"reference"`` (the map, O(N M (d + dv))), ``"associative"``
            (q (k^T v), no map, O((N + M) d dv)) or ``"auto"``: the one with
            fewer multiply-adds.

    Shape:
        - q: ``(*, N, d)``, k: ``(*, M, d)``, v: ``(*, M, dv)``, same leading
          dimensions
        - Output: ``(*, N, dv)``

    Raises:
        ValueError: shapes or devices that do not fit, or an unknown ``impl``.
        TypeError: anything but floating-point tensors of one dtype.

    Reference: Wang et al. 2018, arXiv 1711.07971, equation 4.
    """
    check_choice("impl", impl, DOT_PRODUCT_IMPLS)
    check_tokens(q, k, v)
    if impl == "auto":
        impl = _cheaper_product(q, k, v)
    with no_autocast(q):
        if impl == "reference":
            return dot_product_weights(q, k) @ v
        acc = wide(q.dtype)
        gram = k.to(acc).mT / k.shape[-2] @ v.to(acc)  # (*, d, dv)
        return (q.to(acc) @ gram).to(q.dtype)


def _cheaper_product(q: Tensor, k: Tensor, v: Tensor) -> str:
    """Return the order with fewer multiply-adds.

    For a traced graph, which must hold for every size: the one without a map.
    """
    if torch.compiler.is_compiling():
        return "associative"
    n, m, d, dv = q.shape[-2], k.shape[-2], q.shape[-1], v.shape[-1]
    with_map = n * m * (d + dv)
    return "reference" if with_map < (n + m) * d * dv else "associative"


def relu_weights(q: Tensor, k: Tensor) -> Tensor:
    """Return the map A, A_ij = ReLU(q_i . k_j) / M.

    Args:
        q: queries.
        k: keys.

    Shape:
        - q: ``(*, N, d)``, k: ``(*, M, d)``
        - Output: ``(*, N, M)``
    """
    return dot_product_weights(q, k).relu()


def relu_attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Return the sum y_i = 1/M sum_j ReLU(q_i . k_j) v_j.

    The ReLU stands between the two products, so their order cannot change.

    Args:
        q: queries.
        k: keys.
        v: values.

    Shape:
        - q: ``(*, N, d)``, k: ``(*, M, d)``, v: ``(*, M, dv)``, same leading
          dimensions
        - Output: ``(*, N, dv)``

    Raises:
        ValueError: shapes or devices that do not fit.
        TypeError: anything but floating-point tensors of one dtype.

    Reference: ``activation="relu"`` in ``ops/rnl.py`` of Huang and Bors 2020,
    arXiv 2007.09033.
    """
    check_tokens(q, k, v)
    with no_autocast(q):
        return relu_weights(q, k) @ v


def concatenation_weights(a: Tensor, b: Tensor) -> Tensor:
    """Return the map A, A_ij = ReLU(a_i + b_j) / M.

    Args:
        a: one number a query, a_i = w_q . q_i, from the query half of w_f.
        b: one number a key, b_j = w_k . k_j, from the key half of w_f.

    Shape:
        - a: ``(*, N)``, b: ``(*, M)``
        - Output: ``(*, N, M)``
    """
    return (a[..., :, None] + b[..., None, :]).relu() / b.shape[-1]


def concatenation_attention(
    a: Tensor, b: Tensor, v: Tensor, *, impl: str = "auto"
) -> Tensor:
    """Return the concatenation sum y_i = 1/M sum_j ReLU(a_i + b_j) v_j.

    Args:
        a: one number a query, w_q . q_i.
        b: one number a key, w_k . k_j.
        v: values.
        impl: ``"reference"`` (the outer sum, an N x M map), ``"sorted"``
            (sort b, suffix sums, one look-up a query: exact, no map) or
            ``"auto"`` (sorted).

    Shape:
        - a: ``(*, N)``, b: ``(*, M)``, v: ``(*, M, dv)``, same leading
          dimensions
        - Output: ``(*, N, dv)``

    Raises:
        ValueError: shapes or devices that do not fit, or an unknown ``impl``.
        TypeError: anything but floating-point tensors of one dtype.

    Reference: Wang et al. 2018, arXiv 1711.07971, equation 5 (w_f without
    bias).
    """
    check_choice("impl", impl, CONCATENATION_IMPLS)
    check_floating("a", a)
    check_floating("b", b)
    check_tokens(a[..., None], b[..., None], v)
    with no_autocast(v):
        acc, dtype = wide(v.dtype), v.dtype
        a, b, v = a.to(acc), b.to(acc), v.to(acc)
        if impl == "reference":
            return (concatenation_weights(a, b) @ v).to(dtype)
        return _sorted_sums(a, b, v).to(dtype)


def _sorted_sums(a: Tensor, b: Tensor, v: Tensor) -> Tensor:
    """Return the concatenation sum from suffix sums over keys sorted by b."""
    keys = b.shape[-1]
    b, order = b.sort(dim=-1)  # (*, M), ascending
    v = v.gather(-2, order[..., None].expand(v.shape))  # (*, M, dv)
    # Each query's first key with b_j > -a_i, in 0 .. M. Compared before
    # centring, so that a_i + b_j = 0 falls on the same side as in ReLU, whose
    # derivative at 0 is 0.
    first = torch.searchsorted(b.detach(), -a.detach(), right=True)  # (*, N)
    # a + c and b - c: the same sum, less cancellation.
    centre = b.mean(-1, keepdim=True).detach()  # (*, 1)
    a, b = (a + centre)[..., None], (b - centre)[..., None]
    terms = torch.cat([v, b * v], dim=-1) / keys  # (*, M, 2 dv)
    sums = _suffix_sums(terms)  # (*, M + 1, 2 dv)
    index = first[..., None].expand(*first.shape, sums.shape[-1])
    plain, weighted = sums.gather(-2, index).chunk(2, dim=-1)  # (*, N, dv)
    return a * plain + weighted  # (*, N, dv)


def _suffix_sums(v: Tensor) -> Tensor:
    """Return S_m = sum of v_j over j >= m; the last, over no key, is zero."""
    total = v.flip(-2).cumsum(-2).flip(-2)  # (*, M, width)
    empty = torch.zeros_like(total[..., :1, :])  # (*, 1, width)
    return torch.cat([total, empty], dim=-2)  # (*, M + 1, width)
