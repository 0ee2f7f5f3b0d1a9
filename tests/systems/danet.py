"""PositionAttention, ChannelAttention, DANetHead."""

from attnlib import ChannelAttention, DANetHead, PositionAttention

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
