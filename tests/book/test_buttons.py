"""Buttons lead to the repository that builds the book, or are absent."""

from __future__ import annotations

import subprocess
from pathlib import Path
from types import SimpleNamespace

import bookext
import lint
import pytest

NAMES = (
    "GITHUB_REPOSITORY",
    "GITHUB_SERVER_URL",
    "BOOK_BRANCH",
    "COLAB_BRANCH",
)


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)


def clone_of(folder: Path, remote: str) -> Path:
    """Make ``folder`` a repository whose origin is ``remote``."""
    for arguments in (["init", "-q"], ["remote", "add", "origin", remote]):
        subprocess.run(["git", "-C", str(folder), *arguments], check=True)
    return folder


def options(folder: Path) -> dict[str, object]:
    """Return the theme's options after our extension has filled them in."""
    config = SimpleNamespace(html_theme_options={})
    bookext.set_theme(SimpleNamespace(srcdir=folder), config)
    return config.html_theme_options


@pytest.mark.parametrize(
    "remote",
    [
        "https://github.com/ann/fork",
        "https://github.com/ann/fork.git",
        "https://token@github.com/ann/fork.git",
        "git@github.com:ann/fork.git",
        "ssh://git@github.com/ann/fork",
    ],
)
def test_repository_comes_from_the_remote(tmp_path: Path, remote: str) -> None:
    assert (
        bookext.repository(clone_of(tmp_path, remote))
        == "https://github.com/ann/fork"
    )


def test_environment_comes_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITHUB_REPOSITORY", "bob/book")
    folder = clone_of(tmp_path, "https://github.com/ann/fork")
    assert bookext.repository(folder) == "https://github.com/bob/book"
    assert options(folder)["repository_url"] == "https://github.com/bob/book"


@pytest.mark.parametrize(
    "remote", ["/srv/git/book.git", "file:///srv/book", "https://x.org/a/b"]
)
def test_no_buttons_for_a_remote_without_pages(
    tmp_path: Path, remote: str
) -> None:
    assert bookext.repository(clone_of(tmp_path, remote)) is None
    chosen = options(tmp_path)
    assert not any(chosen[button] for button in bookext.BUTTONS)
    assert chosen["launch_buttons"] == {}
    assert chosen["repository_url"] == ""


def test_no_buttons_without_a_repository(tmp_path: Path) -> None:
    assert bookext.repository(tmp_path) is None
    inside = clone_of(tmp_path, "https://github.com/ann/other") / "copy"
    inside.mkdir()
    assert bookext.repository(inside) is None, (
        "a copy inside another repository is not that one"
    )


def test_colab_opens_its_own_branch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLAB_BRANCH", "colab")
    chosen = options(clone_of(tmp_path, "https://github.com/ann/fork"))
    place = "colab.research.google.com/github/ann/fork/blob"
    button = {"text": "Colab", "url": f"https://{place}/main/book/x.ipynb"}
    app = SimpleNamespace(config=SimpleNamespace(html_theme_options=chosen))
    context = {"header_buttons": [{"buttons": [button]}]}
    bookext.finish_page(app, "x", "page.html", context, None)
    assert button["url"] == f"https://{place}/colab/book/x.ipynb"


def test_no_file_of_the_book_names_a_repository() -> None:
    text = (lint.ROOT / "_config.yml").read_text(encoding="utf-8")
    assert "repository:" not in text
    assert "github.com" not in text
