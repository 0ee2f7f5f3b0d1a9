"""What a stamp says must be possible; a run replaces it where it is not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import stamps

PINS = """\
torch==9.8.7  # as in the stamp
numpy==1.2.3; python_version < "3.0"
nbval==0.0.1
pillow>=1
"""
IMPOSSIBLE = {
    "no JSON": ("{", "is no stamp"),
    "a list": ([], "is no stamp"),
    "a date to come": ({"date": "2999-01-01"}, "says the date 2999-01-01"),
    "no date": ({"date": "2026-02-30"}, "says the date 2026-02-30"),
    "another kind of date": ({"date": "20260228"}, "says the date 20260228"),
    "no time": ({"seconds": 0}, "says 0 seconds"),
    "less than no time": ({"seconds": -3}, "says -3 seconds"),
    "half a day": ({"seconds": 43_200}, "says 43200 seconds"),
    "a time in words": ({"seconds": "5"}, "says 5 seconds"),
    "true for a time": ({"seconds": True}, "says True seconds"),
    "no versions": ({"versions": None}, "says no versions"),
    "no Python": ({"versions": {"torch": "9.8.7"}}, "says python None"),
    "another torch": (
        {"versions": {"python": "3.11", "torch": "9.8.6"}},
        "says torch 9.8.6, requirements.txt 9.8.7",
    ),
    "no torch": ({"versions": {"python": "3.11"}}, "says torch None, req"),
}


@pytest.mark.parametrize(
    ("planted", "fault"), IMPOSSIBLE.values(), ids=IMPOSSIBLE
)
def test_a_stamp_that_cannot_be_is_found_and_replaced(
    planted: Any, fault: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "requirements.txt").write_text(PINS)
    used = {"python": "3.11", "torch": "9.8.7", "numpy": "2.0"}
    monkeypatch.setattr(stamps, "versions", lambda: used)
    path = tmp_path / "book" / "part" / "x.ipynb"
    path.parent.mkdir(parents=True)
    path.write_text("{}")
    assert stamps.write(path, 3)
    assert stamps.complaint(path) is None
    file = stamps.place(path)
    if isinstance(planted, dict):
        planted = stamps.read(path) | planted
    text = planted if isinstance(planted, str) else json.dumps(planted)
    file.write_text(text)
    assert f"its stamp {fault}" in str(stamps.complaint(path))
    assert stamps.write(path, 3)
    assert stamps.complaint(path) is None


def test_torch_is_pinned() -> None:
    pinned = stamps.pins(stamps.ROOT / "requirements.txt", "3.11")
    assert set(pinned) == set(stamps.PACKAGES)
