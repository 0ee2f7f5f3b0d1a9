"""A run stamps a notebook, an edit makes the stamp stale, a page shows it."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable
from pathlib import Path

import nbformat
import notebooks
import pytest
import stamp
import stamps
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from sphinx.application import Sphinx
from sphinx.util.docutils import docutils_namespace

PROVEN = """\
# eq-one: by counting
from torch.testing import assert_close as close

close(1, 1)
assert 2 == 2"""
CHECK = '# x-1: your turn\ncheck("x-1", 1)'


def chapter() -> NotebookNode:
    """Return a notebook that asserts an equation, an exercise, a number."""
    return new_notebook(
        metadata=notebooks.METADATA,
        cells=[
            new_code_cell("%pip install nothing\nassert True"),
            new_markdown_cell(
                "# A title\n\n## A section\n\n$$0 = 0$$ (eq-zero)\n\n"
                "$$1 = 1$$ (eq-one)\n\nIt is 27.8<!--= x --> dB, not "
                "12.5<!--given: cited: table 2 -->."
            ),
            new_code_cell(PROVEN),
            new_code_cell("# eq-zero: nothing else\nassert 0 == 0"),
            new_code_cell(f"{CHECK}\n{CHECK}"),
            new_code_cell("x = ]  # meant"),
        ],
    )


def store(folder: Path, notebook: NotebookNode, name: str = "x") -> Path:
    path = folder / "book" / "part" / f"{name}.ipynb"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(notebooks.dump(notebooks.normalise(notebook)))
    return path


def test_every_notebook_has_a_stamp_of_its_stored_run() -> None:
    assert notebooks.every()
    found = {path.name: stamps.complaint(path) for path in notebooks.every()}
    assert {name: text for name, text in found.items() if text} == {}
    assert stamps.orphans(notebooks.every()[0].parents[1]) == []


def test_a_run_stamps_and_a_second_run_changes_nothing(tmp_path: Path) -> None:
    small = new_notebook(cells=[new_code_cell("print(1)")])
    paths = [store(tmp_path, small, name) for name in "ab"]
    assert notebooks.run(paths, 2) == 0
    for path in paths:
        assert stamps.complaint(path) is None
        found = stamps.read(path)
        assert re.fullmatch(r"\d{4}-\d\d-\d\d", found["date"])
        assert isinstance(found["seconds"], int)
        assert 1 <= found["seconds"] < 60
        assert {"python", "torch", "attnlib"} <= set(found["versions"])
    # As if the stored run had been another day: nothing changed since.
    file = stamps.place(paths[0])
    file.write_text(file.read_text().replace(found["date"], "2001-02-03"))
    kept = file.read_bytes()
    assert notebooks.run(paths[:1], 1) == 0
    assert file.read_bytes() == kept
    assert [p.name for p in file.parent.iterdir() if p.suffix != ".json"] == []


def test_a_changed_notebook_is_stamped_anew(tmp_path: Path) -> None:
    path = store(tmp_path, chapter())
    assert stamps.write(path, 3.6)
    assert stamps.read(path)["seconds"] == 4
    assert not stamps.write(path, 9.0)
    store(tmp_path, new_notebook())
    assert stamps.write(path, 0.1)
    assert stamps.read(path)["seconds"] == 1


def test_an_edited_notebook_a_missing_stamp_and_a_left_one_are_found(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = store(tmp_path, chapter())
    assert "no stamp" in str(stamps.complaint(path))
    stamps.write(path, 1)
    assert stamps.complaint(path) is None
    path.write_text(path.read_text().replace("by counting", "by decree"))
    complaint = str(stamps.complaint(path))
    command = "python book/_tools/notebooks.py run book/part/x.ipynb"
    assert complaint == f"changed since its stored run: {command}"
    assert notebooks.check([path]) == 1
    assert command in capsys.readouterr().out
    path.unlink()
    left = stamps.orphans(tmp_path / "book")
    assert [stamp.name for stamp in left] == ["x.json"]


def test_outside_a_book_nothing_is_stamped(tmp_path: Path) -> None:
    path = tmp_path / "x.ipynb"
    nbformat.write(new_notebook(), path)
    assert not stamps.write(path, 1)
    assert stamps.complaint(path) is None
    assert [p.name for p in tmp_path.rglob("*")] == ["x.ipynb"]


def test_what_a_page_asserts_is_counted() -> None:
    found = stamp.checked(chapter())
    assert found.cells == 5
    assert found.assertions == 4
    assert found.equations == (
        ("eq-zero", "nothing else"),
        ("eq-one", "by counting"),
    )
    assert found.exercises == ("x-1",)
    assert found.numbers == 1


Build = Callable[[str], tuple[str, str]]


@pytest.fixture
def build(tmp_path: Path) -> Build:
    """Build a book of one chapter; return its page and the warnings."""
    (tmp_path / "index.md").write_text(
        "# Book\n\n```{toctree}\n:numbered:\nbook/part/x\n```\n"
    )
    options = {
        "exclude_patterns": ["_*"],
        "extensions": ["myst_nb", "stamp"],
        "html_theme": "basic",
        "myst_enable_extensions": ["dollarmath"],
        "nb_execution_mode": "off",
        "nitpicky": True,
        "numfig": True,
    }

    def build(builder: str) -> tuple[str, str]:
        warnings = io.StringIO()
        out = tmp_path / "_out" / builder
        with docutils_namespace():
            app = Sphinx(
                tmp_path,
                None,
                out,
                tmp_path / "_trees",
                builder,
                options,
                status=None,
                warning=warnings,
            )
            app.build()
        page = "index" if builder == "singlehtml" else "book/part/x"
        return (out / f"{page}.html").read_text("utf-8"), warnings.getvalue()

    return build


@pytest.mark.parametrize("builder", ["html", "singlehtml"])
def test_the_page_ends_on_a_folded_box(
    builder: str, tmp_path: Path, build: Build
) -> None:
    path = store(tmp_path, chapter())
    stamps.write(path, 6.4)
    file = stamps.place(path)
    value = json.loads(file.read_text()) | {"date": "2026-03-01"}
    file.write_text(json.dumps(value))
    page, warnings = build(builder)
    assert warnings == ""
    box = re.search(r'<details class="stamp">.*?</details>', page, re.DOTALL)
    assert box is not None
    assert re.search(r"<h\d", box[0]) is None
    assert "<summary>How this page was checked</summary>" in box[0]
    text = re.sub(r"\s+", " ", re.sub(r"<[^>]+>", "", box[0]))
    for wanted in (
        "5 code cells, run in order on 1 March 2026 in about 6 s",
        "with Python 3.",
        "They make 4 assertions",
        "(1.1) nothing else",
        "(1.2) by counting",
        "1 exercise with a check of the answer: x-1",
        "1 number in the text",
    ):
        assert wanted in text
    link = re.search(r'href="([^"]*#equation-eq-one)">\(1\.2\)</a>', box[0])
    assert link is not None
    assert f'id="{link[1].partition("#")[2]}"' in page


def test_a_missing_or_stale_stamp_is_a_warning(
    tmp_path: Path, build: Build
) -> None:
    path = store(tmp_path, chapter())
    page, warnings = build("html")
    assert "no stamp" in warnings
    assert "<details" not in page
    stamps.write(path, 1)
    page, warnings = build("html")
    assert warnings == ""
    assert "<details" in page
    store(tmp_path, new_notebook(cells=[new_markdown_cell("# Other")]))
    page, warnings = build("html")
    assert "changed since its stored run" in warnings
    assert "notebooks.py run book/part/x.ipynb" in warnings
    assert "<details" not in page


def test_an_equation_that_is_not_there_is_a_warning(
    tmp_path: Path, build: Build
) -> None:
    notebook = chapter()
    notebook.cells[2].source = PROVEN.replace("eq-one", "eq-none")
    stamps.write(store(tmp_path, notebook), 1)
    assert "eq-none" in build("html")[1]
