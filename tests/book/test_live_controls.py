"""The Colab contract turns every control of a live cell to its ends."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

DRIVER = Path(__file__).with_name("room") / "live_controls.py"


@pytest.fixture
def driver() -> ModuleType:
    """Return the driver, imported anew."""
    spec = importlib.util.spec_from_file_location("live_controls", DRIVER)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def calls(driver: ModuleType, **controls: Any) -> list[dict[str, Any]]:
    """Return the settings that a live cell with these controls sees."""
    seen: list[dict[str, Any]] = []

    def draw(**arguments: Any) -> None:
        seen.append(arguments)

    driver.drive(draw, **controls)
    return seen


def test_first_the_defaults_then_every_control_at_its_ends(
    driver: ModuleType,
) -> None:
    seen = calls(driver, name=["cat", "cup", "camera"], scale=(0.5, 2, 0.5))
    start = seen[0]
    assert start["name"] == "cat"
    assert 0.5 < start["scale"] < 2
    assert seen[1:] == [
        {**start, "name": "cup"},
        {**start, "name": "camera"},
        {**start, "scale": 0.5},
        {**start, "scale": 2.0},
    ]


def test_other_kinds_of_controls(driver: ModuleType) -> None:
    assert [c["on"] for c in calls(driver, on=True)] == [True, False]
    pairs = [("small", 2), ("large", 8)]
    assert [c["size"] for c in calls(driver, size=pairs)] == [2, 8]
    rows = [c["row"] for c in calls(driver, row=(0, 11))]
    assert (rows[0], *rows[1:]) == (5, 0, 11)


def test_defaults_of_the_function_come_first(driver: ModuleType) -> None:
    seen: list[int] = []

    @driver.drive(n=(0, 4))
    def draw(n: int = 3) -> None:
        seen.append(n)

    assert seen == [3, 0, 4]


def test_an_exception_at_one_end_is_raised(driver: ModuleType) -> None:
    with pytest.raises(ZeroDivisionError):
        driver.drive(lambda n: 1 / (4 - n), n=(0, 4))


def test_figures_are_closed_and_calls_are_told(driver: ModuleType) -> None:
    import matplotlib.pyplot as plt

    driver.drive(lambda n: plt.figure(), n=(0, 4))
    assert plt.get_fignums() == []
    told = json.loads(driver.report())
    assert told["live"] == ["<lambda>"]
    assert [call[:2] for call in told["calls"]] == [
        [1, "{'n': 2}"],
        [1, "{'n': 0}"],
        [1, "{'n': 4}"],
    ]
