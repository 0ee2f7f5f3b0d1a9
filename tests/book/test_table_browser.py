"""The table sorts and filters by mouse, touch and keyboard."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from browser import record
from page_checks import accessibility, overflow, prepare

from attnlib.plots import show_table

pytestmark = pytest.mark.pages
ROWS: list[dict[str, Any]] = [
    {"block": "first", "rank": 768, "pairs": 7.2, "kind": "a cross"},
    {"block": "second", "rank": None, "pairs": None, "kind": "none: gates"},
    {"block": "third", "rank": 1, "pairs": 100.0, "kind": "softmax"},
    {"block": "fourth", "rank": 64, "pairs": 100.0, "kind": "Softmax twice"},
]
Open = Callable[..., Any]


@pytest.fixture(scope="module")
def figure() -> Any:
    return show_table(
        ROWS,
        look="Sort by rank.",
        views={"short": ["rank"], "all": ["rank", "pairs", "kind"]},
        links=[f"{row['block']}.html" for row in ROWS],
    )


def order(page: Any) -> list[str]:
    """Return the names of the rows that are seen, from the top."""
    names = page.locator("tbody th:visible").all_inner_texts()
    return [name.strip() for name in names]


def head(page: Any, name: str) -> Any:
    return page.locator("thead th", has_text=name)


def columns(page: Any) -> list[str]:
    return page.locator("thead button:visible").all_text_contents()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_mouse(open_html: Open, figure: Any, width: int, scheme: str) -> None:
    page = open_html(figure.html, width=width, scheme=scheme)
    assert order(page) == ["first", "second", "third", "fourth"]
    assert columns(page) == ["block", "rank"]
    head(page, "rank").get_by_role("button").click()
    assert order(page) == ["third", "fourth", "first", "second"]
    assert head(page, "rank").get_attribute("aria-sort") == "ascending"
    told = page.locator(".attn-count").inner_text()
    assert told == "4 of 4 rows, by rank: smallest first."
    head(page, "rank").get_by_role("button").click()
    # What is missing stays last.
    assert order(page) == ["first", "fourth", "third", "second"]
    assert head(page, "rank").get_attribute("aria-sort") == "descending"
    page.get_by_label("all").check()
    assert columns(page) == ["block", "rank", "pairs", "kind"]
    head(page, "pairs").get_by_role("button").click()
    # Equal numbers keep the order of the book.
    assert order(page) == ["first", "third", "fourth", "second"]
    assert page.locator("th[aria-sort]").count() == 1
    assert not record(page).errors
    assert not record(page).outside


def test_filter(open_html: Open, figure: Any) -> None:
    page = open_html(figure.html)
    box = page.get_by_label("Filter")
    box.fill("softMAX")
    assert order(page) == ["third", "fourth"]  # of columns out of sight, too
    assert page.locator(".attn-count").inner_text() == "2 of 4 rows."
    head(page, "rank").get_by_role("button").click()
    box.fill("softmax 64")
    assert order(page) == ["fourth"]
    box.fill("")
    assert order(page) == ["third", "fourth", "first", "second"]
    box.fill("nowhere")
    assert order(page) == []
    assert page.locator(".attn-count").inner_text().startswith("0 of 4 rows")


def test_touch(open_html: Open, figure: Any) -> None:
    page = open_html(figure.html, width=390, height=844, touch=True)
    head(page, "block").get_by_role("button").tap()
    assert order(page) == ["first", "fourth", "second", "third"]
    page.get_by_label("all").tap()
    assert len(columns(page)) == 4
    # A finger needs room.
    box = head(page, "rank").get_by_role("button").bounding_box()
    assert min(box["width"], box["height"]) >= 24


def test_keyboard(open_html: Open, figure: Any) -> None:
    page = open_html(figure.html)
    page.keyboard.press("Tab")
    page.keyboard.type("cross")
    assert order(page) == ["first"]
    for _ in "cross":
        page.keyboard.press("Backspace")
    assert len(order(page)) == 4
    page.keyboard.press("Tab")  # the radio buttons
    page.keyboard.press("ArrowRight")
    assert len(columns(page)) == 4
    page.keyboard.press("Tab")  # the box that scrolls
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "rank"
    page.keyboard.press("Enter")
    assert order(page) == ["third", "fourth", "first", "second"]
    page.keyboard.press("Space")
    assert order(page) == ["first", "fourth", "third", "second"]
    assert page.evaluate("document.activeElement.textContent") == "rank"


def test_the_edge_fades_where_columns_are_out_of_sight(
    open_html: Open, figure: Any
) -> None:
    page = open_html(figure.html, width=390)
    faded = """() => getComputedStyle(document.querySelector(".attn-scroll"))
        .maskImage.includes("gradient")"""
    assert not page.evaluate(faded)
    page.get_by_label("all").check()
    page.add_style_tag(content=".attn-scroll { width: 10rem; }")
    page.wait_for_function(faded)
    page.evaluate("document.querySelector('.attn-scroll').scrollLeft = 9999")
    page.wait_for_function(f"() => !({faded})()")


def test_links_lead_nowhere_but_in_the_book(
    open_html: Open, figure: Any
) -> None:
    assert open_html(figure.html).locator("tbody a").count() == 0
    inside = open_html(f"<article>{figure.html}</article>")
    assert inside.locator("tbody a").count() == 4


def test_sandboxed_frame(open_html: Open, figure: Any) -> None:
    page = open_html(figure.html, sandbox=True)
    frame = page.frames[1]
    head(frame, "rank").get_by_role("button").click()
    assert order(frame) == ["third", "fourth", "first", "second"]
    assert not record(page).errors


def test_plain_table_without_scripts(open_html: Open, figure: Any) -> None:
    page = open_html(figure.html, scripts=False)
    assert order(page) == ["first", "second", "third", "fourth"]
    assert page.locator("thead th:visible").count() == 4
    assert not page.locator(".attn-tools").is_visible()


def test_two_on_a_page_do_not_disturb_each_other(
    open_html: Open, figure: Any
) -> None:
    other = show_table(
        [{"name": n} for n in "ba"], look="Two.", views={"v": ["name"]}
    )
    page = open_html(figure.html + other.html)
    page.get_by_role("button", name="name").click()
    names = ["first", "second", "third", "fourth", "a", "b"]
    assert order(page) == names
    assert page.locator("input[type=radio]:checked").count() == 2


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_nothing_overflows_and_axe_is_content(
    open_html: Open, figure: Any, width: int, scheme: str
) -> None:
    page = open_html(figure.html, width=width, scheme=scheme)
    page.get_by_label("all").check()
    head(page, "rank").get_by_role("button").click()
    prepare(page)
    assert overflow(page) == []
    if width == 1280:  # axe cannot see what is scrolled away
        assert accessibility(page) == []
