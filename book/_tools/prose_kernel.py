"""Runs inside a notebook's kernel: evaluates expressions, changes nothing.

``prose.py`` puts this text into an evaluation cell, with ``SPACE`` (the
notebook's names), ``EXPRESSIONS`` and ``PLACE`` (which cell it is); the result
is one printed line.
"""

import contextlib
import io
import json
import pickle
import random
import sys
from fractions import Fraction


def plain(value):
    """Return ``value`` as something that JSON can hold."""
    if getattr(value, "ndim", None) == 0 and hasattr(value, "item"):
        value = value.item()
    elif hasattr(value, "tolist") and getattr(value, "size", None):
        value = value.tolist()
    if isinstance(value, (tuple, list)):
        return {"all": [plain(v) for v in value]}
    if isinstance(value, bool):
        return {"bool": value}
    if isinstance(value, (int, float)) and value == value:
        if abs(value) != float("inf"):
            return {"number": str(Fraction(value)), "shown": str(value)}
    if isinstance(value, Fraction):
        return {"number": str(value), "shown": str(value)}
    shown = " ".join(repr(value).split())[:60]
    return {"other": f"{type(value).__name__} {shown}"}


def fingerprint(space):
    """Return what tells that a name, a tensor or a container has changed."""
    found = {}
    for name, value in space.items():
        inside = getattr(value, "_version", None)
        if isinstance(value, (list, tuple, set)) and len(value) < 10_000:
            inside = [id(v) for v in value]
        if isinstance(value, dict) and value is not space:
            inside = [(id(k), id(v)) for k, v in value.items()]
        found[name] = (id(value), inside)
    return found


def generators():
    """Return (state, restore) of each global random generator there is."""
    kept = [(random.getstate, random.setstate)]
    if "numpy" in sys.modules:
        numpy = sys.modules["numpy"].random
        kept.append((numpy.get_state, numpy.set_state))
    if "torch" in sys.modules:
        torch = sys.modules["torch"].random
        kept.append((torch.get_rng_state, torch.set_rng_state))
    return [(get, put, get()) for get, put in kept]


def frozen(state):
    """Return a generator's state as bytes that compare equal."""
    return pickle.dumps(getattr(state, "tolist", lambda: state)())


def evaluate(expression, space):
    """Return the value of one expression, or what is wrong with it."""
    before, states = fingerprint(space), generators()
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            value = plain(eval(expression, dict(space)))
    except Exception as error:
        value = {"raised": f"{type(error).__name__}: {error}"}
    drawn = False
    for get, put, state in states:
        drawn = drawn or frozen(get()) != frozen(state)
        put(state)
    after = fingerprint(space)
    changed = sorted(n for n in before if before[n] != after.get(n))
    if drawn:
        value = {"impure": "draws random numbers"}
    if changed or set(after) - set(before):
        value = {"impure": f"changes {', '.join(changed) or 'names'}"}
    return value


results = json.dumps([evaluate(e, SPACE) for e in EXPRESSIONS])  # noqa: F821
print(f"\nprose {PLACE}: {results}", flush=True)  # noqa: F821
