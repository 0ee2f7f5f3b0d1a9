"""Still figures: notebook set-up, photographs, grids of images."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from attnlib._checks import check_choice

_PHOTOGRAPHS = (
    "astronaut",
    "brick",
    "camera",
    "cat",
    "coffee",
    "coins",
    "grass",
    "gravel",
    "moon",
    "rocket",
    "text",
)


def setup_notebook(seed: int = 0) -> None:
    """Make a notebook repeatable.

    One seed, one thread, float64, four digits, SVG figures that stay the same.

    Args:
        seed: seed of PyTorch's global generator.

    Warnings raised inside ``attnlib`` become errors, so that no stored output
    hides one.
    """
    import matplotlib.pyplot as plt
    from cycler import cycler
    from matplotlib_inline.backend_inline import set_matplotlib_formats

    torch.manual_seed(seed)
    torch.set_num_threads(1)
    torch.set_default_dtype(torch.float64)
    torch.set_printoptions(precision=4, sci_mode=False, linewidth=79)
    warnings.filterwarnings("error", module="attnlib")
    set_matplotlib_formats("svg", metadata={"Date": None})
    colours = ["black", "#b2182b", "#2166ac", "#1b7837"]
    plt.rcParams.update(
        {
            "svg.hashsalt": "attnlib",
            "figure.dpi": 100,
            "figure.facecolor": "white",
            "figure.constrained_layout.use": True,
            "font.size": 11,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.prop_cycle": cycler(color=colours),
        }
    )


def photograph(
    name: str, size: tuple[int, int], *, gray: bool = False
) -> Tensor:
    """Return a real photograph, float64 in [0, 1], averaged to ``size``.

    The pictures ship inside the scikit-image package: nothing is downloaded.

    Args:
        name: ``"astronaut"``, ``"brick"``, ``"camera"``, ``"cat"``,
            ``"coffee"``, ``"coins"``, ``"grass"``, ``"gravel"``, ``"moon"``,
            ``"rocket"`` or ``"text"``.
        size: ``(H, W)`` in pixels, at most the size of the original.
        gray: average the colours (Rec. 709 luma weights) to one channel.

    Shape:
        - Output: ``(3, H, W)``, or ``(H, W)`` with ``gray`` or for a picture
          without colour.

    Raises:
        ValueError: unknown name, or a size larger than the original.
    """
    import skimage.data

    check_choice("name", name, _PHOTOGRAPHS)
    array = getattr(skimage.data, name)().copy()
    picture = torch.from_numpy(array).to(torch.float64) / 255
    if picture.ndim == 2:
        picture = picture[..., None]
    picture = picture.movedim(-1, 0)  # (colours, height, width)
    height, width = picture.shape[1:]
    if not (1 <= size[0] <= height and 1 <= size[1] <= width):
        raise ValueError(
            f"size must lie between (1, 1) and {(height, width)}, got {size}"
        )
    picture = nn.functional.adaptive_avg_pool2d(picture, size)
    if gray and len(picture) == 3:
        luma = torch.tensor([0.2126, 0.7152, 0.0722], dtype=torch.float64)
        picture = (luma[:, None, None] * picture).sum(0, keepdim=True)
    return picture[0] if len(picture) == 1 else picture


def show_images(
    images: Sequence[Tensor],
    titles: Sequence[str] | None = None,
    *,
    cmap: str = "gray",
    vmin: float | None = None,
    vmax: float | None = None,
    columns: int | None = None,
    marks: Sequence[tuple[int, int] | None] | None = None,
) -> None:
    """Draw a grid of images, one pixel a value, without smoothing.

    Args:
        images: tensors ``(H, W)`` (drawn with ``cmap``) or ``(3, H, W)``
            (drawn in colour).
        titles: one title an image.
        cmap: matplotlib's name of the colour map.
        vmin: low end of the colour map; each image's own smallest value when
            not given.
        vmax: high end; each image's own largest value when not given.
        columns: images a row; all in one row when not given.
        marks: one ``(row, column)`` or ``None`` an image: a red cross at that
            pixel.

    Raises:
        ValueError: an image of another rank, or a list of another length than
            ``images``.
    """
    import matplotlib.pyplot as plt

    for name, values in (("titles", titles), ("marks", marks)):
        if values is not None and len(values) != len(images):
            raise ValueError(
                f"{name} must have {len(images)} entries, got {len(values)}"
            )
    columns = columns or len(images)
    rows = math.ceil(len(images) / columns)
    height, width = images[0].shape[-2:]
    cell = 6.4 / columns
    size = (6.4, rows * (cell * height / width + (0.35 if titles else 0.1)))
    _, axes = plt.subplots(rows, columns, figsize=size, squeeze=False)
    for axis in axes.flat:
        axis.axis("off")
    for n, image in enumerate(images):
        if image.ndim != 2 and not (image.ndim == 3 and image.shape[0] == 3):
            raise ValueError(
                f"image {n} must be (H, W) or (3, H, W), "
                f"got {tuple(image.shape)}"
            )
        axis = axes.flat[n]
        picture = image.detach().cpu()
        if picture.ndim == 3:
            picture = picture.movedim(0, -1).clamp(0, 1)
        axis.imshow(
            picture.numpy(),
            cmap=cmap,
            vmin=vmin,
            vmax=vmax,
            interpolation="none",
        )
        if titles is not None:
            axis.set_title(titles[n], fontsize=10)
        mark = marks[n] if marks is not None else None
        if mark is not None:
            row, column = mark
            axis.plot(
                column,
                row,
                "+",
                color="#d62728",
                markersize=11,
                markeredgewidth=2.2,
            )
    plt.show()
