"""What every row of a benchmark owes its reader, stored or new."""

import getpass
import platform
import re

import torch

from attnlib import create_block
from attnlib.catalog import CATALOG
from attnlib.cost import closed_form
from attnlib.functional.softmax import IMPLS
from benchmarks.presets import FUNCTION

HEAD = "subject options impl shape positions dtype passes compiled".split()
RATIOS = ["to_plain", "to_matmul", "to_dense"]
BYTES = ["kept_bytes", "peak_bytes", "counted_peak_bytes"]
KEYS = [*HEAD, "macs", *RATIOS, "kernel", *BYTES]


def check_row(row, device="cpu"):
    """What every row owes its reader, stored or new."""
    assert list(row) == KEYS
    if row["subject"] == FUNCTION:
        assert row["impl"] in IMPLS
        assert row["to_dense"] is None
        b, n, d, dv = row["shape"]
        forward = b * n * n * (d + dv)
        positions = n
    else:
        assert row["subject"] in CATALOG
        b, c, *size = row["shape"]
        block = create_block(row["subject"], c, **row["options"])
        assert row["impl"] in block.impls
        plain = closed_form(block, row["shape"], impl="reference")
        forward, positions = plain.macs, torch.Size(size).numel()
        assert row["to_dense"] > 0
        if row["dtype"] == "float32" and row["passes"] == "both":
            cost = closed_form(block, row["shape"], impl=row["impl"])
            extra = (row["kept_bytes"] or cost.kept_bytes) - cost.kept_bytes
            # A fused CUDA kernel keeps L_i for a multiple of 32 rows, at most
            # 31 numbers more a map, and where its random numbers stood.
            fused = device == "cuda" and row["impl"] == "sdpa"
            assert 0 <= extra <= (2e-5 * cost.kept_bytes if fused else 0)
    times = {"forward": 1, "both": 3}[row["passes"]]
    assert row["macs"] == times * forward
    assert row["positions"] == positions
    if row["passes"] == "forward":
        assert row["kept_bytes"] in (0, None)
    assert row["to_plain"] > 0
    assert row["to_matmul"] > 0
    if row["impl"] == "reference" and not row["compiled"]:
        assert row["to_plain"] == 1
    for name in RATIOS:
        ratio = row[name]
        assert ratio is None or ratio == float(f"{ratio:.3g}")


def check_anonymous(text):
    assert not re.search(r"second|date|user|hostname", text)
    assert not re.search(r"[/\\]\w", text)  # a path
    for name in (platform.node(), getpass.getuser()):
        assert not re.search(rf"\b{re.escape(name)}\b", text) or not name
