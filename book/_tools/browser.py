"""A browser for the built book: the tests look at pages, pdf.py prints them.

Needs Playwright and a Chromium: Debian's, Google's, the program that the
environment variable ``CHROME`` names, or Playwright's own download. No page
reaches another host: the browser resolves 127.0.0.1 alone.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

NAMES = ("chromium", "chromium-browser", "google-chrome")
NAMES += ("google-chrome-stable",)
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-dev-shm-usage",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)
INSTALL = (
    "pip install playwright axe-playwright-python, and a Chromium: "
    "apt install chromium, or playwright install chromium"
)


class Missing(RuntimeError):
    """Playwright or Chromium is not installed."""


def program() -> str | None:
    """Return the path of an installed Chromium; None: Playwright's own."""
    if chosen := os.environ.get("CHROME"):
        if found := shutil.which(chosen):
            return found
        raise Missing(f"CHROME={chosen} is no program")
    return next(filter(None, map(shutil.which, NAMES)), None)


@contextlib.contextmanager
def launched() -> Iterator[Any]:
    """Yield a running headless Chromium (a Playwright ``Browser``).

    Playwright keeps an event loop in this thread until the block ends, so
    code inside cannot call ``asyncio.run``.
    """
    if importlib.util.find_spec("playwright") is None:
        raise Missing(f"no Playwright: {INSTALL}")
    from playwright.sync_api import Error, sync_playwright

    with sync_playwright() as playwright:
        try:
            chromium = playwright.chromium.launch(
                executable_path=program(), args=list(FLAGS)
            )
        except Error as error:
            if "Executable doesn't exist" in str(error):
                raise Missing(f"no Chromium: {INSTALL}") from error
            raise
        try:
            yield chromium
        finally:
            chromium.close()


class Handler(SimpleHTTPRequestHandler):
    """Serves files without a word, over connections that stay open."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *arguments: object) -> None:
        """Say nothing."""


@contextlib.contextmanager
def served(folder: Path) -> Iterator[str]:
    """Serve ``folder`` on a free port of 127.0.0.1; yield the address."""
    if not folder.is_dir():
        raise FileNotFoundError(folder)
    handler = partial(Handler, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/"
        finally:
            server.shutdown()


@dataclass
class Record:
    """What a page said and asked for since it was opened.

    Attributes:
        errors: errors of the console, and exceptions nobody caught.
        failed: requests that failed or came back as an error.
        outside: requests to a host other than ``home``.
    """

    home: str = ""
    errors: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    outside: list[str] = field(default_factory=list)

    def clear(self) -> None:
        """Forget everything: another page follows."""
        for kept in (self.errors, self.failed, self.outside):
            kept.clear()

    def watch(self, page: Any) -> None:
        """Listen to ``page`` and its frames."""
        page.on("console", self._console)
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("request", self._request)
        page.on("requestfailed", self._request_failed)
        page.on("response", self._response)

    def _console(self, message: Any) -> None:
        if message.type == "error":
            place = message.location.get("url", "")
            self.errors.append(f"{message.text} ({place})")

    def _request(self, request: Any) -> None:
        address = urlsplit(request.url)
        if address.netloc and address.netloc != urlsplit(self.home).netloc:
            self.outside.append(request.url)

    def _request_failed(self, request: Any) -> None:
        self.failed.append(f"{request.url}: {request.failure}")

    def _response(self, response: Any) -> None:
        if response.status >= 400:
            self.failed.append(f"{response.url}: {response.status}")


_RECORDS: dict[Any, Record] = {}


def record(page: Any) -> Record:
    """Return the record of a page that :func:`opened` gave."""
    return _RECORDS[page]


@contextlib.contextmanager
def opened(
    chromium: Any,
    *,
    home: str = "",
    width: int = 1280,
    height: int = 900,
    scheme: str = "light",
    touch: bool = False,
    scripts: bool = True,
) -> Iterator[Any]:
    """Yield an empty page in a context of its own; see :func:`record`."""
    context = chromium.new_context(
        viewport={"width": width, "height": height},
        color_scheme=scheme,
        has_touch=touch,
        java_script_enabled=scripts,
        reduced_motion="reduce",
        locale="en-GB",
    )
    try:
        page = context.new_page()
        _RECORDS[page] = Record(home)
        _RECORDS[page].watch(page)
        yield page
    finally:
        _RECORDS.pop(page, None)
        context.close()


TYPESET = """() => {
  const mathjax = window.MathJax;
  return mathjax && mathjax.startup ? mathjax.startup.promise : null;
}"""


def settle(page: Any) -> None:
    """Wait until fonts are there and formulas are typeset."""
    page.wait_for_load_state("load")
    page.evaluate(TYPESET)
    page.evaluate("() => document.fonts.ready.then(() => null)")
