"""Right and wrong answers for the chapter on your own network."""

import copy

import torch
from torch import nn


def silent(block, t):
    for training in (True, False):
        twin = copy.deepcopy(block).train(training)
        with torch.no_grad():
            if not torch.equal(twin(t), t):
                return False
    return True


def silent_by_difference(block, t):
    twins = copy.deepcopy(block).train(), copy.deepcopy(block).eval()
    ys = [twin(t.clone()) for twin in twins]
    return all(y.shape == t.shape and (y - t).eq(0).all() for y in ys)


def close(block, t):
    y = copy.deepcopy(block).train()(t), copy.deepcopy(block).eval()(t)
    return all(a.shape == t.shape and torch.allclose(a, t) for a in y)


def nearly(block, t):
    y = copy.deepcopy(block).train()(t), copy.deepcopy(block).eval()(t)
    return all(
        a.shape == t.shape and torch.allclose(a, t, atol=1e-8) for a in y
    )


def by_mean(block, t):
    y = copy.deepcopy(block)(t)
    return bool((y.mean() - t.mean()).abs() < 1e-6)


def by_corner(block, t):
    y = copy.deepcopy(block)(t)
    return y.shape == t.shape and torch.equal(y[..., 0, :], t[..., 0, :])


def as_it_is(block, t):
    return torch.equal(copy.deepcopy(block)(t), t)


def in_training(block, t):
    return torch.equal(copy.deepcopy(block).train()(t), t)


def in_evaluation(block, t):
    return torch.equal(copy.deepcopy(block).eval()(t), t)


def leaves_a_mode(block, t):
    return torch.equal(block.train()(t), t) and torch.equal(block.eval()(t), t)


def counts(block, t):
    training = block.training
    same = torch.equal(block.train()(t), t) & torch.equal(block.eval()(t), t)
    block.train(training)
    return same


def overwrites(block, t):
    same = silent(block, t)
    t.zero_()
    return same


class Wrapped(nn.Module):
    def __init__(self, layer, block):
        super().__init__()
        self.layer, self.block = layer, block

    def forward(self, x):
        return self.block(self.layer(x))


def renamed(module, state, prefix, *_, skip=("layer.", "block.")):
    for key in list(state):
        rest = key[len(prefix) :]
        if key.startswith(prefix) and not rest.startswith(skip):
            state[f"{prefix}layer.{rest}"] = state.pop(key)


class Hooked(Wrapped):
    def __init__(self, layer, block):
        super().__init__(layer, block)
        self.register_load_state_dict_pre_hook(renamed)


class Overridden(Wrapped):
    def _load_from_state_dict(self, state, prefix, *rest):
        renamed(self, state, prefix)
        super()._load_from_state_dict(state, prefix, *rest)


class Greedy(Wrapped):
    """Renames what has its new name already."""

    def __init__(self, layer, block):
        super().__init__(layer, block)

        def hook(module, state, prefix, *rest):
            renamed(module, state, prefix, skip=("block.",))

        self.register_load_state_dict_pre_hook(hook)


class Shallow(Wrapped):
    """Forgets what stands before the names."""

    def __init__(self, layer, block):
        super().__init__(layer, block)

        def hook(module, state, prefix, *rest):
            renamed(module, state, "")

        self.register_load_state_dict_pre_hook(hook)


class Forgetful(Wrapped):
    """Drops the old names."""

    def __init__(self, layer, block):
        super().__init__(layer, block)

        def hook(module, state, prefix, *rest):
            for key in [k for k in state if k.startswith(prefix)]:
                del state[key]

        self.register_load_state_dict_pre_hook(hook)


class Silent(Hooked):
    def forward(self, x):
        return self.layer(x)


WRONG = {
    "own_network-1": [
        (lambda block, t: True, "adds to the map"),
        (lambda block, t: False, "a fresh NonLocal is silent"),
        (close, "whose factor is 1e-9"),
        (nearly, "whose factor is 1e-9"),
        (by_mean, "no sums"),
        (by_corner, "the last position alone"),
        (as_it_is, "In which modes"),
        (in_training, "in evaluation only"),
        (in_evaluation, "in training only"),
        (leaves_a_mode, "another mode"),
        (counts, "counts what it sees"),
        (overwrites, "has changed"),
        (lambda block, t: block(t) == t, "True or False must come back"),
        (3, "a function of a block"),
    ],
    "own_network-2": [
        (Wrapped, "is still not expected"),
        (Shallow, "is missing after loading"),
        (Forgetful, "is missing after loading"),
        (Greedy, "saves itself"),
        (Silent, "no longer block(layer(x))"),
        (lambda layer, block: Hooked(layer, block), "the class itself"),
        (nn.ReLU(), "the class itself"),
    ],
}
RIGHT = {
    "own_network-1": [silent, silent_by_difference],
    "own_network-2": [Hooked, Overridden],
}
