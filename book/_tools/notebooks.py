"""Run, check and publish the notebooks of the book.

    notebooks.py run [PATH ...] [-j N]   execute in place, store the outputs
    notebooks.py check [PATH ...]        rules that need no execution (lint.py)
    notebooks.py colab [TARGET] [--repository OWNER/NAME]
            [--branch main] [--colab-branch colab]
                                         write the edition that Colab opens

Without PATH: every book/*/*.ipynb. Outputs are stored in normal form: running
twice leaves the files byte-identical. Only ``run`` stamps a notebook
(stamps.py). Without --repository: the one whose pages bookext.py would build
(``GITHUB_REPOSITORY``, else the git remote); ``BOOK_BRANCH`` and
``COLAB_BRANCH`` stand for the other two.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import (
    CellExecutionError,
    CellTimeoutError,
    DeadKernelError,
)
from nbformat import NotebookNode

sys.path.insert(0, str(Path(__file__).parents[1] / "_ext"))
sys.path.insert(0, str(Path(__file__).parent))
import bookext
import colab
import lint
import pictures
import stamps

CELL_SECONDS = 120
ENVIRONMENT = {"OMP_NUM_THREADS": "1", "SOURCE_DATE_EPOCH": "0"}
METADATA = {
    "kernelspec": {
        "display_name": "Python 3",
        "language": "python",
        "name": "python3",
    },
    "language_info": {"name": "python", "pygments_lexer": "ipython3"},
}
KEPT = ("mystnb", "tags")
WIDGET = "application/vnd.jupyter.widget-view+json"


def _normal_output(output: NotebookNode, count: int) -> NotebookNode | None:
    """Return an output without what changes from run to run, or None."""
    output = NotebookNode(output)
    if output.output_type == "stream":
        return output
    # A traceback names files of this machine.
    if output.output_type == "error":
        output.traceback = [f"{output.ename}: {output.evalue}"]
        return output
    # A widget lives only with a kernel, and its ids are random.
    if WIDGET in output.data:
        return None
    output.metadata = NotebookNode()
    if output.output_type == "execute_result":
        output.execution_count = count
    return output


def normalise(notebook: NotebookNode) -> NotebookNode:
    """Return the notebook with stable ids, counts 1..n, fixed metadata."""
    normal = nbformat.v4.new_notebook(metadata=nbformat.from_dict(METADATA))
    count = 0
    for n, cell in enumerate(notebook.cells):
        metadata = NotebookNode(
            {k: cell.metadata[k] for k in KEPT if cell.metadata.get(k)}
        )
        cell = NotebookNode(
            cell, id=f"c{n:03}", metadata=metadata, source=cell.source.rstrip()
        )
        cell.pop("attachments", None)
        if cell.cell_type == "code":
            count += 1
            ran = cell.get("execution_count") is not None
            cell.execution_count = count if ran else None
            outputs: list[NotebookNode] = []
            # What a live cell draws depends on who turns its controls.
            shown = [] if cell.source.startswith("# Live:") else cell.outputs
            for output in (_normal_output(o, count) for o in shown):
                if output is None:
                    continue
                last = outputs[-1] if outputs else None
                if (
                    last
                    and output.output_type == "stream"
                    and last.get("name") == output.name
                ):
                    last.text += output.text
                else:
                    outputs.append(output)
            cell.outputs = outputs
        normal.cells.append(cell)
    normal.nbformat_minor = 5
    return normal


def dump(notebook: NotebookNode) -> str:
    """Return the text of a notebook file: indent 1, sorted keys, UTF-8."""
    split = nbformat.v4.rwbase.split_lines(nbformat.from_dict(notebook))
    return (
        json.dumps(split, indent=1, sort_keys=True, ensure_ascii=False) + "\n"
    )


def every() -> list[Path]:
    """Return all notebooks of the book."""
    return sorted((lint.ROOT / "book").glob("*/*.ipynb"))


def read(path: Path) -> lint.Page:
    """Read one notebook for the lint."""
    text = path.read_text(encoding="utf-8")
    notebook = nbformat.reads(text, as_version=4)
    return lint.Page(path, text, notebook, dump(normalise(notebook)))


def execute(path: Path) -> str | None:
    """Execute a notebook in its folder and store it; return the error."""
    os.environ.update(ENVIRONMENT)
    os.environ.pop("MPLBACKEND", None)
    for last_try in (False, True):
        start = stamps.clock()
        notebook = nbformat.read(path, as_version=4)
        client = NotebookClient(
            notebook,
            timeout=CELL_SECONDS,
            kernel_name="python3",
            record_timing=False,
            resources={"metadata": {"path": str(path.parent)}},
        )
        try:
            client.execute()
        except CellExecutionError as error:
            return f"{path.name}: {error}"
        except (CellTimeoutError, DeadKernelError) as error:
            if last_try:
                return f"{path.name}: {error}"
        else:
            break
    path.write_text(dump(normalise(notebook)), encoding="utf-8")
    used, wall = (b - a for a, b in zip(start, stamps.clock(), strict=True))
    stamps.write(path, used or wall)
    return None


def run(paths: list[Path], jobs: int) -> int:
    """Execute notebooks in place, ``jobs`` at a time."""
    failed = 0
    with ProcessPoolExecutor(max_workers=jobs) as pool:
        for path, error in zip(paths, pool.map(execute, paths), strict=True):
            failed += error is not None
            print(error or f"ran {path.name}", flush=True)
    return 1 if failed else 0


def check(paths: list[Path]) -> int:
    """Print what is covered, what the rules find, and stale stamps."""
    pages = [read(path) for path in paths]
    print("\n".join(lint.coverage(pages)))
    found = lint.lint(pages)
    for path in paths:
        if complaint := stamps.complaint(path):
            found.append(f"{path.name}: {complaint}")
    for stamp in stamps.orphans(lint.ROOT / "book"):
        found.append(f"{stamp.name}: stamp of no notebook: delete it")
    print(
        "\n".join(found)
        or f"{len(paths)} notebooks, nothing to complain about"
    )
    return 1 if found else 0


def publish(paths: list[Path], target: Path, book: colab.Book) -> int:
    """Write the Colab edition of ``paths`` below ``target``."""
    failed = 0
    for path in paths:
        place = path.relative_to(book.root)
        notebook = nbformat.read(path, as_version=4)
        try:
            edition = colab.edition(notebook, place.as_posix(), book)
            found = [f"{place}, {text}" for text in colab.faults(edition)]
        except colab.Refused as error:
            found = [str(error)]
        if found:
            failed += 1
            print("\n".join(found), file=sys.stderr)
            continue
        (target / place).parent.mkdir(parents=True, exist_ok=True)
        (target / place).write_text(dump(edition), encoding="utf-8")
    print(f"wrote {len(paths) - failed} notebooks for {book.repository}")
    return 1 if failed else 0


def main(argv: list[str] | None = None) -> int:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    commands = parser.add_subparsers(dest="command", required=True)
    sub: dict[str, Any] = {
        n: commands.add_parser(n) for n in ("run", "check", "colab")
    }
    sub["run"].add_argument("-j", "--jobs", type=int, default=1)
    defaults = {
        "--repository": None,
        "--branch": os.environ.get("BOOK_BRANCH") or "main",
        "--colab-branch": os.environ.get("COLAB_BRANCH") or "colab",
    }
    target = lint.ROOT / "_build" / "colab"
    sub["colab"].add_argument("target", type=Path, nargs="?", default=target)
    for name, value in defaults.items():
        sub["colab"].add_argument(name, default=value)
    for name in ("run", "check"):
        sub[name].add_argument("paths", nargs="*", type=Path)
    options = parser.parse_args(argv)
    given = [path.resolve() for path in getattr(options, "paths", [])]
    paths = given or every()
    if options.command == "run":
        return run(paths, options.jobs)
    if options.command == "check":
        return check(paths)
    try:
        name = colab.repository(
            options.repository, bookext.repository(lint.ROOT)
        )
    except ValueError as error:
        parser.error(str(error))
    with pictures.painter() as picture:
        book = colab.book(
            lint.ROOT, name, options.branch, options.colab_branch, picture
        )
        return publish(paths, options.target, book)


if __name__ == "__main__":
    raise SystemExit(main())
