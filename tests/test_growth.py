"""Figures of growth and of ratios, and the names of the stored results."""

import itertools
from pathlib import Path

import pytest

from attnlib import measured, plots

N = [64, 256, 1024, 4096]


@pytest.fixture
def drawn(monkeypatch):
    pyplot = pytest.importorskip("matplotlib.pyplot")
    monkeypatch.setattr(pyplot, "show", lambda: None)
    yield pyplot
    pyplot.close("all")


@pytest.mark.parametrize("points", [2, 3, 4])
def test_exponents_of_power_laws(drawn, points):
    x = N[:points]
    laws = {"flat": 0.0, "line": 1.0, "half": 1.5, "square": 2.0}
    curves = {name: (x, [7 * n**p for n in x]) for name, p in laws.items()}
    assert plots.show_growth(curves) == pytest.approx(laws, abs=1e-12)


def test_exponent_is_that_of_the_larger_half(drawn):
    """A constant hides the growth of the small maps."""
    values = [5000 + n**2 if n < 1000 else n**2 for n in N]
    found = plots.show_growth({"late": (N, values)})
    assert found["late"] == pytest.approx(2, abs=1e-12)
    early = plots.show_growth({"early": (N[:3], values[:3])})
    assert early["early"] < 1.9  # three points: all of them


def test_growth_draws_its_numbers(drawn):
    curves = {"map": (N, [n**2 for n in N]), "lean": (N, [9 * n for n in N])}
    plots.show_growth(curves, title="bytes")
    (axis,) = drawn.gcf().axes
    assert axis.get_title() == "bytes"
    assert (axis.get_xscale(), axis.get_yscale()) == ("log", "log")
    for line, (x, y) in zip(axis.lines, curves.values(), strict=True):
        assert list(line.get_xdata()) == x
        assert list(line.get_ydata()) == y
    names = [text.get_text() for text in axis.get_legend().get_texts()]
    assert names == ["map: $N^{2.00}$", "lean: $N^{1.00}$"]
    styles = {(line.get_linestyle(), line.get_color()) for line in axis.lines}
    assert len(styles) == 2


@pytest.mark.parametrize(
    ("curves", "message"),
    [
        ({str(k): (N, N) for k in range(5)}, "at most 4, got 5"),
        ({"point": ([64], [1])}, "'point' must have.*at least 2, got 1 and 1"),
        ({"good": (N, N), "short": (N, N[:3])}, "'short'.*got 4 and 3"),
    ],
)
def test_growth_refuses(drawn, curves, message):
    with pytest.raises(ValueError, match=message):
        plots.show_growth(curves)
    assert not drawn.get_fignums()


def test_ratios_draw_their_numbers(drawn):
    ratios = {
        "small": {"sdpa": 0.5, "chunked": 2.0},
        "large": {"chunked": 0.25, "sorted": 0.125},
    }
    plots.show_ratios(ratios, title="time over plain")
    (axis,) = drawn.gcf().axes
    assert axis.get_title() == "time over plain"
    assert [t.get_text() for t in axis.get_yticklabels()] == list(ratios)
    assert axis.yaxis_inverted()  # the first group on top
    found = {}
    for bars in axis.containers:
        for bar in bars:
            group = list(ratios)[round(bar.get_y() + bar.get_height() / 2)]
            found.setdefault(group, {})[bars.get_label()] = bar.get_width()
    assert found == ratios
    assert [t.get_text() for t in axis.texts] == ["0.5", "2", "0.25", "0.12"]
    assert [list(line.get_xdata()) for line in axis.lines] == [[1, 1]]
    edges = sorted((b.get_y(), b.get_height()) for b in axis.patches)
    for (y, height), (above, _) in itertools.pairwise(edges):
        assert y + height <= above  # no bar hides another


def test_ratios_refuse_a_fifth_kind(drawn):
    kinds = dict.fromkeys("abcde", 1.0)
    with pytest.raises(ValueError, match=r"at most 4 kinds of bars, got 5"):
        plots.show_ratios({"group": kinds})
    assert not drawn.get_fignums()


def test_names_of_stored_results():
    files = Path(measured.__file__).parent.glob("*.json")
    assert measured.names() == sorted(file.stem for file in files)
    for name in measured.names():
        assert measured.load(name)["rows"]


@pytest.mark.parametrize("name", ["gpuu", "", "cpu.json", 1])
def test_unknown_result(name):
    with pytest.raises(ValueError, match=f"name must be one of.*{name!r}"):
        measured.load(name)
