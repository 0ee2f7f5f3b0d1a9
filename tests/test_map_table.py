"""The book's map: every row is what is stored, or the test says what moved.

After a change that is meant: ``python tests/test_map_table.py`` stores the
rows anew; then run the notebook ``book/compare/map.ipynb`` again.
"""

from __future__ import annotations

import inspect
import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from cases import CHANNELS

from attnlib import (
    DualMultiScaleAttention,
    compare,
    create_block,
    list_blocks,
    maps,
    measured,
)
from attnlib.catalog import CATALOG
from attnlib.cost import closed_form

FILE = Path(__file__).with_name("map_rows.json")
STORED: dict[str, dict[str, Any]] = (
    json.loads(FILE.read_text()) if FILE.exists() else {}
)


@pytest.fixture(autouse=True)
def _one_thread() -> Any:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def test_every_block_has_a_row() -> None:
    assert list(STORED) == list_blocks()


@pytest.mark.parametrize("key", list_blocks())
def test_row_is_what_is_stored(key: str) -> None:
    found = compare.changes(STORED[key], compare.row(key))
    assert not found, "; ".join(found)


@pytest.mark.parametrize(
    ("key", "options", "moved"),
    [
        ("nonlocal", {"pairwise": "dot_product"}, "rank macs growth sums"),
        ("nonlocal", {"norm": False}, "parameters kept_bytes"),
        ("lightnl", {"nl_c": 0.5}, "rank macs"),
        ("a2net", {"zero_init": True}, "start"),
        ("ccnet", {"reduction": 4}, "parameters macs kept_bytes"),
        ("san", {"kernel_size": 5}, "pairs macs"),
        ("emanet", {"bases": 32}, "rank macs"),
        ("annnet", {"pool_sizes": (1, 3)}, "rank macs"),
        ("isanet", {"down_factors": ((4, 4),)}, "macs kept_bytes"),
        ("nlsa", {"chunk_size": 72}, "pairs macs"),
        ("selfattention", {"gamma": True}, "start parameters"),
        ("danet", {"key_channels": 4}, "rank macs"),
        ("rnl", {"kernel_size": 5}, "parameters macs"),
        ("dmsanet", {"groups": 4}, "parameters macs"),
        ("psa", {"layout": "sequential"}, "macs kept_bytes"),
        ("gcnet", {"pooling_type": "avg"}, "macs growth"),
    ],
)
def test_another_default_is_named(
    key: str, options: dict[str, Any], moved: str
) -> None:
    found = compare.changes(STORED[key], compare.row(key, **options))
    columns = {line.split()[1] for line in found}
    assert {"option", *moved.split()} <= columns, found
    assert all(line.startswith(f"{key}: ") for line in found)


@pytest.mark.parametrize("key", list_blocks())
def test_every_default_is_stored(key: str) -> None:
    cls = type(create_block(key, CHANNELS))
    known = inspect.signature(cls).parameters.values()
    defaults = {p.name for p in known if p.default is not p.empty}
    assert set(STORED[key]["options"]) == defaults - {"device", "dtype"}


def test_a_default_that_moves_no_column_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    defaults = DualMultiScaleAttention.__init__.__kwdefaults__
    monkeypatch.setitem(defaults, "sign", "official")
    found = compare.changes(STORED["dmsanet"], compare.row("dmsanet"))
    assert found == ["dmsanet: option sign was paper, is official"]


def test_changes_see_any_column() -> None:
    row = compare.row("gcnet")
    assert compare.changes(json.loads(json.dumps(asdict(row))), row) == []
    assert row.sums is not None
    assert row.rank is not None
    old, new = {"a": None, "b": 1}, {"b": (1, 3), "c": None}
    stored = {**asdict(row), "options": old}
    assert compare.changes(stored, replace(row, options=new)) == [
        "gcnet: option a was None, is absent",
        "gcnet: option b was 1, is 1, 3",
        "gcnet: option c was absent, is None",
    ]
    for name, value, words in (
        ("similarity", "dot product", "of the key alone, is dot product"),
        ("rank", row.rank + 1, "1, is 2"),
        ("pairs", None, "1, is None"),
        ("sums", (row.sums[0], 1.001), "1 to 1, is 1 to 1.001"),
        ("start", 1e-4, "0, is 0.0001"),
        ("macs", row.macs + 1, "2105344, is 2105345"),
    ):
        (line,) = compare.changes(asdict(row), replace(row, **{name: value}))
        assert line == f"gcnet: {name} was {words}"


@pytest.mark.parametrize("key", list_blocks())
def test_rank_is_far_from_its_threshold(key: str) -> None:
    """Else another machine would count another rank."""
    x = compare.example()
    torch.manual_seed(0)
    block = create_block(key, compare.CHANNELS, dtype=torch.float64)
    compare.seeded(block)
    if not hasattr(block, "attention_map"):
        assert STORED[key]["rank"] is None
        return
    A = block.attention_map(x)[0]
    sizes = torch.linalg.svdvals(A)
    ranks = maps.rank(A)
    bound = sizes[:, 0] * A.shape[-1] * torch.finfo(A.dtype).eps
    for line, rank, limit in zip(sizes, ranks, bound, strict=True):
        assert line[rank - 1] > 2 * limit
        if rank < len(line):
            assert line[rank] < limit / 2


def test_seeded_blocks_repeat_and_are_no_identity() -> None:
    x = torch.randn(2, CHANNELS, 8, 8, dtype=torch.float64)
    for key in list_blocks():
        made = []
        for seed in (0, 1):
            torch.manual_seed(seed)
            block = create_block(key, CHANNELS, dtype=torch.float64)
            state = compare.seeded(block).state_dict()
            assert not block.training
            made.append(state)
        for name, value in made[0].items():
            assert torch.equal(value, made[1][name]), (key, name)
        torch.manual_seed(0)
        assert not torch.allclose(block(x), x), key


def test_generators_are_left_alone() -> None:
    before = torch.random.get_rng_state()
    compare.row("nlsa")
    assert torch.equal(before, torch.random.get_rng_state())


def test_facts_agree_with_the_code() -> None:
    """The two typed columns, where a number can refute them."""
    for key, info in CATALOG.items():
        averages = STORED[key]["sums"] == pytest.approx([1, 1])
        softmax = "softmax" in info.normaliser
        assert averages == (softmax and key != "emanet"), key
        assert (STORED[key]["pairs"] is None) == ("none" in info.similarity)
    assert STORED["gcnet"]["rank"] == 1  # of the key alone
    x = compare.example((8, 8))
    block = create_block("san", compare.CHANNELS, dtype=torch.float64)
    far = compare.seeded(block).attention_map(x)[0, 0, 0]
    assert far.view(8, 8)[2:].count_nonzero() == 0  # in the window


def test_steps_are_the_least_stored_ratios() -> None:
    """One for each block; none where it is not the block that was timed."""
    steps = {key: row["step"] for key, row in STORED.items()}
    assert steps["nonlocal"] == 1
    for key, step in steps.items():
        stored = [
            row["to_dense"]
            for row in measured.load("cuda")["rows"]
            if row["subject"] == key and row["passes"] == "both"
        ]
        assert step == min(stored), key
    assert compare.row("gcnet", mask_bias=False).step is None


def test_costs_are_the_closed_forms() -> None:
    row = compare.row("danet")
    block = create_block("danet", compare.SHAPE[1])
    assert (row.parameters, row.macs, row.kept_bytes) == closed_form(
        block.float(), compare.SHAPE
    )
    assert 1.9 < row.growth < 2


if __name__ == "__main__":
    torch.set_num_threads(1)
    rows = {row.key: asdict(row) for row in compare.rows()}
    FILE.write_text(json.dumps(rows, indent=1) + "\n")
