"""Settings for every test run and for the kernels that nbval starts."""

import os

# Two workers on two cores: one thread each.
os.environ["OMP_NUM_THREADS"] = "1"
# No date in a figure.
os.environ["SOURCE_DATE_EPOCH"] = "0"
# Kernels draw inline, as when the outputs were stored.
os.environ.pop("MPLBACKEND", None)
