"""Numbers and pictures as text, byte for byte the same on every machine."""

from __future__ import annotations

from base64 import b64encode
from zlib import adler32, crc32

import torch
from torch import Tensor, nn

POSITIVE, NEGATIVE = (33, 102, 172), (179, 88, 6)
# Larger than rounding, smaller than what is shown: ties always fall one way.
NUDGE = 1e-9


def png(picture: Tensor) -> str:
    """(H, W, 3) bytes -> the address of a PNG that is stored, not compressed.

    What a compressor writes depends on its version.
    """
    height, width, _ = picture.shape
    lines = nn.functional.pad(picture.flatten(1), (1, 0))  # filter 0: as it is
    raw = bytes(lines.flatten().tolist())
    body = b"\x78\x01"
    for start in range(0, len(raw), 65535):
        part = raw[start : start + 65535]
        body += bytes([start + 65535 >= len(raw)])  # 1: the last block
        body += len(part).to_bytes(2, "little")
        body += (65535 - len(part)).to_bytes(2, "little") + part
    body += adler32(raw).to_bytes(4, "big")

    def chunk(name: bytes, content: bytes) -> bytes:
        check = crc32(name + content).to_bytes(4, "big")
        return len(content).to_bytes(4, "big") + name + content + check

    size = width.to_bytes(4, "big") + height.to_bytes(4, "big")
    header = chunk(b"IHDR", size + b"\x08\x02\x00\x00\x00")
    content = header + chunk(b"IDAT", body) + chunk(b"IEND", b"")
    image = b"\x89PNG\r\n\x1a\n" + content
    return "data:image/png;base64," + b64encode(image).decode()


def pixels(image: Tensor) -> Tensor:
    """(3, H, W) in [0, 1] -> (H, W, 3) bytes."""
    return (255 * image + NUDGE).round().to(torch.uint8).movedim(0, -1)


def still(image: Tensor, row: Tensor) -> str:
    """The weights of one row, (H, W), over the faded picture."""
    height, width = row.shape
    size = 2 * height, 2 * width
    small = nn.functional.adaptive_avg_pool2d(image, size)
    luma = torch.tensor([0.2126, 0.7152, 0.0722], dtype=torch.float64)
    faded = 0.65 + 0.35 * torch.einsum("c, chw -> hw", luma, small)
    top = row.abs().max().clamp(min=1e-300)
    share = (row / top).repeat_interleave(2, 0).repeat_interleave(2, 1)
    inks = torch.tensor([POSITIVE, NEGATIVE], dtype=torch.float64) / 255
    ink = inks[(share < 0).long()].movedim(-1, 0)  # (3, H, W)
    return png(pixels(faded + share.abs() * (ink - faded)))


def pack(levels: Tensor, bits: int) -> str:
    """Numbers of ``bits`` bits, one after the other."""
    shifts = torch.arange(bits - 1, -1, -1)
    stream = ((levels.flatten()[:, None] >> shifts) & 1).flatten()
    stream = nn.functional.pad(stream, (0, -len(stream) % 8 + 8))
    packed = (stream.view(-1, 8) << torch.arange(7, -1, -1)).sum(1)
    return b64encode(bytes(packed.tolist())).decode()


def numbers(values: Tensor) -> str:
    """Three digits each; one number if all are alike."""
    nudged = values.flatten() * (1 + NUDGE)
    words = [f"{v:.0f}" if v > 999 else f"{v:.3g}" for v in nudged.tolist()]
    return " ".join(words[:1] if len(set(words)) == 1 else words)
