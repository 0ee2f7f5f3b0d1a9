"""The counters of ``attnlib.memory``: exact to the byte, and silent."""

import gc
import io
import os
import sys

import pytest
import torch
from torch.profiler import ProfilerActivity, profile

from attnlib.memory import allocations, kept_bytes

N = 1000  # numbers of x, 4 bytes each


def vector(dtype=torch.float32):
    generator = torch.Generator().manual_seed(0)
    return torch.randn(N, generator=generator, dtype=dtype).requires_grad_()


# Bytes kept.


@pytest.mark.parametrize(
    ("function", "kept"),
    [
        (lambda t: t * 2, 0),  # the factor is a number
        (torch.exp, 4 * N),  # its result
        (torch.sin, 4 * N),  # its input
        (lambda t: t.exp().sin(), 4 * N),  # one tensor, kept twice
        (lambda t: t.sin().exp(), 8 * N),
        (lambda t: (t.sin(), t.cos()), 4 * N),
        (lambda t: t.view(10, 100).mT.sin(), 4 * N),
        (lambda t: t[:10].sin(), 4 * N),  # a view keeps its whole storage
        (lambda t: t[:10].clone().sin(), 40),
        (lambda t: t.detach().exp(), 0),
        (lambda t: (t[:600].exp(), t[600:].exp()), 4 * N),
    ],
)
def test_kept_bytes_of_known_functions(function, kept):
    assert kept_bytes(function, vector()) == kept


def test_kept_bytes_follow_the_dtype_and_the_gradient():
    assert kept_bytes(torch.exp, vector(torch.float64)) == 8 * N
    assert kept_bytes(torch.exp, vector().detach()) == 0
    with torch.no_grad():
        assert kept_bytes(torch.exp, vector()) == 0
    a, b = torch.randn(30, 20, requires_grad=True), torch.randn(20, 50)
    assert kept_bytes(torch.mm, a, b) == 4 * 20 * 50  # b alone has to stay
    b.requires_grad_()
    assert kept_bytes(torch.mm, a, b) == 4 * (30 * 20 + 20 * 50)


def test_without_leaves_storages_out():
    x, w = vector(), vector()
    assert kept_bytes(torch.mul, x, w) == 8 * N
    assert kept_bytes(torch.mul, x, w, without=[w]) == 4 * N
    assert kept_bytes(torch.mul, x, w, without=iter([x, w])) == 0
    # A view names its storage, and a copy another one.
    assert kept_bytes(torch.mul, x, w, without=[w[:5]]) == 4 * N
    assert kept_bytes(torch.mul, x, w, without=[w.clone()]) == 8 * N


def test_kept_and_dropped_on_the_way_counts_too():
    """Else the count would depend on who gets the freed address."""

    def drops(t):
        for _ in range(5):
            y = t.exp()
        return y

    assert kept_bytes(drops, vector()) == 5 * 4 * N


def test_counting_keeps_nothing():
    """What was kept is freed with the graph: the next count finds room."""
    x = vector()

    def count(t):
        with torch.enable_grad():
            for _ in range(5):
                assert kept_bytes(torch.exp, x) == 4 * N
        return t

    assert allocations(count, x, backward=False).peak == 4 * N


# Bytes alive.


def in_a_loop(t):
    total = torch.zeros(())
    for _ in range(10):
        total = t.exp().sum()
    return total


@pytest.mark.parametrize(
    ("function", "peak", "largest"),
    [
        (torch.exp, 4 * N, 4 * N),
        (lambda t: t.view(10, 100), 0, 0),
        (lambda t: t.exp().sin(), 8 * N, 4 * N),
        (lambda t: t.exp().sin_(), 4 * N, 4 * N),
        # 4 N and the clone's 2 N; exp is freed before sin
        (lambda t: t.exp()[:500].clone().sin(), 6 * N, 4 * N),
        (lambda t: t.expand(10, N).contiguous(), 40 * N, 40 * N),
        # Ten times 4 N, one after another, and two sums.
        (in_a_loop, 4 * N + 8, 4 * N),
    ],
)
def test_allocations_of_a_forward_pass(function, peak, largest):
    found = allocations(function, vector(), backward=False)
    assert found == (peak, largest)


def test_allocations_of_both_passes():
    """The result and its gradient; the sum, and the one where it starts."""
    assert allocations(torch.exp, vector()) == (8 * N + 8, 4 * N)
    double = vector(torch.float64)
    assert allocations(torch.exp, double) == (16 * N + 16, 8 * N)


def test_inputs_are_left_alone():
    x, fixed = vector(), vector().detach()
    before = x.detach().clone()
    allocations(torch.mul, x, fixed)
    allocations(lambda t: t.zero_(), x, backward=False)
    assert torch.equal(x, before)
    assert x.grad is None
    assert not fixed.requires_grad


def test_count_is_independent_of_what_ran_before(capfd):
    x = vector()
    expected = allocations(torch.exp, x)

    def collecting(t):
        gc.collect()
        return t.exp()

    for _ in range(3):
        cycle = [torch.randn(50 * N)]  # garbage from before the count
        cycle.append(cycle)
        del cycle
        torch.randn(70 * N).exp().sum()
        assert allocations(collecting, x) == expected
    assert capfd.readouterr() == ("", "")


def test_a_function_that_raises_ends_its_count():
    def fails(t):
        t.exp()
        raise KeyError("planted")

    with pytest.raises(KeyError, match="planted"):
        allocations(fails, vector())
    assert allocations(torch.exp, vector()) == (8 * N + 8, 4 * N)


def test_profilers_do_not_nest():
    """The inner one would end the outer, which then counts nothing."""
    with pytest.raises(RuntimeError, match="another profiler runs"):
        allocations(lambda t: t * allocations(torch.exp, t).peak, vector())
    with profile(activities=[ProfilerActivity.CPU]) as outer:
        with pytest.raises(RuntimeError, match="another profiler runs"):
            allocations(torch.exp, vector())
        torch.ones(3).exp()
    assert "aten::exp" in {event.name for event in outer.events()}


@pytest.mark.parametrize(
    ("inputs", "options", "error", "message"),
    [
        ([[1.0]], {}, TypeError, "inputs must be a tensor, got list"),
        ([torch.arange(3)], {}, TypeError, "got torch.int64"),
        ([torch.ones(3, device="meta")], {}, ValueError, "CPU, got meta"),
        ([torch.ones(3)], {"backward": 1}, TypeError, "backward must be True"),
    ],
)
def test_bad_input(inputs, options, error, message):
    with pytest.raises(error, match=message):
        allocations(torch.exp, *inputs, **options)


# Silence: a line on standard error would end up in a notebook's outputs.


def test_nothing_is_written(capfd):
    for _ in range(2):
        allocations(torch.exp, vector())
        kept_bytes(torch.exp, vector())
    assert capfd.readouterr() == ("", "")
    os.write(2, b"still there")
    assert capfd.readouterr() == ("", "still there")


def test_function_may_write(capfd):
    def loud(t):
        os.write(2, b"heard")
        return t.exp()

    allocations(loud, vector())
    assert capfd.readouterr().err == "heard"


@pytest.mark.skipif(not os.path.isdir("/dev/fd"), reason="counts open files")
def test_no_file_stays_open():
    allocations(torch.exp, vector())
    before = len(os.listdir("/dev/fd"))
    for _ in range(5):
        allocations(torch.exp, vector())
    assert len(os.listdir("/dev/fd")) == before


@pytest.mark.parametrize(
    "stderr", [io.StringIO(), None], ids=["stream", "none"]
)
def test_works_where_stderr_is_no_file(monkeypatch, capfd, stderr):
    """As in Jupyter, whose sys.stderr is a stream without descriptor."""
    monkeypatch.setattr(sys, "stderr", stderr)
    assert allocations(torch.exp, vector()) == (8 * N + 8, 4 * N)
    assert stderr is None or stderr.getvalue() == ""
    assert capfd.readouterr() == ("", "")
