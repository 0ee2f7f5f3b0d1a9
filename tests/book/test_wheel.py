"""The wheel holds the package alone and works with torch alone."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import lint
import pytest
import wheels

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
    return wheels.wheel(tmp_path_factory)


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
    target = wheels.install(wheel, tmp_path / "target")
    command = [sys.executable, "-I", "-W", "ignore", "-c", FRESH, str(target)]
    result = subprocess.run(
        command, capture_output=True, text=True, cwd=tmp_path, check=False
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith("ok ")
