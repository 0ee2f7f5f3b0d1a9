"""Pictures inside a notebook: Colab shows neither relative paths nor SVG.

A drawn SVG becomes a PNG at twice its size on white, painted by Chromium, and
stands in the Markdown as a data address, as Colab stores a pasted picture.
"""

from __future__ import annotations

import base64
import contextlib
import io
import mimetypes
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import browser

SCALE = 2


def _shrink(picture: bytes) -> bytes:
    """Return a PNG of at most 256 colours: drawings have few."""
    from PIL import Image

    image = Image.open(io.BytesIO(picture)).convert("RGB")
    file = io.BytesIO()
    image.quantize(256, dither=Image.Dither.NONE).save(
        file, "png", optimize=True
    )
    return min(file.getvalue(), picture, key=len)


def _paint(page: Any, path: Path) -> bytes:
    """Return a drawing as the browser shows it."""
    drawing = base64.b64encode(path.read_bytes()).decode()
    page.set_content(
        '<body style="margin:0;background:#fff">'
        '<img style="display:block" '
        f'src="data:image/svg+xml;base64,{drawing}">'
    )
    image = page.locator("img")
    image.evaluate("image => image.decode()")
    return _shrink(image.screenshot())


@contextlib.contextmanager
def painter() -> Iterator[Callable[[Path], str | None]]:
    """Yield a function from a picture's file to its data address.

    It returns None for drawings where there is no Chromium, and says so once.
    """
    done: dict[Path, str | None] = {}
    pages: list[Any] = []
    with contextlib.ExitStack() as stack:

        def page() -> Any:
            if not pages:
                try:
                    chromium = stack.enter_context(browser.launched())
                except browser.Missing as error:
                    print(
                        f"drawings stay links to their files: {error}",
                        file=sys.stderr,
                    )
                    pages.append(None)
                else:
                    pages.append(
                        chromium.new_page(
                            device_scale_factor=SCALE,
                            viewport={"width": 1600, "height": 1200},
                        )
                    )
            return pages[0]

        def address(path: Path) -> str | None:
            if path not in done:
                kind = mimetypes.guess_type(path.name)[0] or ""
                data: bytes | None = path.read_bytes()
                if kind == "image/svg+xml":
                    kind = "image/png"
                    data = _paint(page(), path) if page() else None
                done[path] = data and (
                    f"data:{kind};base64,{base64.b64encode(data).decode()}"
                )
            return done[path]

        yield address
