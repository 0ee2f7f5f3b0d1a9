"""What a page loads from another host: each function lists it.

An attribute counts wherever it stands, unless it is one of the few that load
nothing; a style sheet or script of ours counts with every address in it. A
script of the theme or of MathJax may name addresses, in a comment or for a
link, but not in a call that asks for one; what it asks for otherwise, the
browser sees (``page_checks.requests``).
"""

from __future__ import annotations

import re
from pathlib import Path

import lint
from documents import Document, read

STATIC = lint.ROOT / "book" / "_static"
SCHEME = r"(?<![\w-])(?:https?|wss?|ftp):"
# At the start, or behind what may stand before an address: srcset, url(...).
ADDRESS = re.compile(rf"{SCHEME}|(?:^|[\s,;=('\"])//[\w\[]", re.IGNORECASE)
# Names, not addresses, as a script writes them to make an element.
NAMESPACE = re.compile(
    r"http://www\.w3\.org/(?:2000/svg|2000/xmlns/|1998/Math/MathML"
    r"|1999/xlink|1999/xhtml|XML/1998/namespace)(?=['\"`])"
)
# Attributes that name or tell, and load nothing.
TOLD = re.compile(r"xmlns(:.*)?|rdf:.*|alt|title|aria-.*")

LITERAL = re.compile(
    rf"{SCHEME}//[^\s'\"`]*|['\"`]//[\w\[][^'\"`]*",
    re.IGNORECASE,
)
CALL = re.compile(
    r"(?:(?:\b(?:fetch|importScripts|import|from|Worker|EventSource|WebSocket"
    r"|Request|sendBeacon|open\(\s*['\"]\w+['\"]\s*,)|\$\.\w+)\s*\(?\s*"
    r"|\.(?:src|srcset|href|action|data)\s*=\s*)"
    rf"['\"`](?:{SCHEME})?//[^'\"`]+",
    re.IGNORECASE,
)
# Strings and addresses of CSS, which may hold what looks like a comment.
TOKEN = re.compile(
    r"(\"(?:\\.|[^\"\\\n])*\"|'(?:\\.|[^'\\\n])*'|\burl\(\s*[^'\"\s)][^)]*\))"
    r"|/\*.*?(?:\*/|\Z)",
    re.DOTALL | re.IGNORECASE,
)
DATA = re.compile(r"(?:url\(\s*)?['\"]?\s*data:", re.IGNORECASE)
ESCAPE = re.compile(r"\\(?:([0-9a-f]{1,6})\s?|([^\n]))", re.IGNORECASE)
CODE = re.compile(r"\\(?:x([0-9a-f]{2})|u\{?([0-9a-f]{4,6})\}?|(/))", re.I)


def _character(match: re.Match[str]) -> str:
    """Return what an escape stands for."""
    *codes, plain = match.groups()
    code = int(next(filter(None, codes), "0"), 16)
    return plain or (chr(code) if code < 0x110000 else "")


def _asked(value: str) -> bool:
    """Return whether an attribute's value holds another host's address.

    A browser drops line breaks from an address, and reads ``\\`` as ``/``.
    """
    value = re.sub(r"[\t\r\n]", "", value).replace("\\", "/").strip()
    return ADDRESS.search(value) is not None


def _told(tag: str, name: str, values: dict[str, str]) -> bool:
    """Return whether an attribute loads nothing, whatever it says."""
    value = re.sub(r"\s", "", values[name]).lower()
    if tag in ("a", "area") and name in ("href", "xlink:href"):
        return not value.startswith(("javascript:", "data:"))
    if tag == "link" and name == "href":
        return values.get("rel", "").lower() == "canonical"
    if tag == "meta" and name == "content":
        return "http-equiv" not in values
    if value.startswith("data:image/"):
        return tag not in ("iframe", "object", "embed")
    return TOLD.fullmatch(name) is not None


def sheet(text: str) -> list[str]:
    """Return the addresses of other hosts in a style sheet."""

    def keep(match: re.Match[str]) -> str:
        token = match[1] or " "
        return "''" if DATA.match(token) else token

    text = TOKEN.sub(keep, text)
    text = ESCAPE.sub(_character, text.replace("\\\n", ""))
    return re.findall(
        rf"(?<=[\s'\"(])(?:{SCHEME}|//[\w\[])[^\s'\")]*",
        text,
        re.IGNORECASE,
    )


def script(text: str) -> list[str]:
    """Return the addresses of other hosts in a script of ours."""
    text = NAMESPACE.sub("", CODE.sub(_character, text))
    return [match.strip("'\"`") for match in LITERAL.findall(text)]


def calls(text: str) -> list[str]:
    """Return the calls in somebody's script that ask another host."""
    return [match[:60] for match in CALL.findall(text)]


def page(document: Document) -> list[str]:
    """Return what a page loads from other hosts."""
    found = [f"script {x}" for text in document.scripts for x in script(text)]
    found += [f"style {x}" for text in document.styles for x in sheet(text)]
    for tag, values in document.elements:
        for name, value in values.items():
            if name == "style":
                bad = sheet(value)
            elif name.startswith("on"):
                bad = script(value)
            elif name == "srcdoc":
                bad = page(Document(value))
            elif _told(tag, name, values):
                continue
            else:
                bad = [value[:60]] * _asked(value)
            found += [f"{tag}[{name}] {address}" for address in bad]
    return found


def ours(path: Path, site: Path) -> bool:
    """Return whether a script is of this book, not of those it uses."""
    place = path.relative_to(site)
    if place.parts[0] != "_static" or "mathjax" in place.parts:
        return False
    return (STATIC / place.relative_to("_static")).exists()


def site(folder: Path) -> dict[str, list[str]]:
    """Return what each file of a site loads from other hosts."""
    found = {}
    for path in sorted(folder.rglob("*")):
        kind = path.suffix.lower()
        if kind in (".html", ".svg"):
            bad = page(read(path))
        elif kind == ".css":
            bad = sheet(path.read_text(encoding="utf-8", errors="replace"))
        elif kind in (".js", ".mjs"):
            check = script if ours(path, folder) else calls
            bad = check(path.read_text(encoding="utf-8", errors="replace"))
        else:
            continue
        found[path.relative_to(folder).as_posix()] = bad
    return found
