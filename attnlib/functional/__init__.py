"""Attention without parameters: the plain formula beside its fast forms."""

from attnlib.functional.buckets import (
    bucket_attention,
    bucket_weights,
    explain_bucket_attention,
)
from attnlib.functional.channel import channel_attention, channel_weights
from attnlib.functional.chunked import RecomputedAttention
from attnlib.functional.context import context_attention, context_weights
from attnlib.functional.criss_cross import (
    criss_cross_attention,
    criss_cross_map,
    criss_cross_weights,
    explain_criss_cross_attention,
)
from attnlib.functional.double import double_attention, double_weights
from attnlib.functional.em import Mixture, expectation_maximization
from attnlib.functional.hashing import (
    bucket_order,
    count_buckets,
    hash_codes,
    list_counts,
)
from attnlib.functional.interlaced import (
    crop,
    deinterlace,
    group_weights,
    interlace,
    interlaced_attention,
    interlaced_product,
    pad_to_multiple,
    spread,
)
from attnlib.functional.light import (
    light_attention,
    light_weights,
    product_order,
)
from attnlib.functional.pairwise import (
    concatenation_attention,
    concatenation_weights,
    dot_product_attention,
    dot_product_weights,
    relu_attention,
    relu_weights,
)
from attnlib.functional.polarized import pool_positions
from attnlib.functional.pyramid import pyramid_matrix, pyramid_pool
from attnlib.functional.softmax import (
    Choice,
    explain_softmax_attention,
    softmax_attention,
    softmax_weights,
)
from attnlib.functional.window import (
    pad_window,
    window_aggregation,
    windows,
)

__all__ = [
    "Choice",
    "Mixture",
    "RecomputedAttention",
    "bucket_attention",
    "bucket_order",
    "bucket_weights",
    "channel_attention",
    "channel_weights",
    "concatenation_attention",
    "concatenation_weights",
    "criss_cross_attention",
    "criss_cross_map",
    "criss_cross_weights",
    "context_attention",
    "context_weights",
    "count_buckets",
    "dot_product_attention",
    "dot_product_weights",
    "double_attention",
    "double_weights",
    "explain_criss_cross_attention",
    "expectation_maximization",
    "explain_bucket_attention",
    "explain_softmax_attention",
    "crop",
    "deinterlace",
    "group_weights",
    "interlace",
    "interlaced_attention",
    "interlaced_product",
    "pad_to_multiple",
    "spread",
    "light_attention",
    "light_weights",
    "hash_codes",
    "list_counts",
    "pool_positions",
    "pyramid_matrix",
    "pyramid_pool",
    "product_order",
    "relu_attention",
    "relu_weights",
    "softmax_attention",
    "softmax_weights",
    "pad_window",
    "window_aggregation",
    "windows",
]
