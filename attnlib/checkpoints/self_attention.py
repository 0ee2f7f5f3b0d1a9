"""Names of the overview's class and of its author's later post."""

from __future__ import annotations

from collections.abc import Callable

from attnlib.blocks.self_attention import SelfAttention
from attnlib.checkpoints.names import Names, Source, Sources


def _self_attention(names: str) -> Callable[[SelfAttention], Names]:
    def table(block: SelfAttention) -> Names:
        kinds = ("weight", "bias")
        layers = [f"{layer}.{kind}" for layer in "fgho" for kind in kinds]
        return {name: (name,) for name in [*layers, *names.split()]}

    return table


SOURCES: Sources = {
    SelfAttention: {
        "document": Source(_self_attention("")),
        "post": Source(
            _self_attention("gamma"),
            hints={
                "gamma": "the post keeps gamma outside of its state dict: "
                "add it as an entry"
            },
        ),
    }
}
