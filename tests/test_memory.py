"""Memory and time: bytes kept grow as N, peaks and ratios stay bounded.

Bytes kept and the profiler's peak are counts and exact. Times are ratios of
two forms measured alternately in one run; peaks of the process are taken in a
fresh process each.
"""

import json
import subprocess
import sys
import textwrap
from functools import partial

import pytest
import torch

from attnlib import NonLocal
from attnlib.cost import count
from attnlib.functional import (
    concatenation_attention,
    dot_product_attention,
    explain_softmax_attention,
    softmax_attention,
)
from attnlib.memory import allocations

LEAN = [
    ("embedded_gaussian", "sdpa"),
    ("embedded_gaussian", "chunked"),
    ("dot_product", "associative"),
    ("concatenation", "sorted"),
]


@pytest.mark.parametrize(("pairwise", "impl"), LEAN)
def test_bytes_kept_grow_as_n(pairwise, impl):
    block = NonLocal(16, pairwise=pairwise)
    kept, plain = (
        [count(block, (1, 16, s, s), impl=i).kept_bytes for s in (16, 32)]
        for i in (impl, "reference")
    )
    assert kept[1] < 4.01 * kept[0]  # N grows by 4
    assert plain[1] > 12 * plain[0]  # N x N grows by 16
    assert kept[1] < plain[1] / 8


@pytest.mark.parametrize(("pairwise", "impl"), LEAN)
def test_no_n_by_n_tensor(pairwise, impl):
    """No tensor of a lean form is as large as the map; a plain one is."""
    n, d = 2048, 32
    q, k, v = torch.randn(3, 1, n, d)
    function = {
        "embedded_gaussian": softmax_attention,
        "dot_product": dot_product_attention,
        "concatenation": concatenation_attention,
    }[pairwise]

    def call(q, k, v, impl):
        if pairwise == "concatenation":
            q, k = q[..., 0], k[..., 0]
        return function(q, k, v, impl=impl)

    plain = partial(call, impl="reference")
    assert allocations(plain, q, k, v).largest >= 4 * n * n
    lean = partial(call, impl=impl)
    assert allocations(lean, q, k, v).largest <= 4 * n * n / 8


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
