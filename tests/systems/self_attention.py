"""SelfAttention."""

from attnlib import SelfAttention

VARIANTS = {"selfattention": [{}, {"reduction": 4, "gamma": True}]}
KEY_BIAS = "g.bias"
GOLDEN = {"selfattention"}


def traits(case):
    return {"map", "softmax", "permutes", "transposes", "everywhere", "shift"}


def rebuild(block, x, weights):
    values = block.h(x).flatten(2)  # (B, C, N)
    y = (values @ weights[:, 0].mT).view(x.shape)
    out = block.o(y)
    return out if block.gamma is None else x + block.gamma * out


def golden(facts, impl):
    args = facts["args"]
    gamma = facts["variant"] == "post"
    reduction = args.get("k", 8) if gamma else 1
    block = SelfAttention(
        args["in_channels"], reduction=reduction, gamma=gamma, impl=impl
    )
    return block, "post" if gamma else "document"
