"""DoubleAttention."""

from attnlib import DoubleAttention

VARIANTS = {
    "a2net": [
        {},
        {"value_channels": 3, "descriptors": 5},
        {"descriptors": 1},
        {"residual": False},
        {"residual": False, "reconstruct": False, "value_channels": 8},
        {"dims": 1},
        {"dims": 3},
    ]
}
# A bias of the gathering scores shifts whole rows.
KEY_BIAS = "gather.bias"
GOLDEN = {"a2net"}


def traits(case):
    found = {"map", "softmax", "permutes", "transposes", "everywhere", "shift"}
    return found


def rebuild(block, x, weights):
    values = block.value(x).flatten(2)  # (B, m, N)
    z = values @ weights[:, 0].mT
    y = z.unflatten(2, x.shape[2:])
    y = y if block.out is None else block.out(y)
    return x + y if block.residual else y


def golden(facts, impl):
    args = facts["args"]
    block = DoubleAttention(
        args["in_channels"],
        value_channels=args["c_m"],
        descriptors=args["c_n"],
        reconstruct=args["reconstruct"],
        residual=args["residual"],
        impl=impl,
    )
    return block, "official"
