"""PositionAttention, ChannelAttention, DANetHead."""

from mutant import Mutant

from attnlib import ChannelAttention, DANetHead, PositionAttention

CN = "functional/channel.py"
DA = "blocks/danet.py"
DCP = "checkpoints/danet.py"
VARIANTS = {
    "danet": [{}, {"key_channels": 3}],
    "ChannelAttention": [{}, {"sign": "paper"}],
}
KEY_BIAS = "key.bias"
GOLDEN = {"danet", "mmseg_da"}


def traits(case):
    if case.key == "danet":
        found = {"map", "softmax", "shift"}
    else:
        found = set()
    return found | {"permutes", "transposes", "everywhere"}


def rebuild(block, x, weights):
    values = block.value(x).flatten(2)  # (B, C, N)
    y = (values @ weights[:, 0].mT).view(x.shape)
    return x + block.gamma * y


def golden(facts, impl):
    args = facts["args"]
    classes = {
        "PAM_Module": PositionAttention,
        "CAM_Module": ChannelAttention,
    }
    name = facts["reference"].split(":")[-1]
    if name in classes:
        return classes[name](args["in_dim"], impl=impl), "official"
    official = facts["block"] == "danet"
    block = DANetHead(
        args["in_channels"],
        args["out_channels" if official else "num_classes"],
        inter_channels=None if official else args["channels"],
        key_channels=None if official else args["pam_channels"],
        impl=impl,
    )
    return block, "official" if official else "mmseg"


def outputs(facts):
    """Return the endings of the recorded outputs, in our order."""
    if facts["block"] == "mmseg_da":
        return ["0", "1", "2"]
    return ["_sasc", "_sa", "_sc"]


MUTANTS = [
    Mutant(
        "the sign of the paper by default",
        CN,
        "else -gram",
        "else gram",
    ),
    Mutant(
        "Gram matrix in the input's dtype",
        CN,
        "rows = a.to(wide(a.dtype))",
        "rows = a",
    ),
    Mutant(
        "softmax over queries",
        CN,
        "scores.softmax(dim=-1)",
        "scores.softmax(dim=-2)",
    ),
    Mutant(
        "channels by their shifted values",
        CN,
        "        gram = rows @ rows.mT",
        "        rows = rows - rows.mean(-1, keepdim=True)\n        gram = rows @ rows.mT",
    ),
    Mutant(
        "query and key swapped",
        DA,
        "to_tokens(self.query(x))  # (B",
        "to_tokens(self.key(x))  # (B",
    ),
    Mutant(
        "scores scaled",
        DA,
        "scale=1.0",
        "scale=self.key_channels**-0.5",
    ),
    Mutant(
        "no residual",
        DA,
        "return x + self.gamma * from_tokens(y, x)",
        "return self.gamma * from_tokens(y, x)",
    ),
    Mutant(
        "channels without residual",
        DA,
        "return x + self.gamma * y.view(x.shape)",
        "return self.gamma * y.view(x.shape)",
    ),
    Mutant(
        "gamma starts at one",
        DA,
        "nn.Parameter(torch.zeros(1, **kw))",
        "nn.Parameter(torch.ones(1, **kw))",
    ),
    Mutant(
        "half of the key channels",
        DA,
        "in_channels // 8",
        "in_channels // 16",
    ),
    Mutant(
        "exits swapped",
        DA,
        "self.position_exit(a),\n            self.channel_exit(b),",
        "self.channel_exit(b),\n            self.position_exit(a),",
    ),
    Mutant(
        "branches multiplied",
        DA,
        "self.sum_exit(a + b)",
        "self.sum_exit(a * b)",
    ),
    Mutant(
        "projections of the branches swapped",
        DCP,
        '"conv5a conv5c conv51 conv52"',
        '"conv5c conv5a conv51 conv52"',
    ),
]
FIRST = {CN: "test_danet.py", DA: "test_danet.py", DCP: "test_danet.py"}
