"""Turns the controls of a live cell without anybody at the screen.

``install`` puts :func:`drive` in place of ``ipywidgets.interact``.
"""

import inspect
import json
import sys
import time
from pathlib import Path

CALLS = []  # [cell, arguments, seconds of the processor]
CELLS = []


def values(widget):
    """Return what a control can be set to: its ends, or every choice."""
    options = getattr(widget, "_options_values", None)
    if options:
        return list(options)
    if hasattr(widget, "min") and hasattr(widget, "max"):
        return [widget.min, widget.max]
    if isinstance(getattr(widget, "value", None), bool):
        return [False, True]
    return [widget.value]


def settings(function, controls):
    """Yield the first setting, then each control at each of its values."""
    from ipywidgets import interactive

    def nothing(**arguments):
        """Has the parameters of the function, and does not draw yet."""

    nothing.__signature__ = inspect.signature(function)
    row = interactive(nothing, **controls).kwargs_widgets
    widgets = {widget._kwarg: widget for widget in row}
    start = {name: widget.value for name, widget in widgets.items()}
    yield start
    for name, widget in widgets.items():
        for value in values(widget):
            if value != start[name]:
                yield {**start, name: value}


def drive(function=None, **controls):
    """Call the function of a live cell with every setting worth trying."""
    if function is None:
        return lambda function: drive(function, **controls)
    CELLS.append(function.__name__)
    for arguments in settings(function, controls):
        start = time.process_time()
        function(**arguments)
        if "matplotlib.pyplot" in sys.modules:
            sys.modules["matplotlib.pyplot"].close("all")
        seconds = time.process_time() - start
        CALLS.append([len(CELLS), repr(arguments), round(seconds, 2)])
    return function


def install():
    """Let every ``from ipywidgets import interact`` find the driver."""
    import ipywidgets

    ipywidgets.interact = ipywidgets.widgets.interact = drive


def report():
    """Return what happened, as one line: JSON."""
    files = {
        name: module.__file__
        for name, module in sys.modules.items()
        if name.partition(".")[0] == "attnlib"
        and getattr(module, "__file__", None)
    }
    return json.dumps(
        {
            "live": CELLS,
            "calls": CALLS,
            "attnlib": files,
            "folder": sorted(p.name for p in Path.cwd().iterdir()),
        }
    )
