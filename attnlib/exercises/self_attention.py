"""Checks of the chapter on the self-attention block, ``sa-1`` to ``sa-5``."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn

from attnlib.blocks.self_attention import SelfAttention
from attnlib.exercises import exercise

# Typical slips on the hand calculation, and what to look at again.
_SLIPS = (
    ((7, 10), "that is position 0: position 5 reads the other number."),
    ((61 / 12, -3 / 12), "a mean of values so far: one layer is missing."),
    ((61, -3), "a weighted sum of values, and a mean is asked for."),
    ((59, 117), "all but one thing: the weights do not sum to one yet."),
    ((58 / 12, 119 / 12), "the matrix of o is in it. Does o add anything?"),
    ((6.4, 9.2), "a score s weighs 2**s. What does a score of 0 weigh?"),
    ((6.0792, 8.5225), "the factor ln 2 turns powers of e into powers of 2."),
    ((54 / 11, 90 / 11), "position 5 is one of the positions that it hears."),
)


def _numbers(answer: Any) -> Tensor | None:
    """Return a flat float64 tensor, or None for what holds no numbers."""
    if isinstance(answer, Tensor):
        return answer.detach().to("cpu", torch.float64).flatten()
    if isinstance(answer, (str, bytes)) or callable(answer):
        return None
    flat = answer.flatten() if hasattr(answer, "flatten") else answer
    values = list(flat) if hasattr(flat, "__iter__") else [flat]
    floats = [v.item() if hasattr(v, "item") else float(v) for v in values]
    return torch.tensor(floats, dtype=torch.float64)


@exercise("sa-1", right="70/12 and 95/12, as the block has it.")
def _position_5(answer: Any) -> str | None:
    got = _numbers(answer)
    if got is None or got.shape != (2,):
        return "two numbers are asked for, one for each channel."
    wanted = torch.tensor([70.0, 95.0], dtype=torch.float64) / 12
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


def _folded(answer: Any, block: SelfAttention) -> tuple[Any, Any]:
    """Call the student's function; a layer serves as well as a pair."""
    got = answer(block)
    if isinstance(got, nn.Module):
        return getattr(got, "weight", None), getattr(got, "bias", None)
    return tuple(got) if isinstance(got, (tuple, list)) else (got, None)


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
    cases = ((3, 1, 4, 5), (4, 2, 1, 7), (1, 1, 3, 2), (6, 1, 1, 1))
    for channels, reduction, *size in cases:
        for dtype in (torch.float64, torch.float32):
            block = SelfAttention(channels, reduction=reduction, dtype=dtype)
            before = copy.deepcopy(block.state_dict())
            weight, bias = _folded(answer, block)
            if not isinstance(weight, Tensor) or not isinstance(bias, Tensor):
                return "fold must return two tensors, W and b."
            if weight.numel() != channels**2 or bias.numel() != channels:
                return (
                    f"with {channels} channels W has {channels**2} numbers "
                    f"and b {channels}, got {weight.numel()} "
                    f"and {bias.numel()}."
                )
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
    for count, beta in ((12, 100.0), (30, 7.0), (1, 100.0)):
        z = torch.randn(count, 4, dtype=torch.float64)
        z = z / z.norm(dim=1, keepdim=True)
        for stretch in (0.0, 0.3, 1.0, 3.0):
            places = stretch * (2 * torch.rand_like(z[:, :2]) - 1)
            longer = torch.cat([z, places], 1)
            if hint := _near_slip(answer(longer.clone(), beta), longer, beta):
                return hint
    return None


def _near_slip(got: Any, z: Tensor, beta: float) -> str | None:
    """Say what keeps the answer from being a map of neighbours, or None."""
    if not isinstance(got, Tensor) or got.shape != (len(z), len(z)):
        what = tuple(got.shape) if isinstance(got, Tensor) else type(got)
        return f"near must return weights of shape (N, N), got {what}."
    if not got.isfinite().all():
        return "some weights are not finite: let softmax do the exponentials."
    got, length = got.detach().double(), z.norm(dim=1)
    if not torch.allclose(got.sum(1), torch.ones_like(length), atol=1e-5):
        return "rows must sum to one: the softmax runs over j."
    plain = (beta * z @ z.T).softmax(1)
    if torch.allclose(length, torch.ones_like(length)):
        if torch.allclose(got, plain, atol=1e-5):
            return None
        return (
            "vectors of length 1 need no repair, and there the map has "
            "changed: is the distance squared, and halved?"
        )
    if (got.diagonal() >= got.amax(1) - 1e-5).all():
        return None
    if (length[got.argmax(1)] > length).any():
        return (
            "a long key still wins. Which term of eq-sa-colour is the same "
            "for all j only because all lengths are 1?"
        )
    return "now a short key wins: you take off too much."
