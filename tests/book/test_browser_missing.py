"""Without Playwright or Chromium a message says what to install.

These tests start Playwright themselves: no module's browser runs here.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import browser as tools
import page_checks
import pytest


def test_without_playwright(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tools.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(tools.Missing, match="pip install playwright"):
        tools.launched().__enter__()


def test_without_chromium(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    pytest.importorskip("playwright")
    monkeypatch.delenv("CHROME", raising=False)
    monkeypatch.setattr(tools.shutil, "which", lambda name: None)
    monkeypatch.setenv("PLAYWRIGHT_BROWSERS_PATH", str(tmp_path))
    with pytest.raises(tools.Missing, match="apt install chromium"):
        tools.launched().__enter__()
    # The event loop is free again.
    assert asyncio.run(asyncio.sleep(0, "free")) == "free"


def test_what_is_absent_is_skipped_but_not_in_ci(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match="no pages"):
        page_checks.absent("no pages")
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="no pages"):
        page_checks.absent("no pages")


def test_a_program_is_chosen_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CHROME", raising=False)
    have = {"google-chrome": "/opt/chrome"}
    monkeypatch.setattr(tools.shutil, "which", have.get)
    assert tools.program() == "/opt/chrome"
    have.clear()
    assert tools.program() is None
    monkeypatch.setenv("CHROME", "nowhere")
    with pytest.raises(tools.Missing, match="nowhere"):
        tools.program()
