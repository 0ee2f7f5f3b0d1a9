"""Checks of the chapter on your own network, ``own_network-1`` and ``-2``."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn

from attnlib.blocks.danet import PositionAttention
from attnlib.blocks.emanet import EMAttention
from attnlib.blocks.non_local import NonLocal
from attnlib.exercises import exercise

CHANNELS = 8


class _Loud(nn.Module):
    """The identity in one mode, and twice its input in the other."""

    def __init__(self, loud_in_training: bool) -> None:
        super().__init__()
        self.loud_in_training = loud_in_training

    def forward(self, t: Tensor) -> Tensor:
        return 2 * t if self.training == self.loud_in_training else t


class _Corner(nn.Module):
    """The identity at all entries but the last."""

    def forward(self, t: Tensor) -> Tensor:
        y = t.clone()
        y[..., -1, -1] += 1e-3
        return y


class _Pooled(nn.Module):
    """Hands on half of the positions."""

    def forward(self, t: Tensor) -> Tensor:
        return t[..., ::2]


class _Turned(nn.Module):
    """The same numbers in another place: mean and spread stay."""

    def forward(self, t: Tensor) -> Tensor:
        return t.flip(-1)


def _nearly() -> PositionAttention:
    block = PositionAttention(CHANNELS)
    nn.init.constant_(block.gamma, 1e-9)
    return block


def _state(block: nn.Module) -> list[Tensor]:
    return [t.clone() for t in block.state_dict().values()]


@exercise(
    "own_network-1",
    right="to the last bit, in both modes, and the block is as it was.",
)
def _silent(answer: Any) -> str | None:
    if not callable(answer):
        return "a function of a block and a map is asked for."
    cases: list[tuple[nn.Module, bool, str]] = [
        (NonLocal(CHANNELS), True, "a fresh NonLocal is silent: True."),
        (nn.Identity(), True, "nn.Identity is as silent as can be: True."),
        (
            EMAttention(CHANNELS, bases=4),
            False,
            "a fresh EMAttention adds to the map: False.",
        ),
        (
            _Turned(),
            False,
            "a block that mirrors the map is called silent. Compare entry by "
            "entry, no sums.",
        ),
        (
            _Pooled(),
            False,
            "a block that drops every other column is called silent.",
        ),
        (
            _Corner(),
            False,
            "a block that changes the last position alone, by 0.001, is "
            "called silent. Look at every entry.",
        ),
        (
            _nearly(),
            False,
            "a block whose factor is 1e-9 is called silent. Close is not "
            "equal: which comparison allows no tolerance?",
        ),
        (
            _Loud(True),
            False,
            "a block that doubles the map in training only is called silent. "
            "In which modes do you ask?",
        ),
        (
            _Loud(False),
            False,
            "a block that doubles the map in evaluation only is called "
            "silent. In which modes do you ask?",
        ),
    ]
    for block, silent, hint in cases:
        for training in (True, False):
            block.train(training)
            t = torch.randn(2, CHANNELS, 5, 6)
            state, kept = _state(block), t.clone()
            got = answer(block, t)
            if not isinstance(got, (bool, Tensor)) or (
                isinstance(got, Tensor) and got.numel() != 1
            ):
                return "True or False must come back, for one block and map."
            if bool(got) != silent:
                return hint
            if any(m.training != training for m in block.modules()):
                return (
                    "right, but the block comes back in another mode. Ask a "
                    "copy, or put the mode back."
                )
            same = zip(state, _state(block), strict=True)
            if not all(torch.equal(a, b) for a, b in same):
                return (
                    "right, but asking has changed the block: in training a "
                    "batch normalisation counts what it sees. Ask a copy."
                )
            if not torch.equal(t, kept):
                return "right, but the map that you were given has changed."
    return None


class _Double(nn.Module):
    """A block with a weight of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.full((), 2.0))

    def forward(self, x: Tensor) -> Tensor:
        return self.factor * x


def _plain() -> nn.Sequential:
    layers = nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU()
    return nn.Sequential(nn.Sequential(*layers), nn.Conv2d(4, 2, 1))


@exercise(
    "own_network-2",
    right="old names and new ones load, at any depth.",
)
def _behind(answer: Any) -> str | None:
    if not (isinstance(answer, type) and issubclass(answer, nn.Module)):
        return "the class itself is asked for: its name, no parentheses."
    old = _plain().eval()
    state = copy.deepcopy(old.state_dict())
    for at in ("0.0", "0.1", "1", "0", ""):
        net = nn.Sequential(_plain().eval())
        net.load_state_dict(
            {f"0.{k}": torch.randn_like(v) if v.is_floating_point() else v
             for k, v in state.items()}
        )  # fmt: skip
        path = f"0.{at}".rstrip(".")
        parent, _, last = path.rpartition(".")
        layer = net.get_submodule(path)
        owner: Any = net.get_submodule(parent)
        behind = answer(layer, _Double())
        setattr(owner, last, behind)
        depth = f"a layer named {path!r}"
        given = {f"0.{k}": v.clone() for k, v in state.items()}
        copies = {k: v.clone() for k, v in given.items()}
        result = net.load_state_dict(given, strict=False)
        if result.unexpected_keys:
            return (
                f"around {depth}: {result.unexpected_keys[0]} of the old file "
                "is still not expected. Move its name under 'layer.' before "
                "it is looked for, prefix and all."
            )
        missing = [k for k in result.missing_keys if "factor" not in k]
        if missing:
            return f"around {depth}: {missing[0]} is missing after loading."
        if set(given) != set(copies):
            return f"around {depth}: loading has changed the old state dict."
        loaded = layer.state_dict()
        inside = path[2:] + "." if at else ""
        for name, value in loaded.items():
            if not torch.equal(value, state[inside + name]):
                return f"around {depth}: {name} is not what the file holds."
        x = torch.randn(2, 4 if at in ("0.1", "1") else 1, 6, 6)
        with torch.no_grad():
            if not torch.equal(behind(x), 2 * layer(x)):
                return "the output is no longer block(layer(x))."
        new = copy.deepcopy(net.state_dict())
        try:
            net.load_state_dict(new)
        except RuntimeError:
            return (
                "old files load, but what the wrapped network saves itself "
                "does not. Leave a name alone that begins with 'layer.' or "
                "'block.' already."
            )
    return None
