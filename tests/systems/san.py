"""PairwiseSelfAttention, PatchwiseSelfAttention, SANBottleneck."""

import torch

from attnlib import (
    PairwiseSelfAttention,
    PatchwiseSelfAttention,
    SANBottleneck,
)

WI = "functional/window.py"
SN = "blocks/san.py"
VARIANTS = {
    "san": [
        {},
        {"rel_channels": 3, "share": 2, "kernel_size": 5},
        {"relation": "summation"},
        {"relation": "concatenation", "softmax": False},
        {"relation": "hadamard", "position": False, "rel_channels": 2},
        {"relation": "dot_product", "dilation": 2, "rel_channels": 2},
    ],
    "PatchwiseSelfAttention": [
        {"rel_channels": 3, "share": 2},
        {"relation": "star_product", "softmax": True},
        {"relation": "clique_product", "rel_channels": 2},
    ],
    "SANBottleneck": [{}, {"kind": "patchwise", "kernel_size": 5}],
}
KEY_BIAS = "position.bias"
GOLDEN = {"san"}


def traits(case):
    found = {"map", "border"}
    if case.key == "san":
        if case.options.get("softmax", True):
            found |= {"softmax"}
        if case.options.get("position", True):
            found |= {"shift"}
    if case.key == "PatchwiseSelfAttention" and case.options.get("softmax"):
        found |= {"softmax"}
    if case.key == "SANBottleneck" and "kind" not in case.options:
        found |= {"softmax"}
    return found


def rebuild(block, x, weights):
    if isinstance(block, SANBottleneck):
        y = rebuild(block.attention, block.norm(x).relu(), weights)
        return x + block.out(block.norm_out(y).relu())
    values = block.value(x).flatten(2)  # (B, O, N)
    groups = torch.arange(values.shape[1]) % block.groups
    y = torch.einsum("bcij,bcj->bci", weights[:, groups], values)
    return y.view(*y.shape[:2], *x.shape[2:])


def golden(facts, impl):
    args = facts["args"]
    pairwise = args["sa_type"] == 0
    cls = PairwiseSelfAttention if pairwise else PatchwiseSelfAttention
    options = {"rel_channels": args["rel_planes"], "impl": impl}
    options["out_channels"] = args["out_planes"]
    options["share"] = args["share_planes"]
    options["kernel_size"] = args["kernel_size"]
    if pairwise:
        options["stride"] = args["stride"]
        options["dilation"] = args["dilation"]
    return cls(args["in_planes"], **options), "official"


MUTANTS = []
FIRST = {WI: "test_san.py", SN: "test_san.py"}
