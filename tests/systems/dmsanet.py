"""DualMultiScaleAttention."""

import torch

from attnlib import DualMultiScaleAttention

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
