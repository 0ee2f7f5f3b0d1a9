"""The public names, written down: a change is a decision, not a slip."""

import doctest
import importlib
import inspect
import pkgutil
import subprocess
import sys

import pytest
import torch

import attnlib
from attnlib import catalog, create_block, list_blocks

PUBLIC = {
    "attnlib": {
        "CCNetHead",
        "ChannelAttention",
        "ChannelGate",
        "CrissCrossAttention",
        "DANetHead",
        "EMANetHead",
        "EMAttention",
        "DenseNonLocalAttention",
        "DoubleAttention",
        "DualMultiScaleAttention",
        "GlobalContext",
        "FusionPyramidNonLocal",
        "PairwiseSelfAttention",
        "PatchwiseSelfAttention",
        "PolarizedSelfAttention",
        "PositionAttention",
        "InterlacedSparseAttention",
        "LightNonLocal",
        "NonLocal",
        "RecurrentCrissCrossAttention",
        "PyramidNonLocal",
        "NonLocalSparseAttention",
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
    },
    "attnlib.compare": {
        "Row",
        "changes",
        "example",
        "row",
        "rows",
        "seeded",
    },
    "attnlib.exercises": {
        "Verdict",
        "check",
        "exercise",
        "list_exercises",
    },
    "attnlib.functional": {
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
    },
    "attnlib.ledger": {"Entry", "agrees", "ledger", "ratio", "slope"},
    "attnlib.maps": {
        "entropy",
        "rank",
        "reach",
        "row_sums",
        "support",
    },
    "attnlib.measured": {"load", "names"},
    "attnlib.plots": {
        "Explorer",
        "ShapeTrace",
        "Table",
        "explore",
        "photograph",
        "setup_notebook",
        "shape_trace",
        "show_cost",
        "show_growth",
        "show_images",
        "show_ratios",
        "show_table",
    },
    "attnlib.tasks": {
        "LOCAL",
        "Network",
        "denoise",
        "load_results",
        "lookup",
        "train",
    },
}
# They draw, set up or register: nothing comes back that has a shape.
WITHOUT_RESULT = {"exercise", "setup_notebook", "show_images", "show_ratios"}
MODULES = [m.name for m in pkgutil.walk_packages(attnlib.__path__, "attnlib.")]


@pytest.mark.parametrize("name", PUBLIC)
def test_public_names(name):
    module = importlib.import_module(name)
    assert set(module.__all__) == PUBLIC[name]
    for public in module.__all__:
        assert inspect.getdoc(getattr(module, public))


@pytest.mark.parametrize("name", PUBLIC)
def test_public_functions_say_what_they_take(name):
    """Arguments and shape: the sections that every docstring has."""
    module = importlib.import_module(name)
    for public in module.__all__:
        thing = getattr(module, public)
        if inspect.isfunction(thing):
            text = inspect.getdoc(thing)
            if public not in WITHOUT_RESULT:
                assert "Shape:" in text, public
            for argument in inspect.signature(thing).parameters:
                if argument != "part":
                    assert argument in text.split("Args:")[1]


def test_catalogue():
    reach = "nonlocal danet a2net rnl dmsanet san psa".split()
    cheaper = "ccnet gcnet emanet isanet annnet lightnl nlsa".split()
    names = ["selfattention", *reach, *cheaper]
    assert list_blocks() == list(catalog.CATALOG) == names
    assert list_blocks("foundations") == ["selfattention"]
    assert list_blocks("reach") == reach
    assert list_blocks("cost") == cheaper
    for key, info in catalog.CATALOG.items():
        assert info.key == key
        for cls in (info.cls, *info.others, *info.heads):
            assert cls.__name__ in attnlib.__all__
        assert isinstance(create_block(key, 8), info.cls)
        assert info.part in catalog.PARTS


@pytest.mark.parametrize("name", MODULES)
def test_examples_in_docstrings(name):
    module = importlib.import_module(name)
    names = {**vars(module), "attnlib": attnlib, "torch": torch}
    assert doctest.testmod(module, extraglobs=names).failed == 0


def test_there_are_examples():
    finder = doctest.DocTestFinder()
    modules = [importlib.import_module(name) for name in MODULES]
    tests = [test for module in modules for test in finder.find(module)]
    assert sum(len(test.examples) for test in tests) >= 3


def test_import_is_light():
    """Importing attnlib pulls in none of the optional packages."""
    code = (
        "import sys, torch; before = set(sys.modules); import attnlib; "
        "print(*sorted({m.split('.')[0] for m in set(sys.modules) - before}))"
    )
    result = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
    )
    heavy = {"matplotlib", "skimage", "scipy", "ipywidgets", "IPython"}
    heavy.add("safetensors")
    assert not heavy & set(result.stdout.split())
    assert "attnlib" in result.stdout


def test_functions_import_torch_alone():
    """Imports run one way: functions know no block, blocks no catalogue."""
    for module in MODULES:
        source = inspect.getsource(importlib.import_module(module))
        if module.startswith("attnlib.functional"):
            assert "attnlib.blocks" not in source
        if module.startswith(("attnlib.functional", "attnlib.blocks")):
            for above in ("catalog", "cost", "checkpoints", "plots"):
                assert f"attnlib.{above}" not in source, module
