"""Channel affinity: every channel attends to every channel.

    y_c = sum_e softmax_e(+-a_c . a_e) a_e,    a_c the N numbers of channel c

No projection: query, key and value are the feature map itself. The C x C Gram
matrix is summed over all positions, so it leaves the range of float16 early
(65504 is 3 x 3 at 7278 positions): it is computed in float32.
"""

from __future__ import annotations

from torch import Tensor

from attnlib._checks import check_choice, check_floating, wide
from attnlib._layout import no_autocast

SIGNS = ("official", "paper")


def channel_weights(a: Tensor, *, sign: str = "official") -> Tensor:
    """Return the affinity P, P_ce = softmax over e of -+ a_c . a_e.

    Args:
        a: channels, one row each.
        sign: ``"official"``: minus, as DANet's code; the least similar channel
            weighs most. ``"paper"``: plus.

    Shape:
        - a: ``(*, C, N)``
        - Output: ``(*, C, C)``, every row sums to one

    Raises:
        ValueError: an unknown sign, or fewer than two dimensions.
        TypeError: anything but a floating-point tensor.

    The official code takes the row maximum minus the entries before its
    softmax. The maximum leaves through numerator and denominator, the minus
    stays.
    """
    check_choice("sign", sign, SIGNS)
    if check_floating("a", a).ndim < 2:
        raise ValueError(f"a must be (..., C, N), got {tuple(a.shape)}")
    with no_autocast(a):
        rows = a.to(wide(a.dtype))
        gram = rows @ rows.mT  # (*, C, C)
        scores = gram if sign == "paper" else -gram
        return scores.softmax(dim=-1).to(a.dtype)  # row c over e


def channel_attention(a: Tensor, *, sign: str = "official") -> Tensor:
    """Return weighted means of channels, P a.

    Args:
        a: channels, one row each.
        sign: as in :func:`channel_weights`.

    Shape:
        - a: ``(*, C, N)``
        - Output: ``(*, C, N)``

    Raises:
        ValueError, TypeError: as :func:`channel_weights`.

    Reference: Fu et al. 2019, arXiv 1809.02983, section 3.3; official code:
    ``encoding/nn/da_att.py`` in junfu1115/DANet.
    """
    weights = channel_weights(a, sign=sign)
    with no_autocast(a):
        return weights @ a
