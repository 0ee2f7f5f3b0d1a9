"""The readings of each claim that can be recounted from closed forms."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from attnlib import measured
from attnlib.catalog import Claim, create_block
from attnlib.compare import SHAPE, SIDES, TIMED
from attnlib.cost import closed_form
from attnlib.ledger.entry import Entry, ratio, slope


def _meta(key: str, channels: int, **options: Any) -> Any:
    return create_block(key, channels, device="meta", **options)


def _one_gpu() -> str:
    """Name the GPU of the file, and the size there."""
    gpu = measured.load("cuda")["machine"]["gpu"]
    return f"({gpu}, {' x '.join(map(str, TIMED))})"


def _on_a_gpu(key: str, passes: str, what: str) -> str:
    """Say how many times as much a plain non-local block took in the file.

    From the least to the most favourable form of the block.
    """
    names = ("subject", "passes", "shape", "dtype")
    held: dict[str, list[float]] = {key: [], "nonlocal": []}
    for row in measured.load("cuda")["rows"]:
        for subject, numbers in held.items():
            wanted = [subject, passes, list(TIMED), "float32"]
            if [row[name] for name in names] == wanted:
                numbers.append(row[what])
    dense, ours = held["nonlocal"][0], held[key]
    return f"{dense / max(ours):.1f} to {dense / min(ours):.1f}"


def _five(place: str | None) -> tuple[float, float]:
    """Parameters and multiply-adds of five blocks over the ResNet-101's.

    Two in res3 and three in res4; 43.2 M and 34.2 G stand in table 2e.
    """
    total = [0, 0]
    for times, c, size in ((2, 512, (4, 28, 28)), (3, 1024, (4, 14, 14))):
        block = _meta("nonlocal", c, dims=3, subsample=place)
        cost = closed_form(block, (1, c, *size), impl="reference")
        total[0] += times * cost.parameters
        total[1] += times * cost.macs
    return 1 + total[0] / 43.2e6, 1 + total[1] / 34.2e9


def _nonlocal(claims: tuple[Claim, ...]) -> list[Entry]:
    network, half, quarter, detector = claims
    places = {"no pooling": None, "after": "after", "before": "before"}
    five = {name: _five(place) for name, place in places.items()}
    clip, twice = (1, 1024, 4, 14, 14), (1, 1024, 8, 14, 14)

    def pairs(place: str | None) -> float:
        """Return the multiply-adds that grow with N^2: a second difference."""
        block = _meta("nonlocal", 1024, dims=3, subsample=place)
        once, both = (
            closed_form(block, shape, impl="reference").macs
            for shape in (clip, twice)
        )
        return (both - 2 * once) / 2

    narrow = {
        name: ratio(
            _meta("nonlocal", 1024, dims=3, subsample=place),
            _meta(
                "nonlocal", 1024, dims=3, subsample=place, inter_channels=1024
            ),
            clip,
            impl="reference",
        )
        for name, place in places.items()
    }
    return [
        Entry(
            "nonlocal", network, "parameters", "1.2",
            {f"pooling: {name}": p for name, (p, _) in five.items()},
        ),
        Entry(
            "nonlocal", network, "multiply-adds", "1.2",
            {f"pooling: {name}": m for name, (_, m) in five.items()},
        ),
        Entry(
            "nonlocal", half, "multiply-adds", "0.5",
            {f"pooling: {name}": r for name, r in narrow.items()},
        ),
        Entry(
            "nonlocal", quarter, "multiply-adds", "0.25",
            {
                f"pooling: {name}": pairs(name) / pairs(None)
                for name in ("after", "before")
            },
        ),
        Entry(
            "nonlocal", detector, "multiply-adds",
            reason="takes the detector's own cost",
        ),
    ]  # fmt: skip


def _ccnet(claims: tuple[Claim, ...]) -> list[Entry]:
    shape = (1, 512, 97, 97)
    twice = _meta("RecurrentCrissCrossAttention", 512)
    rivals = {
        "rival: position attention, d = C/8": _meta("danet", 512),
        "rival: non-local block, d = C/2": _meta("nonlocal", 512),
    }
    saved = {
        words: 1 - ratio(twice, rival, shape, impl="reference")
        for words, rival in rivals.items()
    }
    return [
        Entry("ccnet", claims[0], "share of FLOPs saved", "0.85", saved),
        Entry(
            "ccnet", claims[0], "GPU memory",
            reason="takes two passes and the kernels of the official code; "
            f"of one pass, ours, the file {_one_gpu()} has "
            f"{_on_a_gpu('ccnet', 'both', 'peak_bytes')} times less at the "
            "peak of a training step",
        ),
    ]  # fmt: skip


def _emanet(claims: tuple[Claim, ...]) -> list[Entry]:
    entries = []
    printed = (("43.1", "10.0"), ("21.1", "4.87"))
    for claim, width, numbers in zip(claims, (512, 256), printed, strict=True):
        unit = _meta("emanet", width, norm=True)
        cost = closed_form(unit, (1, width, 65, 65), impl="reference")
        conv = 9 * 2048 * width  # fc0, 3 x 3 from 2048 channels, no bias
        weights = 2 * width**2 + width * 64  # two layers and the bases
        macs = {
            "the unit alone": cost.macs / 1e9,
            "with the convolution before it": (cost.macs + 65**2 * conv) / 1e9,
            "the same, a FLOP half a multiply-add": (
                2 * (cost.macs + 65**2 * conv) / 1e9
            ),
        }
        parameters = {
            "the unit alone": weights / 1e6,
            "with the convolution before it": (weights + conv) / 1e6,
        }
        entries += [
            Entry("emanet", claim, "G FLOPs", numbers[0], macs),
            Entry("emanet", claim, "M parameters", numbers[1], parameters),
        ]
    return entries


def _annnet(claims: tuple[Claim, ...]) -> list[Entry]:
    return [
        Entry(
            "annnet", claims[0], "",
            reason=f"takes a GPU at that size; at the size of the file "
            f"{_one_gpu()} inference is "
            f"{_on_a_gpu('annnet', 'forward', 'to_dense')} times as fast, "
            f"its peak {_on_a_gpu('annnet', 'forward', 'peak_bytes')} times "
            "less",
        ),
    ]  # fmt: skip


def _lightnl(claims: tuple[Claim, ...]) -> list[Entry]:
    shape, readings = (1, 24, 56, 56), {}
    for width, words in ((12, "half"), (24, "full")):
        rival = _meta("nonlocal", 24, inter_channels=width, norm=False)
        for r, t in ((0.25, 1), (0.25, 2), (0.125, 2)):
            light = _meta("lightnl", 24, nl_c=r, nl_s=t)
            dense = closed_form(rival, shape, impl="reference").macs
            number = dense / closed_form(light, shape).macs
            readings[f"{words} width, r = {r}, t = {t}"] = number
    return [
        Entry("lightnl", claims[0], "times cheaper", "400", readings),
    ]


def _nlsa(claims: tuple[Claim, ...]) -> list[Entry]:
    block = _meta("nlsa", SHAPE[1])
    readings = {
        f"sides {a} to {b}": slope(block, a, b)
        for a, b in ((16, 32), (32, 64), (SIDES[0], SIDES[-1]))
    }
    return [Entry("nlsa", claims[0], "exponent of N", "1.0", readings)]


COUNTED: dict[str, Callable[[tuple[Claim, ...]], list[Entry]]] = {
    "nonlocal": _nonlocal,
    "ccnet": _ccnet,
    "emanet": _emanet,
    "annnet": _annnet,
    "lightnl": _lightnl,
    "nlsa": _nlsa,
}

# Claims that closed forms cannot settle, by the block and by a word of theirs.
OPEN = {
    ("danet", "IoU"): "takes a trained network",
    ("a2net", "beats"): "compares trained networks as a whole",
    ("dmsanet", "best"): "takes a trained network; no code is public",
    ("psa", "points"): "takes a trained network",
    ("ccnet", "IoU"): "takes a trained network",
    ("gcnet", "almost"): "no number; the accuracy takes a trained network",
    ("isanet", "product"): "no cost; its chapter proves it",
    ("annnet", "IoU"): "takes a trained network",
    ("lightnl", "accuracy"): "takes a trained network",
}
