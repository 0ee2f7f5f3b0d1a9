"""nbval notices one changed digit in a stored output."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import lint
import nbformat
import notebooks
import pytest
import torch
from nbformat.v4 import new_code_cell, new_notebook

SANITIZE = lint.ROOT / "tests" / "nbval_sanitize.cfg"
PINNED = re.search(
    r"^torch==(\S+)",
    (lint.ROOT / "requirements.txt").read_text(),
    re.MULTILINE,
)
CHAPTER = lint.ROOT / "book" / "foundations" / "softmax.ipynb"


def nbval(path: Path) -> subprocess.CompletedProcess[str]:
    """Run nbval on one notebook as `make nbval` does."""
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "-p",
        "no:xdist",
    ]
    command += [
        "--nbval",
        "--nbval-current-env",
        "--nbval-cell-timeout",
        "300",
    ]
    command += [
        "--nbval-sanitize-with",
        str(SANITIZE),
        "--rootdir",
        str(path.parent),
        str(path),
    ]
    environment = {
        k: v for k, v in os.environ.items() if not k.startswith("PYTEST_")
    }
    environment |= notebooks.ENVIRONMENT | {"PYTHONPATH": str(lint.ROOT)}
    return subprocess.run(
        command,
        capture_output=True,
        text=True,
        env=environment,
        cwd=path.parent,
        check=False,
    )


def change_one_digit(path: Path, kind: str) -> None:
    """Change the first digit in the first output of this kind."""
    notebook = nbformat.read(path, as_version=4)
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            where = output if kind == "stream" else output.get("data", {})
            key = "text" if kind == "stream" else kind
            match = re.search(r"\d(?=\D*$)", where.get(key, ""))
            if match:
                text = where[key]
                digit = str((int(match[0]) + 1) % 10)
                where[key] = (
                    text[: match.start()] + digit + text[match.end() :]
                )
                nbformat.write(notebook, path)
                return
    raise AssertionError(f"no digit in any output of kind {kind}")


def test_a_changed_digit_is_noticed_in_each_kind_of_output(
    tmp_path: Path,
) -> None:
    """One small notebook; printed text, a result, a table, a figure."""
    cells = {
        "stream": "print(0.1234)",
        "text/plain": "[1, 2, 3]",
        "text/html": "from IPython.display import HTML\n\nHTML('<b>17</b>')",
        "image/svg+xml": (
            "import matplotlib.pyplot as plt\n\n"
            "from attnlib.plots import setup_notebook\n\n"
            "setup_notebook()\nplt.plot([1, 2])\nplt.show()"
        ),
    }
    path = tmp_path / "small.ipynb"
    nbformat.write(
        new_notebook(
            cells=[new_code_cell(source) for source in cells.values()]
        ),
        path,
    )
    assert notebooks.execute(path) is None
    clean = nbval(path)
    assert clean.returncode == 0, clean.stdout
    for kind in cells:
        change_one_digit(path, kind)
    found = nbval(path)
    assert found.returncode == 1
    assert f"{len(cells)} failed" in found.stdout, found.stdout


@pytest.mark.skipif(
    torch.__version__.split("+")[0] != (PINNED and PINNED[1]),
    reason=f"stored outputs were made with torch {PINNED and PINNED[1]}",
)
def test_a_changed_digit_in_a_chapter_is_noticed(tmp_path: Path) -> None:
    path = Path(shutil.copy(CHAPTER, tmp_path / CHAPTER.name))
    cells = sum(
        cell.cell_type == "code"
        for cell in nbformat.read(path, as_version=4).cells
    )
    change_one_digit(path, "text/plain")
    found = nbval(path)
    assert found.returncode == 1
    assert f"1 failed, {cells - 1} passed" in found.stdout, found.stdout
