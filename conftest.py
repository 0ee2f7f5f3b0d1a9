"""Settings for every test run and for the kernels that nbval starts."""

import gc
import os

import pytest

# Two workers on two cores: one thread each.
os.environ["OMP_NUM_THREADS"] = "1"
# No date in a figure.
os.environ["SOURCE_DATE_EPOCH"] = "0"
# Kernels draw inline, as when the outputs were stored.
os.environ.pop("MPLBACKEND", None)


@pytest.fixture(scope="module", autouse=True)
def _old_objects():
    """Keep what is there already out of every search for garbage.

    ``attnlib.memory.allocations`` searches before it counts, and thousands of
    collected tests and compiled graphs are not what it looks for.
    """
    gc.collect()
    gc.freeze()
