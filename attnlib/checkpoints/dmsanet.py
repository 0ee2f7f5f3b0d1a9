"""Names of the recorded runs of our reading of DMSANet."""

from __future__ import annotations

from attnlib.blocks.dmsanet import DualMultiScaleAttention
from attnlib.checkpoints.names import Names, Source, Sources

_KINDS = ("weight", "bias")


def _golden(block: DualMultiScaleAttention) -> Names:
    names: Names = {}
    for k in range(len(block.position)):
        pam = "pam" if block.share else f"pams.{k}"
        cam = "cam" if block.share else f"cams.{k}"
        for layer in ("query", "key", "value"):
            for kind in _KINDS:
                theirs = f"{pam}.{layer}_conv.{kind}"
                names[f"position.{k}.{layer}.{kind}"] = (theirs,)
        names[f"position.{k}.gamma"] = (f"{pam}.gamma",)
        names[f"channel.{k}.gamma"] = (f"{cam}.gamma",)
    if block.descriptor == "se":
        for ours, theirs in (("0", "fc1"), ("2", "fc2")):
            for kind in _KINDS:
                names[f"excite.{ours}.{kind}"] = (f"se.{theirs}.{kind}",)
    for k in range(len(block.split)):
        names[f"split.{k}.weight"] = (f"spc.{k}.weight",)
    return names


SOURCES: Sources = {DualMultiScaleAttention: {"golden": Source(_golden)}}
