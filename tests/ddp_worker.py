"""One of two processes of a group: ``ddp_worker.py FOLDER RANK``.

Steps every block under DistributedDataParallel, tries what must fail, and
saves what it saw to ``FOLDER/RANK.pt``. ``test_distributed.py`` starts both.
"""

import sys
from pathlib import Path

import torch
import torch.distributed as dist
from cases import CASES, Case
from torch import nn

from attnlib.examples.ddp import parallel, share, step

PROCESSES = 2
CPU = torch.device("cpu")
EACH_FORM = [(case, impl) for case in CASES for impl in case.build().impls]
NORMED = Case("nonlocal", {})
BASES = Case("emanet", {"bases": 5, "auto_update": True})


class Idle(nn.Module):
    """A layer with one parameter that it uses and one that it does not."""

    def __init__(self):
        super().__init__()
        self.used = nn.Parameter(torch.ones(1, dtype=torch.float64))
        self.idle = nn.Parameter(torch.ones(1, dtype=torch.float64))

    def forward(self, x):
        return self.used * x


def classifier(block):
    return nn.Sequential(block, nn.Flatten())


def batch(case):
    """Return four images and their classes."""
    return case.input(2 * PROCESSES), torch.arange(2 * PROCESSES)


def refusal(function):
    try:
        function()
    except (RuntimeError, ValueError) as error:
        return str(error)
    return ""


def main(folder, rank):
    def mine(case):
        return [share(t, rank, PROCESSES) for t in batch(case)]

    steps = {}
    for case, impl in EACH_FORM:
        net = parallel(classifier(case.build(impl=impl)), CPU)
        steps[f"{case}-{impl}"] = step(net, *mine(case))

    alone = step(classifier(NORMED.build()), *mine(NORMED))
    training = parallel(classifier(NORMED.build()).train(), CPU)
    idle = Idle()
    inside = parallel(classifier(idle), CPU)
    convert = nn.SyncBatchNorm.convert_sync_batchnorm
    synced = convert(NORMED.build())
    bases = BASES.build().train()
    uneven = BASES.input(2 * PROCESSES)[slice(1) if rank == 0 else slice(1, 4)]
    bases(uneven)
    seen = {
        "steps": steps,
        "start of the bases": bases.mu,
        "without DDP": alone,
        "norms in training": step(training, *mine(NORMED)),
        "idle": refusal(lambda: step(inside, *mine(NORMED))),
        "beside idle": idle.used.grad,
        "synchronised, DDP": refusal(lambda: parallel(synced, CPU)),
        "synchronised, eval": synced(NORMED.input()).detach(),
        "synchronised, training": refusal(
            lambda: synced.train()(NORMED.input())
        ),
    }
    torch.save(seen, folder / f"{rank}.pt")


if __name__ == "__main__":
    folder, rank = Path(sys.argv[1]), int(sys.argv[2])
    torch.set_num_threads(1)
    store = (folder / "store").as_uri()
    dist.init_process_group("gloo", store, rank=rank, world_size=PROCESSES)
    main(folder, rank)
    dist.destroy_process_group()
