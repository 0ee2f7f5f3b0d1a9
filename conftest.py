"""Settings for every test run and for the kernels that nbval starts."""

import os

os.environ["OMP_NUM_THREADS"] = "1"  # two workers on two cores: one thread each
os.environ["SOURCE_DATE_EPOCH"] = "0"  # no date in a figure
os.environ.pop("MPLBACKEND", None)  # kernels draw inline, as when the outputs were stored
