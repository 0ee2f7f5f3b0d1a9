"""Every check of a page finds the fault that is planted for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import lint
import page_checks
import pytest
from browser import opened, record, served, settle
from page_checks import Known

HEAD = """<!doctype html><html lang="en"><head><meta charset="utf-8">
<title>A page</title><meta name="color-scheme" content="light dark">
<style>html {background: Canvas; color: CanvasText}</style>
<script>MathJax = {options: {processHtmlClass: "math"}};</script>
<script src="mathjax/tex-chtml.js"></script></head>
<body><main><h1>A page</h1>"""
GOOD = r"""<p>Words, and <span class="math">\(x^2\)</span>.</p>
<pre>price = "$$"</pre><p>Print <code>"$1\n"</code>.</p>
<label>Name <input></label>
<div style="overflow-x: auto"><p style="width: 900px">Wide.</p></div>
<div style="overflow-x: auto; width: 200px" tabindex="0">
<table style="width: 600px"><tr><td>Here</td><td>on the edge, a longer text
</td><td>out of sight</td></tr></table></div>
<details><summary>More</summary><img src="dot.png" alt="A dot"></details>"""
DOT = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010804000000b51c0c02"
    "0000000b4944415478da6364f80f00010501012718e3660000000049454e44ae426082"
)


@pytest.fixture
def visit(browser: Any, tmp_path: Path) -> Iterator[Callable[..., Any]]:
    """Yield a function that serves a page with MathJax and opens it."""
    static = lint.ROOT / "book" / "_static" / "mathjax"
    (tmp_path / "mathjax").symlink_to(static, target_is_directory=True)
    (tmp_path / "dot.png").write_bytes(DOT)
    (tmp_path / "favicon.ico").write_bytes(DOT)
    with served(tmp_path) as home:

        def visit(body: str, scheme: str = "light") -> Any:
            text = HEAD + body + "</main></body></html>"
            (tmp_path / "page.html").write_text(text, encoding="utf-8")
            page.emulate_media(color_scheme=scheme)
            page.goto(home + "page.html")
            settle(page)
            return page

        with opened(browser, home=home, width=390) as page:
            yield visit


def faults(page: Any) -> list[str]:
    """Return what all checks together find."""
    found = page_checks.console(record(page))
    found += page_checks.requests(record(page))
    found += page_checks.overflow(page) + page_checks.mathematics(page)
    page_checks.prepare(page)
    return found + page_checks.accessibility(page)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_good_page_is_good(visit: Callable[..., Any], scheme: str) -> None:
    assert faults(visit(GOOD, scheme)) == []


PLANTED = {
    "an error on the console": (
        "<script>console.error('planted')</script>",
        "console: planted",
    ),
    "an exception": (
        "<script>throw new Error('planted')</script>",
        "console: planted",
    ),
    "a file that is not there": (
        '<img src="none.png" alt="No dot">',
        "none.png: 404",
    ),
    "a picture of another host": (
        '<img src="http://localhost:9/dot.png" alt="A dot">',
        "another host: http://localhost:9/dot.png",
    ),
    "a script of another host": (
        '<script src="https://cdn.invalid/lib.js"></script>',
        "another host: https://cdn.invalid/lib.js",
    ),
    "a host that a script asks for": (
        "<script>fetch('https://cdn.invalid/data').catch(() => null)</script>",
        "another host: https://cdn.invalid/data",
    ),
    "a formula that is broken": (
        r'<p><span class="math">\(\frac{1}\)</span></p>',
        r"TeX error: Missing argument for \frac",
    ),
    "a formula that does not end": (
        r'<p><span class="math">\(\frac{1}{\)</span></p>',
        r"not typeset: \(\frac{1}{\)",
    ),
    "a macro that does not exist": (
        r'<p><span class="math">\(\softmaxx x\)</span></p>',
        r"unknown macro: \softmaxx",
    ),
    "a formula without typesetting": (
        '<p><span class="math">x^2</span></p>',
        "not typeset: x^2",
    ),
    "raw dollars": (
        '<p class="mathjax_ignore">So $$x$$ is.</p>',
        "raw TeX: So $$x$$ is.",
    ),
    "raw TeX": (
        r'<p class="mathjax_ignore">So \frac{1}{2} is.</p>',
        r"raw TeX: So \frac{1}{2} is.",
    ),
    "TeX behind an open dollar": (
        r"<p>So $\alpha_i is.</p>",
        r"raw TeX: So $\alpha_i is.",
    ),
    "an open dollar": ("<p>So $x is.</p>", "raw TeX: So $x is."),
    "a macro without dollars": (
        r"<p>So \alpha is.</p>",
        r"raw TeX: So \alpha is.",
    ),
    "something wide": (
        '<div class="wide" style="width: 600px">Wide.</div>',
        "px in 390: div.wide",
    ),
    "pale words": (
        '<p style="color: #999; background: #fff">Pale.</p>',
        "color-contrast: p",
    ),
    "a pale letter": (
        '<p style="color: #999; background: #fff">x</p>',
        "color-contrast: p",
    ),
    "pale words under a fold": (
        '<details><summary>More</summary><p class="pale" '
        'style="color: #999; background: #fff">Pale.</p></details>',
        "color-contrast: .pale",
    ),
    "pale words that are scrolled away": (
        '<div class="box" tabindex="0" style="width: 200px; overflow: auto">'
        '<table style="width: 600px; background: #fff; color: #000"><tr>'
        "<td>Here</td><td>on the edge, a longer text</td>"
        '<td class="pale" style="color: #999">Pale.</td></tr></table></div>',
        "color-contrast: .pale",
    ),
    "pale code": (
        '<div class="highlight"><pre style="background: #fff; color: #000">'
        '<span class="n">x</span> <span class="n">y</span> '
        '<span class="k" style="color: #aaa">for</span></pre></div>',
        "color-contrast: .k",
    ),
    "a pale formula": (
        '<p style="background: #fff; color: #aaa">'
        + 4 * r'<span class="math">\(x\)</span>'
        + "</p>",
        "color-contrast: ",
    ),
    "a field without a label": ("<input class=bare>", "label: .bare"),
    "a picture without words": (
        '<img class="bare" src="dot.png">',
        "image-alt: .bare",
    ),
}


@pytest.mark.parametrize(("body", "fault"), PLANTED.values(), ids=PLANTED)
def test_a_planted_fault_is_found(
    visit: Callable[..., Any], body: str, fault: str
) -> None:
    found = faults(visit(GOOD + body))
    assert any(fault in line for line in found), found


def test_words_can_be_unreadable_in_dark_mode_alone(
    visit: Callable[..., Any],
) -> None:
    words = '<p style="color: #333">Dark on dark.</p>'
    assert faults(visit(words)) == []
    found = faults(visit(words, "dark"))
    assert len(found) == 1
    assert "color-contrast: p" in found[0]


def test_a_baseline_names_its_faults_and_no_others(
    visit: Callable[..., Any],
) -> None:
    page = visit('<input class="theirs"><input class="ours">')
    page_checks.prepare(page)
    known = (
        Known("label", ".theirs", "planted"),
        Known("label", ".gone", "planted"),
    )
    used: set[Known] = set()
    found = page_checks.accessibility(page, known, used)
    assert len(found) == 1
    assert ".ours" in found[0]
    assert used == {known[0]}


def test_a_piece_of_html_can_be_opened(open_html: Callable[..., Any]) -> None:
    script = "<p id=a>-</p><script>a.textContent = origin</script>"
    page = open_html(script, width=390, scheme="dark", touch=True)
    assert page.evaluate("innerWidth") == 390
    assert page.evaluate("navigator.maxTouchPoints") > 0
    assert page.evaluate("matchMedia('(prefers-color-scheme: dark)').matches")
    assert page.inner_text("#a") == "null"
    still = open_html(script, scripts=False)
    assert still.inner_text("#a") == "-"


def test_a_sandbox_is_one(open_html: Callable[..., Any]) -> None:
    page = open_html(
        "<p id=a>-</p><script>try { a.textContent = parent.document.title }"
        " catch (error) { a.textContent = error.name }</script>",
        sandbox=True,
    )
    assert page.frames[1].inner_text("#a") == "SecurityError"
