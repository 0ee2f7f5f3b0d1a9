"""EMAttention, EMANetHead."""

from mutant import Mutant

from attnlib import EMANetHead, EMAttention

EM = "functional/em.py"
EB = "blocks/emanet.py"
EH = "blocks/emanet_head.py"
ECP = "checkpoints/emanet.py"
VARIANTS = {
    "emanet": [
        {},
        {"bases": 5, "differentiate": True},
        {"bases": 3, "stages": 1, "variant": "mmseg", "auto_update": True},
        {"bases": 4, "stages": 2, "scale": 0.5, "norm": False},
        {"variant": "mmseg", "bases": 4, "differentiate": True},
    ]
}
GOLDEN = {"emanet", "mmseg_ema"}


def traits(case):
    found = {"map", "permutes", "transposes"}
    through = case.options.get("differentiate", False)
    return found | ({"everywhere"} if through else {"frozen"})


def rebuild(block, x, weights):
    values = block.project(x).flatten(2)  # (B, C, N)
    y = (values @ weights[:, 0].mT).relu().view(x.shape)
    y = block.out(y)
    y = y if block.norm is None else block.norm(y)
    return (x + y).relu()


def golden(facts, impl):
    args = facts["args"]
    if facts["block"] == "mmseg_ema":
        block = EMANetHead(
            args["in_channels"],
            args["num_classes"],
            inter_channels=args["ema_channels"],
            out_channels=args["channels"],
            concat_input=args.get("concat_input", True),
            bases=args["num_bases"],
            stages=args["num_stages"],
            decay=1 - args["momentum"],
            variant="mmseg",
            auto_update=True,
            norm_momentum=0.1,
            dropout=args["dropout_ratio"],
            impl=impl,
        )
        return block, "mmseg"
    block = EMAttention(
        args["c"],
        bases=args["k"],
        stages=args["stage_num"],
        differentiate="grad_through_em" in facts["case"],
        impl=impl,
    )
    return block, "official"


MUTANTS = [
    Mutant(
        "softmax over positions",
        EM,
        "z = (x.mT @ (scale * mu)).softmax(dim=-1)",
        "z = (x.mT @ (scale * mu)).softmax(dim=1)",
    ),
    Mutant(
        "sums for means",
        EM,
        "means = x @ (z / mass)",
        "means = x @ z",
    ),
    Mutant(
        "scale forgotten",
        EM,
        "z = (x.mT @ (scale * mu))",
        "z = (x.mT @ mu)",
    ),
    Mutant(
        "folded scale forgotten",
        EM,
        "        mu = scale * mu\n",
        "        mu = 1.0 * mu\n",
    ),
    Mutant(
        "folded bias forgotten in E",
        EM,
        "scores = scores + (b * mu).sum(dim=1, keepdim=True)",
        "pass",
    ),
    Mutant(
        "folded bias once, not once a position",
        EM,
        "sums = sums + b * total",
        "sums = sums + b",
    ),
    Mutant(
        "bases as long as they come",
        EM,
        "        length = _guarded(_norm(means), guard)  # (B, 1, K)\n        mu = means / length\n    return Mixture(mu, z, mass, length)\n\n\ndef _folded",
        "        length = torch.ones_like(mass)\n        mu = means / length\n    return Mixture(mu, z, mass, length)\n\n\ndef _folded",
    ),
    Mutant("norm over the bases", EM, "means, dim=1", "means, dim=2"),
    Mutant("smaller guard", EM, "divisor + 1e-6", "divisor + 1e-9"),
    Mutant(
        "floor as high as the guard", EM, "clamp_min(1e-12)", "clamp_min(1e-6)"
    ),
    Mutant("guards swapped", EM, 'if guard == "added"', 'if guard != "added"'),
    Mutant(
        "half precision inside",
        EM,
        "        x = x.to(acc)\n",
        "        acc = x.dtype\n",
    ),
    Mutant(
        "map without masses",
        EM,
        "z / self.mass / self.length",
        "z / self.length",
    ),
    Mutant(
        "folding always pays",
        EM,
        "return shape[-1] > 2",
        "return shape[-1] > 0",
    ),
    Mutant(
        "gradient by default",
        EB,
        "differentiate: bool = False",
        "differentiate: bool = True",
    ),
    Mutant(
        "gradient through the iteration",
        EB,
        "if self.differentiate else torch.no_grad()",
        "if True else torch.no_grad()",
    ),
    Mutant("tangent through the iteration", EB, "u = u.detach()", "pass"),
    Mutant(
        "first convolution thawed",
        EB,
        "requires_grad_(differentiate)",
        "requires_grad_(True)",
    ),
    Mutant("no ReLU before W_o", EB, "to(x.dtype).relu_()", "to(x.dtype)"),
    Mutant("no ReLU after the sum", EB, "y = (z + x).relu_()", "y = z + x"),
    Mutant("no residual", EB, "y = (z + x).relu_()", "y = z.relu_()"),
    Mutant("norm forgotten", EB, "z = self.norm(z)", "pass"),
    Mutant(
        "momentum of the new value",
        EB,
        "self.decay * old + (1 - self.decay) * mean",
        "(1 - self.decay) * old + self.decay * mean",
    ),
    Mutant(
        "start replaced",
        EB,
        "moved = self.decay * old + (1 - self.decay) * mean",
        "moved = mean",
    ),
    Mutant(
        "update in eval mode",
        EB,
        "if self.auto_update and self.training:",
        "if self.auto_update:",
    ),
    Mutant(
        "update without being asked",
        EB,
        "if self.auto_update and self.training:",
        "if self.training:",
    ),
    Mutant(
        "official mean of length one",
        EB,
        'if self.variant == "mmseg":\n            mean',
        "if True:\n            mean",
    ),
    Mutant(
        "empty batch moves the start",
        EB,
        "torch.where(images > 0, moved, old)",
        "moved",
    ),
    Mutant(
        "start no buffer",
        EB,
        'self.register_buffer("mu", F.normalize(start, dim=1))',
        "self.mu = F.normalize(start, dim=1)",
    ),
    Mutant(
        "start of any length",
        EB,
        '"mu", F.normalize(start, dim=1)',
        '"mu", start',
    ),
    Mutant(
        "joined in the other order",
        EH,
        "torch.cat([x, z], dim=1)",
        "torch.cat([z, x], dim=1)",
    ),
    Mutant("head keeps its decay", EH, "            decay=decay,\n", ""),
    Mutant(
        "head of one momentum",
        EH,
        "nn.BatchNorm2d(result, momentum=norm_momentum, **kw)",
        "nn.BatchNorm2d(result, **kw)",
    ),
    Mutant(
        "norm and projection swapped",
        ECP,
        '"out": "conv2.0",\n    "norm": "conv2.1",',
        '"out": "conv2.1",\n    "norm": "conv2.0",',
    ),
    Mutant(
        "any entry of the frame",
        ECP,
        "not k.startswith(_FRAME)",
        "k.startswith(tuple(_MMSEG.values()))",
    ),
]
FIRST = {
    EM: "test_emanet.py",
    EB: "test_emanet.py",
    EH: "test_emanet.py",
    ECP: "test_emanet.py",
}
