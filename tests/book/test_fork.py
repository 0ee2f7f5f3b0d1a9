"""What a fork on GitHub would publish: the site and its Colab edition.

Built here, since the site in ``_build`` may know no repository, and then has
neither buttons nor links to look at.
"""

from __future__ import annotations

import contextlib
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import equations
import hosts
import lint
import notebooks
import pytest
from documents import Document, buttons, pages, strangers, targets
from page_checks import absent

pytestmark = pytest.mark.pages
SLUG = "alice/fork"
GITHUB = f"https://github.com/{SLUG}"
COLAB = f"https://colab.research.google.com/github/{SLUG}/blob/colab/"
# Written by Sphinx: nobody's file.
NOBODYS = ("genindex", "search", "py-modindex")


@pytest.fixture(scope="module")
def fork(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Yield the folder with ``edition`` and ``source`` of a fork."""
    folder = tmp_path_factory.mktemp("fork")
    source = folder / "source"
    with pytest.MonkeyPatch.context() as patch:
        for name in ("GITHUB_SERVER_URL", "BOOK_BRANCH"):
            patch.delenv(name, raising=False)
        patch.setenv("GITHUB_REPOSITORY", SLUG)
        patch.setenv("COLAB_BRANCH", "colab")
        patch.setattr(
            notebooks.pictures,
            "painter",
            lambda: contextlib.nullcontext(lambda path: None),
        )
        assert notebooks.main(["colab", str(folder / "edition")]) == 0

        shutil.copytree(lint.ROOT / "book", source / "book")
        for name in ("_config.yml", "_toc.yml"):
            shutil.copy(lint.ROOT / name, source)
        # A page without a chapter number: its equations count in a row.
        with (source / "book" / "back" / "notation.md").open("a") as page:
            page.write("\n$$ 1 = 1 $$ (eq-plain)\n\n$$ 2 = 2 $$ (eq-next)\n")
        command = "from jupyter_book.cli.main import main; main()"
        build = [sys.executable, "-c", command, "build", "-q", str(source)]
        done = subprocess.run(
            build, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        yield folder


@pytest.fixture(scope="module")
def site(fork: Path) -> Path:
    return fork / "source" / "_build" / "html"


@pytest.fixture(scope="module")
def documents(site: Path) -> dict[Path, Document]:
    return pages(site)


def files(fork: Path) -> list[Path]:
    """Return the files of the fork's pages."""
    return [file for file, _ in equations.documents(fork / "source")]


def tracked() -> set[str]:
    """Return the files that git knows."""
    listed = subprocess.run(
        ["git", "-C", str(lint.ROOT), "ls-files", "-z"],
        capture_output=True,
        text=True,
        check=False,
    )
    if listed.returncode or not (lint.ROOT / ".git").exists():
        absent("not a git repository: nothing is tracked")
    return set(listed.stdout.split("\0"))


def test_buttons_of_every_page_lead_to_the_fork(
    documents: dict[Path, Document], fork: Path, site: Path
) -> None:
    assert strangers(documents, GITHUB) == []
    for page in files(fork):
        place = page.relative_to(fork / "source").as_posix()
        links = buttons(documents[(site / place).with_suffix(".html")])
        assert f"{GITHUB}/edit/main/{place}" in links
        assert any(link.startswith(f"{GITHUB}/issues/") for link in links)


def test_links_into_the_repository_lead_to_tracked_files(
    documents: dict[Path, Document],
) -> None:
    known = tracked()
    found = {
        (path.stem, target.rstrip("/"))
        for path, document in documents.items()
        for target in targets(document, SLUG)
        if path.stem not in NOBODYS
    }
    assert len(found) >= len(documents) - len(NOBODYS)
    assert {(page, file) for page, file in found if file not in known} == set()


def test_nothing_is_loaded_from_another_host(site: Path) -> None:
    found = hosts.site(site)
    assert found
    assert {name: bad for name, bad in found.items() if bad} == {}


def test_colab_button_opens_a_notebook_of_the_edition(
    documents: dict[Path, Document], fork: Path, site: Path
) -> None:
    chapters = [page for page in files(fork) if page.suffix == ".ipynb"]
    everywhere = {
        path: {x for x in buttons(document) if "colab.research" in x}
        for path, document in documents.items()
    }
    for page in chapters:
        place = page.relative_to(fork / "source").as_posix()
        links = everywhere.pop((site / place).with_suffix(".html"))
        assert links == {COLAB + place}
        edition = (fork / "edition" / place).read_text("utf-8")
        assert f"git+{GITHUB}" in edition
    assert chapters
    assert not any(everywhere.values())


def test_downloaded_notebooks_install_the_fork(site: Path) -> None:
    found = sorted((site / "_sources").rglob("*.ipynb"))
    assert len(found) == len(notebooks.every())
    for path in found:
        text = path.read_text(encoding="utf-8")
        assert f"attnlib[plots] @ git+{GITHUB}\\" in text, path
        assert "OWNER/NAME" not in text, path


def test_the_edition_counts_equations_as_the_site_does(
    fork: Path, site: Path
) -> None:
    source = fork / "source"
    number = re.compile(
        r'id="equation-([\w-]+)">\s*<span class="eqno">\(([\d.]+)\)'
    )
    shown = {
        label: number_
        for page in files(fork)
        for label, number_ in number.findall(
            (site / page.relative_to(source))
            .with_suffix(".html")
            .read_text("utf-8")
        )
    }
    counted = equations.numbered(source)
    assert shown == {k: equation.number for k, equation in counted.items()}
    assert "." not in shown["eq-plain"]
    assert int(shown["eq-next"]) == int(shown["eq-plain"]) + 1


def test_targets_of_launch_and_edit_buttons() -> None:
    page = Document(
        '<a href="https://github.com/ann/fork/edit/main/book/a.ipynb">e</a>'
        '<a class="btn" href="https://colab.research.google.com/github/ann/'
        'fork/blob/colab/book/b.ipynb">c</a>'
        '<a class="btn" href="https://github.com/bob/other/blob/main/c">no</a>'
        '<a href="https://github.com/ann/fork">home</a>'
    )
    assert targets(page, "ann/fork") == ["book/a.ipynb", "book/b.ipynb"]
    assert len(buttons(page)) == 2
    home = "https://github.com/ann/fork"
    found = strangers({Path("x.html"): page}, home)
    assert found == ["page: https://github.com/bob/other/blob/main/c"]
    assert len(strangers({Path("x.html"): page}, None)) == 2


def test_what_git_does_not_know_is_not_passed_over_in_ci(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lint, "ROOT", tmp_path)
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="not a git repository"):
        tracked()
