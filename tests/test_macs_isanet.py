"""Growth of the multiply-adds between positions, dense and interlaced."""

import math

import pytest

from attnlib import InterlacedSparseAttention, NonLocal
from attnlib.cost import closed_form
<<<<<<< HEAD:tests/test_macs_isanet.py
||||||| cb2e438:tests/test_bounds_isanet.py
from benchmarks.peak import in_fresh_process
from benchmarks.subjects import Case, Work
from benchmarks.timing import least_times

pytestmark = pytest.mark.alone
SHAPE = (1, 512, 97, 97)


@pytest.fixture(autouse=True)
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def cases(impl="auto"):
    ours = Case("isanet", impl, SHAPE, "float32", "both")
    return ours, ours.dense


def test_time_beside_the_dense_block():
    """Forward and backward; eight rounds, the least counts."""
    ours, dense = (Work(case, "cpu") for case in cases())
    tasks = {"isanet": ours, "dense": dense}
    least = least_times(tasks, rounds=8, device="cpu")
    ratio = least["isanet"].time / least["dense"].time
    print(f"{ratio:.3f} of the dense block's time")
    assert ratio <= 0.8


@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak")
def test_peak_beside_the_dense_block():
    ours, dense = (
        in_fresh_process(case, "cpu", 2)["peak_bytes"] for case in cases()
    )
    print(f"{ours / dense:.3f} of {dense / 2**20:.0f} MiB")
    assert ours / dense <= 0.5
=======
from benchmarks.peak import in_fresh_process
from benchmarks.subjects import Case, Work
from benchmarks.timing import least_times

pytestmark = pytest.mark.alone
SHAPE = (1, 512, 97, 97)


@pytest.fixture(autouse=True)
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def cases(impl="auto"):
    ours = Case("isanet", impl, SHAPE, "float32", "both")
    return ours, ours.dense


def test_time_beside_the_dense_block():
    """Forward and backward; eight rounds, the least counts."""
    ours, dense = (Work(case, "cpu") for case in cases())
    tasks = {"isanet": ours, "dense": dense}
    least = least_times(tasks, rounds=8, device="cpu")
    ratio = least["isanet"].time / least["dense"].time
    print(f"{ratio:.3f} of the dense block's time")
    assert ratio <= 1


@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak")
def test_peak_beside_the_dense_block():
    ours, dense = (
        in_fresh_process(case, "cpu", 2)["peak_bytes"] for case in cases()
    )
    print(f"{ours / dense:.3f} of {dense / 2**20:.0f} MiB")
    assert ours / dense <= 0.6  # its many projections keep most of it
>>>>>>> isanet:tests/test_bounds_isanet.py


def pairs(block, side):
    """Return the multiply-adds between positions: all but projections."""
    shape, n = (1, block.in_channels, side, side), side * side
    macs = closed_form(block, shape, impl="reference").macs
    one = closed_form(block, (1, block.in_channels, 1, 1), impl="reference")
    if isinstance(block, NonLocal):
        return macs - n * (one.macs - 2 * block.inter_channels)
    (factor,) = block.down_factors
    cells = math.prod(factor)  # one pixel becomes one window
    widths = block.key_channels + block.value_channels
    c, out = block.in_channels, block.out_channels
    joined = (c + out) * out
    inside = (one.macs - joined - cells * (1 + cells) * widths) // cells
    return macs - n * (joined + inside)


def test_growth_of_the_multiply_adds_between_positions():
    """With P = sqrt N the exponent is 3/2; with P fixed it comes to 2."""
    sides = [64, 256, 1024]

    def exponent(blocks):
        first, last = (pairs(b, s) for b, s in (blocks[0], blocks[-1]))
        return math.log(last / first) / math.log(
            sides[-1] ** 2 / sides[0] ** 2
        )

    def isa(side):
        return InterlacedSparseAttention(
            64, down_factors=((side, side),), device="meta"
        )

    dense = NonLocal(64, device="meta")
    found = {
        "dense": exponent([(dense, s) for s in sides]),
        "root": exponent([(isa(math.isqrt(s)), s) for s in sides]),
        "fixed": exponent([(isa(8), s) for s in sides]),
    }
    print(found)
    assert found["dense"] == pytest.approx(2, abs=1e-9)
    assert found["root"] == pytest.approx(1.5, abs=1e-9)
    assert 1.8 < found["fixed"] < 2
