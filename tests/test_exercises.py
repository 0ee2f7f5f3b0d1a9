"""Checks refuse wrong answers with a hint, accept right ones, and say so."""

from __future__ import annotations

import html
import importlib.util
import random
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

from attnlib import exercises
from attnlib.exercises import check, exercise, list_exercises

FOLDER = Path(__file__).parent / "exercises"


def load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"answers_{path.stem}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


ANSWERS = [load(path) for path in sorted(FOLDER.glob("*.py"))]
WRONG = [(k, *a) for m in ANSWERS for k, v in m.WRONG.items() for a in v]
RIGHT = [(k, a) for m in ANSWERS for k, v in m.RIGHT.items() for a in v]


def test_every_exercise_has_right_and_wrong_answers() -> None:
    known = list_exercises()
    for answers, least in ((WRONG, 3), (RIGHT, 2)):
        count = {key: sum(a[0] == key for a in answers) for key in known}
        assert set(count) == {a[0] for a in answers}
        assert min(count.values()) >= least, count


@pytest.mark.parametrize(("key", "answer", "hint"), WRONG)
def test_a_wrong_answer_gets_a_hint(
    key: str, answer: object, hint: str
) -> None:
    verdict = check(key, answer)
    assert not verdict
    assert hint in verdict.text
    assert repr(verdict).startswith("Not yet: ")
    shown = verdict._repr_html_()
    assert f"<b>Not yet:</b> {html.escape(verdict.text)}" in shown
    assert max(map(len, repr(verdict).splitlines())) <= 75
    assert 20 <= len(verdict.text) <= 300
    assert verdict.text.endswith((".", "?"))


@pytest.mark.parametrize(("key", "answer"), RIGHT)
def test_a_right_answer_is_accepted(key: str, answer: object) -> None:
    verdict = check(key, answer)
    assert verdict, verdict
    assert repr(verdict).startswith("Right: ")


@pytest.mark.parametrize("key", list_exercises())
@pytest.mark.parametrize("answer", [None, ...])
def test_an_untouched_skeleton_is_refused(key: str, answer: object) -> None:
    assert "in place of the dots" in check(key, answer).text


@pytest.mark.parametrize("key", list_exercises())
@pytest.mark.parametrize(
    "answer",
    [lambda *args, **kwargs: None, 0.0, "?", [], torch.zeros(3), lambda: 1],
)
def test_nonsense_is_refused_and_never_raises(
    key: str, answer: object
) -> None:
    verdict = check(key, answer)
    assert not verdict
    assert verdict.text


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exercises, "_CHECKS", dict(exercises._CHECKS))


def test_an_error_becomes_the_hint(registry: None) -> None:
    exercise("sample-1")(lambda answer: answer() and None)

    def broken() -> None:
        raise IndexError("no such row")

    text = check("sample-1", broken).text
    line = broken.__code__.co_firstlineno + 1
    assert "IndexError: no such row, in line" in text
    assert f"line {line} of the cell." in text
    # A result where a function is asked for.
    assert "no parentheses" in check("sample-1", torch.zeros(2)).text


def test_a_check_leaves_the_random_generator_alone(registry: None) -> None:
    seen = []
    exercise("sample-2")(lambda answer: seen.append(torch.rand(1).item()))
    torch.manual_seed(5)
    wanted = torch.rand(3)
    torch.manual_seed(5)
    assert check("sample-2", 1)
    assert check("sample-2", 1)
    assert torch.equal(torch.rand(3), wanted)
    assert seen[0] == seen[1]


def test_a_check_leaves_everything_else_alone(registry: None) -> None:
    def disturb(answer: object) -> None:
        np.random.rand(3), random.random()
        torch.set_default_dtype(torch.float16)
        torch.set_grad_enabled(False)
        raise SystemExit("enough")

    exercise("sample-4")(disturb)
    np.random.seed(1), random.seed(1)
    wanted = np.random.rand(), random.random()
    np.random.seed(1), random.seed(1)
    with torch.no_grad():
        assert "SystemExit: enough" in check("sample-4", 1).text
        assert not torch.is_grad_enabled()
    assert torch.is_grad_enabled()
    assert torch.get_default_dtype() == torch.float32
    assert (np.random.rand(), random.random()) == wanted


def test_names(registry: None) -> None:
    exercise("sample-3")(lambda answer: None)
    with pytest.raises(ValueError, match="did you mean 'sample-3'"):
        check("sample3", 1)
    with pytest.raises(ValueError, match="'sample-3' is taken"):
        exercise("sample-3")(lambda answer: None)
