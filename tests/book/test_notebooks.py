"""The normal form drops what changes; the Colab edition stands alone."""

from __future__ import annotations

import colab
import notebooks
from nbformat.v4 import new_output
from test_lint import add_prose, good


def test_normalising_twice_changes_nothing() -> None:
    once = notebooks.normalise(good())
    assert notebooks.dump(notebooks.normalise(once)) == notebooks.dump(once)


def test_normal_form_drops_what_changes_from_run_to_run() -> None:
    notebook = good()
    notebook.metadata["widgets"] = {"state": {"0f3a": 1}}
    cell = notebook.cells[2]
    cell.id, cell.metadata["execution"] = (
        "f81d4fae",
        {"iopub.execute_input": "12:00"},
    )
    cell.outputs = [
        new_output("stream", name="stdout", text="a"),
        new_output("stream", name="stdout", text="b"),
        new_output(
            "error", ename="E", evalue="no", traceback=["File /home/ann/x.py"]
        ),
        new_output("display_data", {notebooks.WIDGET: {"model_id": "0f3a"}}),
    ]
    text = notebooks.dump(notebooks.normalise(notebook))
    for volatile in ("0f3a", "f81d4fae", "12:00", "/home/ann"):
        assert volatile not in text
    assert '"ab"' in text
    assert '"E: no"' in text


def test_colab_edition_stands_alone() -> None:
    notebook = good()
    add_prose(
        "![a map of cats](../figures/a.svg), [softmax](softmax.ipynb#eq-one), "
        "[terms](../back/glossary.md), [site](https://pytorch.org), "
        "[here](#a-title)"
    )(notebook)
    urls = {
        "install": "ann/fork",
        "raw": "RAW",
        "blob": "BLOB",
        "colab": "COLAB",
    }
    edition = colab.edition(notebook, "book/foundations/x.ipynb", urls)
    assert "github.com/ann/fork" in edition.cells[0].source
    assert r"$$1 = 1 \tag{eq-one} $$" in edition.cells[1].source
    assert "So it (eq-one) is." in edition.cells[1].source
    assert edition.cells[-1].source == (
        "![a map of cats](RAW/book/figures/a.svg), "
        "[softmax](COLAB/book/foundations/softmax.ipynb#eq-one), "
        "[terms](BLOB/book/back/glossary.md), [site](https://pytorch.org), "
        "here"
    )
    assert "OWNER/NAME" in notebook.cells[0].source, (
        "the original must not change"
    )
