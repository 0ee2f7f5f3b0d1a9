"""PyramidNonLocal, FusionPyramidNonLocal."""

import torch
from mutant import Mutant

from attnlib import PyramidNonLocal

PY = "functional/pyramid.py"
CORE = "blocks/_pyramid.py"
AN = "blocks/annnet.py"
ACP = "checkpoints/annnet.py"
NAMES = "checkpoints/__init__.py"
VARIANTS = {
    "annnet": [
        {},
        {"share": "key_value"},
        {"share": None, "norm": False, "pool_sizes": (2, 5)},
        {"fuse": False, "scale": False, "bias": False},
    ],
    "FusionPyramidNonLocal": [
        {},
        {"out_norm": True, "value_channels": 3, "bias": False},
        {"fuse": False, "norm": False, "pool_sizes": (1, 3)},
    ],
}
KEY_BIAS = "key.0.bias"
GOLDEN = {"annnet"}


def traits(case):
    found = {"map", "softmax", "transposes"}
    if not case.options.get("norm", True):
        found.add("shift")  # a norm and a ReLU stand in between otherwise
    # A ReLU may silence all values of a position.
    if case.options.get("share") != "key_value":
        found.add("everywhere")
    return found


def rebuild(block, x, weights):
    value = block.key if block.value is None else block.value
    context = value(x).flatten(2) @ weights[:, 0].mT  # (B, V, N)
    y = block.out(context.view(*context.shape[:2], *x.shape[2:]))
    y = y if block.norm is None else block.norm(y)
    return y if block.fuse is None else block.fuse(torch.cat([y, x], 1))


def golden(facts, impl):
    args = facts["args"]
    block = PyramidNonLocal(
        args["in_channels"],
        key_channels=args["key_channels"],
        value_channels=args["value_channels"],
        pool_sizes=args["psp_size"],
        dropout=args["dropout"],
        impl=impl,
    )
    return block, "official"


MUTANTS = [
    Mutant(
        "bins that do not overlap",
        PY,
        '        last = torch.div((i + 1) * n + s - 1, s, rounding_mode="floor")',
        '        last = torch.div((i + 1) * n, s, rounding_mode="floor").clamp(min=first + 1)',
    ),
    Mutant(
        "sums instead of means",
        PY,
        "inside.to(like.dtype) / (last - first)",
        "inside.to(like.dtype)",
    ),
    Mutant(
        "grids column by column",
        PY,
        "t[:, :, own, own].mT.flatten(2)",
        "t[:, :, own, own].flatten(2)",
    ),
    Mutant(
        "every size reads the first bins",
        PY,
        "        start += s",
        "        start += 0",
    ),
    Mutant(
        "pooling in half precision",
        PY,
        "        x = x.to(wide(dtype))",
        "        pass",
    ),
    Mutant(
        "the matrix by columns",
        PY,
        "bins = rows[:, None, :, None] * columns[None, :, None]",
        "bins = rows[None, :, :, None] * columns[:, None, None]",
    ),
    Mutant(
        "scores scaled by K",
        CORE,
        "self.key_channels**-0.5 if",
        "self.key_channels**-1.0 if",
    ),
    Mutant(
        "x joined first",
        CORE,
        "y = self.fuse(torch.cat([y, x], dim=1))",
        "y = self.fuse(torch.cat([x, y], dim=1))",
    ),
    Mutant(
        "parts of the fusion swapped",
        CORE,
        "own, xs = both.split([m.shape[1], x.shape[1]], 1)",
        "xs, own = both.split([x.shape[1], m.shape[1]], 1)",
    ),
    Mutant(
        "constant of W forgotten",
        CORE,
        "own.flatten(1).to(acc) @ c\n",
        "0 * own.flatten(1).to(acc) @ c\n",
    ),
    Mutant(
        "constant of the fusion forgotten",
        CORE,
        "                if self.bias:",
        "                if self.bias and False:",
    ),
    Mutant(
        "the value's bias forgotten",
        CORE,
        "v = _project(self.value.weight, self.value.bias, means)",
        "v = _project(self.value.weight, None, means)",
    ),
    Mutant(
        "the figure's sharing in the code's place",
        CORE,
        '        self.query = None if share == "query_key" else transform(c)',
        '        self.query = None if share == "key_value" else transform(c)',
    ),
    Mutant(
        "value of the plain transform",
        CORE,
        "v = f if self.value is None else self.value(low)",
        "v = f if self.value is None else self.value(x)",
    ),
    Mutant(
        "one update",
        CORE,
        "step = 0.19 if self._twice else 0.1",
        "step = 0.1",
    ),
    Mutant(
        "two updates added",
        CORE,
        "step = 0.19 if",
        "step = 0.2 if",
    ),
    Mutant(
        "one update counted",
        CORE,
        "layer.num_batches_tracked.add_(1)",
        "layer.num_batches_tracked.add_(0)",
    ),
    Mutant(
        "frozen statistics counted",
        CORE,
        "isinstance(layer, nn.BatchNorm2d) and layer.training:\n                assert",
        "isinstance(layer, nn.BatchNorm2d):\n                assert",
    ),
    Mutant(
        "W does not start at zero",
        CORE,
        "in (self.norm or self.out).parameters():",
        "in (self.norm or nn.Identity()).parameters():",
    ),
    Mutant(
        "no norm after W in the anchored form",
        CORE,
        "        if self.norm is not None:\n            y = self.norm(y)\n            return",
        "        if self.norm is not None:\n            return",
    ),
    Mutant(
        "the map moves the statistics",
        CORE,
        "x = F.batch_norm(x, None, None, w, b, training=True, eps=eps)",
        "x = layer(x)",
    ),
    Mutant(
        "the map of running statistics",
        CORE,
        "isinstance(layer, nn.BatchNorm2d) and layer.training:\n            w",
        "isinstance(layer, nn.Conv1d):\n            w",
    ),
    Mutant(
        "the map's row of another query",
        CORE,
        "q = q[:, i : i + 1]",
        "q = q[:, i - 1 : i] if i else q[:, :1]",
    ),
    Mutant(
        "auto takes the dearer form",
        CORE,
        '"anchored" if anchored <= plain',
        '"anchored" if anchored > plain',
    ),
    Mutant(
        "AFNB with the ReLU of APNB",
        AN,
        '"relu": False',
        '"relu": True',
    ),
    Mutant(
        "APNB without ReLU",
        AN,
        '                "relu": True',
        '                "relu": False',
    ),
    Mutant(
        "batches that do not fit go through",
        AN,
        "if low.shape[0] != x.shape[0]:",
        "if low.shape[0] < 0:",
    ),
    Mutant(
        "x and low swapped",
        AN,
        "        return self._attend(*self._check(x, low))",
        "        return self._attend(*reversed(self._check(x, low)))",
    ),
    Mutant(
        "fusion's norms swapped",
        ACP,
        '_official("conv_bn_dropout.1.0")',
        '_official("conv_bn_dropout.1")',
    ),
    Mutant(
        "the fusion keeps its old bias",
        ACP,
        '("key", "query", "fuse")',
        '("key", "query")',
    ),
    Mutant(
        "twins need not agree",
        NAMES,
        "                if not _same(given.pop(twin), tensor)",
        "                if given.pop(twin) is None",
    ),
]
FIRST = {
    PY: "test_annnet.py",
    CORE: "test_annnet.py",
    AN: "test_annnet.py",
    ACP: "test_annnet.py",
}
