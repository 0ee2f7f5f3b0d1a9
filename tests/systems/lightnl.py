"""LightNonLocal."""

from mutant import Mutant

from attnlib import LightNonLocal

LF = "functional/light.py"
LN = "blocks/lightnl.py"
LCP = "checkpoints/lightnl.py"
LCO = "cost/lightnl.py"
VARIANTS = {
    "lightnl": [
        {},
        {"nl_s": 2},
        {"nl_s": 3, "nl_c": 0.5, "normalizer": "keys"},
        {"normalizer": "W/H", "init": "port"},
        {"nl_c": 1.0, "zero_init": False},
    ]
}
GOLDEN = {"lightnl"}


def traits(case):
    """The filters see neighbours: nothing is permuted or transposed."""
    found = {"map"}
    if case.options.get("nl_s", 1) == 1:
        found.add("everywhere")
    if case.options.get("nl_c", 0.25) < 1:
        found.add("wide")
    return found


def rebuild(block, x, weights):
    f = x.flatten(2) @ weights[:, 0].mT  # (B, C, N)
    return x + block.norm(block.depthwise(f.view(x.shape)))


def golden(facts, impl):
    args = facts["args"]
    block = LightNonLocal(
        args["n_feature"],
        nl_c=args["nl_c"],
        nl_s=args["nl_s"],
        normalizer=args["normalizer"],
        eps=args["bn_eps"],
        momentum=args["bn_momentum_torch"],
        impl=impl,
    )
    return block, "official" if "official" in facts["variant"] else "port"


MUTANTS = [
    Mutant(
        "keys with themselves",
        LF,
        "gram = v @ k.mT / divisor",
        "gram = v @ v.mT[..., : k.shape[-2]].abs() / divisor",
    ),
    Mutant(
        "missing divisor of the map",
        LF,
        "return v @ scores.mT / divisor",
        "return v @ scores.mT",
    ),
    Mutant(
        "missing divisor", LF, "gram = v @ k.mT / divisor", "gram = v @ k.mT"
    ),
    Mutant(
        "divided by queries",
        LF,
        "return k.shape[-1]\n",
        "return q.shape[-1]\n",
    ),
    Mutant(
        "softmax in between",
        LF,
        "scores = q.mT @ k  #",
        "scores = (q.mT @ k).softmax(-1)  #",
    ),
    Mutant(
        "the dearer order",
        LF,
        'return "reference" if with_map <',
        'return "reference" if with_map >',
    ),
    Mutant(
        "order for square products",
        LF,
        "with_map = n * m * (c + channels)",
        "with_map = n * m * 2 * channels",
    ),
    Mutant(
        "order of the traced size",
        LF,
        "tracing = torch.compiler.is_compiling()",
        "tracing = False",
    ),
    Mutant(
        "products in half precision",
        LF,
        "acc = wide(q.dtype)\n    with no_autocast(q):\n        q, k, v",
        "acc = q.dtype\n    with no_autocast(q):\n        q, k, v",
    ),
    Mutant(
        "autocast decides",
        LN,
        "with no_autocast(x):\n            full",
        "with no_autocast(x.to('meta')):\n            full",
    ),
    Mutant(
        "no residual",
        LN,
        "return (full + _normalised(self.norm, y))",
        "return _normalised(self.norm, y)",
    ),
    Mutant(
        "last channels",
        LN,
        "return x[:, :c].flatten(2), v[:, :c], v",
        "return x[:, -c:].flatten(2), v[:, -c:], v",
    ),
    Mutant(
        "the last of every step",
        LN,
        "v = x[:, :, ::s, ::s].clone(",
        "v = x[:, :, s - 1 :: s, s - 1 :: s].clone(",
    ),
    Mutant(
        "averages instead of samples",
        LN,
        "v = x[:, :, ::s, ::s].clone(",
        "v = F.avg_pool2d(x, s, ceil_mode=True).clone(",
    ),
    Mutant(
        "keys counted by the official code",
        LN,
        "return height * width\n",
        "return keys.shape[2]\n",
    ),
    Mutant(
        "all positions counted",
        LN,
        "return keys.shape[2]\n",
        "return height * width\n",
    ),
    Mutant(
        "H / W of the port",
        LN,
        "return height / width",
        "return width / height",
    ),
    Mutant(
        "a ReLU before the filters",
        LN,
        "F.conv2d(y, kernel, padding=1,",
        "F.conv2d(y.relu(), kernel, padding=1,",
    ),
    Mutant(
        "norm starts at one",
        LN,
        "nn.init.zeros_(self.norm.weight)",
        "nn.init.ones_(self.norm.weight)",
    ),
    Mutant(
        "fan of all channels",
        LN,
        "math.sqrt(6 / (9 * c + 9))",
        "math.sqrt(6 / 18)",
    ),
    Mutant("deviation of fan 3", LN, "std=math.sqrt(2 / 9)", "std=2 / 3"),
    Mutant(
        "share rounded",
        LN,
        "return int(nl_c * channels)",
        "return round(nl_c * channels)",
    ),
    Mutant(
        "no channel left, in silence",
        LN,
        "if int(nl_c * channels) == 0:",
        "if False:",
    ),
    Mutant(
        "statistics that do not move",
        LN,
        "old.copy_(new.clamp(-largest, largest))",
        "new.clamp(-largest, largest)",
    ),
    Mutant(
        "statistics beyond float16",
        LN,
        "old.copy_(new.clamp(-largest, largest))",
        "old.copy_(new)",
    ),
    Mutant(
        "momentum of PyTorch",
        LN,
        "momentum: float = 0.01",
        "momentum: float = 0.1",
    ),
    Mutant("eps of PyTorch", LN, "eps: float = 1e-3", "eps: float = 1e-5"),
    Mutant(
        "map off the lattice",
        LN,
        "keys = weights[..., ::s, ::s]",
        "keys = weights[..., : -(-size[0] // s), : -(-size[1] // s)]",
    ),
    Mutant(
        "kernel not turned",
        LCP,
        "kernel.permute(2, 3, 0, 1)",
        "kernel.reshape(-1, 1, 3, 3)",
    ),
    Mutant(
        "variable before its average",
        LCP,
        "found = plain | averages",
        "found = averages | plain",
    ),
    Mutant(
        "two variables, one taken",
        LCP,
        "into[key if name in into else name] = value",
        "into[name] = value",
    ),
    Mutant(
        "mean and variance swapped",
        LCP,
        '"norm.running_mean": "moving_mean"',
        '"norm.running_mean": "moving_variance"',
    ),
    Mutant(
        "keys cut off in the cost",
        LCO,
        "-(-length // block.nl_s)",
        "length // block.nl_s",
    ),
]
FIRST = {
    LF: "test_lightnl_order.py",
    LN: "test_lightnl.py",
    LCP: "test_lightnl_names.py",
    LCO: "test_lightnl_order.py",
}
