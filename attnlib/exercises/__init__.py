"""Self-checks for the book's exercises: right, or a hint.

    >>> from attnlib.exercises import check, exercise
    >>> check("softmax-3", lambda q, k, v: None).right
    False

A check runs the answer on inputs of its own and needs no file, no network and
no grader. A chapter's checks are one file beside this one; their names are the
chapter's prefix and the exercise's number.
"""

from __future__ import annotations

import html
import importlib
import pkgutil
import random
import sys
import textwrap
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch

from attnlib._checks import check_choice

__all__ = ["Verdict", "check", "exercise", "list_exercises"]

Checker = Callable[[Any], "str | None"]
_CHECKS: dict[str, tuple[Checker, str]] = {}


@dataclass(frozen=True)
class Verdict:
    """What :func:`check` says; true in an ``if`` when the answer is right."""

    right: bool
    text: str

    def __bool__(self) -> bool:
        return self.right

    def __repr__(self) -> str:
        start = "Right" if self.right else "Not yet"
        return textwrap.fill(f"{start}: {self.text}", 75)

    def _repr_html_(self) -> str:
        start = "Right" if self.right else "Not yet"
        text = html.escape(self.text)
        return f'<p class="attn-verdict"><b>{start}:</b> {text}</p>'


def exercise(
    key: str, *, right: str = "that is it."
) -> Callable[[Checker], Checker]:
    """Register a function that returns a hint, or None for a right answer.

    Args:
        key: the exercise, ``"softmax-3"``.
        right: what a right answer is told, a sentence.

    Raises:
        ValueError: the name is taken.
    """

    def register(checker: Checker) -> Checker:
        if key in _CHECKS:
            raise ValueError(f"key must be new, {key!r} is taken")
        _CHECKS[key] = checker, right
        return checker

    return register


def list_exercises() -> list[str]:
    """Return the names that :func:`check` knows, in order.

    Shape:
        - Output: names such as ``"softmax-3"``
    """
    for module in pkgutil.iter_modules(__path__):
        importlib.import_module(f"{__name__}.{module.name}")
    return sorted(_CHECKS)


def check(key: str, answer: object) -> Verdict:
    """Check an answer to an exercise of the book.

    Args:
        key: the exercise, as its cell names it: ``"softmax-3"``.
        answer: what the exercise asks for: a function, a tensor, numbers.

    Shape:
        - Output: a :class:`Verdict`, which prints as "Right: ..." or
          "Not yet: " and a hint

    An error inside your function becomes part of the hint. Random generators,
    default dtype and grad mode are afterwards what they were.

    Raises:
        ValueError: an unknown exercise (the message suggests the nearest).
    """
    check_choice("key", key, list_exercises())
    checker, right = _CHECKS[key]
    if answer is None or answer is ...:
        return Verdict(False, "put your answer in place of the dots.")
    with _undisturbed():
        try:
            hint = checker(answer)
        except (Exception, SystemExit) as error:  # the student's own: a hint
            hint = _told(error, answer)
    return Verdict(hint is None, right if hint is None else hint)


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Begin at seed 0 with gradients on; leave no trace."""
    state, dtype = random.getstate(), torch.get_default_dtype()
    numpy = sys.modules.get("numpy")
    drawn = numpy.random.get_state() if numpy else None
    try:
        with torch.random.fork_rng(devices=[]), torch.enable_grad():
            torch.manual_seed(0)
            yield
    finally:
        random.setstate(state)
        torch.set_default_dtype(dtype)
        if numpy:
            numpy.random.set_state(drawn)


def _told(error: BaseException, answer: object) -> str:
    """Say what went wrong in the student's code, and in which line of it."""
    if not callable(answer) and "is not callable" in str(error):
        return "hand over the function itself: its name, no parentheses."
    kind = type(error).__name__
    text = f"your answer raised {kind}: {error}".rstrip(".")
    frames = traceback.extract_tb(error.__traceback__)
    ours = [f for f in frames if f.filename == _file(answer)]
    where = f", in line {ours[-1].lineno} of the cell" if ours else ""
    return f"{text}{where}."


def _file(answer: object) -> str | None:
    code = getattr(answer, "__code__", None)
    return code.co_filename if code else None
