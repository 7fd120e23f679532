"""Several processes that train one network: each takes its share of every batch, gradients are averaged.

The stage that wants them is the first of them and starts the others as copies of itself, told who they are by
the environment variables of `torchrun`. So `torchrun -m stages.train_original` does the same, on one machine or
on several with a common folder. Only the first process reports, keeps states and writes. All draw the same
batches, crops and flips, whatever their number: what differs between two numbers of processes is the rounding,
what dropout draws and, where batches are normalised, of which images each process takes mean and variance.
"""

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Literal

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from unlearning.base import cores
from unlearning.base.errors import UserError
from unlearning.base.stage import LOCAL, LOCAL_SIZE, RANK, SIZE, is_one_of_several
from unlearning.running.hardware import Hardware

PARENT = "UNLEARNING_PARENT"  # of the processes that a stage started: the first one's number
LOOKED_AT_EVERY, PATIENCE = 0.2, 5.0  # seconds
LEAST_IMAGES = 2  # of a process in a batch: its normalisation takes a variance


@dataclass(frozen=True)
class World:
    """This process among those that train: its place and their number."""

    rank: int = 0
    size: int = 1

    @property
    def is_first(self) -> bool:
        """Return whether this process reports, keeps states and writes."""
        return self.rank == 0

    def share(self, count: int) -> slice:
        """Return which of so many images are this process's: as many as the others', or one more."""
        start, stop = (count * place // self.size for place in (self.rank, self.rank + 1))
        return slice(start, stop)

    def network(self, model: nn.Module) -> nn.Module:
        """Return what to call in training: gradients then are the mean over all processes."""
        if self.size == 1:
            return model
        if next(model.parameters()).is_cuda:
            model = synchronised(model)  # PyTorch has it for GPUs alone
        return DistributedDataParallel(model)

    def mean(self, value: Tensor) -> Tensor:
        """Return the mean over all processes."""
        if self.size > 1:
            dist.all_reduce(value)
            value = value / self.size
        return value


ALONE = World()


def synchronised(model: nn.Module) -> nn.Module:
    """Return it with batch normalisation over all processes; what it holds is changed in place.

    By timm's converter where timm is loaded: PyTorch's drops the activation that timm's normalisation includes.
    """
    if "timm" in sys.modules:
        from timm.layers import convert_sync_batchnorm

        return convert_sync_batchnorm(model)
    return nn.SyncBatchNorm.convert_sync_batchnorm(model)


@contextmanager
def joined(
    processes: int | Literal["auto"], batch_size: int, hardware: Hardware
) -> Iterator[tuple[World, Hardware]]:
    """Yield this process's world and hardware, the others started: as many as are asked for, `auto` one a GPU.

    Raises: UserError if a batch is too small to be shared, or if one of them ends before the block does; as
    `is_one_of_several`.
    """
    on_gpu = hardware.device.type == "cuda"
    count = max(1, torch.cuda.device_count() * on_gpu) if processes == "auto" else processes
    are_started = is_one_of_several()
    if are_started:
        count = int(os.environ[SIZE])
    elif count == 1:
        yield ALONE, hardware
        return
    if batch_size < LEAST_IMAGES * count:
        raise UserError(
            f"params.yaml: original.batch_size is {batch_size}, but each of {count} processes takes 2 "
            f"images of a batch: set it to at least {LEAST_IMAGES * count}, or distributed.processes lower"
        )
    threads, environment = torch.get_num_threads(), dict(os.environ)
    others = [] if are_started else _started(count)
    rank, size = int(os.environ[RANK]), int(os.environ[SIZE])
    torch.set_num_threads(cores.threads(int(os.environ[LOCAL_SIZE])))
    if on_gpu:
        hardware = replace(hardware, device=torch.device("cuda", int(os.environ[LOCAL])))
        torch.cuda.set_device(hardware.device)
    if PARENT in os.environ:
        threading.Thread(target=_follow, args=(int(os.environ[PARENT]),), daemon=True).start()
    over = threading.Event()
    threading.Thread(target=_watch, args=(others, over), daemon=True).start()
    try:
        dist.init_process_group("nccl" if on_gpu else "gloo")
        yield World(rank, size), hardware
        dist.destroy_process_group()
        over.set()
        for other in others:
            other.wait()
    except UserError:
        if PARENT in os.environ:  # all meet the same one, and the first process says it
            sys.exit(2)
        raise
    except RuntimeError as error:  # a connection that breaks is one, a bug may be
        if PARENT in os.environ and os.getppid() != int(os.environ[PARENT]):
            sys.exit(1)
        raise _of_another(others) or error from None
    finally:
        over.set()
        for other in others:
            other.kill()
        os.environ.clear()
        os.environ.update(environment)
        torch.set_num_threads(threads)


def _started(count: int) -> list[subprocess.Popen[bytes]]:
    """Start copies of this process as all but the first; tell them, and this one, who they are."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    os.environ |= {
        "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), SIZE: str(count), LOCAL_SIZE: str(count),
        RANK: "0", LOCAL: "0",
    }  # fmt: skip
    command = [sys.executable, *sys.orig_argv[1:]]
    # In a session of their own, Ctrl-C reaches the first alone, which ends them.
    return [
        subprocess.Popen(
            command,
            env=os.environ | {RANK: str(rank), LOCAL: str(rank), PARENT: str(os.getpid())},
            stdout=subprocess.DEVNULL,
            start_new_session=True,
        )
        for rank in range(1, count)
    ]


def _of_another(others: list[subprocess.Popen[bytes]]) -> UserError | None:
    """Return which of the others ended first, or None while all are alive."""
    ends = time.monotonic() + PATIENCE
    while others and time.monotonic() < ends:
        for rank, other in enumerate(others, start=1):
            if other.poll() is not None:
                return UserError(cores.ended(rank, len(others) + 1, other.returncode))
        time.sleep(LOOKED_AT_EVERY)
    return None


def _watch(others: list[subprocess.Popen[bytes]], over: threading.Event) -> None:
    """End this process in one line when another has failed and the block does not end by itself.

    Who waits for the others, until all have met or, on GPUs, in a batch, hears of no end for half an hour.
    """
    while not over.wait(LOOKED_AT_EVERY):
        codes = [other.poll() for other in others]
        failed = next((rank for rank, code in enumerate(codes, start=1) if code), 0)
        if failed and not over.wait(2 * PATIENCE):
            for other in others:
                other.kill()
            sys.stdout.flush()
            sys.stderr.write(f"error: {cores.ended(failed, len(others) + 1, codes[failed - 1])}\n")
            sys.stderr.flush()
            os._exit(2)


def _follow(parent: int) -> None:
    """End this process when the first one is gone."""
    while os.getppid() == parent:
        time.sleep(LOOKED_AT_EVERY)
    os._exit(1)
