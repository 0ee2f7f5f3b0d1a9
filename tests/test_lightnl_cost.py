"""LightNL: the published networks and the 400 of the abstract, counted."""

from collections import Counter

import pytest

from attnlib import LightNonLocal, NonLocal
from attnlib.cost import closed_form

SIDES = {24: 56, 40: 28, 80: 14, 96: 14, 192: 7, 320: 7}
# Channels, share and step of each block that has one, from the port's
# autonl_s.yml and autonl_l.yml.
AUTONL = {
    "S": [(24, 0.25, 1), (40, 0.25, 1), (40, 0.25, 2), (80, 0.25, 1),
          (96, 0.25, 1), (192, 0.25, 1), (320, 0.25, 1)],
    "L": [(24, 0.25, 1), (24, 0.25, 2), (40, 0.25, 1), (40, 0.25, 2),
          (40, 0.25, 2), (40, 0.25, 2), (80, 0.25, 1), (80, 0.125, 2),
          (96, 0.25, 1), (96, 0.25, 2), (192, 0.25, 1), (192, 0.125, 1),
          (192, 0.125, 1), (320, 0.25, 1)],
}  # fmt: skip


def light_cost(channels, r, s):
    block = LightNonLocal(channels, nl_c=r, nl_s=s, device="meta")
    return closed_form(block, (1, channels, *[SIDES[channels]] * 2))


def dense_cost(channels, inter_channels=None):
    options = {"inter_channels": inter_channels, "norm": False}
    block = NonLocal(channels, impl="reference", device="meta", **options)
    return closed_form(block, (1, channels, *[SIDES[channels]] * 2))


@pytest.mark.parametrize(
    ("net", "blocks", "macs", "parameters"),
    [("S", 7, 6.77e6, 8712), ("L", 14, 11.5e6, None)],
)
def test_all_blocks_of_a_published_network(net, blocks, macs, parameters):
    costs = [light_cost(*row) for row in AUTONL[net]]
    assert len(costs) == blocks
    found = sum(cost.macs for cost in costs)
    assert abs(found / macs - 1) < 5e-3
    filters = sum(9 * c * SIDES[c] ** 2 for c, _, _ in AUTONL[net])
    total = sum(cost.parameters for cost in costs)
    assert total == 11 * sum(c for c, _, _ in AUTONL[net])
    if parameters:
        assert total == parameters
        assert abs(filters / 1.78e6 - 1) < 5e-3
        assert abs((found - filters) / 4.99e6 - 1) < 5e-3


@pytest.mark.parametrize(
    ("row", "half", "full"),
    [
        ((24, 0.25, 1), (152, 152), (303, 303)),
        ((24, 0.25, 2), (193, 193), (386, 386)),
        ((24, 0.125, 2), (240, 260), (490, 510)),
        ((40, 0.25, 1), (30, 40), (60, 80)),
        ((40, 0.25, 2), (30, 40), (60, 80)),
        ((80, 0.25, 1), (7, 7), (15, 15)),
        ((320, 0.25, 1), (10, 10), (20, 20)),
    ],
    ids=str,
)
def test_how_many_times_cheaper(row, half, full):
    """400 needs the first stage and a dense block of full width.

    Multiply-adds, against a non-local block with half the channels inside and
    with all of them.
    """
    light = light_cost(*row).macs
    c, n = row[0], SIDES[row[0]] ** 2
    dense = {c // 2: half, c: full}
    assert dense_cost(c, c // 2).macs == 2 * n * c**2 + n**2 * c
    assert dense_cost(c, c).macs == 4 * n * c**2 + 2 * n**2 * c
    for inter_channels, (low, high) in dense.items():
        found = dense_cost(c, inter_channels).macs / light
        assert low <= round(found) <= high, found


def test_how_many_times_cheaper_in_all():
    light = sum(light_cost(*row).macs for row in AUTONL["S"])
    for width, times in ((0.5, 48), (1, 95)):
        rows = Counter(c for c, _, _ in AUTONL["S"])
        dense = sum(
            number * dense_cost(c, int(width * c)).macs
            for c, number in rows.items()
        )
        assert round(dense / light) == times
