"""The explorer answers mouse, touch and keyboard, wherever it is shown."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
import torch
from browser import record
from page_checks import accessibility, overflow, prepare

from attnlib import maps
from attnlib.plots import explore, photograph

SIZE = 6, 8
QUERY = 2, 3


@pytest.fixture(scope="module")
def attention() -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    scores = torch.randn(3, 48, 48, generator=generator, dtype=torch.float64)
    return (3 * scores).softmax(-1)


@pytest.fixture(scope="module")
def figure(attention: torch.Tensor) -> Any:
    return explore(
        photograph("coffee", (24, 32)),
        attention,
        size=SIZE,
        query=QUERY,
        look="The cup asks the cup.",
        parameter="head",
        values=["first", "second", "third"],
        start=1,
        alt="A cup of coffee.",
    )


def shown(page: Any) -> str:
    return page.locator(".attn-result").inner_text()


def state(page: Any) -> tuple[int, int]:
    found = re.search(r"Query: row (\d+), column (\d+)", shown(page))
    assert found
    return int(found[1]), int(found[2])


def expected(attention: torch.Tensor, head: int, r: int, c: int) -> list[str]:
    row = attention[head, 8 * r + c]
    best = divmod(int(row.argmax()), 8)
    return [
        f"Largest weight {row.max():.3g} at row {best[0]}, column {best[1]}.",
        f"Entropy {maps.entropy(attention)[head, 8 * r + c]:.3g},",
        f"Reach {maps.reach(attention, SIZE)[head, 8 * r + c]:.3g} steps.",
    ]


def pixels(page: Any) -> torch.Tensor:
    """Colours in the middle of each position of the drawn map, (H, W, 3)."""
    values = page.evaluate("""() => {
      const canvas = document.querySelector(".attn-map canvas");
      return [...canvas.getContext("2d").getImageData(
        0, 0, canvas.width, canvas.height).data];
    }""")
    image = torch.tensor(values).view(16 * SIZE[0], 16 * SIZE[1], 4)
    return image[8::16, 8::16, :3].double()


def blueness(page: Any) -> torch.Tensor:
    """Blue minus red: zero on the grey picture, most at the top weight."""
    image = pixels(page)
    return image[..., 2] - image[..., 0]


def at(page: Any, selector: str, r: int, c: int) -> tuple[float, float]:
    """Return the middle of a position in the window."""
    box = page.locator(selector).bounding_box()
    return (
        box["x"] + (c + 0.5) / SIZE[1] * box["width"],
        box["y"] + (r + 0.5) / SIZE[0] * box["height"],
    )


Open = Callable[..., Any]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_mouse(
    open_html: Open, figure: Any, attention: torch.Tensor, width: int,
    scheme: str,
) -> None:  # fmt: skip
    page = open_html(figure.html, width=width, scheme=scheme)
    # The first state: the script says what Python wrote.
    assert figure.text.endswith(shown(page))
    first = blueness(page)
    page.mouse.move(*at(page, ".attn-picture", 4, 4))
    assert state(page) == (4, 4)
    page.mouse.move(*at(page, ".attn-map", 3, 3))  # away: back it goes
    assert state(page) == QUERY
    page.mouse.click(*at(page, ".attn-picture", 5, 7))
    page.mouse.move(*at(page, ".attn-picture", 4, 4))
    page.mouse.move(*at(page, ".attn-map", 3, 3))
    assert state(page) == (5, 7)  # a click keeps it
    for words in expected(attention, 1, 5, 7):
        assert words in shown(page)
    now = blueness(page)
    assert not torch.equal(first, now)
    best = int(attention[1, 47].argmax())
    assert int(now.flatten().argmax()) == best
    # Over the map the weight is read and the query stays.
    page.mouse.move(*at(page, ".attn-map", *divmod(best, 8)))
    assert state(page) == (5, 7)
    note = page.locator(".attn-note").inner_text()
    weight = attention[1, 47].max().item()
    assert f"row {best // 8}, column {best % 8}: {weight:.2g}" in note
    # The red square stands on the query in both pictures.
    for selector in (".attn-picture", ".attn-map"):
        mark = page.locator(f"{selector} .attn-mark").bounding_box()
        x, y = at(page, selector, 5, 7)
        assert mark["x"] < x < mark["x"] + mark["width"]
        assert mark["y"] < y < mark["y"] + mark["height"]
    assert not record(page).errors
    assert not record(page).outside


def test_drawn_colours_are_the_weights(
    open_html: Open, figure: Any, attention: torch.Tensor
) -> None:
    """Blue over grey in proportion to the weight, to a few levels."""
    page = open_html(figure.html)
    row = attention[1, 8 * QUERY[0] + QUERY[1]].view(SIZE)
    share = row / row.max()
    image = pixels(page)
    # Red falls from the faded picture's grey g to 33, blue from g to 172.
    blue, red = image[..., 2], image[..., 0]
    grey = torch.where(
        share < 0.9, (red - 33 * share) / (1 - share).clamp(min=0.1), 0
    )
    assert (grey[share < 0.9] > 160).all()
    again = grey * (1 - share) + 172 * share
    assert (blue - again)[share < 0.9].abs().max() < 6
    top = image.view(-1, 3)[row.argmax()]
    assert top.tolist() == [33, 102, 172]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_touch(open_html: Open, figure: Any, scheme: str) -> None:
    page = open_html(
        figure.html, width=390, height=844, scheme=scheme, touch=True
    )
    page.touchscreen.tap(*at(page, ".attn-picture", 4, 1))
    assert state(page) == (4, 1)
    page.touchscreen.tap(*at(page, ".attn-picture", 0, 6))
    assert state(page) == (0, 6)
    page.touchscreen.tap(*at(page, ".attn-map", 3, 3))
    assert state(page) == (0, 6)
    note = page.locator(".attn-note")
    assert "row 3, column 3" in note.inner_text()
    # Another query: what was read is no longer true.
    page.touchscreen.tap(*at(page, ".attn-picture", 1, 1))
    assert note.inner_text() == "Red: the query. A click keeps it."


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_keyboard(
    open_html: Open, figure: Any, attention: torch.Tensor, scheme: str
) -> None:
    page = open_html(figure.html, scheme=scheme)
    page.keyboard.press("Tab")  # the picture
    assert page.evaluate("document.activeElement.className").endswith(
        "attn-picture"
    )
    for key in ("ArrowDown", "ArrowRight", "ArrowRight", "ArrowUp"):
        page.keyboard.press(key)
    assert state(page) == (QUERY[0], QUERY[1] + 2)
    for _ in range(10):  # the edge stops it
        page.keyboard.press("ArrowLeft")
        page.keyboard.press("ArrowUp")
    assert state(page) == (0, 0)
    # Sliders follow the picture, and lead it.
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.name") == "row"
    page.keyboard.press("ArrowRight")
    assert state(page) == (1, 0)
    page.keyboard.press("Tab")
    page.keyboard.press("End")
    assert state(page) == (1, 7)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.name") == "group"
    assert shown(page).startswith("head: second. ")
    page.keyboard.press("ArrowRight")
    assert shown(page).startswith("head: third. ")
    for words in expected(attention, 2, 1, 7):
        assert words in shown(page)
    slider = page.get_by_role("slider", name="head")
    assert slider.get_attribute("aria-valuetext") == "third"


def test_row_as_numbers(
    open_html: Open, figure: Any, attention: torch.Tensor
) -> None:
    page = open_html(figure.html)
    page.get_by_text("The row as numbers").click()
    cells = page.locator(".attn-table td").all_inner_texts()[1:]
    row = attention[1, 8 * QUERY[0] + QUERY[1]]
    found = torch.tensor(
        [0 if cell == "\u22480" else float(cell) for cell in cells]
    ).double()
    # Eight bits and two digits: half a step, and half a unit of the second.
    assert ((found - row).abs() <= row.max() / 510 + 0.05 * row).all()
    assert int(found.argmax()) == int(row.argmax())
    small = torch.tensor([cell == "\u22480" for cell in cells])
    assert torch.equal(small, row < row.max() / 510)
    note = page.locator(".attn-step").inner_text()
    assert "1/255 of the row's largest" in note
    page.locator(".attn-picture").focus()
    page.keyboard.press("ArrowDown")
    moved = page.locator(".attn-table td").all_inner_texts()[1:]
    assert moved != cells
    assert page.locator(".attn-table td.attn-here").count() == 1


def test_signed_weights_are_orange(open_html: Open) -> None:
    attention = torch.zeros(2, 48, 48, dtype=torch.float64)
    attention[:, :, 5], attention[0, :, 20] = 1.0, 0.5
    attention[0] *= -1  # the first map is negative throughout
    page = open_html(
        explore(
            photograph("coffee", (24, 32)), attention, size=SIZE, query=QUERY,
            look="Two weights.", parameter="sign", values=["minus", "plus"],
        ).html
    )  # fmt: skip
    image = pixels(page).view(48, 3)
    assert image[5].tolist() == [179, 88, 6]
    assert image[20, 0] > image[20, 2] + 40
    assert "Largest weight -1 at row 0, column 5. Sum -1.5." in shown(page)
    assert page.locator(".attn-low").inner_text() == "-1"
    assert page.locator(".attn-both").count() == 1
    page.get_by_role("slider", name="sign").press("ArrowRight")
    assert pixels(page).view(48, 3)[5].tolist() == [33, 102, 172]
    assert page.locator(".attn-low").inner_text() == "0"
    assert page.locator(".attn-both").count() == 0


def test_sandboxed_frame(open_html: Open, figure: Any) -> None:
    """Colab shows outputs in a frame that may run scripts and nothing else."""
    page = open_html(figure.html, sandbox=True)
    frame = page.frames[1]
    picture = frame.locator(".attn-picture")
    picture.focus()
    page.keyboard.press("ArrowDown")
    text = frame.locator(".attn-result").inner_text()
    assert f"Query: row {QUERY[0] + 1}, column {QUERY[1]}" in text
    assert frame.locator(".attn-map canvas").is_visible()
    assert not record(page).errors


def test_still_without_scripts(open_html: Open, figure: Any) -> None:
    page = open_html(figure.html, scripts=False)
    assert figure.text.endswith(shown(page))
    images = page.locator(".attn-frame img")
    assert images.count() == 2
    assert all(images.nth(n).is_visible() for n in (0, 1))
    for hidden in (".attn-controls", ".attn-explorer details", "canvas"):
        assert not page.locator(hidden).is_visible()
    assert page.locator(".attn-mark").count() == 2


def test_two_on_a_page_do_not_disturb_each_other(
    open_html: Open, figure: Any
) -> None:
    page = open_html(figure.html + figure.html)
    page.locator(".attn-picture").nth(1).focus()
    page.keyboard.press("ArrowDown")
    first, second = page.locator(".attn-result").all_inner_texts()
    assert f"Query: row {QUERY[0]}," in first
    assert f"Query: row {QUERY[0] + 1}," in second


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_nothing_overflows_and_axe_is_content(
    open_html: Open, figure: Any, width: int, scheme: str
) -> None:
    # axe takes a page without a background for white, also in the dark.
    ground = "<style>body { background: Canvas; color: CanvasText }</style>"
    page = open_html(ground + figure.html, width=width, scheme=scheme)
    prepare(page)  # opens the table, too
    assert page.locator(".attn-table table").is_visible()
    assert overflow(page) == []
    if width == 1280:  # axe cannot see what is scrolled away
        assert accessibility(page) == []
