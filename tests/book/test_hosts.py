"""Nothing is loaded from another host, wherever a page would ask for it."""

from __future__ import annotations

from pathlib import Path

import hosts
import lint
import pytest
from documents import Document

pytestmark = pytest.mark.pages


def test_nothing_is_loaded_from_another_host(built: Path) -> None:
    files = hosts.site(built)
    found = {name: bad for name, bad in files.items() if bad}
    print(f"external hosts in {len(files)} files: {len(found)}")
    assert {"search.html", "genindex.html", "_static/book.css"} <= set(files)
    assert not found


def test_our_own_scripts_and_sheets_name_no_host() -> None:
    package = lint.ROOT / "attnlib"
    scripts, sheets = package.rglob("*.js"), package.rglob("*.css")
    assert not [x for p in scripts for x in hosts.script(p.read_text())]
    assert not [x for p in sheets for x in hosts.sheet(p.read_text())]


LOADED = [
    '<link rel="stylesheet" href="//cdn.invalid/a.css">',
    '<link rel="preconnect" href="https://cdn.invalid">',
    '<base href="https://cdn.invalid/">',
    '<meta http-equiv="refresh" content="0; url=https://cdn.invalid">',
    '<script src="https://cdn.invalid/b.js"></script>',
    '<script src="https://cdn.invalid/b.js" src="b.js"></script>',
    '<SCRIPT SRC="HTTPS://CDN.INVALID/b.js"></SCRIPT>',
    '<img src="ht\ntps://cdn.invalid/c.png" alt="c">',
    '<img src="\\\\cdn.invalid/c.png" alt="c">',
    '<img srcset="c.png 1x, //cdn.invalid/c2.png 2x" alt="c">',
    '<picture><source srcset="https://cdn.invalid/c.png"></picture>',
    '<video poster="https://cdn.invalid/d.png"></video>',
    '<video><track src="https://cdn.invalid/d.vtt"></video>',
    '<object data="https://cdn.invalid/e"></object>',
    '<object data="data:text/html,<img src=https://cdn.invalid>"></object>',
    '<embed src="https://cdn.invalid/e">',
    '<iframe src="https://cdn.invalid/e"></iframe>',
    "<iframe srcdoc=\"&lt;img src='https://cdn.invalid/e'>\"></iframe>",
    '<svg><use href="https://cdn.invalid/f.svg#a"/></svg>',
    '<svg><image xlink:href="https://cdn.invalid/f.png"/></svg>',
    '<svg><rect fill="url(https://cdn.invalid/f.svg#a)"/></svg>',
    '<form action="https://cdn.invalid/g"></form>',
    '<button formaction="https://cdn.invalid/g">go</button>',
    '<a href="words.html" ping="https://cdn.invalid/h">words</a>',
    "<a href=\"javascript:fetch('https://cdn.invalid/h')\">words</a>",
    '<p style="background: url(https://cdn.invalid/i.png)">words</p>',
    "<p style='background: URL(\"//cdn.invalid/i.png\")' hidden>words</p>",
    '<style>@import "https://cdn.invalid/j.css";</style>',
    "<p onclick=\"fetch('https://cdn.invalid/k')\">words</p>",
    "<p onclick='new Image().src = `//cdn.invalid/k`'>words</p>",
    '<script>fetch("https://cdn.invalid/l")</script>',
    '<script>import("//cdn.invalid/l.js")</script>',
    '<script>let host = "https:\\/\\/cdn.invalid"; fetch(host)</script>',
    '<script>fetch("\\u0068ttps://cdn.invalid/l")</script>',
    '<script>new WebSocket("wss://cdn.invalid/l")</script>',
    '<noscript><img src="https://cdn.invalid/m.png" alt="m"></noscript>',
]
INNOCENT = """<html xmlns="http://www.w3.org/1999/xhtml">
<link rel="canonical" href="https://home.invalid/page.html">
<meta name="source" content="https://home.invalid">
<link href="../_static/a.css"><img src="c.png" alt="See https://a.invalid">
<a href="https://arxiv.org/abs/1"><img src="data:image/png;base64,AA//B="></a>
<form action="../search.html"><input name="q"></form>
<svg><use href="#a"/></svg><p>Read https://home.invalid, says url(//b).</p>
<p style="left: 1%" onclick="window.print()">words</p>
<script>make("http://www.w3.org/2000/svg", 1 / 2); // as above</script>
<style>a { content: "a//b"; background: url(data:x,//b.invalid) }</style>"""


@pytest.mark.parametrize("html", LOADED)
def test_a_load_from_another_host_is_found(html: str) -> None:
    assert len(hosts.page(Document(f"<p>{html}</p>"))) == 1


def test_what_loads_nothing_is_no_fault() -> None:
    assert hosts.page(Document(INNOCENT)) == []


@pytest.mark.parametrize(
    "text",
    [
        "@import 'https://cdn.invalid/a.css';",
        "@IMPORT URL(//cdn.invalid/a.css);",
        "a { background: url( //cdn.invalid/b.png ) }",
        "a { background: URL('HTTPS://CDN.INVALID/b.png') }",
        'a { background: image-set("https://cdn.invalid/b.png" 1x) }',
        "a { background: url(https://cdn.invalid/*/b.png) } /* */",
        "a { background: \\75rl(\\68ttps://cdn.invalid/b.png) }",
        '@font-face { src: url("c.woff"), url("https://cdn.invalid/c") }',
    ],
)
def test_a_sheet_that_loads_from_another_host(text: str) -> None:
    assert len(hosts.sheet(text)) == 1


def test_a_sheet_that_loads_nothing() -> None:
    innocent = (
        "/* after https://cdn.invalid */ .https:before { content: '//' }"
        "b { background: url(data:image/png;base64,AA//BB) }"
        'c { background: url("data:image/svg+xml,<svg '
        "xmlns='http://www.w3.org/2000/svg'/>\") }"
    )
    assert hosts.sheet(innocent) == []


def test_somebody_elses_script_may_name_a_host_but_not_ask_it() -> None:
    named = 'help = "https://a.invalid"; // "//b"\nsvg("http://www.w3.org/x")'
    assert hosts.calls(named) == []
    for call in (
        'fetch("https://cdn.invalid/a")',
        "importScripts('//cdn.invalid/a.js')",
        "import(`https://cdn.invalid/a.js`)",
        'import "https://cdn.invalid/a.js"',
        'import a from "https://cdn.invalid/a.js"',
        'new Worker("//cdn.invalid/a.js")',
        'request.open("GET", "https://cdn.invalid/a")',
        "$.getJSON('https://cdn.invalid/a')",
        'image.src = "https://cdn.invalid/a.png"',
    ):
        assert len(hosts.calls(named + call)) == 1, call


def test_each_file_of_a_site_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hosts, "STATIC", tmp_path / "source")
    named = 'help = "https://cdn.invalid"'
    for place, text in {
        "source/ours.js": "",
        "html/_static/ours.js": named,
        "html/_static/theme.js": named,
        "html/_static/call.js": 'fetch("//cdn.invalid")',
        "html/_static/a.css": "@import '//cdn.invalid/a.css'",
        "html/_images/a.svg": "<svg><style>@import '//cdn.invalid'</style>",
        "html/search.html": "<img src=//cdn.invalid>",
        "html/notes.txt": "https://cdn.invalid",
    }.items():
        path = tmp_path / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    found = hosts.site(tmp_path / "html")
    assert {name: len(bad) for name, bad in found.items()} == {
        "_images/a.svg": 1,
        "_static/a.css": 1,
        "_static/call.js": 1,
        "_static/ours.js": 1,
        "_static/theme.js": 0,
        "search.html": 1,
    }
