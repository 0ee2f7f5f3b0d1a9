"""The one table of facts about the blocks: class, paper, chapter, claims.

Everything that lists the blocks reads this table: ``create_block``, the tests
that every block must pass, the benchmark, the pages of the book. A claim
stands here with the place in the paper where it can be read; one that could
not be checked there is not in the table.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import nn

from attnlib._checks import check_choice
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

PARTS = ("foundations", "reach", "cost")


@dataclass(frozen=True)
class Claim:
    """A number that a paper states about its block.

    Attributes:
        text: what is claimed.
        setting: shape and network for which it is claimed.
        where: table, section or equation of the paper.
    """

    text: str
    setting: str
    where: str


@dataclass(frozen=True)
class BlockInfo:
    """Facts about one block.

    Attributes:
        key: name for :func:`attnlib.create_block`.
        cls: the block's class, the first of its paper.
        title: title of the paper or document that defines it.
        year: of publication.
        arxiv: identifier on arXiv, empty where there is none.
        part: part of the book: ``"foundations"``, ``"reach"`` (see more) or
            ``"cost"`` (pay less).
        chapter: path of its chapter in the book, without ending.
        sources: reference implementations that :func:`attnlib.load_reference`
            reads.
        similarity: what makes the score of a pair, with default options.
        normaliser: what turns the scores of a row into weights.
        dims: numbers of spatial dimensions that it takes.
        claims: what the paper says about cost and gain.
        others: further blocks of the same paper.
        heads: classes of the same paper that take a map and return something
            else.
    """

    key: str
    cls: type[nn.Module]
    title: str
    year: int
    arxiv: str
    part: str
    chapter: str
    sources: tuple[str, ...]
    similarity: str
    normaliser: str
    dims: tuple[int, ...] = (2,)
    claims: tuple[Claim, ...] = ()
    others: tuple[type[nn.Module], ...] = ()
    heads: tuple[type[nn.Module], ...] = ()


_BLOCKS = (
    BlockInfo(
        key="selfattention",
        cls=SelfAttention,
        title=(
            "Self-Attention Mechanism in Convolutional Neural Networks "
            "(an overview)"
        ),
        year=2020,
        arxiv="",
        part="foundations",
        chapter="book/foundations/self_attention",
        sources=("document", "post"),
        similarity="dot product",
        normaliser="softmax",
    ),
    BlockInfo(
        key="nonlocal",
        cls=NonLocal,
        title="Non-local Neural Networks",
        year=2018,
        arxiv="1711.07971",
        part="reach",
        chapter="book/reach/nonlocal",
        sources=("alexhex7", "mmcv", "caffe2", "slowfast"),
        similarity="dot product",
        normaliser="softmax",
        dims=(1, 2, 3),
        claims=(
            Claim(
                "1.2 times the parameters and 1.2 times the FLOPs of the "
                "network without blocks",
                "five blocks in a ResNet-101, clips of 32 x 224 x 224",
                "table 2e",
            ),
            Claim(
                "half the channels inside: about half the cost",
                "one block",
                "section 3.3",
            ),
            Claim(
                "pooling cuts the pairwise work to a quarter",
                "one block",
                "section 3.3",
            ),
            Claim(
                "less than 5 % more computation",
                "one block in Mask R-CNN",
                "section 6",
            ),
        ),
    ),
    BlockInfo(
        key="danet",
        cls=PositionAttention,
        others=(ChannelAttention,),
        heads=(DANetHead,),
        title="Dual Attention Network for Scene Segmentation",
        year=2019,
        arxiv="1809.02983",
        part="reach",
        chapter="book/reach/danet",
        sources=("official", "mmseg"),
        similarity="dot product",
        normaliser="softmax",
        claims=(
            Claim(
                "81.5 % mean IoU with fine annotations alone",
                "Cityscapes test set, ResNet-101",
                "abstract",
            ),
        ),
    ),
    BlockInfo(
        key="a2net",
        cls=DoubleAttention,
        title="A2-Nets: Double Attention Networks",
        year=2018,
        arxiv="1810.11579",
        part="reach",
        chapter="book/reach/a2net",
        sources=("official",),
        similarity="through n descriptors",
        normaliser="two softmaxes",
        dims=(1, 2, 3),
        claims=(
            Claim(
                "a ResNet-50 with the block beats a ResNet-152 with over 40 % "
                "fewer parameters and fewer FLOPs",
                "ImageNet-1k",
                "abstract",
            ),
        ),
    ),
    BlockInfo(
        key="rnl",
        cls=RegionNonLocal,
        others=(ChannelGate,),
        title="Region-based Non-local Operation for Video Classification",
        year=2020,
        arxiv="2007.09033",
        part="reach",
        chapter="book/reach/rnl",
        sources=("official", "post"),
        similarity="dot product of neighbourhoods, one projection",
        normaliser="softmax",
        dims=(1, 2, 3),
    ),
    BlockInfo(
        key="dmsanet",
        cls=DualMultiScaleAttention,
        title="DMSANet: Dual Multi Scale Attention Network",
        year=2021,
        arxiv="2106.08382",
        part="reach",
        chapter="book/reach/dmsanet",
        sources=("golden",),
        similarity="dot product, a map a group",
        normaliser="softmax",
        claims=(
            Claim(
                "the best performance with fewer parameters than most "
                "existing models",
                "ImageNet classification, COCO detection and segmentation",
                "abstract",
            ),
        ),
    ),
    BlockInfo(
        key="san",
        cls=PairwiseSelfAttention,
        others=(PatchwiseSelfAttention, SANBottleneck),
        title="Exploring Self-attention for Image Recognition",
        year=2020,
        arxiv="2004.13621",
        part="reach",
        chapter="book/reach/san",
        sources=("official",),
        similarity="small network on the difference",
        normaliser="softmax in the window",
    ),
    BlockInfo(
        key="psa",
        cls=PolarizedSelfAttention,
        title=(
            "Polarized Self-Attention: Towards High-quality Pixel-wise "
            "Regression"
        ),
        year=2021,
        arxiv="2107.00782",
        part="reach",
        chapter="book/reach/psa",
        sources=("official", "fightingcv"),
        similarity="none: two gates",
        normaliser="sigmoid",
        claims=(
            Claim(
                "2 to 4 points over standard baselines; the two layouts "
                "differ marginally",
                "pose estimation and segmentation",
                "abstract",
            ),
        ),
    ),
    BlockInfo(
        key="ccnet",
        cls=CrissCrossAttention,
        others=(RecurrentCrissCrossAttention,),
        heads=(CCNetHead,),
        title="CCNet: Criss-Cross Attention for Semantic Segmentation",
        year=2019,
        arxiv="1811.11721",
        part="cost",
        chapter="book/cost/ccnet",
        sources=("official", "mmseg"),
        similarity="dot product",
        normaliser="softmax on the cross",
        dims=(1, 2, 3),
        claims=(
            Claim(
                "11 times less GPU memory and about 85 % fewer FLOPs than a "
                "non-local block",
                "two passes, one image of 512 x 97 x 97",
                "abstract",
            ),
            Claim(
                "81.9, 45.76 and 55.47 % mean IoU",
                "Cityscapes test, ADE20K validation, LIP validation",
                "abstract",
            ),
        ),
    ),
    BlockInfo(
        key="gcnet",
        cls=GlobalContext,
        others=(SimplifiedNonLocal,),
        title=(
            "GCNet: Non-local Networks Meet Squeeze-Excitation Networks and "
            "Beyond"
        ),
        year=2019,
        arxiv="1904.11492",
        part="cost",
        chapter="book/cost/gcnet",
        sources=("official", "mmseg", "timm", "post"),
        similarity="of the key alone",
        normaliser="softmax",
        claims=(
            Claim(
                "the maps of a non-local network are almost the same for all "
                "queries; one map for all keeps its accuracy with much less "
                "computation",
                "networks trained on images",
                "abstract",
            ),
        ),
    ),
    BlockInfo(
        key="emanet",
        cls=EMAttention,
        heads=(EMANetHead,),
        title=(
            "Expectation-Maximization Attention Networks for Semantic "
            "Segmentation"
        ),
        year=2019,
        arxiv="1907.13426",
        part="cost",
        chapter="book/cost/emanet",
        sources=("official", "mmseg"),
        similarity="dot product with K fitted bases",
        normaliser="softmax over the bases",
        claims=(
            Claim(
                "43.1 GFLOPs and 10.0 M parameters over ResNet-101, where "
                "DeepLabV3 takes 63.4 and 15.5",
                "C = 512, image of 513 x 513, output stride 8",
                "table 1",
            ),
            Claim(
                "21.1 GFLOPs and 4.87 M parameters over ResNet-101",
                "C = 256, image of 513 x 513, output stride 8",
                "table 1",
            ),
        ),
    ),
    BlockInfo(
        key="isanet",
        cls=InterlacedSparseAttention,
        title=("Interlaced Sparse Self-Attention for Semantic Segmentation"),
        year=2019,
        arxiv="1907.12273",
        part="cost",
        chapter="book/cost/isanet",
        sources=("official", "mmseg"),
        similarity="scaled dot product, twice",
        normaliser="two softmaxes",
        claims=(
            Claim(
                "the dense map is the product of two sparse ones",
                "any map",
                "abstract",
            ),
        ),
    ),
    BlockInfo(
        key="annnet",
        cls=PyramidNonLocal,
        others=(FusionPyramidNonLocal,),
        title=(
            "Asymmetric Non-local Neural Networks for Semantic Segmentation"
        ),
        year=2019,
        arxiv="1908.07678",
        part="cost",
        chapter="book/cost/annnet",
        sources=("official", "mmseg"),
        similarity="scaled dot product with pooled anchors",
        normaliser="softmax over the anchors",
        claims=(
            Claim(
                "around 6 times faster and 28 times less GPU memory than a "
                "non-local block",
                "inference, one map of 256 x 128; the authors' script: 2048 "
                "channels, no fusion",
                "abstract",
            ),
            Claim(
                "81.3 % mean IoU",
                "Cityscapes test set",
                "abstract",
            ),
        ),
    ),
    BlockInfo(
        key="lightnl",
        cls=LightNonLocal,
        title="Neural Architecture Search for Lightweight Non-Local Networks",
        year=2020,
        arxiv="2004.01961",
        part="cost",
        chapter="book/cost/lightnl",
        sources=("official", "port"),
        similarity="dot product, no projection",
        normaliser="1 / (H W)",
        claims=(
            Claim(
                "400 times cheaper than a conventional non-local block, "
                "without loss",
                "no shape is given",
                "abstract",
            ),
            Claim(
                "77.7 % top-1 accuracy at 350 M FLOPs",
                "AutoNL-L, ImageNet-1k",
                "abstract",
            ),
        ),
    ),
    BlockInfo(
        key="nlsa",
        cls=NonLocalSparseAttention,
        others=(DenseNonLocalAttention,),
        title="Image Super-Resolution with Non-Local Sparse Attention",
        year=2021,
        arxiv="",
        part="cost",
        chapter="book/cost/nlsa",
        sources=("official",),
        similarity="dot product, key of length one",
        normaliser="softmax, counted",
        claims=(
            Claim(
                "cost asymptotically linear in the spatial size",
                "hashing, chunks of constant size",
                "abstract",
            ),
        ),
    ),
)

CATALOG: dict[str, BlockInfo] = {info.key: info for info in _BLOCKS}


def list_blocks(part: str | None = None) -> list[str]:
    """Return the names of the blocks, in the order of the book.

    Args:
        part: ``"foundations"``, ``"reach"`` or ``"cost"``; all when not given.

    Shape:
        - Output: names that :func:`attnlib.create_block` accepts

    Raises:
        ValueError: an unknown part.
    """
    if part is not None:
        check_choice("part", part, PARTS)
    return [info.key for info in _BLOCKS if part in (None, info.part)]


def create_block(key: str, in_channels: int, **options: Any) -> nn.Module:
    """Build a block by its name.

    Args:
        key: a name from :func:`attnlib.list_blocks`, or the name of a public
            class of one of these blocks.
        in_channels: C, channels of its input.
        options: keyword arguments of the block's class; an unknown one raises
            ``TypeError``.

    Shape:
        - Output: the block, a module that takes ``(B, C, H, W)``

    Raises:
        ValueError: an unknown name (the message suggests the nearest) or a bad
            option.
        TypeError: an option that the block does not have.

    Example:
        >>> type(create_block("nonlocal", 64, pairwise="dot_product")).__name__
        'NonLocal'
    """
    classes = {key: info.cls for key, info in CATALOG.items()}
    for info in CATALOG.values():
        classes |= {cls.__name__: cls for cls in (info.cls, *info.others)}
    check_choice("key", key, classes)
    return classes[key](in_channels, **options)
