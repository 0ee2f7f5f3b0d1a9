"""The wheel holds the package alone and works with torch alone."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import lint
import pytest

# A name that is None in sys.modules cannot be imported: a machine that has
# torch and nothing else.
FRESH = """
import sys

BLOCKED = "numpy matplotlib matplotlib_inline ipywidgets IPython skimage PIL"
for name in BLOCKED.split():
    sys.modules[name] = None
sys.path.insert(0, sys.argv[1])

import torch
import attnlib

assert attnlib.__file__.startswith(sys.argv[1]), attnlib.__file__
x = torch.randn(2, 8, 5, 7)
assert attnlib.NonLocal(8)(x).shape == x.shape
print("ok", attnlib.__version__)
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel from a copy: no build folder appears in the tree."""
    source = tmp_path_factory.mktemp("source")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(lint.ROOT / name, source)
    for name in ("attnlib", "book/_tools", "tests/book"):
        ignore = shutil.ignore_patterns("__pycache__")
        shutil.copytree(lint.ROOT / name, source / name, ignore=ignore)
    command = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "-q",
        "--no-deps",
        "--no-build-isolation",
    ]
    command += [
        "--disable-pip-version-check",
        "-w",
        str(source / "dist"),
        str(source),
    ]
    subprocess.run(command, check=True, capture_output=True, text=True)
    return next((source / "dist").glob("attnlib-*.whl"))


def test_wheel_holds_the_package_alone(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    top = {name.split("/")[0] for name in names}
    assert {name for name in top if not name.endswith(".dist-info")} == {
        "attnlib"
    }
    assert "attnlib/py.typed" in names
    tracked = {
        path.relative_to(lint.ROOT).as_posix()
        for path in (lint.ROOT / "attnlib").rglob("*.py")
    }
    assert {name for name in names if name.endswith(".py")} == tracked


def test_wheel_needs_torch_alone(wheel: Path) -> None:
    archive = zipfile.ZipFile(wheel)
    metadata = next(
        n for n in archive.namelist() if n.endswith(".dist-info/METADATA")
    )
    lines = archive.read(metadata).decode().splitlines()
    needs = [line for line in lines if line.startswith("Requires-Dist:")]
    assert [line for line in needs if "extra ==" not in line] == [
        "Requires-Dist: torch>=2.4"
    ]
    upper = [line for line in needs if "<" in line]
    assert all("jupyter-book" in line for line in upper), upper


def test_wheel_runs_with_torch_alone(wheel: Path, tmp_path: Path) -> None:
    target = tmp_path / "target"
    command = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "-q",
        "--no-deps",
        "--no-index",
    ]
    command += [
        "--disable-pip-version-check",
        "--target",
        str(target),
        str(wheel),
    ]
    subprocess.run(command, check=True, capture_output=True, text=True)
    command = [sys.executable, "-I", "-W", "ignore", "-c", FRESH, str(target)]
    result = subprocess.run(
        command, capture_output=True, text=True, cwd=tmp_path, check=False
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith("ok ")
