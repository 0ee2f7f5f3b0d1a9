"""Lightweight blocks with random parameters, and what they are given."""

import pytest
import torch
from cases import randomise

from attnlib import LightNonLocal

IMPLS = ["reference", "associative"]
each_impl = pytest.mark.parametrize("impl", IMPLS)
NORMALIZERS = ["HW", "W/H", "keys"]
each_normalizer = pytest.mark.parametrize("normalizer", NORMALIZERS)


def build(channels=16, **options):
    torch.manual_seed(0)
    return randomise(LightNonLocal(channels, **options)).double().eval()


def picture(*shape):
    generator = torch.Generator().manual_seed(5)
    return torch.randn(shape, generator=generator, dtype=torch.float64)
