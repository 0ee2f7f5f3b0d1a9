"""Names of the official code and of fightingcv-attention."""

from __future__ import annotations

from collections.abc import Mapping

from attnlib.blocks.psa import PolarizedSelfAttention
from attnlib.checkpoints.names import Names, Source, Sources

_OFFICIAL = {
    "channel_query": "conv_q_right",
    "channel_value": "conv_v_right",
    "spatial_query": "conv_q_left",
    "spatial_value": "conv_v_left",
    "out": "conv_up",
}
_FIGHTINGCV = {
    "channel_query": "ch_wq",
    "channel_value": "ch_wv",
    "spatial_query": "sp_wq",
    "spatial_value": "sp_wv",
    "out": "ch_wz",
    "norm": "ln",
}


def _names(block: PolarizedSelfAttention, layers: Mapping[str, str]) -> Names:
    """Replace the name of the layer; what it holds is called the same."""
    names: Names = {}
    for ours in block.state_dict():
        layer, _, rest = ours.partition(".")
        if layer in layers:
            names[ours] = (f"{layers[layer]}.{rest}",)
    return names


SOURCES: Sources = {
    PolarizedSelfAttention: {
        "official": Source(lambda block: _names(block, _OFFICIAL)),
        "fightingcv": Source(lambda block: _names(block, _FIGHTINGCV)),
    }
}
