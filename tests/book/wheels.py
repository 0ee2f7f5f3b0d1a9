"""The wheel of attnlib, built once a test run, and folders that hold it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import lint
import pytest
from filelock import FileLock

PIP = (sys.executable, "-m", "pip", "--disable-pip-version-check", "-q")


def _pip(*arguments: object) -> None:
    command = [*PIP, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def _shared(factory: pytest.TempPathFactory) -> Path:
    """Return a folder that all workers of this test run see."""
    run = os.environ.get("PYTEST_XDIST_TESTRUNUID")
    base = factory.getbasetemp()
    folder = base.parent / f"wheel-{run}" if run else base / "wheel"
    folder.mkdir(exist_ok=True)
    return folder


def wheel(factory: pytest.TempPathFactory) -> Path:
    """Build the wheel from a copy: no build folder appears in the tree."""
    folder = _shared(factory)
    with FileLock(folder / "lock"):
        if not (found := list(folder.glob("dist/attnlib-*.whl"))):
            source = folder / "source"
            source.mkdir()
            for name in ("pyproject.toml", "README.md", "LICENSE"):
                shutil.copy(lint.ROOT / name, source)
            for name in ("attnlib", "book/_tools", "tests/book"):
                ignore = shutil.ignore_patterns("__pycache__")
                shutil.copytree(lint.ROOT / name, source / name, ignore=ignore)
            options = ("--no-deps", "--no-build-isolation")
            _pip("wheel", *options, "-w", folder / "dist", source)
            found = list(folder.glob("dist/attnlib-*.whl"))
    return found[0]


def install(wheel: Path, target: Path) -> Path:
    """Install the wheel alone into a folder; return the folder."""
    _pip("install", "--no-deps", "--no-index", "--target", target, wheel)
    return target
