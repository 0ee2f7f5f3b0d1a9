"""Print the book as one document: ``_build/pdf/attnlib-book.pdf``.

Sphinx puts all pages into one (builder ``singlehtml``), Chromium typesets the
formulas and prints. Needs what browser.py needs, and pypdf for the page
numbers of the contents.

    python book/_tools/pdf.py [--to FOLDER]
"""

from __future__ import annotations

import argparse
import io
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
import browser
import yaml
from pypdf import PdfReader, PdfWriter
from pypdf.generic import NameObject, TextStringObject

ROOT = Path(__file__).parents[2]
NAME = "attnlib-book.pdf"
SECONDS = 300
FOOTER = """<div style="width: 100%; margin: 0 18mm; font: 8px sans-serif;
  color: #444; display: flex; justify-content: space-between">
  <span>{title}</span><span class="pageNumber"></span></div>"""

# The article becomes the page: no sidebar, no buttons, everything open.
# Chapters become siblings of the introduction, and the contents list them.
ASSEMBLE = """([title, author, parts]) => {
  const article = document.querySelector('.bd-article');
  document.documentElement.dataset.theme = 'light';
  document.documentElement.dataset.mode = 'light';
  document.body.className = 'bd-content';
  document.body.replaceChildren(article);
  const all = selector => [...article.querySelectorAll(selector)];
  for (const extra of all('.headerlink, button, script')) extra.remove();
  for (const fold of all('details')) fold.open = true;
  // Addresses of the book's pages become places in the one page.
  for (const link of all('a[href]')) {
    const {origin, pathname, hash} = new URL(link.href);
    const page = 'document-book' + pathname.replace(/\\.html$/, '');
    const place = decodeURIComponent(hash.slice(1)) || page;
    if (origin === location.origin && document.getElementById(place))
      link.setAttribute('href', '#' + place);
  }
  const make = (tag, parent, text = '') => {
    const element = document.createElement(tag);
    element.textContent = text;
    if (parent) parent.append(element);
    return element;
  };
  const cover = make('div');
  cover.className = 'print-title';
  make('p', cover, title);
  make('p', cover, author);
  const contents = make('nav');
  contents.className = 'print-contents';
  make('p', contents, 'Contents');

  const list = (sections, where) => {
    for (const section of sections) {
      section.classList.add('print-chapter');
      const heading = section.querySelector('h1, h2');
      const link = make('a', make('li', where));
      link.href = '#' + section.id;
      make('span', link, heading.textContent.trim());
    }
  };
  const intro = article.querySelector('section');
  list([intro], make('ol', contents));
  for (const [caption, files] of parts) {
    make('p', contents, caption);
    const chapters = files.map(file => document
      .getElementById('document-' + file).nextElementSibling);
    list(chapters, make('ol', contents));
    const headings = chapters.flatMap(
      chapter => [...chapter.querySelectorAll('h2, h3, h4, h5, h6')]);
    for (const heading of headings) {
      const higher = make('h' + (heading.tagName[1] - 1));
      higher.append(...heading.childNodes);
      heading.replaceWith(higher);
    }
  }
  article.prepend(cover, contents);
}"""
# A formula or table that is wider than the paper gets smaller letters.
FIT = """() => {
  const width = document.querySelector('.bd-article').clientWidth;
  for (const wide of document.querySelectorAll(
      'mjx-container[display="true"], table')) {
    const box = wide.querySelector('mjx-math') || wide;
    const share = (width - 60) / box.getBoundingClientRect().width;
    const size = parseFloat(getComputedStyle(wide).fontSize);
    const limit = wide.tagName === 'TABLE' ? width : width - 60;
    if (box.getBoundingClientRect().width > limit)
      wide.style.setProperty(
        'font-size', Math.max(0.6, share) * size + 'px', 'important');
  }
}"""
CONTENTS = ".print-contents a"
NUMBER = """numbers => {
  const links = document.querySelectorAll('.print-contents a');
  links.forEach((link, place) => { link.dataset.page = numbers[place]; });
  return links.length;
}"""

HEADINGS = """() => [...document.querySelectorAll('h1, h2, h3, h4, h5, h6')]
  .map(heading => heading.textContent.replace(/\\s+/g, ' ').trim())"""


def build(folder: Path) -> Path:
    """Build all pages as one; return the folder that serves it."""
    # What `make book` has read is not read again unless it changed.
    known = ROOT / "_build" / ".doctrees"
    if known.exists():
        target = folder / "_build" / ".doctrees"
        shutil.copytree(known, target, dirs_exist_ok=True)
    start = "from jupyter_book.cli.main import main; main()"
    command = [sys.executable, "-c", start, "build", "-n"]
    command += ["--builder", "singlehtml", "--path-output", str(folder)]
    result = subprocess.run(
        [*command, str(ROOT)], capture_output=True, text=True, check=False
    )
    if result.returncode:
        sys.exit(f"jupyter-book failed:\n{result.stdout}{result.stderr}")
    pages = folder / "_build" / "singlehtml"
    # The page stands in a folder, but its addresses start at the top.
    (pages / "book" / "intro.html").replace(pages / "all.html")
    # The theme asks for it; this builder writes none.
    (pages / "searchindex.js").touch()
    return pages


def chapter_pages(document: bytes, count: int) -> list[int]:
    """Return the pages to which the first ``count`` links lead, in order.

    A link that is printed on two lines counts once.
    """
    reader = PdfReader(io.BytesIO(document))
    names: dict[str, None] = {}
    for page in reader.pages:
        for entry in page.get("/Annots") or ():
            if (name := entry.get_object().get("/Dest")) is not None:
                names[str(name)] = None
        if len(names) >= count:
            break
    goals = reader.named_destinations
    return [
        reader.get_destination_page_number(goals[name]) + 1
        for name in list(names)[:count]
    ]


def entitled(document: bytes, title: str, headings: list[str]) -> bytes:
    """Return the document with its title and the outline's own words.

    Chromium doubles a line of a heading here and drops a space there.
    """
    writer = PdfWriter(clone_from=io.BytesIO(document))
    writer.metadata = {"/Title": title}
    words = iter(headings)

    def rename(entry: Any) -> None:
        while entry is not None:
            entry = entry.get_object()
            entry[NameObject("/Title")] = TextStringObject(next(words))
            rename(entry.get("/First"))
            entry = entry.get("/Next")

    rename(writer.root_object["/Outlines"]["/First"])
    if left := list(words):
        raise ValueError(f"headings that the outline lacks: {left}")
    whole = io.BytesIO()
    writer.write(whole)
    return whole.getvalue()


def printed(page: Any, title: str, *, outline: bool) -> bytes:
    """Return the page as a PDF with page numbers, and tags and an outline."""
    return page.pdf(
        format="A4",
        margin={"top": "18mm", "bottom": "20mm"}
        | {"left": "18mm", "right": "18mm"},
        print_background=True,
        display_header_footer=True,
        header_template="<span></span>",
        footer_template=FOOTER.format(title=title),
        outline=outline,
        tagged=outline,
    )


def print_book(pages: Path, chromium: Any) -> bytes:
    """Print the one page of the book that lies in ``pages``."""
    config = yaml.safe_load((ROOT / "_config.yml").read_text("utf-8"))
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text("utf-8"))
    title = config["title"]
    parts = [
        [part["caption"], [chapter["file"] for chapter in part["chapters"]]]
        for part in toc["parts"]
    ]
    with (
        browser.served(pages) as home,
        # As wide as the paper between its margins: 174 mm.
        browser.opened(chromium, home=home, width=658) as page,
    ):
        page.set_default_timeout(1000 * SECONDS)
        page.goto(home + "all.html")
        browser.settle(page)
        page.emulate_media(media="print", color_scheme="light")
        page.evaluate(ASSEMBLE, [title, config["author"], parts])
        page.add_style_tag(path=Path(__file__).with_suffix(".css"))
        page.wait_for_function(
            "() => [...document.images].every(image => image.complete)"
        )
        page.evaluate(FIT)
        record = browser.record(page)
        if faults := record.errors + record.failed + record.outside:
            sys.exit("faults on the page:\n" + "\n".join(faults))
        # The outline takes long, and the links of the contents are the first.
        draft = printed(page, title, outline=False)
        numbers = chapter_pages(draft, page.locator(CONTENTS).count())
        if page.evaluate(NUMBER, numbers) != len(numbers):
            sys.exit("the contents have links that lead nowhere")
        headings = page.evaluate(HEADINGS)
        return entitled(printed(page, title, outline=True), title, headings)


def main() -> None:
    """Build, print, say where the document lies."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--to", type=Path, default=ROOT / "_build" / "pdf")
    folder = parser.parse_args().to.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    pages = build(folder)
    try:
        with browser.launched() as chromium:
            document = print_book(pages, chromium)
    except browser.Missing as missing:
        sys.exit(str(missing))
    place = folder / NAME
    place.write_bytes(document)
    print(f"{place}: {len(document) / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
