"""DistributedDataParallel on two processes equals one process, block by block.

The processes run once for all tests; see ``ddp_worker.py`` for what they do.
"""

import inspect
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from cases import CASES
from ddp_worker import (
    BASES,
    EACH_FORM,
    NORMED,
    PROCESSES,
    Idle,
    batch,
    classifier,
)
from filelock import FileLock
from torch import nn

from attnlib.catalog import CATALOG
from attnlib.examples import ddp

WORKER = Path(__file__).with_name("ddp_worker.py")
BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


def environment():
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(sys.path),
        "OMP_NUM_THREADS": "1",
        "CUDA_VISIBLE_DEVICES": "",
    }


def start_group(folder):
    """Run both processes; raise what the first to fail has to say."""
    group = [
        subprocess.Popen(
            [sys.executable, str(WORKER), str(folder), str(rank)],
            env=environment(),
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(PROCESSES)
    ]
    try:
        for process in group:
            _, errors = process.communicate(timeout=120)
            assert process.returncode == 0, errors[-3000:]
    finally:
        for process in group:
            process.kill()


@pytest.fixture(scope="module")
def seen(tmp_path_factory):
    """What each process saw; pytest's own workers share one group."""
    run = os.environ.get("PYTEST_XDIST_TESTRUNUID")
    base = tmp_path_factory.getbasetemp()
    folder = base.parent / f"ddp-{run}" if run else base / "ddp"
    folder.mkdir(exist_ok=True)
    files = [folder / f"{rank}.pt" for rank in range(PROCESSES)]
    with FileLock(folder / "lock"):
        if not all(file.exists() for file in files):
            start_group(folder)
    return [torch.load(file, weights_only=True) for file in files]


def whole_batch(case, **options):
    return ddp.step(classifier(case.build(**options)), *batch(case))


def compare(found, expected):
    """Every gradient and every new parameter, to rounding."""
    assert list(found) == list(expected)
    largest = max(float(t.abs().max()) for t in expected.values())
    for name, want in expected.items():
        close = {"rtol": 1e-10, "atol": 1e-13 * largest}
        torch.testing.assert_close(found[name], want, **close)


@pytest.mark.parametrize(
    ("case", "impl"), EACH_FORM, ids=[f"{c}-{impl}" for c, impl in EACH_FORM]
)
def test_step_equals_that_of_one_process(seen, case, impl):
    expected = whole_batch(case, impl=impl)
    assert any(name.endswith(".grad") for name in expected)
    for process in seen:
        compare(process["steps"][f"{case}-{impl}"], expected)


def test_a_share_alone_is_not_the_batch(seen):
    """What the comparison would say without DDP."""
    for process in seen:
        with pytest.raises(AssertionError, match="Tensor-likes are not close"):
            compare(process["without DDP"], whole_batch(NORMED))


def test_norms_in_training_mix_images(seen):
    """Why norms are synchronised or use stored statistics."""
    net = classifier(NORMED.build()).train()
    expected = ddp.step(net, *batch(NORMED))["0.out.weight.grad"]
    for process in seen:
        found = process["norms in training"]["0.out.weight.grad"]
        assert (found - expected).abs().max() > 0.1 * expected.abs().max()


def test_the_start_of_the_bases_follows_all_images(seen):
    """One image here, three there: the mean is that of four."""
    block = BASES.build().train()
    block(BASES.input(2 * PROCESSES))
    for process in seen:
        torch.testing.assert_close(process["start of the bases"], block.mu)


def test_synchronised_norms_need_a_gpu(seen):
    """In training; in eval mode they compute what the norms did."""
    for process in seen:
        assert "only work with GPU" in process["synchronised, DDP"]
        assert "to be on GPU" in process["synchronised, training"]
        expected = NORMED.build()(NORMED.input())
        assert torch.equal(process["synchronised, eval"], expected)


def test_a_parameter_without_gradient_is_reported(seen):
    """It costs its neighbours their average, without a word from DDP."""
    rank_of_share = []
    for rank, process in enumerate(seen):
        message = "parameters without gradient: ['0.idle']"
        assert process["idle"] == message
        x, target = (ddp.share(t, rank, PROCESSES) for t in batch(NORMED))
        logits = classifier(layer := Idle())(x)
        nn.functional.cross_entropy(logits, target).backward()
        torch.testing.assert_close(process["beside idle"], layer.used.grad)
        rank_of_share.append(layer.used.grad)
    assert (rank_of_share[0] - rank_of_share[1]).abs() > 1e-3


@pytest.mark.parametrize(
    "case",
    [
        case
        for case in CASES
        if any(isinstance(m, BATCH_NORMS) for m in case.build().modules())
    ],
    ids=str,
)
def test_norms_convert(case):
    """Class changed; names, tensors and values kept."""
    block, x = case.build(), case.input()
    expected = block(x)
    norms = {n for n, m in block.named_modules() if isinstance(m, BATCH_NORMS)}
    before = dict(block.named_parameters())
    entries = {name: t.clone() for name, t in block.state_dict().items()}
    block = nn.SyncBatchNorm.convert_sync_batchnorm(block)
    for name, module in block.named_modules():
        assert isinstance(module, nn.SyncBatchNorm) == (name in norms)
    after = dict(block.named_parameters())
    assert list(after) == list(before)
    assert all(after[name] is before[name] for name in before)
    assert list(block.state_dict()) == list(entries)
    for name, t in block.state_dict().items():
        assert torch.equal(t, entries[name])
    assert torch.equal(block(x), expected)


# The example.


@pytest.mark.parametrize("key", CATALOG)
def test_example_alone(key, capsys):
    assert ddp.main(["--block", key]) == 0
    gpu = torch.cuda.is_available() and torch.distributed.is_nccl_available()
    backend = "nccl" if gpu else "gloo"
    line = (
        f"{key}, 1 process(es), {backend}: largest difference is below 1e-12"
    )
    assert capsys.readouterr().out == f"{line}\n"
    assert not torch.distributed.is_initialized()


def test_example_says_when_the_steps_differ(monkeypatch, capsys):
    def wrong(net, device):
        with torch.no_grad():
            net[0].bias.add_(0.1)
        return net

    monkeypatch.setattr(ddp, "parallel", wrong)
    assert ddp.main([]) == 1
    assert "not below 1e-12" in capsys.readouterr().out


def test_example_by_torchrun():
    launch = ["-m", "torch.distributed.run", "--standalone"]
    program = ["-m", "attnlib.examples.ddp", "--block", "nonlocal"]
    command = [sys.executable, *launch, f"--nproc-per-node={PROCESSES}"]
    result = subprocess.run(
        [*command, *program],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert result.returncode == 0, result.stderr[-3000:]
    line = "nonlocal, 2 process(es), gloo: largest difference is below 1e-12"
    assert result.stdout == f"{line}\n"


def test_shares_must_be_equal():
    x = torch.arange(6)
    assert [ddp.share(x, r, 3).tolist() for r in range(3)] == [
        [0, 1],
        [2, 3],
        [4, 5],
    ]
    with pytest.raises(ValueError, match="multiple of 4 entries, one"):
        ddp.share(x, 0, 4)


def test_functions_fit_on_a_page_of_the_book():
    for name, thing in vars(ddp).items():
        if inspect.isfunction(thing) and thing.__module__ == ddp.__name__:
            lines = inspect.getsource(thing).splitlines()
            assert len(lines) <= 25, name
            assert max(map(len, lines)) <= 79, name
