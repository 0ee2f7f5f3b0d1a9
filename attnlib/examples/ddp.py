"""One training step on several processes, compared with the same on one.

    L = 1/B sum_b l(x_b) = 1/P sum_p (P/B sum_{b in share p} l(x_b))

The mean over B images is the mean over P processes of the mean over a share
of B/P images. So gradients averaged over the processes, which is what
``DistributedDataParallel`` (DDP) does, are those of the whole batch, provided
that shares are equal and that no layer mixes images.

In training, batch norm mixes them: its mean and variance are over the batch.
``SyncBatchNorm`` takes both over all processes, on GPUs alone: on the CPU its
training forward pass raises, and so does DDP around it. Where every process
has a GPU, the norms train and are synchronised. On the CPU they stay as they
are and use stored statistics (eval mode), which mix nothing.

Two processes, or one:

    torchrun --nproc-per-node 2 -m attnlib.examples.ddp --block nonlocal
    python -m attnlib.examples.ddp

Prints one line; the exit code is 1 if the two steps differ.
"""

from __future__ import annotations

import argparse
import copy
import os
from collections.abc import Sequence

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from attnlib.catalog import create_block, list_blocks

CHANNELS, CLASSES = 8, 5
IMAGES = 4  # a process
LIMIT = 1e-12


def network(block: nn.Module) -> nn.Module:
    """Return a small network in float64 around ``block``.

    Args:
        block: takes and returns ``(B, CHANNELS, H, W)``.

    Shape:
        - Output: a module, ``(B, 3, H, W) -> (B, CLASSES)``

    Every parameter is drawn anew: a block that starts as the identity would
    pass no gradient to its inner layers.
    """
    convolution = nn.Conv2d(3, CHANNELS, 3, padding=1)
    stem = [convolution, nn.BatchNorm2d(CHANNELS), nn.ReLU()]
    last = nn.Linear(CHANNELS, CLASSES)
    head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), last]
    net = nn.Sequential(*stem, block, *head).double()
    generator = torch.Generator().manual_seed(0)
    for parameter in net.parameters():
        nn.init.normal_(parameter, std=0.5, generator=generator)
    return net


def share(t: Tensor, rank: int, processes: int) -> Tensor:
    """Return the part of a batch that process ``rank`` works on.

    Args:
        t: the batch, first dimension B.
        rank: number of this process, from 0.
        processes: P.

    Shape:
        - Output: B / P entries of ``t``

    Raises:
        ValueError: B is no multiple of P: over unequal shares, the mean of
            the means is not the mean.
    """
    if t.shape[0] % processes:
        raise ValueError(
            f"t must have a multiple of {processes} entries, one share a "
            f"process, got {t.shape[0]}"
        )
    return t.chunk(processes)[rank]


def parallel(net: nn.Module, device: torch.device) -> nn.Module:
    """Wrap a network, so that its gradients are averaged over processes.

    Args:
        net: a network on ``device``. On a GPU its batch norms are replaced,
            in place, by synchronised ones.
        device: of this process.

    Shape:
        - Output: a module that is called like ``net``
    """
    if device.type == "cpu":
        return DistributedDataParallel(net)
    net = nn.SyncBatchNorm.convert_sync_batchnorm(net)
    return DistributedDataParallel(net, device_ids=[device])


def step(net: nn.Module, x: Tensor, target: Tensor) -> dict[str, Tensor]:
    """Take one step of gradient descent; return what it did.

    Args:
        net: a network, changed in place.
        x: images.
        target: their classes.

    Shape:
        - Output: gradients and, after the step, parameters, by name

    Raises:
        RuntimeError: a parameter without gradient. DDP waits for it and
            leaves others without their average.
    """
    F.cross_entropy(net(x), target).backward()
    named = dict(getattr(net, "module", net).named_parameters())
    named = {name: p for name, p in named.items() if p.requires_grad}
    missing = [name for name, p in named.items() if p.grad is None]
    if missing:
        raise RuntimeError(f"parameters without gradient: {missing}")
    torch.optim.SGD(named.values(), lr=0.1).step()
    slopes = {f"{name}.grad": p.grad for name, p in named.items()}
    return {**slopes, **{name: p.detach() for name, p in named.items()}}


def largest_difference(net: nn.Module, device: torch.device) -> float:
    """Take one step on all processes and on one; compare what they did.

    Args:
        net: from :func:`network`, the same in every process.
        device: of this process.

    Shape:
        - Output: the largest difference in any process, over the largest
          number compared
    """
    rank, processes = dist.get_rank(), dist.get_world_size()
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(IMAGES * processes, 3, 6, 7, generator=generator).double()
    batch = x.to(device), (torch.arange(len(x)) % CLASSES).to(device)
    net.to(device).train(device.type == "cuda")  # CPU: stored statistics
    whole = step(copy.deepcopy(net), *batch)
    mine = [share(t, rank, processes) for t in batch]
    part = step(parallel(net, device), *mine)
    differences = [(part[name] - whole[name]).abs().max() for name in whole]
    largest = torch.stack([t.abs().max() for t in whole.values()]).max()
    found = torch.stack(differences).max() / largest
    everywhere = [torch.empty_like(found) for _ in range(processes)]
    dist.all_gather(everywhere, found)
    return torch.stack(everywhere).max().item()


def join() -> torch.device:
    """Join the processes that torchrun started, or be the only one.

    Shape:
        - Output: device of this process: a GPU of its own if every process
          has one, else the CPU
    """
    environment = os.environ.get
    here = int(environment("LOCAL_WORLD_SIZE", "1"))
    gpus = torch.cuda.device_count() if dist.is_nccl_available() else 0
    device = torch.device("cpu")
    if gpus >= here:
        device = torch.device("cuda", int(environment("LOCAL_RANK", "0")))
        torch.cuda.set_device(device)
    backend = "nccl" if device.type == "cuda" else "gloo"
    if "RANK" in os.environ:
        dist.init_process_group(backend)
    else:
        tcp = dist.TCPStore  # type: ignore[attr-defined]
        store = tcp("localhost", 0, is_master=True)  # a free port
        dist.init_process_group(backend, store=store, rank=0, world_size=1)
    return device


def main(arguments: Sequence[str] | None = None) -> int:
    """Compare the two steps, print one line; return the exit code.

    Args:
        arguments: of the command line.

    Shape:
        - Output: 0 if they agree within ``LIMIT``, else 1
    """
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--block", choices=list_blocks(), default="nonlocal")
    block = parser.parse_args(arguments).block
    device = join()
    torch.manual_seed(0)  # for buffers
    found = largest_difference(network(create_block(block, CHANNELS)), device)
    good = found < LIMIT
    if dist.get_rank() == 0:
        who = f"{dist.get_world_size()} process(es), {dist.get_backend()}"
        words = "is below" if good else f"is {found:.1e}, not below"
        print(f"{block}, {who}: largest difference {words} {LIMIT}")
    dist.destroy_process_group()
    return 0 if good else 1


if __name__ == "__main__":
    raise SystemExit(main())
