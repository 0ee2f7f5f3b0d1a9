"""Self-attention blocks for convolutional networks, each right once.

``attnlib.NonLocal(64)(x)`` takes a feature map ``(B, C, H, W)`` and returns
one of the same shape.
"""

from attnlib import (
    catalog,
    checkpoints,
    compare,
    cost,
    functional,
    ledger,
    maps,
    measured,
    memory,
    tasks,
)
from attnlib.blocks.a2net import DoubleAttention
from attnlib.blocks.annnet import FusionPyramidNonLocal, PyramidNonLocal
from attnlib.blocks.ccnet import (
    CrissCrossAttention,
    RecurrentCrissCrossAttention,
)
from attnlib.blocks.ccnet_head import CCNetHead
from attnlib.blocks.danet import (
    ChannelAttention,
    DANetHead,
    PositionAttention,
)
from attnlib.blocks.dmsanet import DualMultiScaleAttention
from attnlib.blocks.emanet import EMAttention
from attnlib.blocks.emanet_head import EMANetHead
from attnlib.blocks.gcnet import GlobalContext, SimplifiedNonLocal
from attnlib.blocks.isanet import InterlacedSparseAttention
from attnlib.blocks.lightnl import LightNonLocal
from attnlib.blocks.nlsa import NonLocalSparseAttention
from attnlib.blocks.nlsa_dense import DenseNonLocalAttention
from attnlib.blocks.non_local import NonLocal
from attnlib.blocks.psa import PolarizedSelfAttention
from attnlib.blocks.rnl import ChannelGate, RegionNonLocal
from attnlib.blocks.san import (
    PairwiseSelfAttention,
    PatchwiseSelfAttention,
    SANBottleneck,
)
from attnlib.blocks.self_attention import SelfAttention
from attnlib.catalog import create_block, list_blocks
from attnlib.checkpoints import load_reference
from attnlib.insert import insert

__version__ = "0.1.0"

__all__ = [
    "CCNetHead",
    "ChannelAttention",
    "ChannelGate",
    "CrissCrossAttention",
    "DANetHead",
    "DenseNonLocalAttention",
    "DoubleAttention",
    "DualMultiScaleAttention",
    "GlobalContext",
    "EMANetHead",
    "EMAttention",
    "InterlacedSparseAttention",
    "FusionPyramidNonLocal",
    "LightNonLocal",
    "NonLocal",
    "NonLocalSparseAttention",
    "PairwiseSelfAttention",
    "PatchwiseSelfAttention",
    "PolarizedSelfAttention",
    "PositionAttention",
    "RecurrentCrissCrossAttention",
    "PyramidNonLocal",
    "RegionNonLocal",
    "SANBottleneck",
    "SelfAttention",
    "SimplifiedNonLocal",
    "catalog",
    "checkpoints",
    "compare",
    "cost",
    "create_block",
    "functional",
    "insert",
    "ledger",
    "list_blocks",
    "load_reference",
    "maps",
    "measured",
    "memory",
    "tasks",
]
