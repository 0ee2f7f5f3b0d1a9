"""The normal form drops what changes from run to run."""

from __future__ import annotations

import notebooks
from nbformat.v4 import new_output
from test_lint import good


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


def test_of_a_live_cell_no_output_is_stored() -> None:
    notebook = good()
    cell = notebook.cells[2]
    cell.source = "# Live: all\ndraw()"
    cell.outputs = [new_output("stream", name="stdout", text="drawn")]
    assert "drawn" in notebooks.dump(notebook)
    assert "drawn" not in notebooks.dump(notebooks.normalise(notebook))
