"""DoubleAttention."""

from mutant import Mutant

from attnlib import DoubleAttention

DB = "functional/double.py"
A2 = "blocks/a2net.py"
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


MUTANTS = [
    Mutant(
        "joined scores swapped",
        A2,
        "= self.gather, self.distribute\n",
        "= self.distribute, self.gather\n",
    ),
    Mutant(
        "gathering over descriptors",
        DB,
        "b.to(acc).softmax(dim=-1)",
        "b.to(acc).softmax(dim=-2)",
    ),
    Mutant(
        "distribution over positions",
        DB,
        "v.to(acc).softmax(dim=-2)",
        "v.to(acc).softmax(dim=-1)",
    ),
    Mutant(
        "distribution over the batch",
        DB,
        "v.to(acc).softmax(dim=-2)",
        "v.to(acc).softmax(dim=0)",
    ),
    Mutant(
        "a mean instead of a sum",
        DB,
        "a.to(gather.dtype) @ gather.mT",
        "a.to(gather.dtype) @ gather.mT / a.shape[-1]",
    ),
    Mutant(
        "scores swapped",
        A2,
        "v = self.distribute(x).flatten(2)  # (B, n, N)",
        "v = self.gather(x).flatten(2)  # (B, n, N)",
    ),
    Mutant(
        "no residual",
        A2,
        "return x + y if self.residual else y",
        "return y",
    ),
    Mutant(
        "folded without residual",
        A2,
        "torch.baddbmm(tokens.to(acc), g, distribute)",
        "g @ distribute",
    ),
    Mutant(
        "folded without W",
        A2,
        "            if self.out is not None:\n                g = _project(self.out, g)  # (B, C, n)\n",
        "            if self.out is not None:\n                g = self.out.weight.flatten(1) @ g\n",
    ),
    Mutant(
        "folded bias forgotten",
        A2,
        "weight @ columns + layer.bias",
        "weight @ columns + 0 * layer.bias",
    ),
    Mutant(
        "map gathered twice",
        A2,
        "rows = distribute.mT  # (B, N, n)",
        "rows = gather.mT  # (B, N, n)",
    ),
    Mutant(
        "zero_init forgets the bias",
        A2,
        "            nn.init.zeros_(self.out.bias)\n",
        "            pass\n",
    ),
]
FIRST = {DB: "test_a2net.py", A2: "test_a2net.py"}
