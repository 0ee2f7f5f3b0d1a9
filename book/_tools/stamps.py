"""Stamps: when, how long and with what the stored outputs were made.

For a notebook ``book/<part>/<name>.ipynb`` the command ``notebooks.py run``
writes ``book/stamps/<part>/<name>.json``, and only when there is something to
complain about, such as changed bytes: a second run leaves both files as they
are. Nothing else writes a stamp, so a notebook that was edited and not run has
a stale one. What a stamp says must be possible, and the versions those that
``requirements.txt`` pins.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import re
from datetime import date, timedelta
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("torch", "numpy", "matplotlib", "scikit-image")
LIMIT = 10_000  # seconds: no page of a book that readers run takes longer


def clock() -> tuple[float, float]:
    """Return the processor time of child processes that ended, and wall time.

    The first does not grow when other work shares the cores; it stays 0 on a
    system that does not count it (Windows).
    """
    times = os.times()
    return times.children_user + times.children_system, times.elapsed


def place(path: Path) -> Path | None:
    """Return the file of a notebook's stamp; None outside a book."""
    part, book = path.resolve().parents[:2]
    if book.name != "book":
        return None
    return book / "stamps" / part.name / f"{path.stem}.json"


def digest(path: Path) -> str:
    """Return the sha256 of a notebook file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def versions() -> dict[str, str]:
    """Return what ran the notebook, without the build of torch (+cpu)."""
    found = {"python": ".".join(platform.python_version_tuple()[:2])}
    for name in PACKAGES:
        try:
            found[name] = version(name).partition("+")[0]
        except PackageNotFoundError:
            continue
    source = (ROOT / "attnlib" / "__init__.py").read_text(encoding="utf-8")
    if match := re.search(r'__version__ = "([^"]+)"', source):
        found["attnlib"] = match[1]
    return found


def read(path: Path) -> dict[str, Any] | None:
    """Return a notebook's stamp, or None where there is none."""
    file = place(path)
    if file is None or not file.exists():
        return None
    return json.loads(file.read_text(encoding="utf-8"))


def write(path: Path, seconds: float) -> bool:
    """Stamp a notebook that has just run; return whether it had changed."""
    file = place(path)
    if file is None or complaint(path) is None:
        return False
    stamp = {
        "date": date.today().isoformat(),
        "seconds": max(1, round(seconds)),
        "sha256": digest(path),
        "versions": versions(),
    }
    file.parent.mkdir(parents=True, exist_ok=True)
    # Whoever reads it meanwhile sees the old stamp or the new one.
    draft = file.with_suffix(f".{os.getpid()}")
    draft.write_text(json.dumps(stamp, indent=1) + "\n", encoding="utf-8")
    draft.replace(file)
    return True


def command(path: Path) -> str:
    """Return the command that runs and stamps a notebook."""
    part = path.resolve().parent.name
    return f"python book/_tools/notebooks.py run book/{part}/{path.name}"


def pins(file: Path, python: str) -> dict[str, str]:
    """Return the exact versions of our packages in a requirements file."""
    found = {}
    lines = file.read_text("utf-8").splitlines() if file.exists() else []
    for line in filter(re.compile(r"[\w-]+==").match, lines):
        wanted = Requirement(line.partition(" #")[0])
        marker = wanted.marker
        if marker and not marker.evaluate({"python_version": python}):
            continue
        if wanted.name in PACKAGES:
            found[wanted.name] = str(wanted.specifier).removeprefix("==")
    return found


def _impossible(stamp: Any, requirements: Path) -> str | None:
    """Return what in a stamp cannot be, or None."""
    if not isinstance(stamp, dict):
        return "is no stamp"
    day, seconds = str(stamp.get("date")), stamp.get("seconds")
    try:
        ran = date.fromisoformat(day)
    except ValueError:
        return f"says the date {day}"
    # Elsewhere it may be tomorrow already.
    if ran > date.today() + timedelta(days=1) or ran.isoformat() != day:
        return f"says the date {day}"
    if type(seconds) is not int or not 1 <= seconds <= LIMIT:
        return f"says {seconds} seconds"
    used = stamp.get("versions")
    if not isinstance(used, dict):
        return "says no versions"
    python = str(used.get("python"))
    if not re.fullmatch(r"3\.\d+", python):
        return f"says python {python}"
    for name, pin in pins(requirements, python).items():
        if used.get(name) != pin:
            return f"says {name} {used.get(name)}, requirements.txt {pin}"
    return None


def complaint(path: Path) -> str | None:
    """Return what is wrong with a notebook's stamp, or None."""
    file = place(path)
    if file is None:
        return None
    if not file.exists():
        return f"no stamp: {command(path)}"
    try:
        stamp = read(path)
    except ValueError:
        stamp = None
    requirements = path.resolve().parents[2] / "requirements.txt"
    if wrong := _impossible(stamp, requirements):
        return f"its stamp {wrong}: {command(path)}"
    if stamp.get("sha256") != digest(path):
        return f"changed since its stored run: {command(path)}"
    return None


def orphans(book: Path) -> list[Path]:
    """Return the stamps whose notebook is gone."""
    return sorted(
        file
        for file in (book / "stamps").glob("*/*.json")
        if not (book / file.parent.name / f"{file.stem}.ipynb").exists()
    )
