"""PairwiseSelfAttention, PatchwiseSelfAttention, SANBottleneck."""

import torch
from mutant import Mutant

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


MUTANTS = [
    Mutant(
        "neighbouring channels share",
        WI,
        "y = padded.new_zeros(*padded.shape[:2], height, width)\n    grouped = y.unflatten(1, (-1, groups))",
        "y = padded.new_zeros(*padded.shape[:2], height, width)\n    grouped = y.unflatten(1, (groups, -1)).transpose(1, 2)",
    ),
    Mutant(
        "window transposed",
        WI,
        "padded[..., i : i + height : stride, j : j + width : stride]",
        "padded[..., j : j + height : stride, i : i + width : stride]",
    ),
    Mutant(
        "border repeated",
        WI,
        'mode="reflect")\n',
        'mode="replicate")\n',
    ),
    Mutant(
        "no dilation",
        WI,
        "for i in range(0, reach + 1, dilation):",
        "for i in range(0, reach // dilation + 1):",
    ),
    Mutant(
        "gradient of w from one channel",
        WI,
        "torch.sum(product, dim=1, out=dw[:, :, j])",
        "dw[:, :, j] = product[:, 0]",
    ),
    Mutant(
        "gradient of x from the centre",
        WI,
        "slope.unflatten(1, (-1, groups)).addcmul_(",
        "product.addcmul_(",
    ),
    Mutant(
        "second derivative in silence",
        WI,
        "_aggregate_backward.register_autograd(_second_derivative)\n",
        "",
    ),
    Mutant(
        "softmax over groups",
        SN,
        "scores.softmax(dim=2)\n        return scores.unflatten",
        "scores.softmax(dim=1)\n        return scores.unflatten",
    ),
    Mutant(
        "absolute coordinates",
        SN,
        "self._centres(p) - self._windows(p)",
        "0 * self._centres(p) - self._windows(p)",
    ),
    Mutant(
        "key minus query",
        SN,
        "return q - k",
        "return k - q",
    ),
    Mutant(
        "patchwise with softmax",
        SN,
        "softmax: bool = False",
        "softmax: bool = True",
    ),
    Mutant(
        "star with the centre",
        SN,
        "(q[:, :, None] * k).sum(dim=1)",
        "(k[:, :, :1] * k).sum(dim=1)",
    ),
    Mutant(
        "no residual",
        SN,
        "return x + z\n",
        "return z\n",
    ),
    Mutant(
        "first norm forgotten",
        SN,
        "y = self.attention(self.norm(x).relu())",
        "y = self.attention(x.relu())",
    ),
    Mutant(
        "map without mirrors",
        SN,
        "full.scatter_add_(3",
        "full.scatter_(3",
    ),
]
FIRST = {WI: "test_san.py", SN: "test_san.py"}
