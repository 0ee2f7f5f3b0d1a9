"""GlobalContext, SimplifiedNonLocal."""

from mutant import Mutant

from attnlib import GlobalContext

CX = "functional/context.py"
GC = "blocks/gcnet.py"
GCP = "checkpoints/gcnet.py"
BOTH = ("channel_add", "channel_mul")
VARIANTS = {
    "gcnet": [
        {},
        {"fusion_types": ("channel_mul",)},
        {"fusion_types": BOTH},
        {"pooling_type": "avg"},
        {"pooling_type": "avg", "fusion_types": BOTH},
        {"mask_bias": False},
    ],
    "SimplifiedNonLocal": [{}, {"mask_bias": False}],
}
KEY_BIAS = "key.bias"
GOLDEN = {"gcnet"}


def traits(case):
    found = {"map", "softmax", "permutes", "transposes", "everywhere"}
    scored = case.options.get("pooling_type") != "avg"
    if scored and case.options.get("mask_bias", True):
        found.add("shift")
    return found


def rebuild(block, x, weights):
    """Every position with a context of its own, from its row of the map."""
    b, c, h, w = x.shape
    context = x.flatten(2) @ weights[:, 0].mT  # (B, C, N)
    if not isinstance(block, GlobalContext):
        return x + block.value(context.view(x.shape))
    vectors = context.mT.reshape(-1, c, 1, 1)  # (B N, C, 1, 1)

    def at_each(branch):
        return branch(vectors).view(b, h * w, c).mT.view(x.shape)

    y = x
    if block.mul is not None:
        y = y * at_each(block.mul).sigmoid()
    return y if block.add is None else y + at_each(block.add)


def golden(facts, impl):
    args = facts["args"]
    block = GlobalContext(
        args["inplanes"],
        ratio=args["ratio"],
        pooling_type=args["pooling_type"],
        fusion_types=args["fusion_types"],
        impl=impl,
    )
    return block, "official"


MUTANTS = [
    Mutant(
        "weights over channels",
        CX,
        "return scores.softmax(dim=-1)",
        "return scores.sigmoid()",
    ),
    Mutant(
        "bias of the scores scaled",
        CX,
        "scores = scores + bias.to(acc)",
        "scores = scores * bias.to(acc)",
    ),
    Mutant(
        "values without W",
        CX,
        "return torch.bmm(matrix, torch.bmm(x, weights))",
        "return torch.bmm(x, weights)",
    ),
    Mutant(
        "W transposed",
        CX,
        "matrix = value.to(acc).expand(",
        "matrix = value.mT.to(acc).expand(",
    ),
    Mutant(
        "scores in the input's dtype",
        CX,
        "        x = x.to(acc)\n        weights = context_weights(x, key, bias).mT",
        "        weights = context_weights(x, key, bias).mT\n        x = x.to(acc) + 0 * weights.sum()",
    ),
    Mutant(
        "added before it is multiplied",
        GC,
        "torch.addcmul(term, x, gate)",
        "(x + term) * gate",
    ),
    Mutant(
        "added before it is multiplied, as written",
        GC,
        "            y = x\n            if self.mul is not None:\n                y = y * self.mul(c).sigmoid()\n            if self.add is not None:\n                y = y + self.add(c)\n",
        "            y = x\n            if self.add is not None:\n                y = y + self.add(c)\n            if self.mul is not None:\n                y = y * self.mul(c).sigmoid()\n",
    ),
    Mutant(
        "no residual",
        GC,
        "return x + term if gate is None",
        "return 0 * x + term if gate is None",
    ),
    Mutant(
        "gate without sigmoid",
        GC,
        "gate = _transform(self.mul, c).sigmoid()",
        "gate = _transform(self.mul, c)",
    ),
    Mutant(
        "one branch for both fusions",
        GC,
        "gate = _transform(self.mul, c)",
        "gate = _transform(self.add or self.mul, c)",
    ),
    Mutant(
        "norm of torch's default in the fast form",
        GC,
        "g, b, branch[1].eps)",
        "g, b)",
    ),
    Mutant(
        "no ReLU",
        GC,
        "F.linear(z.relu(), w2, b2)",
        "F.linear(z, w2, b2)",
    ),
    Mutant(
        "width rounded up",
        GC,
        "hidden = int(channels * ratio)",
        "hidden = math.ceil(channels * ratio)",
    ),
    Mutant(
        "one or two channels without a word",
        GC,
        "    if hidden < 3:",
        "    if hidden < 0:",
    ),
    Mutant(
        "last layer does not start at zero",
        GC,
        "in layers[3].parameters():",
        "in [layers[3].bias]:",
    ),
    Mutant(
        "mean in half precision",
        GC,
        "mean(2, keepdim=True, dtype=wide(x.dtype))",
        "sum(2, keepdim=True) / x[0, 0].numel()",
    ),
    Mutant(
        "rows of the map are positions",
        GC,
        "return row[:, :, None].expand(-1, -1, row.shape[2], -1)",
        "return row[..., None].expand(-1, -1, -1, row.shape[2])",
    ),
    Mutant(
        "simplified without residual",
        GC,
        "return x + c.to(x.dtype)[..., None]",
        "return 0 * x + c.to(x.dtype)[..., None]",
    ),
    Mutant(
        "branches swapped in timm's names",
        GCP,
        '{"add": "mlp_add", "mul": "mlp_scale"}',
        '{"add": "mlp_scale", "mul": "mlp_add"}',
    ),
    Mutant(
        "the post has a second branch",
        GCP,
        'layers = {"key": "Conv_key", "add": "Conv_value"}',
        'layers = {"key": "Conv_key", "add": "Conv_value", "mul": "Conv_mul"}',
    ),
]
FIRST = {CX: "test_gcnet.py", GC: "test_gcnet.py", GCP: "test_gcnet.py"}
