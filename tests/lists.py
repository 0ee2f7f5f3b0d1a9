"""NLSA's official steps for one image, with Python's lists and counters."""

from collections import Counter

import torch


def lists_of(e, rotations, m):
    """Return, for each query, how often each key stands in its lists.

    e (N, d), rotations (1, d, rounds, directions); m at most N.
    """
    n = len(e)
    found = [Counter() for _ in range(n)]
    for turn in range(rotations.shape[2]):
        z = e @ rotations[0, :, turn]  # (N, directions)
        codes = torch.cat([z, -z], 1).argmax(1).tolist()
        order = sorted(range(n), key=codes.__getitem__)  # stable
        more = -n % m
        order += order[n - more : n]
        chunks = [order[i : i + m] for i in range(0, len(order), m)]
        for a, chunk in enumerate(chunks):
            before = chunks[a - 1]
            after = chunks[(a + 1) % len(chunks)]
            for place, i in enumerate(chunk, a * m):
                if place < n:  # what fills up asks nothing
                    found[i].update([*chunk, *before, *after])
    return found


def naive(e, v, rotations, m, dedup=False):
    """Return y (N, C): the sums over the lists, query by query."""
    rows = []
    for i, counts in enumerate(lists_of(e, rotations, m)):
        keys = list(counts)
        times = torch.tensor([1 if dedup else counts[j] for j in keys])
        length = e[keys].norm(dim=1).clamp_min(5e-5)
        s = e[keys] @ e[i] / length
        w = times * (s - s.max()).exp()
        rows.append(w @ v[keys] / w.sum())
    return torch.stack(rows)
