"""The README's table and picture are what the library says today."""

from __future__ import annotations

import io

import links
import pytest
import readme
import systems
import torch
from cases import RECORDED
from PIL import Image, ImageChops

from attnlib import compare
from attnlib.catalog import CATALOG

TEXT = readme.README.read_text(encoding="utf-8")


def test_table() -> None:
    found = readme.TABLE.search(TEXT)
    assert found
    again = "run: python book/_tools/readme.py"
    assert found[0] == readme.table(), again


def test_what_the_text_says_of_the_table() -> None:
    (below,) = (p for p in TEXT.split("\n\n") if "*Compared with*" in p)
    assert f"within {RECORDED['atol']:.0e}" in below
    assert RECORDED["rtol"] == 0
    assert " × ".join(map(str, compare.SHAPE)) in below


@pytest.mark.parametrize("key", CATALOG)
def test_a_recorded_run_holds_the_class_named_first(key: str) -> None:
    found = set()
    for facts in readme.runs(key):
        for module in systems.modules():
            if facts["block"] in module.GOLDEN:
                block, _ = module.golden(facts, "auto")
                found |= {type(part) for part in block.modules()}
    assert CATALOG[key].cls in found


def test_every_recorded_run_is_in_one_row() -> None:
    files = (readme.ROOT / "tests" / "golden").rglob("*.json")
    named = [facts["block"] for key in CATALOG for facts in readme.runs(key)]
    assert len(named) == len(set(named)) == len(list(files))


def test_links() -> None:
    assert list(links.page_complaints(readme.README)) == []
    name = readme.PICTURE.relative_to(readme.ROOT).as_posix()
    assert f"]({name})" in TEXT


def test_picture() -> None:
    with (
        Image.open(readme.PICTURE) as stored,
        Image.open(io.BytesIO(readme.picture())) as drawn,
    ):
        assert stored.size == drawn.size
        differ = ImageChops.difference(stored, drawn).getextrema()
    assert set(differ) == {(0, 0)}, "run: python book/_tools/readme.py"


def test_titles_of_the_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = readme.rows()
    nonzero = {key: int(row.count_nonzero()) for key, row in rows.items()}
    height, width = readme.SIZE
    assert nonzero["san"] == 3 * 3
    assert nonzero["ccnet"] == height + width - 1
    assert rows["lightnl"].min() < 0 < rows["lightnl"].max()
    assert all(row.min() >= 0 for key, row in rows.items() if key != "lightnl")
    # The sky ends where the grass begins; the coat is left of the query.
    assert rows["nonlocal"][: height // 2].sum() > 0.95
    coat = (slice(12, 16), slice(4, 8))
    sky = (slice(0, 4), slice(0, 8))
    for key in ("nonlocal", "nlsa", "emanet"):
        assert rows[key][coat].mean() < rows[key][sky].mean() / 5, key
    assert rows["lightnl"][coat].max() < 0 < rows["lightnl"][sky].min()
    monkeypatch.setattr(readme, "QUERY", (15, 6))
    others = readme.rows()
    torch.testing.assert_close(others["gcnet"], rows["gcnet"])
    assert not torch.allclose(others["emanet"], rows["emanet"])
