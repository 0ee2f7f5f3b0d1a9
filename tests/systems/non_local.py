"""NonLocal."""

import torch

from attnlib import NonLocal

PAIRWISE = ("embedded_gaussian", "gaussian", "dot_product", "concatenation")
VARIANTS = {
    "nonlocal": [
        *(
            {"pairwise": pairwise, "subsample": subsample}
            for pairwise in PAIRWISE
            for subsample in (None, "before", "after")
        ),
        {"scale": True, "norm": False},
        {"norm": "affine", "out_bias": False, "inter_channels": 3},
        {"dims": 1},
        {"dims": 1, "subsample": "after", "pairwise": "concatenation"},
        {"dims": 3},
        {"dims": 3, "subsample": "before", "scale": True},
        {"dims": 3, "subsample": "after", "pairwise": "gaussian"},
    ]
}
KEY_BIAS = "key.bias"
GOLDEN = {"nonlocal"}


def traits(case):
    pairwise = case.options.get("pairwise", "embedded_gaussian")
    found = {"map"} | ({"softmax"} if "gaussian" in pairwise else set())
    if pairwise == "embedded_gaussian":
        found |= {"shift"}
    if case.options.get("subsample"):
        return found | {"pooled"}
    found |= {"permutes", "transposes"}
    # ReLU may switch a pair off.
    return found if pairwise == "concatenation" else found | {"everywhere"}


def rebuild(block, x, weights):
    before = block.subsample == "before"
    values = (x if before else block.value(x)).flatten(2)  # (B, C, N)
    weights = weights.expand(-1, values.shape[1], -1, -1)
    y = torch.einsum("bcij,bcj->bci", weights, values)
    y = y.unflatten(2, x.shape[2:])
    if before:
        # The weights refer to x: project afterwards, with the share of the
        # bias that arrives.
        total = weights[:, :1].sum(-1).unflatten(2, x.shape[2:])
        bias = block.value.bias.view(-1, *[1] * block.dims)
        y = block.value(y) - bias + total * bias
    return block.norm(block.out(y)) + x


def golden(facts, impl):
    args = facts["args"]
    pool = {"after_conv": "after", "before_conv": "before"}
    block = NonLocal(
        args["in_channels"],
        inter_channels=args["inter_channels"],
        dims=args["dimension"],
        pairwise=args["mode"],
        subsample=pool[args["pool"]] if args["sub_sample"] else None,
        scale=args["use_scale"],
        norm=args["bn_layer"],
        impl=impl,
    )
    return block, facts["variant"]
