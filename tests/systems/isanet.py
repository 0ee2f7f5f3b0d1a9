"""InterlacedSparseAttention."""

import torch
from mutant import Mutant

from attnlib import InterlacedSparseAttention
from attnlib.functional import crop, pad_to_multiple

IN = "functional/interlaced.py"
RG = "functional/regroup.py"
IS = "blocks/isanet.py"
ICP = "checkpoints/isanet.py"
VARIANTS = {
    "isanet": [
        {},  # 5 x 7 becomes 8 x 8: 29 of 64 positions are padding
        {"down_factors": ((1, 7),), "out_norm": False},  # none is
        {"down_factors": ((2, 2), (4, 4)), "value_bias": True},
        {
            "down_factors": ((3, 2),),
            "norm": "inplace_abn",
            "key_channels": 3,
            "value_channels": 5,
        },
    ]
}
GOLDEN = {"isanet"}


def traits(case):
    factors = case.options.get("down_factors", ((8, 8),))
    found = {"map"}
    if not any(5 % dh or 7 % dw for dh, dw in factors):
        found |= {"softmax"}
    if all(dh == dw for dh, dw in factors):
        found |= {"transposes"}
    if case.options.get("norm") == "inplace_abn":
        found |= {"everywhere"}  # its activation switches nothing off
    return found


def rebuild(block, x, weights):
    """Two products with N' x N' maps; the given one is cut from theirs."""
    size, contexts = x.shape[2:], []
    for i, factor in enumerate(block.down_factors):
        long, short = block.step_maps(x, i)
        u = pad_to_multiple(x, factor)
        numbers = torch.arange(u.shape[2:].numel()).view(1, 1, *u.shape[2:])
        inner = crop(numbers, size).flatten()
        product = (short @ long)[:, inner][:, :, inner]
        torch.testing.assert_close(weights[:, i], product)
        for step, a in ((block.long[i], long), (block.short[i], short)):
            y = step.value(u).flatten(2) @ a.mT  # (B, V, N')
            u = step.out(y.unflatten(2, u.shape[2:]))
        contexts.append(crop(u, size))
    identity = x if block.up is None else block.up(x)
    return block.out(torch.cat([identity, *contexts], 1))


def golden(facts, impl):
    args = facts["args"]
    block = InterlacedSparseAttention(
        args["in_channels"],
        key_channels=args["key_channels"],
        value_channels=args["value_channels"],
        out_channels=args["out_channels"],
        down_factors=args["down_factors"],
        dropout=args["dropout"],
        norm="inplace_abn" if args["bn_type"] == "inplace_abn" else "batch",
        impl=impl,
    )
    return block, "official"


MUTANTS = [
    Mutant(
        "windows first",
        IS,
        'u = self.long[stage](u, factor, "long", self.impl)',
        'u = self.long[stage](u, factor, "short", self.impl)',
    ),
    Mutant(
        "windows twice",
        RG,
        '"long": (0, 3, 5, 2, 4, 1), "short"',
        '"long": (0, 2, 4, 3, 5, 1), "short"',
    ),
    Mutant(
        "lattice sorted by columns",
        RG,
        '"long": (0, 3, 5, 2, 4, 1)',
        '"long": (0, 3, 5, 4, 2, 1)',
    ),
    Mutant(
        "windows put back turned",
        RG,
        '"short": (0, 5, 1, 3, 2, 4)',
        '"short": (0, 5, 1, 4, 2, 3)',
    ),
    Mutant(
        "the larger half above",
        RG,
        "top, left = more_h // 2, more_w // 2",
        "top, left = (more_h + 1) // 2, more_w // 2",
    ),
    Mutant(
        "all padding on the right",
        RG,
        "return F.pad(x, (left, more_w - left, top, more_h - top))",
        "return F.pad(x, (0, more_w, top, more_h - top))",
    ),
    Mutant(
        "cropped from the corner",
        RG,
        "return y[:, :, top : top + height, left : left + width]",
        "return y[:, :, :height, :width]",
    ),
    Mutant(
        "padded with ones",
        RG,
        "(left, more_w - left, top, more_h - top))",
        "(left, more_w - left, top, more_h - top), value=1.0)",
    ),
    Mutant(
        "padded although it fits",
        IN,
        "(size + step - 1) // step * step",
        "(size + step) // step * step",
    ),
    Mutant(
        "scale forgotten",
        IS,
        "self.scale = key**-0.5",
        "self.scale = 1.0",
    ),
    Mutant(
        "scale by the value's width",
        IS,
        "self.scale = key**-0.5",
        "self.scale = value**-0.5",
    ),
    Mutant(
        "query and key swapped",
        IS,
        "q, k, v = self.query(u), self.key(u), self.value(u)",
        "q, k, v = self.key(u), self.query(u), self.value(u)",
    ),
    Mutant(
        "context first",
        IS,
        "torch.cat([identity, *contexts], dim=1)",
        "torch.cat([*contexts, identity], dim=1)",
    ),
    Mutant(
        "a residual",
        IS,
        "return self.drop(y)",
        "return self.drop(y) + y",
    ),
    Mutant(
        "identity not projected",
        IS,
        "identity = x if self.up is None else self.up(x)",
        "identity = x if self.up is None else self.up(x) * 0",
    ),
    Mutant(
        "one stage for all factors",
        IS,
        "u = self.short[stage](u, factor",
        "u = self.short[0](u, factor",
    ),
    Mutant(
        "weights with their sign",
        IS,
        "self.weight.abs() + self.eps",
        "self.weight + self.eps",
    ),
    Mutant(
        "steeper on the left",
        IS,
        "nn.LeakyReLU(0.01)",
        "nn.LeakyReLU(0.1)",
    ),
    Mutant(
        "value with a bias",
        IS,
        "nn.Conv2d(width, value, 1, bias=bias, **kw)",
        "nn.Conv2d(width, value, 1, bias=True, **kw)",
    ),
    Mutant(
        "steps multiplied the other way",
        IN,
        '"bgpr,brgh->bgphr", short, long',
        '"bgpr,brhg->bgphr", short, long',
    ),
    Mutant(
        "row without its place on the padded map",
        IS,
        "i += (padded[0] - size[0]) // 2",
        "i += 0",
    ),
    Mutant(
        "halves as mmsegmentation joins them",
        ICP,
        "torch.cat([identity, context], dim=1)",
        "torch.cat([context, identity], dim=1)",
    ),
    Mutant(
        "relations swapped",
        ICP,
        '{"long": "global_relation.", "short": "local_relation."}',
        '{"long": "local_relation.", "short": "global_relation."}',
    ),
    Mutant(
        "backward of padding pads",
        RG,
        "return crop(grad, *ctx.size), None, None",
        "return grad, None, None",
    ),
]
FIRST = dict.fromkeys((IN, RG, IS, ICP), "test_isanet.py")
