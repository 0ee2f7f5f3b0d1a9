"""PolarizedSelfAttention."""

from mutant import Mutant

from attnlib import PolarizedSelfAttention

PO = "functional/polarized.py"
PS = "blocks/psa.py"
VARIANTS = {
    "psa": [
        {"layout": layout, "variant": variant}
        for layout in ("parallel", "sequential")
        for variant in ("official", "paper")
    ]
}
GOLDEN = {"psa"}


def traits(case):
    return {"permutes", "transposes", "everywhere", "wide"}


def golden(facts, impl):
    layout, variant = facts["case"].split("_")[:2]
    block = PolarizedSelfAttention(
        facts["args"]["inplanes"],
        layout={"p": "parallel", "s": "sequential"}[layout],
        variant=variant,
        impl=impl,
    )
    return block, "official" if variant == "official" else "fightingcv"


MUTANTS = [
    Mutant(
        "pooled over channels",
        PO,
        "scores.to(acc).softmax(dim=-1)",
        "scores.to(acc).sigmoid()",
    ),
    Mutant(
        "paper without softmax",
        PS,
        '        if self.variant == "paper":\n            g = g.softmax(dim=-1)',
        '        if self.variant == "none":\n            g = g.softmax(dim=-1)',
    ),
    Mutant(
        "softmax over the one row",
        PS,
        "g = g.softmax(dim=-1)",
        "g = g.softmax(dim=1)",
    ),
    Mutant(
        "theta over channels",
        PS,
        "theta = theta.softmax(dim=-1)",
        "theta = theta.softmax(dim=1)",
    ),
    Mutant(
        "official softmax forgotten",
        PS,
        "            t = t.softmax(dim=-1)\n",
        "            pass\n",
    ),
    Mutant(
        "sequential sees x",
        PS,
        "return z * self._spatial_gate(z)",
        "return z * self._spatial_gate(x)",
    ),
    Mutant(
        "sequential keeps x",
        PS,
        "return z * self._spatial_gate(z)",
        "return x * self._spatial_gate(z)",
    ),
    Mutant(
        "gates multiplied",
        PS,
        "return x * (channel + spatial)",
        "return x * (channel * spatial)",
    ),
    Mutant(
        "bias not pulled through",
        PS,
        "            if layer.bias is not None:\n                t = t +",
        "            if layer.bias is not None:\n                t = t + 0 *",
    ),
    Mutant(
        "pooled by the largest",
        PS,
        "mean = x.mean((2, 3), keepdim=True)",
        "mean = x.amax((2, 3), keepdim=True)",
    ),
    Mutant(
        "norm forgotten",
        PS,
        "u = self.norm(u.flatten(1))[..., None, None]",
        "pass",
    ),
    Mutant(
        "gate without sigmoid",
        PS,
        "return u.sigmoid()",
        "return u",
    ),
]
FIRST = {PO: "test_psa.py", PS: "test_psa.py"}
