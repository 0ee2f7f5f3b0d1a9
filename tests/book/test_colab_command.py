"""Around the Colab edition: drawings, the first cell, the repository."""

from __future__ import annotations

import base64
import importlib.util
import io
from pathlib import Path
from types import SimpleNamespace

import bookext
import colab
import lint
import nbformat
import notebooks
import pictures
import pytest
from IPython.core.inputtransformer2 import TransformerManager
from page_checks import absent
from PIL import Image


def test_drawings_are_painted_on_white_at_twice_their_size(
    tmp_path: Path,
) -> None:
    drawing = tmp_path / "a.svg"
    drawing.write_text(
        '<svg xmlns="http://www.w3.org/2000/svg" width="40" height="30">'
        '<rect width="20" height="30" fill="#b2182b"/></svg>'
    )
    with pictures.painter() as picture:
        address = picture(drawing)
    if address is None:
        absent("no Chromium: drawings stay links")
    kind, _, data = address.partition(",")
    assert kind == "data:image/png;base64"
    image = Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB")
    assert image.size == (80, 60)
    assert image.getpixel((5, 5)) == (0xB2, 0x18, 0x2B)
    assert image.getpixel((75, 55)) == (255, 255, 255)


def test_without_chromium_drawings_stay_links_and_it_is_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def missing() -> None:
        raise pictures.browser.Missing("no Chromium")

    monkeypatch.setattr(pictures.browser, "launched", missing)
    drawings = sorted((lint.ROOT / "book" / "figures").glob("*.svg"))[:2]
    with pictures.painter() as picture:
        assert [picture(drawing) for drawing in drawings] == [None, None]
    assert capsys.readouterr().err.count("no Chromium") == 1


@pytest.mark.parametrize("there", [False, True])
def test_the_first_cell_installs_only_where_attnlib_is_missing(
    there: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    notebook = nbformat.read(notebooks.every()[0], as_version=4)
    notebook.cells = notebook.cells[:1]
    source = (
        colab.edition(notebook, "book/x/y.ipynb", colab.Book("alice/fork"))
        .cells[0]
        .source
    )
    called: list[tuple[str, str]] = []
    shell = SimpleNamespace(run_line_magic=lambda *a: called.append(a[:2]))
    found = object() if there else None
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: found)
    exec(
        TransformerManager().transform_cell(source),
        {"get_ipython": lambda: shell},
    )
    place = "git+https://github.com/alice/fork"
    wanted = [("pip", f'install -q "attnlib[plots] @ {place}"')]
    assert called == ([] if there else wanted)


def test_the_repository_is_found_or_asked_for(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("GITHUB_REPOSITORY", raising=False)
    web = "https://github.com/ann/fork"
    assert colab.repository(None, web) == "ann/fork"
    assert colab.repository("bob/book", web) == "bob/book"
    for given, place in (
        (None, None),
        (None, "https://gitlab.com/ann/fork"),
        ("OWNER/NAME", None),
        ("fork", None),
    ):
        with pytest.raises(ValueError, match="OWNER/NAME"):
            colab.repository(given, place)
    monkeypatch.setattr(bookext, "repository", lambda folder: None)
    with pytest.raises(SystemExit):
        notebooks.main(["colab"])
    assert "set GITHUB_REPOSITORY=OWNER/NAME" in capsys.readouterr().err
    monkeypatch.setenv("GITHUB_REPOSITORY", "eve/copy")
    assert colab.repository(None, "https://ghe.org/eve/copy") == "eve/copy"
