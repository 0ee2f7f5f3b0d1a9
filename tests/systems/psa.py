"""PolarizedSelfAttention."""

from attnlib import PolarizedSelfAttention

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
