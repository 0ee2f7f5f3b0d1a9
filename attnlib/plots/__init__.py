"""Pictures for the book: photographs, grids, costs, shapes, tables, explorers.

Nothing here computes attention. ``matplotlib``, ``numpy`` and ``scikit-image``
are imported when a function needs them (``pip install attnlib[plots]``), so
``import attnlib`` asks for torch alone.
"""

from attnlib.plots.explorer import Explorer, explore
from attnlib.plots.growth import show_cost, show_growth, show_ratios
from attnlib.plots.stills import photograph, setup_notebook, show_images
from attnlib.plots.table import Table, show_table
from attnlib.plots.trace import ShapeTrace, shape_trace

__all__ = [
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
]
