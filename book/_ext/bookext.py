"""What the book needs from Sphinx and does not find there.

1. The repository behind the buttons is the one that builds the book:
   ``GITHUB_REPOSITORY``, else the git remote ``origin``, else none, and then
   there are no repository, edit, issue or Colab buttons. No file of the book
   names a repository.
2. Inline scripts appear once a page, and the script of sphinx-thebe, which the
   book does not use and which points at another host, not at all.
3. ``[the shift rule](#eq-shift)`` reads "the shift rule (2.3)": MyST alone
   would drop the words.
4. What the search shows of a page has no TeX in it: ``x_i`` stays, a longer
   formula becomes an ellipsis.
5. A notebook that is downloaded installs the package from the repository
   behind the buttons.

Environment: ``BOOK_BRANCH`` is the branch of the edit and source links
(``main``), ``COLAB_BRANCH`` the branch that Colab opens (the same; the
published book uses ``colab``, see ``book/_tools/notebooks.py colab``).
"""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

HOSTS = {"github.com": "github", "gitlab.com": "gitlab"}
NOWHERE = "https://github.com/OWNER/NAME"  # in each notebook's first cell
BUTTONS = (
    "use_repository_button",
    "use_edit_page_button",
    "use_issues_button",
)
REMOTE = re.compile(
    r"(?:https://(?:[^@/]+@)?|ssh://git@|git@)([\w.-]+)"
    r"[:/]([\w.-]+/[\w.-]+?)(?:\.git)?/?$"
)

# Before the search begins, wherever the theme puts its script.
SEARCH = r"""(() => {
  const mend = () => {
    const text = Search.htmlToText;
    Search.htmlToText = (...page) => text(...page)
      .replace(/\\\[[^]*?\\\]/g, "\u2026")
      .replace(/\\\(([^]*?)\\\)/g,
        (all, tex) => /[\\{}]/.test(tex) ? "\u2026" : tex);
  };
  if (typeof Search !== "undefined") mend();
  else document.addEventListener("DOMContentLoaded", mend);
})();"""


def repository(folder: str | Path) -> str | None:
    """Return the web address of the repository of ``folder``, or None."""
    if slug := os.environ.get("GITHUB_REPOSITORY"):
        host = os.environ.get("GITHUB_SERVER_URL", "https://github.com")
        return host.rstrip("/") + "/" + slug
    # A copy inside somebody else's repository is not that repository.
    if not (Path(folder) / ".git").exists():
        return None
    command = ["git", "-C", str(folder), "remote", "get-url", "origin"]
    try:
        remote = subprocess.run(
            command, capture_output=True, text=True, check=True
        ).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None
    match = REMOTE.match(remote)
    if match is None or match[1] not in HOSTS:
        return None
    return f"https://{match[1]}/{match[2]}"


def set_theme(app: Any, config: Any) -> None:
    """Fill in the theme: the repository and its buttons, or neither."""
    options = config.html_theme_options
    # Else a second search field stands in an empty top bar.
    options["navbar_persistent"] = []
    url = repository(app.srcdir)
    options["repository_url"] = url or ""
    options["repository_branch"] = os.environ.get("BOOK_BRANCH", "main")
    options["path_to_docs"] = ""
    options.update(dict.fromkeys(BUTTONS, url is not None))
    on_github = url is not None and (
        bool(os.environ.get("GITHUB_REPOSITORY"))
        or urlsplit(url).hostname == "github.com"
    )
    if url:
        options["repository_provider"] = "github" if on_github else "gitlab"
    options["launch_buttons"] = (
        {"colab_url": "https://colab.research.google.com"} if on_github else {}
    )


def _once(scripts: list[Any]) -> list[Any]:
    seen: set[str] = set()
    kept = []
    for script in scripts:
        body = getattr(script, "attributes", {}).get("body") or ""
        name = str(getattr(script, "filename", script) or "")
        if "sphinx-thebe" in name or "THEBE_JS_URL" in body or body in seen:
            continue
        if body:
            seen.add(body)
        kept.append(script)
    return kept


def finish_page(
    app: Any, pagename: str, templatename: str, context: Any, doctree: Any
) -> None:
    """Mend the scripts; send the Colab button to its branch."""
    if pagename == "search":
        app.add_js_file(None, priority=900, body=SEARCH)
    context["script_files"] = _once(context.get("script_files", []))
    branch = app.config.html_theme_options["repository_branch"]
    colab = os.environ.get("COLAB_BRANCH", branch)
    for group in context.get("header_buttons", []):
        for button in group.get("buttons", []):
            if button.get("text") == "Colab":
                button["url"] = button["url"].replace(
                    f"/blob/{branch}/", f"/blob/{colab}/", 1
                )


def keep_words(app: Any, doctree: Any) -> None:
    """Put the words of a link to an equation before its number."""
    from docutils import nodes
    from sphinx.addnodes import pending_xref

    for link in list(doctree.findall(pending_xref)):
        if (
            str(link.get("reftarget", "")).startswith("eq-")
            and link.astext().strip()
        ):
            words = [child.deepcopy() for child in link.children]
            link.parent[link.parent.index(link) : link.parent.index(link)] = [
                *words,
                nodes.Text("\u00a0"),
            ]


def name_downloads(app: Any, error: Exception | None) -> None:
    """Put the repository's address into what the download button serves."""
    url = repository(app.srcdir)
    if url is None or error is not None:
        return
    for path in (Path(app.outdir) / "_sources").rglob("*.ipynb"):
        text = path.read_text(encoding="utf-8")
        path.write_text(text.replace(NOWHERE, url), encoding="utf-8")


def setup(app: Any) -> dict[str, bool]:
    """Connect the steps to Sphinx."""
    app.connect("config-inited", set_theme, priority=400)
    app.connect("doctree-read", keep_words)
    app.connect("html-page-context", finish_page, priority=900)
    app.connect("build-finished", name_downloads)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
