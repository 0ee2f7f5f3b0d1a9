"""The two small tasks, the command that trains on them, its stored result."""

import json
from concurrent.futures import Future
from typing import ClassVar

import pytest
import torch
from torch import nn

import attnlib
from attnlib import tasks
from attnlib.cost import closed_form
from attnlib.tasks import denoise, lookup
from benchmarks import task

KEYS, VALUES = lookup.KEYS, lookup.VALUES


def drawn(count=500, seed=0, **options):
    generator = torch.Generator().manual_seed(seed)
    return lookup.pictures(count, generator, **options)


@pytest.mark.parametrize("items", range(1, KEYS + 1))
def test_every_query_has_one_item_far_away(items):
    x, answers = drawn(items=items)
    assert x.shape == (500, KEYS + VALUES, *lookup.SIZE)
    for picture, wanted in zip(x, answers, strict=True):
        key, value = picture[:KEYS], picture[KEYS:]
        assert set(picture.unique().tolist()) <= {0.0, 1.0}
        assert key.sum(0).max() == value.sum(0).max() == 1
        item = value.sum(0) == 1
        asked = wanted != lookup.NOTHING
        assert item.sum() == asked.sum() == items
        assert not (item & asked).any()
        assert torch.equal(item | asked, key.sum(0) == 1)
        for row, column in asked.nonzero().tolist():
            same = key[:, row, column].argmax() == key.argmax(0)
            (there,) = (same & item).nonzero()
            assert wanted[row, column] == value[:, there[0], there[1]].argmax()
            away = (there - torch.tensor([row, column])).abs().max()
            assert away >= lookup.APART


def test_pictures_depend_on_their_generator_alone():
    torch.manual_seed(1)
    first = drawn(seed=3)
    torch.manual_seed(2)
    second, other = drawn(seed=3), drawn(seed=4)
    assert all(map(torch.equal, first, second))
    assert not torch.equal(first[0], other[0])


def test_values_are_even_and_no_key_tells_them():
    x, answers = drawn(4000)
    key = x[:, :KEYS].argmax(1)[answers >= 0]
    value = answers[answers >= 0]
    table = torch.bincount(key * VALUES + value, minlength=KEYS * VALUES)
    assert (table / table.sum() - 1 / table.numel()).abs().max() < 0.01


@pytest.mark.parametrize("items", [0, KEYS + 1, -1])
def test_number_of_items_is_checked(items):
    with pytest.raises(ValueError, match=f"items must be 1 to 4, got {items}"):
        drawn(items=items)


@pytest.mark.parametrize(
    ("block", "reach"), [("local", 3), ("local, wider", 4), ("san", 4)]
)
def test_local_networks_see_less_than_the_distance(block, reach):
    """What chance rests on: the output hears nothing from further away."""
    assert reach < lookup.APART
    torch.manual_seed(0)
    net = attnlib.compare.seeded(tasks.Network(block, 2, 1).double())
    x = torch.randn(1, 2, 19, 19, dtype=torch.float64, requires_grad=True)
    net(x)[0, 0, 9, 9].backward()
    heard = x.grad[0].abs().sum(0).nonzero() - 9
    assert heard.abs().max() == reach


def test_a_network_of_one_block():
    block = attnlib.NonLocal(32)
    assert tasks.Network(block, 3, 1).block is block
    assert isinstance(tasks.Network("rnl", 3, 1).block, attnlib.RegionNonLocal)
    with pytest.raises(ValueError, match="nonlocal"):
        tasks.Network("non_local", 3, 1)


def test_accuracy_counts_queries():
    answers = drawn(400, seed=2**31)[1]

    class Knows(nn.Module):
        """Reads the table of keys and values; of value 0 it is never sure."""

        def forward(self, x):
            k, v = x[:, :KEYS].flatten(2), x[:, KEYS:].flatten(2)
            scores = v @ k.mT @ k
            scores[:, 0] -= 2
            return scores.unflatten(2, lookup.SIZE)

    share = (answers[answers >= 0] != 0).double().mean()
    assert lookup.accuracy(Knows(), count=400) == pytest.approx(float(share))


def test_training_learns_and_is_seeded():
    runs = [lookup.trained("a2net", 0, 100, items=1) for _ in range(2)]
    weights = [torch.cat([p.flatten() for p in n.parameters()]) for n in runs]
    assert torch.equal(*weights)
    assert not runs[0].training
    # One item: no key is needed, and a hundred steps are enough.
    assert lookup.accuracy(runs[0], items=1, count=200) > 0.7


def test_noise_is_what_was_added():
    x, noise = denoise.pieces(40, torch.Generator().manual_seed(0))
    assert x.shape == noise.shape == (40, 1, denoise.SIDE, denoise.SIDE)
    assert float(noise.std()) == pytest.approx(denoise.SIGMA, rel=0.02)
    clean = x - noise
    assert clean.min() > -1e-6
    assert clean.max() < 1 + 1e-6
    for name in denoise.JUDGED:
        clean, noise = denoise.judged(name)
        assert clean.shape == noise.shape == (1, 1, denoise.CUT, denoise.CUT)
        again = denoise.judged(name)[1]
        assert torch.equal(noise, again)


def test_no_photograph_is_learned_and_judged():
    assert not set(denoise.LEARNED) & set(denoise.JUDGED)


def test_quality_is_that_of_what_is_left():
    class Half(nn.Module):
        """Finds half of the noise, given the clean picture."""

        def forward(self, noisy):
            for name in denoise.JUDGED:
                clean, noise = denoise.judged(name)
                if torch.equal(clean + noise, noisy):
                    return noise / 2
            raise AssertionError("an unknown picture")

    for name, found in denoise.quality(Half()).items():
        clean, noise = denoise.judged(name)
        alone = denoise.decibels(clean, clean + noise)
        assert found == pytest.approx(alone + 20 * torch.tensor(2).log10())


# The command


def test_it_resumes(tmp_path, capsys, monkeypatch):
    out = tmp_path / "task.json"
    monkeypatch.setattr(task, "ProcessPoolExecutor", _Here)
    _Here.jobs.clear()
    known = "--tasks lookup --blocks local --steps 2 --jobs 1".split()
    command = [*known, "--out", str(out)]
    assert task.main([*command, "--seeds", "1"]) == 0
    first = json.loads(out.read_text())
    assert task.main([*command, "--seeds", "2"]) == 0
    second = json.loads(out.read_text())
    assert second["rows"][:1] == first["rows"]
    assert [row["seed"] for row in second["rows"]] == [0, 1]
    assert second["networks"] == first["networks"]  # not measured again
    lines = capsys.readouterr().out.splitlines()
    assert f"{second['rows'][1]['score']:.3f}" in lines[-2]
    ran = [(job[1], job[2]) for job in _Here.jobs]
    assert ran == [("local", 0), ("local", 1)]


class _Here:
    """A pool that runs its jobs at once, in this process."""

    jobs: ClassVar = []

    def __init__(self, *_):
        pass

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def submit(self, function, *job):
        self.jobs.append(job)
        future = Future()
        future.set_result(function(*job))
        return future


def test_an_interrupted_run_keeps_what_is_done(tmp_path, capsys, monkeypatch):
    class Stops(_Here):
        def submit(self, function, *job):
            if job[2] == 1:
                raise KeyboardInterrupt
            return super().submit(function, *job)

        def shutdown(self, **_):
            pass

    out = tmp_path / "task.json"
    command = "--tasks lookup --blocks local --steps 2".split()
    command += ["--out", str(out)]
    monkeypatch.setattr(task, "ProcessPoolExecutor", _Here)
    assert task.main([*command, "--seeds", "1"]) == 0
    monkeypatch.setattr(task, "ProcessPoolExecutor", Stops)
    assert task.main([*command, "--seeds", "2"]) == 130
    assert "has what is done" in capsys.readouterr().err
    assert len(json.loads(out.read_text())["rows"]) == 1


def test_unknown_names_are_refused(capsys):
    with pytest.raises(SystemExit):
        task.main(["--blocks", "non-local"])
    assert "non-local" in capsys.readouterr().err


# The stored result


STORED = tasks.load_results()


def test_stored_result_is_whole():
    steps = STORED["settings"]["steps"]
    assert steps == task.STEPS
    wanted = {
        (name, block, seed, steps[name])
        for name in task.STEPS
        for block in task.BLOCKS[name]
        for seed in range(task.SEEDS)
    }
    found = [
        (row["task"], row["block"], row["seed"], row["steps"])
        for row in STORED["rows"]
    ]
    assert set(found) == wanted
    assert len(found) == len(wanted)
    for row in STORED["rows"]:
        if row["task"] == "lookup":
            assert 0 <= row["score"] <= 1
        else:
            assert list(row["score"]) == list(denoise.JUDGED)


def test_stored_counts_are_those_of_today():
    pairs = {(name, b) for name in task.STEPS for b in task.BLOCKS[name]}
    listed = [(n["task"], n["block"]) for n in STORED["networks"]]
    assert set(listed) == pairs
    assert len(listed) == len(pairs)
    for row in STORED["networks"]:
        net, x = task._network(row["task"], row["block"])
        assert row["parameters"] == sum(p.numel() for p in net.parameters())
        if row["block"] in tasks.LOCAL:
            assert row["macs"] == 0
        else:
            shape = (1, 32, *x.shape[2:])
            assert row["macs"] == closed_form(net.block, shape).macs
        assert row["time"] > 0


def test_one_stored_run_is_what_a_run_gives():
    """Other processors round otherwise: near, not equal."""
    (row,) = (
        row
        for row in STORED["rows"]
        if (row["task"], row["block"], row["seed"]) == ("denoise", "gcnet", 0)
    )
    torch.set_num_threads(1)
    again = task.run("denoise", "gcnet", 0, row["steps"])
    for name, value in again["score"].items():
        assert value == pytest.approx(row["score"][name], abs=0.3)
