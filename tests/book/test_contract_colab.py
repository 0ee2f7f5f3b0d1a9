"""Each notebook alone: an empty folder, the wheel, Colab's usual packages.

What runs is the Colab edition, with the checks of the numbers in its prose and
with every control of its live cell turned to its ends.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from importlib.metadata import (
    PackageNotFoundError,
    packages_distributions,
    requires,
)
from pathlib import Path
from types import SimpleNamespace

import colab
import lint
import nbformat
import notebooks
import prose
import pytest
import wheels
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOM = Path(__file__).with_name("room")
PARTS = {"foundations", "reach", "cost", "compare"}
# Of what Colab has, what the book uses; with it comes what it needs.
USUAL = ("ipykernel", "ipywidgets", "matplotlib", "numpy", "scikit-image")
USUAL += ("torch",)
SECONDS = 10  # of the processor, for one turn of a control


def needed(names: tuple[str, ...]) -> set[str]:
    """Return distributions and all that they require."""
    found: set[str] = set()
    rest = list(names)
    while rest:
        name = canonicalize_name(rest.pop())
        if name in found:
            continue
        found.add(name)
        try:
            texts = requires(name) or []
        except PackageNotFoundError:
            continue
        for need in map(Requirement, texts):
            if need.marker is None or need.marker.evaluate({"extra": ""}):
                rest.append(need.name)
    return found


def blocked() -> set[str]:
    """Return the modules that are installed here and not usual in Colab."""
    usual = needed(USUAL)
    return {
        module
        for module, owners in packages_distributions().items()
        if not usual & {canonicalize_name(o) for o in owners}
    } - {"attnlib"}


class Room:
    """Where notebooks run as in Colab."""

    def __init__(self, wheel: Path) -> None:
        self.wheel = wheel
        self.environment = {
            **{k: v for k, v in os.environ.items() if k[:6] != "PYTEST"},
            **notebooks.ENVIRONMENT,
            "PYTHONPATH": os.pathsep.join([str(ROOM), str(wheel)]),
            "ROOM_BLOCKED": ",".join(blocked()),
            "ROOM_REPOSITORY": str(lint.ROOT),
            "ROOM_WHEEL": str(wheel),
        }
        self.environment.pop("MPLBACKEND", None)

    def run(self, notebook: NotebookNode, folder: Path) -> SimpleNamespace:
        """Execute a notebook in a folder; return what it and we saw."""
        whole = nbformat.from_dict(notebook)
        whole.cells = [
            new_code_cell("__import__('live_controls').install()"),
            *whole.cells,
            new_code_cell("print(__import__('live_controls').report())"),
        ]
        (folder / "page.ipynb").write_text(nbformat.writes(notebook))
        client = NotebookClient(
            whole,
            timeout=notebooks.CELL_SECONDS,
            kernel_name="python3",
            resources={"metadata": {"path": str(folder)}},
        )
        start = time.perf_counter()
        client.execute(env=self.environment)
        seen = json.loads(whole.cells[-1].outputs[0].text)
        stderr = [
            output.text
            for cell in whole.cells
            for output in cell.get("outputs", [])
            if output.get("name") == "stderr"
        ]
        return SimpleNamespace(
            **seen,
            notebook=whole,
            stderr=stderr,
            seconds=time.perf_counter() - start,
            outside=[
                file
                for file in seen["attnlib"].values()
                if not Path(file).is_relative_to(self.wheel)
            ],
        )


@pytest.fixture(scope="session")
def room(tmp_path_factory: pytest.TempPathFactory) -> Room:
    target = tmp_path_factory.mktemp("colab") / "wheel"
    return Room(wheels.install(wheels.wheel(tmp_path_factory), target))


@pytest.fixture(scope="module")
def book() -> colab.Book:
    return colab.book(
        lint.ROOT, "alice/fork", "main", "colab", lambda path: None
    )


@pytest.mark.parametrize(
    "path",
    notebooks.every(),
    ids=lambda path: f"{path.parent.name}-{path.stem}",
)
def test_a_notebook_runs_alone(
    path: Path,
    room: Room,
    book: colab.Book,
    tmp_path: Path,
    record_property: Callable[[str, object], None],
) -> None:
    place = path.relative_to(lint.ROOT).as_posix()
    checked = prose.with_checks(nbformat.read(path, as_version=4))
    seen = room.run(colab.edition(checked, place, book), tmp_path)
    record_property("seconds", round(seen.seconds, 1))
    record_property("calls of the live cell", seen.calls)
    assert not seen.stderr, seen.stderr
    assert seen.attnlib, "attnlib was not used"
    assert not seen.outside, f"not from the wheel: {seen.outside}"
    assert seen.folder == ["page.ipynb"], f"left behind: {seen.folder}"
    wrong = [str(v) for v in prose.verdicts(seen.notebook) if not v.ok]
    assert not wrong, "\n".join(wrong)
    live = sum(
        cell.source.startswith("# Live:") for cell in seen.notebook.cells
    )
    assert len(seen.live) == live == (path.parent.name in PARTS)
    slow = [call for call in seen.calls if call[2] > SECONDS]
    assert not slow, f"too slow to be live: {slow}"


def small(*sources: str) -> NotebookNode:
    return new_notebook(cells=[new_code_cell(source) for source in sources])


def test_what_colab_lacks_is_missing_in_the_room() -> None:
    names = blocked()
    assert {"pytest", "nbval", "nbclient", "sphinx", "jupyter_book"} <= names
    assert not names & {"torch", "numpy", "matplotlib", "skimage", "IPython"}


def test_the_room_has_no_network_no_repository_and_no_other_package(
    room: Room, tmp_path: Path
) -> None:
    refused = (
        "try:\n    {}\nexcept {}:\n    pass\nelse:\n    raise AssertionError"
    )
    seen = room.run(
        small(
            refused.format("import pytest", "ModuleNotFoundError"),
            refused.format("import sphinx.util", "ModuleNotFoundError"),
            refused.format("import lint", "ModuleNotFoundError"),
            refused.format("import attnlib.nothing", "ModuleNotFoundError"),
            "import socket",
            refused.format(
                "socket.create_connection(('192.0.2.1', 80), 0.1)", "OSError"
            ),
            refused.format(
                "socket.create_connection(('host.invalid', 80))", "OSError"
            ),
            "import attnlib, sys\nprint(attnlib.__file__)",
            "sys.stderr.write('a warning'); None",
        ),
        tmp_path,
    )
    assert seen.attnlib
    assert not seen.outside
    assert seen.stderr == ["a warning"]
    assert seen.folder == ["page.ipynb"]


@pytest.mark.parametrize(
    "sources",
    [
        ["open('../figures/softmax-flow.svg')"],
        ["import nbformat"],
        [
            "# Live: fails at one end\n"
            "from ipywidgets import interact\n\n"
            "interact(lambda n: 1 / (4 - n), n=(0, 4))"
        ],
    ],
    ids=["relative file", "package", "live cell"],
)
def test_a_notebook_that_needs_more_fails(
    sources: list[str], room: Room, tmp_path: Path
) -> None:
    with pytest.raises(CellExecutionError):
        room.run(small(*sources), tmp_path)


def test_a_wrong_number_in_the_prose_is_found(
    room: Room, book: colab.Book, tmp_path: Path
) -> None:
    notebook = small("x = 27.83")
    notebook.cells += [
        new_markdown_cell("It is 27.8<!--= x --> or 27.9<!--= x -->.")
    ]
    checked = prose.with_checks(notebook)
    edition = colab.edition(checked, "book/foundations/x.ipynb", book)
    prosaic = [c.source for c in edition.cells if c.cell_type == "markdown"]
    assert prosaic == ["It is 27.8 or 27.9."]
    seen = room.run(edition, tmp_path)
    assert [v.ok for v in prose.verdicts(seen.notebook)] == [True, False]
