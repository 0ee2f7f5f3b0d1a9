"""Memory and time: bytes kept grow as N, peaks and ratios stay bounded.

Bytes kept and the profiler's peak are counts and exact. Times are ratios of
two forms measured alternately in one run; peaks of the process are taken in a
fresh process each.
"""

import json
import subprocess
import sys
import textwrap

import pytest
import torch

from attnlib import NonLocal
from attnlib.blocks.non_local import PAIRWISE
from attnlib.cost import count
from attnlib.functional import (
    concatenation_attention,
    dot_product_attention,
    explain_softmax_attention,
    softmax_attention,
)
from attnlib.memory import allocations

LEAN = [
    (pairwise, impl)
    for pairwise in PAIRWISE
    for impl in NonLocal(1, pairwise=pairwise).impls
    if impl not in ("auto", "reference")
]


SIDES = (32, 64)  # N grows by 4, N x N by 16
MAP = 4 * 64**4  # bytes of the larger map


def bytes_of(pairwise, impl):
    """Bytes kept for backward and most bytes alive in both passes, by side."""
    block = NonLocal(16, pairwise=pairwise, impl=impl)
    maps = [torch.randn(1, 16, side, side) for side in SIDES]
    kept = [count(block, x.shape).kept_bytes for x in maps]
    return {"kept": kept, "peak": [allocations(block, x).peak for x in maps]}


@pytest.mark.parametrize("pairwise", PAIRWISE)
def test_plain_bytes_grow_as_the_map(pairwise):
    for name, (small, large) in bytes_of(pairwise, "reference").items():
        print(f"{name}: x {large / small:.3f}, {large / MAP:.2f} maps")
        assert large > 12 * small
        assert large >= MAP


@pytest.mark.parametrize(("pairwise", "impl"), LEAN)
def test_lean_bytes_grow_as_n(pairwise, impl):
    """The most bytes alive hold no tensor of N x N."""
    for name, (small, large) in bytes_of(pairwise, impl).items():
        print(f"{name}: x {large / small:.3f}, {large / MAP:.3f} maps")
        assert large < 4.2 * small
        assert large < MAP / 8


MEASURE = """
    import ctypes, json, sys, torch
    from attnlib.functional import softmax_attention
    torch.manual_seed(0)
    b, n, d, dv, impl = json.loads(sys.argv[1])
    q, k, v = (torch.randn(b, n, w).requires_grad_() for w in (d, d, dv))
    w = torch.randn(1, 8, 2).requires_grad_()
    # code and pools are loaded before
    softmax_attention(w, w, w, impl=impl).sum().backward()
    open("/proc/self/clear_refs", "w").write("5")
    def status(name):
        with open("/proc/self/status") as lines:
            return next(int(l.split()[1]) for l in lines if l.startswith(name))
    before = status("VmRSS")
    softmax_attention(q, k, v, impl=impl).sum().backward()
    print(status("VmHWM") - before)
"""


def peak_kib(*arguments):
    environment = {"MALLOC_MMAP_THRESHOLD_": "131072", "OMP_NUM_THREADS": "1"}
    import os

    code = textwrap.dedent(MEASURE)
    result = subprocess.run(
        [sys.executable, "-c", code, json.dumps(arguments)],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    return int(result.stdout)


@pytest.mark.alone
@pytest.mark.skipif(
    sys.platform != "linux", reason="reads the peak from /proc"
)
@pytest.mark.parametrize(
    ("shape", "bound"),
    [((1, 9216, 64, 64), 1 / 10), ((1, 4096, 32, 32), 1 / 8)],
    ids=str,
)
def test_peak_of_the_process(shape, bound):
    plain, chunked = (
        peak_kib(*shape, impl) for impl in ("reference", "chunked")
    )
    print(f"{shape}: chunked {chunked / plain:.3f} of {plain / 1024:.0f} MiB")
    assert chunked <= bound * plain


def ratio(function, inputs, fast, rounds=5):
    """Return time of ``fast`` over plain, minima of alternating runs."""
    import time

    best = {"reference": float("inf"), fast: float("inf")}
    for _ in range(rounds):
        for impl in best:
            leaves = [t.clone().requires_grad_() for t in inputs]
            start = time.perf_counter()
            function(*leaves, impl=impl).sum().backward()
            best[impl] = min(best[impl], time.perf_counter() - start)
    return best[fast] / best["reference"]


@pytest.mark.alone
@pytest.mark.parametrize(
    ("shape", "impl", "bound"),
    [
        ((1, 9216, 64, 64), "chunked", 0.6),
        ((1, 4096, 32, 32), "chunked", 0.6),
        ((1, 4096, 8, 64), "chunked", 0.7),
        ((1, 4096, 32, 32), "sdpa", 0.6),
        ((1, 4096, 128, 64), "sdpa", 0.9),
    ],
    ids=str,
)
def test_time_of_softmax_attention(shape, impl, bound):
    b, n, d, dv = shape
    torch.manual_seed(0)
    inputs = torch.randn(b, n, d), torch.randn(b, n, d), torch.randn(b, n, dv)
    found = ratio(softmax_attention, inputs, impl)
    print(f"{shape} {impl}: {found:.2f} of the plain form")
    assert found <= bound
    if d == 8:
        assert explain_softmax_attention(*inputs).impl == "chunked"


@pytest.mark.alone
@pytest.mark.parametrize(
    ("function", "impl"),
    [
        (dot_product_attention, "associative"),
        (concatenation_attention, "sorted"),
    ],
)
def test_time_of_the_reordered_sums(function, impl):
    torch.manual_seed(0)
    q, k, v = torch.randn(3, 1, 4096, 32)
    if function is concatenation_attention:
        q, k = q[..., 0], k[..., 0]
    found = ratio(function, (q, k, v), impl)
    print(f"{impl}: {found:.3f} of the plain form")
    assert found <= 0.1
