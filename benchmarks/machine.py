"""The machine of a run: prepared, described without a name, and its memory."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import Any

import psutil
import torch


def prepare(device: str, threads: int, *, deterministic: bool) -> None:
    """Fix what a timing depends on: threads, tuning, determinism."""
    torch.set_num_threads(threads)
    if deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(deterministic, warn_only=True)
    if device == "cuda":  # convolutions try their algorithms when warming up
        torch.backends.cudnn.benchmark = not deterministic


def describe(device: str) -> dict[str, Any]:
    """Return what the times depend on; nothing that names the machine."""
    facts: dict[str, Any] = {
        "device": device,
        "processor": _processor(),
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "cores": psutil.cpu_count(logical=True),
        "threads": torch.get_num_threads(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "torch": torch.__version__,
    }
    if device == "cuda":
        card = torch.cuda.get_device_properties(0)
        facts |= {
            "gpu": card.name,
            "gpu_gib": round(card.total_memory / 2**30, 1),
            "capability": f"{card.major}.{card.minor}",
            "cuda": torch.version.cuda,
            "cudnn": torch.backends.cudnn.version(),
            "float32_products": torch.get_float32_matmul_precision(),
        }
    return facts


def free_bytes(device: str) -> int:
    """Bytes that a run could take now."""
    if device == "cuda":
        return torch.cuda.mem_get_info()[0]
    free: int = psutil.virtual_memory().available
    return free


def _processor() -> str:
    """Return the processor's model."""
    listing = Path("/proc/cpuinfo")
    if listing.exists():
        for line in listing.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()
