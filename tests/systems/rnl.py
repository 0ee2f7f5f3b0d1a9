"""RegionNonLocal, ChannelGate."""

from mutant import Mutant

from attnlib import ChannelGate, RegionNonLocal

RN = "blocks/rnl.py"
RCP = "checkpoints/rnl.py"
PWR = "functional/pairwise.py"
VARIANTS = {
    "rnl": [
        {},
        {"subsample": True},
        {"kernel_size": (5, 3), "inter_channels": 3},
        {"kernel_size": (1, 1)},
        {"normalize": True},
        {"pairwise": "relu", "normalize": True, "subsample": True},
        {"pairwise": "relu", "norm": False},
        {"region": "dense", "norm": False},
        {"dims": 1, "subsample": True},
        {"dims": 3, "kernel_size": (3, 7, 7)},
        {"dims": 3, "kernel_size": (1, 3, 3), "subsample": True},
    ],
    "ChannelGate": [{}, {"dims": 1, "reduction": 2}, {"dims": 3}],
}
KEY_BIAS = "key.bias"
GOLDEN = {"rnl"}


def traits(case):
    if case.key == "ChannelGate":
        return {"map", "softmax", "permutes", "transposes", "shift", "pair"}
    found = {"map"}
    if case.options.get("pairwise", "gaussian") == "gaussian":
        found |= {"softmax"}
        if not case.options.get("subsample"):
            found |= {"everywhere"}
    if case.options.get("kernel_size") == (1, 1):
        found |= {"permutes", "transposes"}
    if case.options.get("subsample"):
        found |= {"halves"}
    return found


def rebuild(block, x, weights):
    if isinstance(block, ChannelGate):
        context = (x.flatten(2) @ weights[:, 0, 0, :, None])[..., 0]
        shift = block.out(block.norm(block.hidden(context)).relu())
        return x + shift.view(*shift.shape, *[1] * block.dims)
    values = block.value(x)
    weights = weights.expand(-1, values.shape[1], -1, -1)
    y = (weights @ values.flatten(2)[..., None])[..., 0]
    z = block.out(y.unflatten(2, x.shape[2:]))
    return x + (z if block.norm is None else block.norm(z))


def golden(facts, impl):
    args = facts["args"]
    block = RegionNonLocal(
        args["in_channels"],
        inter_channels=args["in_channels"] // args["ratio"],
        dims=args["dimension"],
        kernel_size=tuple(args["ks"]),
        pairwise={"softmax": "gaussian"}.get(args["activation"], "relu"),
        normalize=args["use_norm"],
        subsample=args["sub_sample"],
        norm=args["bn_layer"],
        impl=impl,
    )
    return block, facts["variant"]


MUTANTS = [
    Mutant(
        "values from regions",
        RN,
        "value = p, v\n",
        "value = p, p\n",
    ),
    Mutant(
        "keys without region",
        RN,
        "key, value = p, v\n",
        "key, value = v, v\n",
    ),
    Mutant(
        "no residual",
        RN,
        "return x + (z if self.norm is None else self.norm(z))",
        "return z if self.norm is None else self.norm(z)",
    ),
    Mutant(
        "normalised over positions",
        RN,
        "F.normalize(p, dim=1)",
        "F.normalize(p, dim=2)",
    ),
    Mutant(
        "values not pooled",
        RN,
        "max_pool(t, self.dims)[0] for t in (p, v))",
        "max_pool(t, self.dims)[0] for t in (p, p))",
    ),
    Mutant(
        "scaled scores",
        RN,
        "softmax_attention(q, k, v, scale=1.0",
        "softmax_attention(q, k, v, scale=0.5",
    ),
    Mutant(
        "region starts as a depthwise layer",
        RN,
        "                self._start_region()\n",
        "                pass\n",
    ),
    Mutant(
        "padding forgotten at one side",
        RN,
        "padding=tuple(size // 2 for size in kernel)",
        "padding=tuple(kernel[0] // 2 for size in kernel)",
    ),
    Mutant(
        "gate starts open",
        RN,
        "        nn.init.zeros_(self.out.weight)\n",
        "        pass\n",
    ),
    Mutant(
        "gate multiplies",
        RN,
        "return x + shift.view",
        "return x * shift.view",
    ),
    Mutant(
        "gate of a mean",
        RN,
        "pool_positions(x.flatten(2), scores)[..., 0]",
        "x.flatten(2).mean(-1)",
    ),
    Mutant(
        "the first live filter for all",
        RCP,
        "channel % dense.shape[1]]",
        "channel * 0]",
    ),
    Mutant(
        "ReLU forgotten",
        PWR,
        "return dot_product_weights(q, k).relu()",
        "return dot_product_weights(q, k)",
    ),
]
FIRST = {RN: "test_rnl.py", RCP: "test_rnl.py"}
