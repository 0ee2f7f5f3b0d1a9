"""Checks of the chapter on the self-attention block, ``sa-1`` to ``sa-5``."""

from __future__ import annotations

import copy
from numbers import Real
from typing import Any

import torch
from torch import Tensor, nn

from attnlib.blocks.self_attention import SelfAttention
from attnlib.exercises import exercise

# Typical slips on the hand calculation, and what to look at again.
_SLIPS = (
    ((7, 10), "that is position 0, or f and g have changed places."),
    ((70 / 12, 95 / 12), "a query reads the key g(x_j), not x_j itself."),
    ((64 / 12, 3 / 12), "a mean of values so far: one layer is missing."),
    ((64, 3), "a weighted sum of values, and a mean is asked for."),
    ((68, 129), "all but one thing: the weights do not sum to one yet."),
    ((67 / 12, 131 / 12), "the matrix of o is in it. Does o add anything?"),
    ((7.6, 10.8), "a score s weighs 2**s. What does a score of 0 weigh?"),
    ((7.1717, 9.9792), "the factor ln 2 turns powers of e into powers of 2."),
    ((6.9, 9.7), "position 5 is one of the positions that it hears."),
)


def _tensor(answer: Any) -> Tensor | None:
    """Return a tensor for numbers, an array or nested lists, else None."""
    try:
        if isinstance(answer, (list, tuple)):
            return torch.stack([torch.as_tensor(_tensor(a)) for a in answer])
        if isinstance(answer, Real):  # a Fraction, too
            return torch.tensor(float(answer), dtype=torch.float64)
        return torch.as_tensor(answer).detach().cpu()
    except (TypeError, ValueError, RuntimeError):
        return None


def _numbers(answer: Any) -> Tensor | None:
    """Return a flat float64 tensor, or None for what holds no numbers."""
    got = _tensor(answer)
    return None if got is None else got.double().flatten()


@exercise("sa-1", right="79/12 and 107/12, as the block has it.")
def _position_5(answer: Any) -> str | None:
    got = _numbers(answer)
    if got is None or got.shape != (2,):
        return "two numbers are asked for, one for each channel."
    wanted = torch.tensor([79.0, 107.0], dtype=torch.float64) / 12
    if torch.allclose(got, wanted, rtol=0, atol=0.006):
        return None
    if torch.allclose(got, wanted, rtol=0, atol=0.06):
        return "close: give a fraction, or two digits behind the point."
    if torch.allclose(got.flip(0), wanted, rtol=0, atol=0.006):
        return "the right two numbers. Which channel comes first?"
    for slip, hint in _SLIPS:
        if torch.allclose(got, got.new_tensor(slip), rtol=0, atol=0.006):
            return hint
    if (got - wanted).abs().min() < 0.006:
        return "one channel is right, see to the other."
    return (
        "write six scores below the table: this query reads the second "
        "number of each key. Then weights, their sum, the mean, the layer o."
    )


@exercise("sa-2", right="the one weight is 1, whatever f and g say.")
def _one_pixel(answer: Any) -> str | None:
    block = SelfAttention(2)
    known = {name for name, _ in block.named_parameters()}
    if isinstance(answer, str) or not hasattr(answer, "__iter__"):
        return "a set of names is asked for, such as {'f.weight', 'g.bias'}."
    names = set(answer)
    if not names or names - known:
        return "names come from these eight: f.weight, f.bias, ..., o.bias."
    if names & {"f.weight", "f.bias", "g.weight"}:
        return (
            "write down the row of weights on a map of one pixel. "
            "What does a change of the score do to it?"
        )
    if "g.bias" in names:
        return "the chapter measures this one on 2,560 pixels, too."
    if not names & {"h.weight", "h.bias"}:
        return "a weight that cannot change still hands a value over. Whose?"
    if not names & {"o.weight", "o.bias"}:
        return "what comes last in the block, behind the sum?"
    if len(names) < 4:
        return "these do. What about the other half of the same layers?"
    return None


def _folded(got: Any) -> tuple[Tensor | None, Tensor | None]:
    """Read what the student returned; a layer serves as well as a pair."""
    if isinstance(got, nn.Module):
        got = getattr(got, "weight", None), getattr(got, "bias", None)
    pair = isinstance(got, (tuple, list)) and len(got) == 2
    return (_tensor(got[0]), _tensor(got[1])) if pair else (None, None)


def _fold_slip(weight: Tensor, bias: Tensor, block: SelfAttention) -> str:
    """Name the likely slip in a fold that does not reproduce the block."""
    state = block.state_dict()
    inner, outer = (state[f"{n}.weight"][:, :, 0, 0] for n in "ho")
    below, above = state["h.bias"], state["o.bias"]

    def same(a: Tensor, b: Tensor) -> bool:
        return torch.allclose(a, b, rtol=1e-4, atol=1e-6)

    if same(weight, inner @ outer):
        return "which of the two matrices touches x first?"
    if same(weight, (outer @ inner).T):
        return "W comes out transposed: rows are channels of the output."
    if same(weight, outer) or same(weight, inner):
        return "W is one of the two matrices. Where is the other one?"
    if not same(weight, outer @ inner):
        return (
            "W is not right yet: write y_i with h(x_j) = W_h x_j + b_h, "
            "put it into o, and see what stands before x_j."
        )
    if same(bias, above):
        return "W is right. What becomes of b_h in a mean of the values?"
    if same(bias, above + below):
        return "W is right. On its way out b_h meets one more layer."
    return "W is right, b is not: put x = 0 in and follow the two biases."


@exercise("sa-3", right="one convolution less, exact up to rounding.")
def _fold(answer: Any) -> str | None:
    if not callable(answer):
        return "a function is asked for: it takes a block, returns W and b."
    cases = ((3, 1, 4, 5), (4, 2, 1, 7), (2, 1, 3, 2), (6, 1, 1, 1))
    for channels, reduction, *size in cases:
        for dtype in (torch.float64, torch.float32):
            block = SelfAttention(channels, reduction=reduction, dtype=dtype)
            before = copy.deepcopy(block.state_dict())
            weight, bias = _folded(answer(block))
            if weight is None or bias is None:
                return "fold must return two tensors, W and b."
            if weight.numel() != channels**2 or bias.numel() != channels:
                return f"W has {channels**2} numbers, b has {channels} here."
            for name, old in block.state_dict().items():
                if not torch.equal(old, before[name]):
                    return f"leave the block as it is: {name} has changed."
            with torch.no_grad():
                weight = weight.reshape(channels, channels).to(dtype)
                bias = bias.reshape(channels, 1).to(dtype)
                x = torch.randn(2, channels, *size, dtype=dtype)
                mean = x.flatten(2) @ block.attention_map(x)[:, 0].mT
                wanted, got = block(x).flatten(2), weight @ mean + bias
                if not torch.allclose(got, wanted, rtol=1e-4, atol=1e-5):
                    return _fold_slip(weight, bias[:, 0], block)
    return None


@exercise("sa-4", right="the more two colours differ, the more weight.")
def _stencil(answer: Any) -> str | None:
    got = _numbers(answer)
    if got is None or got.numel() != 1:
        return "one number is asked for, the c of the exponent."
    if abs((c := got.item()) - 50) <= 0.5:
        return None
    if abs(c + 50) <= 0.5:
        return "that is the size. Does a large distance raise the weight?"
    if round(abs(c)) in (100, 25, 200):
        return "see how the square of a distance holds the dot product."
    if round(abs(c)) in (5, 10, 20):
        return "both matrices stand in a score: what is their product?"
    return (
        "take the logarithm of one row of the map and draw it over the "
        "squared distances: c is the slope."
    )


@exercise("sa-5", right="a long vector is no longer everybody's neighbour.")
def _near(answer: Any) -> str | None:
    if not callable(answer):
        return "a function is asked for: near(z, beta) returns (N, N) weights."
    for count, beta in ((12, 100.0), (30, 7.0), (1, 100.0), (12, 1.0)):
        z = torch.randn(count, 6, dtype=torch.float64)
        unit = z / z.norm(dim=1, keepdim=True)
        if hint := _unit_slip(_tensor(answer(unit.clone(), beta)), unit, beta):
            return hint
        z = z[:, :4] / z[:, :4].norm(dim=1, keepdim=True)
        for stretch in (0.3, 1.0, 3.0):
            places = stretch * (2 * torch.rand_like(z[:, :2]) - 1)
            longer = torch.cat([z, places], 1)
            got = _tensor(answer(longer.clone(), beta))
            if hint := _near_slip(got, longer, beta):
                return hint
    return None


def _shape_slip(got: Tensor | None, z: Tensor) -> str | None:
    """Say what keeps the answer from being a map at all, or None."""
    if got is None or got.shape != (len(z), len(z)):
        what = "no tensor" if got is None else tuple(got.shape)
        return f"near must return weights of shape (N, N), got {what}."
    if not got.isfinite().all():
        return "some weights are not finite: let softmax do the exponentials."
    if not torch.allclose(got.double().sum(1), z.new_ones(len(z)), atol=1e-5):
        return "rows must sum to one: the softmax runs over j."
    return None


def _unit_slip(got: Tensor | None, z: Tensor, beta: float) -> str | None:
    """Vectors of length 1 keep their map."""
    if (hint := _shape_slip(got, z)) or got is None:
        return hint
    if torch.allclose(got.double(), (beta * z @ z.T).softmax(1), atol=1e-4):
        return None
    part = z[:, :4]
    for half in (0.0, part.square().sum(1) / 2):
        less = (beta * (part @ part.T - half)).softmax(1)
        if torch.allclose(got.double(), less, atol=1e-4):
            return "every channel counts, the coordinates among them."
    return (
        "vectors of length 1 need no repair, and there the map has "
        "changed: is the distance squared, and halved?"
    )


def _falls(got: Tensor, far: Tensor) -> bool:
    """Whether clearly nearer weighs more; weights rounded to 0 would tie."""
    nearer = far[:, :, None] < far[:, None, :] - 1e-3
    return bool(((got[:, :, None] > got[:, None, :]) | ~nearer).all())


def _near_slip(got: Tensor | None, z: Tensor, beta: float) -> str | None:
    """Say what keeps a map of vectors of all lengths from being local."""
    if (hint := _shape_slip(got, z)) or got is None:
        return hint
    got, length = got.double(), z.norm(dim=1)
    if not (got.diagonal() >= got.amax(1) - 1e-5).all():
        if not (length[got.argmax(1)] > length).any():
            return "now a short key wins: you take off too much."
        return (
            "a long key still wins. Which term of eq-sa-colour is the same "
            "for all j only because all lengths are 1?"
        )
    unit = z / length[:, None]
    ways = torch.cdist(z, z), -unit @ unit.T
    if beta > 1 or any(_falls(got, far) for far in ways):
        return None
    return (
        "every row puts its own position first. But behind it a near vector "
        "must weigh more than a far one."
    )
