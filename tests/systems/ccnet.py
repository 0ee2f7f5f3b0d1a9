"""CrissCrossAttention, RecurrentCrissCrossAttention, CCNetHead."""

from mutant import Mutant

from attnlib import (
    CCNetHead,
    CrissCrossAttention,
    RecurrentCrissCrossAttention,
)
from attnlib.functional import criss_cross_map, criss_cross_weights

CR = "functional/criss_cross.py"
ME = "functional/merged.py"
CC = "blocks/ccnet.py"
CH = "blocks/ccnet_head.py"
CCP = "checkpoints/ccnet.py"
VARIANTS = {
    "ccnet": [
        {},
        {"reduction": 2, "gamma": False},
        {"dims": 1},
        {"dims": 3, "reduction": 4},
    ],
    "RecurrentCrissCrossAttention": [
        {},
        {"recurrence": 3, "dims": 3},
        {"recurrence": 1, "gamma": False},
    ],
}
KEY_BIAS = "key.bias"
GOLDEN = {"ccnet", "mmseg_cc"}


def traits(case):
    found = {"map", "softmax", "shift", "transposes", "wide"}
    default = 1 if case.key == "ccnet" else 2
    if case.options.get("recurrence", default) >= case.dims:
        found |= {"everywhere"}
    return found | ({"permutes"} if case.dims == 1 else set())


def rebuild(block, x, weights):
    """The last pass by its own map; of two or more the product is compared."""
    t, product = x, None
    for _ in range(block.recurrence):
        q, k = (layer(t).movedim(1, -1) for layer in (block.query, block.key))
        a = criss_cross_map(criss_cross_weights(q, k))
        product = a if product is None else a @ product
        if block.recurrence == 1:
            a = weights[:, 0]
        y = (block.value(t).flatten(2) @ a.mT).view(x.shape)
        t = t + (y if block.gamma is None else block.gamma * y)
    assert (product - weights[:, 0]).abs().max() < 1e-12
    return t


def golden(facts, impl):
    args = facts["args"]
    if facts["block"] == "mmseg_cc":
        block = CCNetHead(
            args["in_channels"],
            args["num_classes"],
            inter_channels=args["channels"],
            recurrence=args["recurrence"],
            activation="relu",
            impl=impl,
        )
        return block, "mmseg"
    passes = facts.get("recurrence", 1)
    if passes == 1:
        return CrissCrossAttention(args["in_dim"], impl=impl), "official"
    block = RecurrentCrissCrossAttention(
        args["in_dim"], recurrence=passes, impl=impl
    )
    return block, "official"


MUTANTS = [
    Mutant(
        "the position itself twice",
        ME,
        "        s.diagonal(dim1=1, dim2=2).fill_(-torch.inf)",
        "        pass",
    ),
    Mutant(
        "the position itself twice as written",
        CR,
        "            if axis < axes[-1]:  # the",
        "            if axis < 0:  # the",
    ),
    Mutant(
        "each line normalised alone",
        CR,
        "torch.cat(scores, -1).softmax(-1)",
        "torch.cat([s.softmax(-1) / len(scores) for s in scores], -1)",
    ),
    Mutant(
        "sums of the last axis alone",
        ME,
        "        total += _grid",
        "        total = _grid",
    ),
    Mutant(
        "softmax over queries",
        CR,
        "scores.append(s.movedim(-2, axis))",
        "scores.append(s.mT.movedim(-2, axis))",
    ),
    Mutant(
        "one axis's maximum",
        ME,
        "        top = torch.maximum(top, other)",
        "        pass",
    ),
    Mutant(
        "an axis overwrites the others",
        ME,
        "beta=float(last > 1)",
        "beta=0.0",
    ),
    Mutant(
        "the second axis overwrites the first",
        ME,
        "out.copy_(y) if axis == 1 else out.add_(y)",
        "out.copy_(y)",
    ),
    Mutant(
        "slope without the row's mean",
        ME,
        "s.sub_(_flat(row_sum, axis)).mul_(p)",
        "s.mul_(p)",
    ),
    Mutant(
        "row sum of one axis",
        ME,
        "            row_sum += _grid",
        "            row_sum = _grid",
    ),
    Mutant(
        "slopes of q and k swapped",
        ME,
        "_sum_lines(dk[b], [s.mT for s in slopes], qb)",
        "_sum_lines(dk[b], slopes, qb)",
    ),
    Mutant(
        "half precision inside",
        CR,
        "acc, axes = wide(q.dtype), range(1, q.ndim - 1)\n        a, b",
        "acc, axes = q.dtype, range(1, q.ndim - 1)\n        a, b",
    ),
    Mutant(
        "the cross with the corners",
        CR,
        "same[other] = same[n + other] = size[other]",
        "same[other] = same[n + other] = 1",
    ),
    Mutant(
        "no residual",
        CC,
        "            t = t + (y if gamma is None else gamma * y)",
        "            t = y if gamma is None else gamma * y",
    ),
    Mutant(
        "one pass",
        CC,
        "(self.recurrence):\n            q, k = _project(self.query, t), _project(self.key, t)  # (B, *S, d)",
        "(1):\n            q, k = _project(self.query, t), _project(self.key, t)",
    ),
    Mutant(
        "the second pass hears the input",
        CC,
        "v = F.linear(t, weight, bias)  # (B, *S, C)",
        "v = F.linear(x.movedim(1, -1), weight, bias)",
    ),
    Mutant(
        "gamma twice",
        CC,
        "gamma * bias, None",
        "gamma * bias, gamma",
    ),
    Mutant(
        "the value's bias without gamma",
        CC,
        "gamma * bias, None",
        "bias, None",
    ),
    Mutant(
        "query and key swapped",
        CC,
        "q, k = _project(self.query, t), _project(self.key, t)  # (B, *S, d)",
        "k, q = _project(self.query, t), _project(self.key, t)",
    ),
    Mutant(
        "gamma starts at one",
        CC,
        "nn.Parameter(torch.zeros(1, **kw))",
        "nn.Parameter(torch.ones(1, **kw))",
    ),
    Mutant(
        "passes in the wrong order",
        CC,
        "criss_cross_map(weights) @ full",
        "full @ criss_cross_map(weights)",
    ),
    Mutant(
        "the row pulled through in the wrong order",
        CC,
        "in reversed(passes)",
        "in passes",
    ),
    Mutant(
        "half of the key channels",
        CC,
        "in_channels // reduction\n        self.dims",
        "in_channels // reduction // 2 or 1\n        self.dims",
    ),
    Mutant(
        "the attention joined first",
        CH,
        "torch.cat([x, b], dim=1)",
        "torch.cat([b, x], dim=1)",
    ),
    Mutant(
        "activation of the other source",
        CH,
        'if activation == "relu"',
        'if activation != "relu"',
    ),
    Mutant(
        "the official norm with a sign",
        CCP,
        "tensor.abs() + 1e-5 if",
        "tensor + 1e-5 if",
    ),
]
FIRST = {
    CR: "test_criss_cross.py",
    ME: "test_criss_cross.py",
    CC: "test_ccnet.py",
    CH: "test_ccnet_head.py",
    CCP: "test_ccnet_head.py",
}
