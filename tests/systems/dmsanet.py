"""DualMultiScaleAttention."""

import torch
from mutant import Mutant

from attnlib import DualMultiScaleAttention

DM = "blocks/dmsanet.py"
VARIANTS = {
    "dmsanet": [
        {},
        {"groups": 1},
        {"groups": 4, "shuffle": False, "sign": "official"},
        {"descriptor": "se", "share": False},
        {"multiscale": True},
    ]
}
KEY_BIAS = "position.0.key.bias"
GOLDEN = {"dmsanet"}


def traits(case):
    found = {"map", "softmax", "everywhere", "shift", "wide"}
    if not case.options.get("multiscale"):
        found |= {"permutes", "transposes"}
    return found


def rebuild(block, x, weights):
    """The position half from the map, the rest from its formula."""
    groups = []
    for k, part in enumerate(block._parts(x).unbind(1)):
        owner = 0 if block.share else k
        a, b = part.chunk(2, dim=1)
        position, channel = block.position[owner], block.channel[owner]
        v = position.value(b).flatten(2) @ weights[:, k].mT
        b = b + position.gamma * v.view(b.shape)
        mixed = torch.einsum("bce,behw->bchw", channel.channel_map(a), a)
        groups.append(torch.cat([a + channel.gamma * mixed, b], dim=1))
    means = [f.mean((2, 3), keepdim=True) for f in groups]
    shares = torch.stack([block.excite(m) for m in means]).softmax(0)
    y = torch.cat([f * s for f, s in zip(groups, shares, strict=True)], 1)
    if not block.shuffle:
        return y
    first, second = y.chunk(2, dim=1)
    order = torch.arange(y.shape[1]).view(2, -1).T.flatten()
    return torch.cat([first, second], dim=1)[:, order]


def golden(facts, impl):
    args = facts["args"]
    block = DualMultiScaleAttention(
        args["channels"],
        groups=args["groups"],
        descriptor=args["descriptor"],
        share=args["share"],
        shuffle=args["shuffle"],
        sign="official" if args["reverse_cam"] else "paper",
        multiscale=args["multiscale"],
        impl=impl,
    )
    return block, "golden"


MUTANTS = [
    Mutant(
        "softmax over channels",
        DM,
        "z.softmax(dim=1)",
        "z.softmax(dim=2)",
    ),
    Mutant(
        "sigmoid shares",
        DM,
        "z.softmax(dim=1)",
        "z.sigmoid()",
    ),
    Mutant(
        "shuffled back",
        DM,
        "(2, self.in_channels // 2)",
        "(self.in_channels // 2, 2)",
    ),
    Mutant(
        "halves swapped",
        DM,
        "self._branches(flat[:, :half], flat[:, half:], 0)",
        "self._branches(flat[:, half:], flat[:, :half], 0)",
    ),
    Mutant(
        "first group for all",
        DM,
        "part[:, half:], k)",
        "part[:, half:], 0)",
    ),
    Mutant(
        "descriptor of the input",
        DM,
        "z = f.mean((3, 4)",
        "z = parts.mean((3, 4)",
    ),
    Mutant(
        "a largest value as descriptor",
        DM,
        "f.mean((3, 4), keepdim=True)",
        "f.amax((3, 4), keepdim=True)",
    ),
    Mutant(
        "the sign of DANet",
        DM,
        'sign: str = "paper"',
        'sign: str = "official"',
    ),
    Mutant(
        "narrow keys",
        DM,
        "key_channels=half",
        "key_channels=max(1, half // 8)",
    ),
    Mutant(
        "map of the first half",
        DM,
        "attention_map(part[:, half:], query)",
        "attention_map(part[:, :half], query)",
    ),
]
FIRST = {DM: "test_dmsanet.py"}
