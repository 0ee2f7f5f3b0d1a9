"""Write what the README shows of the blocks: a picture and a table.

    python book/_tools/readme.py    writes book/figures/one-query.png and the
                                    table into README.md

The table is put together from the catalogue, the references, the recorded
runs and the rows of the book's map; ``tests/book/test_readme.py`` compares
README and picture with what this file would write. A PNG, since GitHub does
not show photographs inside an SVG.
"""

from __future__ import annotations

import base64
import io
import json
import re
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from pybtex.database import Person, parse_file
from torch import Tensor

from attnlib import compare, create_block, plots
from attnlib.catalog import CATALOG, BlockInfo
from attnlib.plots._encode import still

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
PICTURE = ROOT / "book" / "figures" / "one-query.png"
TABLE = re.compile(r"^\| block \|.*\n(?:\|.*\n)+", re.MULTILINE)

BYTE = torch.uint8
SIZE, QUERY = (24, 32), (3, 27)
PANELS = {
    "san": "SAN: a window",
    "ccnet": "CCNet: a cross",
    "nonlocal": "Non-local: its like",
    "nlsa": "NLSA: same bucket",
    "emanet": "EMANet: its cluster",
    "lightnl": "LightNL: two signs",
    "gcnet": "GCNet: one for all",
}


def _features(image: Tensor) -> Tensor:
    """(3, H, W) -> (1, 64, H, W): random filters, standardised, halved."""
    g = torch.Generator().manual_seed(0)
    filters = torch.randn(64, 3, 3, 3, generator=g, dtype=image.dtype)
    f = F.conv2d(F.pad(image[None], (1, 1, 1, 1), "replicate"), filters)
    mean, std = f.mean((2, 3), keepdim=True), f.std((2, 3), keepdim=True)
    return (f - mean) / std / 2


def rows() -> dict[str, Tensor]:
    """Return the weights that the query gives, (H, W), block by block.

    Weights are seeded; keys are projected as queries are, so that a position
    asks for its like.
    """
    features = _features(plots.photograph("camera", SIZE).expand(3, *SIZE))
    found = {}
    for key in PANELS:
        torch.manual_seed(0)  # NLSA draws
        block: Any = create_block(key, 64, dtype=features.dtype)
        compare.seeded(block)
        if hasattr(block, "query") and hasattr(block, "key"):
            block.key.load_state_dict(block.query.state_dict())
        found[key] = block.attention_map(features, query=QUERY)[0, 0]
    return found


def picture() -> bytes:
    """Draw the photograph and the rows over it; return a PNG."""
    import matplotlib as mpl
    import matplotlib.pyplot as plt
    from PIL import Image

    fine = plots.photograph("camera", (192, 256)).expand(3, 192, 256)
    panels = [fine]
    for row in rows().values():
        data = base64.b64decode(still(fine, row).split(",")[1])
        with Image.open(io.BytesIO(data)) as image:
            drawn = torch.frombuffer(bytearray(image.tobytes()), dtype=BYTE)
        panels.append(drawn.view(-1, 2 * SIZE[1], 3).movedim(2, 0) / 255)
    steps = [panel.shape[1] / SIZE[0] for panel in panels]
    style = {
        "backend": "agg",
        "figure.constrained_layout.use": True,
        "figure.facecolor": "white",
        "savefig.bbox": "tight",
        "savefig.dpi": 160,
    }
    file = io.BytesIO()
    with mpl.rc_context(style):
        plots.show_images(
            panels,
            ["a query in the sky", *PANELS.values()],
            columns=4,
            marks=[
                tuple(step * (place + 0.5) - 0.5 for place in QUERY)
                for step in steps
            ],
        )
        plt.savefig(file, metadata={"Software": None})
        plt.close()
    return file.getvalue()


def _authors(people: list[Person]) -> str:
    names = [" ".join(person.last_names) for person in people]
    if len(names) > 2:
        return f"{names[0]} et al."
    return " and ".join(names)


def _paper(info: BlockInfo) -> str:
    """Name the work by its authors and year, with a link where it has one."""
    works = parse_file(ROOT / "book" / "references.bib").entries.values()
    for work in works:
        title = re.sub("[{}]", "", work.fields["title"])
        same = work.fields.get("eprint") == info.arxiv
        if same if info.arxiv else title == info.title:
            break
    else:
        return "the textbook form"
    words = f"{_authors(work.persons['author'])} {work.fields['year']}"
    if info.arxiv:
        return f"[{words}](https://arxiv.org/abs/{info.arxiv})"
    return words


def runs(key: str) -> list[dict[str, Any]]:
    """Return the facts about a block's recorded runs, heads included."""
    found = []
    for path in sorted((ROOT / "tests" / "golden").rglob("*.json")):
        facts = json.loads(path.read_text(encoding="utf-8"))
        head = facts["block"].removeprefix("mmseg_")
        if key.startswith(head) if head != facts["block"] else key == head:
            found.append(facts)
    return found


def _references(key: str) -> str:
    """Name the implementations whose recorded runs the block repeats."""
    found = set()
    for source in (facts["reference"] for facts in runs(key)):
        if version := re.match(r"mmseg [\d.]+", source):
            found.add(version[0])
        elif slug := re.search(r"([\w.-]+/([\w.-]+?))(?=[@:])", source):
            found.add(f"[{slug[2]}](https://github.com/{slug[1]})")
        else:
            found.add("loops from its equations")
    return ", ".join(sorted(found))


def _share(part: int, whole: int) -> str:
    share = 100 * part / whole
    return f"{share:.0f} %" if share >= 10 else f"{share:.2g} %"


def table() -> str:
    """Return the README's table: a line a block of the catalogue."""
    text = (ROOT / "tests" / "map_rows.json").read_text(encoding="utf-8")
    costs = json.loads(text)
    dense = costs["nonlocal"]["macs"]
    lines = [
        "| block | paper | compared with | parameters | multiply-adds |",
        "|---|---|---|--:|--:|",
    ]
    for key, info in CATALOG.items():
        classes = (info.cls, *info.others, *info.heads)
        names = ", ".join(f"`{c.__name__}`" for c in classes)
        cells = (
            f"[`{key}`]({info.chapter}.ipynb): {names}",
            _paper(info),
            _references(key),
            f"{costs[key]['parameters']:,}",
            _share(costs[key]["macs"], dense),
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Write both."""
    text = README.read_text(encoding="utf-8")
    README.write_text(TABLE.sub(lambda _: table(), text, 1), encoding="utf-8")
    PICTURE.write_bytes(picture())


if __name__ == "__main__":
    main()
