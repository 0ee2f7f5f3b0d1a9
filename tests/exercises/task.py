"""Right and wrong answers for the chapter on one task for all."""

import torch


def memory(x):
    k, v = x[:, :4].flatten(2), x[:, 4:].flatten(2)
    return ((v @ k.mT) @ k).unflatten(2, x.shape[2:])


def by_einsum(x):
    k, v = x[:, :4], x[:, 4:]
    table = torch.einsum("bvhw,bkhw->bvk", v, k)
    return torch.einsum("bvk,bkhw->bvhw", table, k)


def by_pairs(x):
    k, v = x[:, :4].flatten(2), x[:, 4:].flatten(2)
    return (v @ (k.mT @ k)).unflatten(2, x.shape[2:])


def one_table_for_all(x):
    k, v = x[:, :4].flatten(2), x[:, 4:].flatten(2)
    return ((v @ k.mT).sum(0) @ k).unflatten(2, x.shape[2:])


def by_value(x):
    return x[:, 4:]


def overwrites(x):
    y = memory(x)
    x.zero_()
    return y


def flat(x):
    return memory(x).flatten(2)


def bound(hears, item, query, values):
    r = hears[query, item].double().mean()
    return r + (1 - r) / values


def by_loop(hears, item, query, values):
    chances = [
        1.0 if hears[i, j] else 1 / values
        for i, j in zip(query.tolist(), item.tolist(), strict=True)
    ]
    return sum(chances) / len(chances)


def other_way(hears, item, query, values):
    return bound(hears, query, item, values)


def all_pairs(hears, item, query, values):
    r = hears.double().mean()
    return r + (1 - r) / values


def no_guess(hears, item, query, values):
    return hears[query, item].double().mean()


WRONG = {
    "task-2": [
        (by_pairs, "each pair of positions"),
        (one_table_for_all, "One table a picture"),
        (by_value, "of the queries are right"),
        (overwrites, "have changed"),
        (flat, "scores of"),
        (lambda x: None, "a tensor of scores"),
        (3, "a function of pictures"),
    ],
    "task-3": [
        (other_way, "or the item the query"),
        (all_pairs, "the share of all pairs"),
        (no_guess, "may still guess"),
        (lambda hears, item, query, values: 1.0, "one in four is left"),
        (lambda hears, item, query, values: 0.25, "nothing forbids 1"),
        (lambda hears, item, query, values: bound(hears, item, query, 4),
         "seven values"),
        (lambda hears, item, query, values: None, "one number"),
        ("bound", "a function of four things"),
    ],
}  # fmt: skip
RIGHT = {"task-2": [memory, by_einsum], "task-3": [bound, by_loop]}
