"""Names of the official code, which is TensorFlow, and of its port."""

from __future__ import annotations

from attnlib.blocks.lightnl import LightNonLocal
from attnlib.checkpoints.names import Entries, Names, Source, Sources

_LAYERS = {"depthwise": "depthwise_conv", "norm": "bn"}
_TENSORFLOW = {
    "depthwise.weight": "depthwise_kernel",
    "norm.weight": "gamma",
    "norm.bias": "beta",
    "norm.running_mean": "moving_mean",
    "norm.running_var": "moving_variance",
}
# What the official code restores instead of the variable.
_AVERAGE = "ExponentialMovingAverage"


def _port(block: LightNonLocal) -> Names:
    names: Names = {}
    for ours in block.state_dict():
        layer, _, rest = ours.partition(".")
        names[ours] = (f"{_LAYERS[layer]}.{rest}",)
    return names


def _official(block: LightNonLocal) -> Names:
    """Put TensorFlow's name before that of the port, which it may carry."""
    return {
        ours: (_TENSORFLOW[ours], *theirs) if ours in _TENSORFLOW else theirs
        for ours, theirs in _port(block).items()
    }


def _variables(given: Entries) -> Entries:
    """Cut paths down to names; turn the kernel (3, 3, C, 1) to (C, 1, 3, 3).

    A moving average replaces its variable. A name that two paths end in is
    taken once; the other keeps its path, and is left over.
    """
    plain: Entries = {}
    averages: Entries = {}
    for key, value in given.items():
        path, _, last = key.rpartition("/")
        into = averages if last == _AVERAGE else plain
        name = (path if last == _AVERAGE else key).rpartition("/")[2]
        into[key if name in into else name] = value
    found = plain | averages
    kernel = found.get("depthwise_kernel")
    if kernel is not None and kernel.ndim == 4:
        found["depthwise_kernel"] = kernel.permute(2, 3, 0, 1)
    return found


SOURCES: Sources = {
    LightNonLocal: {
        "official": Source(_official, _variables),
        "port": Source(_port),
    }
}
