"""What is promised of time and of a process's peak memory, on two cores.

Times are ratios of the least of alternating rounds; those tests run alone,
after the others. Peaks are read in a fresh process each.
"""

import subprocess
import sys

import pytest
import torch
import torch.nn.functional as F
from alone import both_passes, peak, peak_test, ratio

from attnlib import DoubleAttention, PolarizedSelfAttention, PositionAttention
from attnlib.functional import (
    concatenation_attention,
    dot_product_attention,
    softmax_attention,
    window_aggregation,
)
from benchmarks.presets import FUNCTION
from benchmarks.timing import MatrixProduct

alone = pytest.mark.alone


def time(fast, plain, bound, *inputs):
    forms = {"fast": fast, "plain": plain}
    tasks = {name: both_passes(forms[name], *inputs) for name in forms}
    return ratio(tasks, bound, rounds=40)


def tokens(b, n, d, dv):
    torch.manual_seed(0)
    q, k = (torch.randn(b, n, d) / d**0.25 for _ in range(2))
    return q, k, torch.randn(b, n, dv)


def form(function, impl):
    return lambda *inputs: function(*inputs, impl=impl)


@alone
@pytest.mark.parametrize(
    ("shape", "impl", "bound"),
    [
        ((1, 9216, 64, 64), "chunked", 0.45),
        ((1, 9409, 256, 256), "chunked", 0.95),
        ((2, 1024, 128, 128), "chunked", 1.1),
        ((1, 4096, 32, 32), "chunked", 0.6),
        ((1, 4096, 8, 64), "chunked", 0.7),
        ((1, 4096, 32, 32), "sdpa", 0.6),
        ((1, 4096, 128, 64), "sdpa", 0.9),
    ],
    ids=str,
)
def test_time_of_softmax_attention(shape, impl, bound):
    fast, plain = (form(softmax_attention, i) for i in (impl, "reference"))
    assert time(fast, plain, bound, *tokens(*shape)) <= bound


@alone
def test_time_against_one_large_product():
    """At most 1.6 times as long as as many multiply-adds in one product.

    As many as the plain form makes: the ones that are made again count as
    time, not as work.
    """
    b, n, d, dv = shape = (1, 9409, 256, 256)
    product = MatrixProduct("float32", "cpu")
    fast = form(softmax_attention, "chunked")
    tasks = {"fast": both_passes(fast, *tokens(*shape)), "product": product}
    work = 3 * b * n * n * (d + dv) / product.macs
    assert ratio(tasks, 1.6, rounds=40, work=work) <= 1.6


@peak_test
@pytest.mark.parametrize(
    ("shape", "bound"),
    [
        ((1, 9216, 64, 64), 1 / 10),
        ((1, 9409, 256, 256), 1 / 10),
        ((2, 1024, 128, 128), 1 / 2),
        ((1, 4096, 32, 32), 1 / 8),
    ],
    ids=str,
)
def test_peak_of_the_process(shape, bound):
    chunked, plain = (
        peak(FUNCTION, impl, shape) for impl in ("chunked", "reference")
    )
    print(f"{chunked / plain:.3f} of {plain / 2**20:.0f} MiB")
    assert chunked / plain <= bound


TRAIN = """
    import sys, torch, attnlib

    def status(name):
        with open("/proc/self/status") as lines:
            line = next(line for line in lines if line.startswith(name))
        return int(line.split()[1])

    torch.manual_seed(0)
    torch.set_num_threads(2)
    block = attnlib.NonLocal(1024, impl=sys.argv[1])
    optimiser = torch.optim.SGD(block.parameters(), lr=0.1)
    small = attnlib.NonLocal(8, impl=sys.argv[1])
    small(torch.randn(1, 8, 8, 8)).sum().backward()  # code is loaded before
    start = [p.clone() for p in block.parameters()]
    before = status("VmRSS")
    open("/proc/self/clear_refs", "w").write("5")
    x = torch.randn(1, 1024, 128, 128)
    (block(x) * x).sum().backward()
    optimiser.step()
    pairs = zip(block.parameters(), start)
    assert any(not torch.equal(p, q) for p, q in pairs)
    print(status("VmHWM") - before)
"""


@peak_test
def test_a_wide_block_trains_at_128_x_128_in_a_gibibyte():
    """Above its parameters; the plain form needs more than two."""
    import os
    import textwrap

    need = {}
    for impl in ("chunked", "reference"):
        command = [sys.executable, "-c", textwrap.dedent(TRAIN), impl]
        result = subprocess.run(
            command,
            env={**os.environ, "MALLOC_MMAP_THRESHOLD_": "131072"},
            capture_output=True,
            text=True,
            check=True,
        )
        need[impl] = int(result.stdout) / 2**20  # GiB
    print({impl: f"{gib:.2f} GiB" for impl, gib in need.items()})
    assert need["chunked"] < 1
    assert need["reference"] > 2


@alone
@pytest.mark.parametrize(
    ("function", "impl"),
    [
        (dot_product_attention, "associative"),
        (concatenation_attention, "sorted"),
    ],
)
def test_time_of_the_reordered_sums(function, impl):
    q, k, v = tokens(1, 4096, 32, 32)
    if function is concatenation_attention:
        q, k = q[..., 0], k[..., 0]
    fast, plain = (form(function, i) for i in (impl, "reference"))
    assert time(fast, plain, 0.1, q, k, v) <= 0.1


# Blocks


def block_forms(block, fast):
    def run(impl):
        def call(x):
            block.impl = impl
            return block(x)

        return call

    torch.nn.init.constant_(next(block.parameters()), 0.5)
    return run(fast), run("reference")


@alone
def test_time_of_position_attention():
    forms = block_forms(PositionAttention(64), "auto")
    assert time(*forms, 0.5, torch.randn(1, 64, 64, 64)) <= 0.5


@peak_test
def test_peak_of_position_attention():
    chunked, plain = (
        peak("danet", impl, (1, 64, 64, 64))
        for impl in ("chunked", "reference")
    )
    print(f"{chunked / plain:.3f} of the plain form's peak")
    assert chunked <= plain / 10


@alone
@pytest.mark.parametrize(
    "block",
    [
        DoubleAttention(64),
        PolarizedSelfAttention(64),
        PolarizedSelfAttention(64, variant="paper"),
    ],
    ids=["a2net", "psa official", "psa paper"],
)
def test_time_of_the_folded_forms(block):
    forms = block_forms(block, "folded")
    assert time(*forms, 0.8, torch.randn(2, 64, 64, 64)) <= 0.8


@alone
def test_time_of_the_window_sum():
    """Against windows laid out by ``unfold``: SAN's stage at 56 x 56."""

    def unfold(x, w):
        u = F.unfold(F.pad(x, (3, 3, 3, 3), mode="reflect"), 7)
        u = u.view(2, 8, 8, 49, 56, 56)  # (B, C / G, G, k * k, H, W)
        return (u * w[:, None]).sum(3).flatten(1, 2)

    torch.manual_seed(0)
    x, w = torch.randn(2, 64, 56, 56), torch.randn(2, 8, 49, 56, 56)

    def shifted(x, w):
        return window_aggregation(x, w, kernel_size=7)

    assert time(shifted, unfold, 0.35, x, w) <= 0.35
