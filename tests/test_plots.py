"""Explorer, shape table, cost figure: bytes, limits, numbers, messages."""

import base64
import io
import json
import re

import numpy as np
import pytest
import torch
from PIL import Image

import attnlib
from attnlib import maps, plots
from attnlib.plots import _encode

SIZE = (3, 4)
LOOK = "Look at <that> & this."


@pytest.fixture
def image():
    torch.manual_seed(0)
    return torch.rand(3, 9, 12, dtype=torch.float64)


@pytest.fixture
def attention():
    torch.manual_seed(1)
    return torch.randn(2, 12, 12, dtype=torch.float64).softmax(-1)


def explore(image, attention, **options):
    options = {"size": SIZE, "query": (1, 2), "look": LOOK, **options}
    if attention.shape[-3:-2] == (2,) and "parameter" not in options:
        options = {"parameter": "head", "values": ["a", "b"], **options}
    return plots.explore(image, attention, **options)


def content(figure):
    found = re.findall(
        r'<script type="application/json">(.*?)</script>', figure.html, re.S
    )
    assert len(found) == 1
    return json.loads(found[0])


def weights(data):
    """Decode the weights as the script does, bit by bit, in another way."""
    stream = "".join(f"{b:08b}" for b in base64.b64decode(data["weights"]))
    n, bits = data["rows"] * data["columns"], data["bits"]
    groups = max(1, len(data["names"]))
    levels = [
        int(stream[k : k + bits], 2)
        for k in range(0, groups * n * n * bits, bits)
    ]
    levels = torch.tensor(levels, dtype=torch.float64).view(groups, n, n)
    top = 2**bits - 1
    half = (top - 1) / 2
    return (levels - half) / half if any(data["negative"]) else levels / top


@pytest.mark.parametrize("signed", [False, True])
def test_weights_survive_within_half_a_level(
    monkeypatch, image, attention, signed
):
    """The tighter the limit, the fewer bits; never more bytes."""
    if signed:
        attention = attention - attention.mean()
    wanted = attention / attention.abs().amax(-1, keepdim=True)
    whole = len(explore(image, attention).html.encode())
    seen = set()
    for limit in range(whole - 160, whole + 160, 20):
        monkeypatch.setattr(plots.explorer, "MAX_BYTES", limit)
        figure = explore(image, attention)
        data = content(figure)
        assert len(figure.html.encode()) <= limit
        assert any(data["negative"]) == signed
        seen.add(bits := data["bits"])
        step = 1 / (2 ** (bits - 1) - 1) if signed else 1 / (2**bits - 1)
        assert (weights(data) - wanted).abs().max() <= step / 2 + 1e-6
    assert seen == set(range(3, 9))


def test_too_many_weights_are_refused(monkeypatch, image, attention):
    monkeypatch.setattr(plots.explorer, "MAX_BYTES", 9_000)
    with pytest.raises(ValueError, match="attention has 288 weights"):
        explore(image, attention)
    monkeypatch.undo()
    n = 24 * 32
    flat = torch.full((n, n), 1 / n, dtype=torch.float64)
    with pytest.raises(ValueError, match="average the map"):
        explore(image, flat, size=(24, 32))


@pytest.mark.parametrize(("groups", "size"), [(1, (16, 16)), (4, (12, 16))])
def test_the_largest_useful_maps_fit(groups, size):
    n = size[0] * size[1]
    attention = torch.rand(groups, n, n, dtype=torch.float64)
    options = (
        {"parameter": "head", "values": list("abcd")} if groups > 1 else {}
    )
    picture = plots.photograph("astronaut", (48, 48))
    figure = explore(picture, attention, size=size, **options)
    assert len(figure.html.encode()) <= 120_000
    print(
        f"{groups} map(s) of {n} positions: "
        f"{len(figure.html.encode()):,} bytes, "
        f"{content(figure)['bits']} bits a weight"
    )


def test_numbers_are_those_of_the_map(image, attention):
    data = content(explore(image, attention))
    for name, values in (
        ("largest", attention.amax(-1)),
        ("entropy", maps.entropy(attention)),
        ("reach", maps.reach(attention, SIZE)),
    ):
        found = torch.tensor([float(w) for w in data[name].split(" ")])
        torch.testing.assert_close(
            found.double(), values.flatten(), rtol=5e-3, atol=0
        )
    assert data["sum"] == "1"  # all alike: one number
    best = [int(word) for word in data["top"].split(" ")]
    assert best == attention.argmax(-1).flatten().tolist()


def test_rounding_never_changes_the_bytes(image, attention):
    """Another processor differs in the last bits of a float64."""
    ties = torch.zeros(12, 12, dtype=torch.float64)
    ties[:, 3] = ties[:, 5] = 0.5  # equal largest
    ties[:, 0] = 0.25  # 127.5 of 255 levels
    ties[0, 1:3] = 0.03125 / 2  # halves in the last digit shown
    signed = ties - torch.roll(ties, 1, 1)  # rows sum to zero
    peaked = (60 * torch.randn(12, 12, dtype=torch.float64)).softmax(-1)
    for A in (attention, ties, signed, peaked, torch.eye(12).double()):
        torch.manual_seed(2)
        shaken = A * (1 + 1e-14 * torch.randn_like(A))
        shaken += 1e-17 * torch.randn_like(A) * (A > 1e-3)
        assert explore(image, A).html == explore(image, shaken).html
        assert explore(image, A).text == explore(image, shaken).text


def test_first_state_is_told_in_words(image, attention):
    figure = explore(image, attention, start=1)
    row = attention[1, 1 * 4 + 2]
    best = int(row.argmax())
    text = figure.text
    assert text.startswith(f"Explorer, 3 x 4 positions, head: a, b. {LOOK}")
    assert "head: b. Query: row 1, column 2. " in text
    assert (
        f"Largest weight {row.max():.3g} at row {best // 4}, column {best % 4}"
        in text
    )
    assert f"Entropy {maps.entropy(attention)[1, 6]:.3g}, as if" in text
    bundle = figure._repr_mimebundle_()
    assert bundle == {"text/html": figure.html, "text/plain": figure.text}


def test_a_row_without_weight(image):
    figure = explore(image, torch.zeros(12, 12, dtype=torch.float64))
    assert "It gives no weight to any position." in figure.text
    assert set(content(figure)["entropy"].split(" ")) == {"nan"}


def test_page_is_self_contained_and_escaped(image, attention):
    name = "</script><b>"
    html = explore(image, attention, values=[name, "b"], alt='A "sky".').html
    assert "Look at &lt;that&gt; &amp; this." in html
    assert name not in html
    assert 'alt="A &quot;sky&quot;."' in html
    assert not re.search(r"https?:|\bid=|src=\"(?!data:)|@import", html)
    assert html.count("<script") == html.count("</script>") == 2
    assert (
        "//"
        not in re.sub(r"base64,[\w+/=]+", "", html).split(
            '"application/json"'
        )[0]
    )


def test_still_picture_is_what_the_script_draws(image, attention):
    """Two PNGs that any decoder reads: picture, and weights over it."""
    html = explore(image, attention).html
    sources = re.findall(r'src="data:image/png;base64,([^"]+)"', html)
    picture, still = (
        np.asarray(Image.open(io.BytesIO(base64.b64decode(s))))
        for s in sources
    )
    wanted = (255 * image).round().to(torch.uint8).movedim(0, -1).numpy()
    assert (picture == wanted).all()
    assert still.shape == (6, 8, 3)
    row = attention[0, 6].view(SIZE)
    r, c = divmod(int(row.argmax()), 4)
    assert (
        still[2 * r : 2 * r + 2, 2 * c : 2 * c + 2] == (33, 102, 172)
    ).all()


def test_png_of_more_than_one_stored_block():
    torch.manual_seed(0)
    pixels = torch.randint(0, 256, (200, 150, 3), dtype=torch.uint8)
    data = base64.b64decode(_encode.png(pixels).split(",")[1])
    assert (np.asarray(Image.open(io.BytesIO(data))) == pixels.numpy()).all()


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"image": torch.rand(4, 9, 12)}, ValueError, "image must be"),
        ({"image": 2 + torch.rand(3, 9, 12)}, ValueError, r"all in \[0, 1\]"),
        ({"image": "cat"}, TypeError, "image must be a tensor"),
        ({"attention": torch.rand(12, 11)}, ValueError, "attention must be"),
        ({"attention": torch.rand(2, 1, 12, 12)}, ValueError, "attention"),
        ({"attention": torch.ones(12, 12).long()}, TypeError, "floating"),
        ({"size": (4, 4)}, ValueError, "N = 16 for size"),
        ({"attention": torch.full((12, 12), torch.nan)}, ValueError, "finite"),
        (
            {"attention": torch.full((12, 12), -torch.inf)},
            ValueError,
            "finite",
        ),
        ({"image": torch.rand(3, 0, 4)}, ValueError, "must have pixels"),
        ({"start": True}, ValueError, "start must be below 2"),
        ({"values": [0.1, 1.0]}, TypeError, "values must be strings"),
        ({"query": (3, 0)}, ValueError, "query must lie inside"),
        ({"query": (0, -1)}, ValueError, "query must lie inside"),
        ({"start": 2}, ValueError, "start must be below 2"),
        ({"values": ["a"]}, ValueError, "values must name the 2 maps"),
        ({"parameter": None, "values": []}, ValueError, "values must name"),
    ],
)
def test_bad_arguments(image, attention, change, error, message):
    options = {"image": image, "attention": attention, **change}
    with pytest.raises(error, match=message):
        explore(**options)


def test_one_map_takes_no_parameter(image, attention):
    with pytest.raises(ValueError, match="values must name the 1 maps"):
        explore(image, attention[0], parameter="head", values=["a"])
    four = explore(image, attention[None])
    assert four == explore(image, attention)
    # Other types and other devices' tensors arrive as float64.
    half = explore(image, attention.half().requires_grad_())
    assert half == explore(image, attention.half().double())


def test_a_look_cannot_take_the_place_of_the_data(image, attention):
    figure = explore(image, attention, look="@DATA@")
    assert "<figcaption>@DATA@</figcaption>" in figure.html
    assert content(figure)["rows"] == 3


def test_all_alike_are_as_many_as_there_are(image):
    """The exponential of a rounded entropy would count 257."""
    n = 16 * 16
    flat = torch.full((n, n), 1 / n, dtype=torch.float64)
    figure = explore(image, flat, size=(16, 16))
    assert "as if 256 positions shared equally" in figure.text


def test_a_tall_map_stays_on_the_screen(image):
    attention = torch.eye(40, dtype=torch.float64)
    figure = explore(image, attention, size=(40, 1), query=(7, 0))
    assert figure.html.count('style="max-width:0.8rem"') == 2
    assert "as if 1 position shared equally" in figure.text


def test_shape_trace():
    block = attnlib.SelfAttention(4)
    table = plots.shape_trace(block, torch.zeros(1, 4, 3, 5))
    x = "1 x 4 x 3 x 5"
    assert table.rows == tuple((n, "Conv2d", x, x, 20) for n in "fgho")
    assert repr(table).splitlines()[0].split() == list(plots.trace.HEAD)
    assert len(repr(table).splitlines()) == 5
    html = table._repr_html_()
    assert html.count("<tr>") == 5
    assert '<th scope="row"><code>f</code></th>' in html
    # The hooks are gone, and so is the graph.
    assert all(not m._forward_hooks for m in block.modules())


def test_shape_trace_shows_a_layer_as_often_as_it_runs():
    class Twice(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.norm = torch.nn.LSTM(2, 3, batch_first=True)
            self.act = torch.nn.ReLU()

        def forward(self, x):
            return self.act(self.act(self.norm(x)[0]))

    rows = plots.shape_trace(Twice(), torch.zeros(1, 7, 2)).rows
    assert [row[0] for row in rows] == ["norm", "act", "act"]
    assert rows[0][3] == "1 x 7 x 3, 1 x 1 x 3, 1 x 1 x 3"
    with pytest.raises(TypeError, match="module must be an nn"):
        plots.shape_trace(abs)


@pytest.fixture
def drawn(monkeypatch):
    pyplot = pytest.importorskip("matplotlib.pyplot")
    monkeypatch.setattr(pyplot, "show", lambda: None)
    yield pyplot
    pyplot.close("all")


def test_show_cost_fits_the_exponents(drawn):
    block = attnlib.NonLocal(64, norm=False, pairwise="dot_product")
    found = plots.show_cost(
        {"map": (block, "reference"), "bracket": (block, "associative")},
        [64, 128, 256, 512],
    )
    assert set(found) == {"macs", "kept_bytes"}
    assert 1.95 < found["macs"]["map"] < 2
    assert found["macs"]["bracket"] == pytest.approx(1, abs=1e-9)
    assert len(drawn.gcf().axes) == 2
    with pytest.raises(ValueError, match="fields must be one of"):
        plots.show_cost({"map": (block, None)}, [8, 16], fields=["seconds"])
    with pytest.raises(ValueError, match="sides at least 2"):
        plots.show_cost({"map": (block, None)}, [8])


def test_show_images_refuses_lists_of_another_length(drawn):
    pictures = [torch.rand(3, 4), torch.rand(3, 3, 4)]
    plots.show_images(pictures, ["a", "b"], marks=[(0, 1), None], columns=1)
    with pytest.raises(ValueError, match="titles must have 2 entries"):
        plots.show_images(pictures, ["a"])
    with pytest.raises(ValueError, match="image 0 must be"):
        plots.show_images([torch.rand(2, 3, 4)])


def test_photograph_messages():
    with pytest.raises(ValueError, match="did you mean 'coffee'"):
        plots.photograph("cofee", (4, 4))
    with pytest.raises(ValueError, match="size must lie between"):
        plots.photograph("cat", (4000, 4))
