"""Put a block into a network that is there already.

The network's code stays as it is, and so do the names of its weights: what
was saved before still loads, and what is new has names of its own.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from attnlib._checks import check_choice


class _Behind:
    """Forward hook: what the layer returns goes through the block.

    The block is found by its name in the layer that calls, not kept here: a
    copy of the network uses the copy of the block.
    """

    def __init__(self, name: str) -> None:
        self.name = name

    def __call__(
        self, layer: nn.Module, inputs: tuple[Any, ...], output: object
    ) -> Tensor:
        if not isinstance(output, Tensor):
            raise TypeError(
                f"a block stands behind a layer that returns one tensor; "
                f"{type(layer).__name__} returned {type(output).__name__}"
            )
        y: Tensor = layer.get_submodule(self.name)(output)
        return y


def insert(
    model: nn.Module, *, after: str, block: nn.Module, name: str = "attention"
) -> nn.Module:
    """Let the output of one of the model's layers pass through a block.

    The model is changed in place. Behind an ``nn.Sequential`` the block
    becomes its last layer; behind any other layer it becomes a part of that
    layer, called from a forward hook. Either way no weight that was there
    changes its name. A layer that is called twice calls the block twice.

    Blocks that are the identity at the start (their pages say which) leave
    the model's outputs as they were until they are trained.

    Shape:
        - the layer's output ``(B, C, H, W)`` -> what the block makes of it;
          the rest of the model must accept that, so mostly the same shape

    Args:
        model: the network, of any class.
        after: the layer's name, as ``model.named_modules()`` has it, such as
            ``"layer3.5"``.
        block: built for as many channels as the layer returns, on the
            model's device and in its dtype.
        name: the block's name inside that layer; the state dict gets entries
            such as ``"layer3.5.attention.query.weight"``. Behind a
            ``nn.Sequential`` the next number takes its place unless the
            layers there have names.

    Returns:
        The same model.

    Raises:
        TypeError: ``model`` or ``block`` is no module; ``after`` or ``name``
            is no string. When the model runs: the layer returns something
            other than one tensor.
        ValueError: no such layer (the message suggests the nearest); a layer
            that is never called, as ``nn.ModuleList``; a name that is taken
            or cannot be used; a block that is part of the model already.

    Example:
        >>> net = nn.Sequential(nn.Conv2d(3, 16, 3), nn.ReLU())
        >>> _ = attnlib.insert(net, after="0", block=attnlib.NonLocal(16))
        >>> [key for key in net.state_dict() if "query" in key]
        ['0.attention.query.weight', '0.attention.query.bias']
    """
    for argument, module in (("model", model), ("block", block)):
        if not isinstance(module, nn.Module):
            raise TypeError(
                f"{argument} must be a module, got {type(module).__name__}"
            )
    for argument, text in (("after", after), ("name", name)):
        if not isinstance(text, str):
            raise TypeError(f"{argument} must be a string, got {text!r}")
    layers = dict(model.named_modules(remove_duplicate=False))
    check_choice("after", after, layers)
    layer = layers[after]
    if isinstance(layer, (nn.ModuleList, nn.ModuleDict)):
        raise ValueError(
            f"after={after!r} is a {type(layer).__name__}, a list of layers "
            f"and none itself: name one of them"
        )
    if any(part is block for part in model.modules()):
        raise ValueError(
            "block is part of the model already: build another, "
            "or its weights are shared"
        )
    if any(part is model for part in block.modules()):
        raise ValueError("block contains the model")
    if isinstance(layer, nn.Sequential) and type(layer).forward is (
        nn.Sequential.forward
    ):
        keys = list(layer._modules)
        numbered = all(key.isdigit() for key in keys)
        last = max(map(int, keys), default=-1) if numbered else None
        _add(layer, name if last is None else str(last + 1), block)
        return model
    _add(layer, name, block)
    layer.register_forward_hook(_Behind(name))
    return model


def _add(layer: nn.Module, name: str, block: nn.Module) -> None:
    """Register the block under a name that is free."""
    if not name or "." in name or hasattr(layer, name):
        raise ValueError(
            f"name={name!r} cannot be used in {type(layer).__name__}: it must "
            "be free, not empty and without a dot"
        )
    layer.add_module(name, block)
