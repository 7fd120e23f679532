"""A killed training goes on after one of its last epochs, and ends with the same bytes.

The state after an epoch lies in scratch/<stage>-<key>/, replaced as a whole; of short epochs not each is kept.
The key is made of everything that the result depends on: data, parameters and code (`fingerprint`), hardware
and versions of libraries; the file's name has the number of threads. So a state is never taken up where it does
not belong. Files are safetensors with JSON: reading one never runs code.
"""

import functools
import hashlib
import json
import math
import os
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Protocol, runtime_checkable

import torch
from pydantic import BaseModel, ConfigDict, Field
from safetensors.torch import load as of_bytes
from safetensors.torch import save as to_bytes
from torch import Tensor

from unlearning.base import cores
from unlearning.base.errors import UserError
from unlearning.base.files import atomic
from unlearning.base.fingerprint import CODE, of_stage, sha256
from unlearning.base.progress import say
from unlearning.base.stage import SCRATCH, alone, is_first
from unlearning.base.tensors import read_tensors, versioned
from unlearning.running.hardware import Hardware, described

KEPT_DAYS = 7  # of what a killed run left and no later one took up
KEY_LENGTH = 16
LOCK = "lock"
LOOKED_AT_EVERY = 1.0  # seconds, whether another experiment is over
KEEPING = 0.05  # most share of the time that goes into keeping states, of a hundred megabytes each

Row = dict[str, int | float]


@runtime_checkable
class Stateful(Protocol):
    """A network, an optimizer or a schedule."""

    def state_dict(self) -> dict[str, Any]:
        """Return everything that changes."""

    def load_state_dict(self, state_dict: dict[str, Any]) -> Any:
        """Take over what `state_dict` returned."""


Parts = Mapping[str, Stateful]


class State(BaseModel):
    """What stands beside the tensors in a checkpoint; `parts` and `generator` as `_pack` made them."""

    model_config = ConfigDict(strict=True, extra="forbid")

    epoch: Annotated[int, Field(ge=1)]
    rows: list[Row]
    parts: dict[str, Any]
    generator: dict[str, Any] | None = None


class Checkpoint:
    """What a training knows after an epoch, in a file; without a path it keeps nothing.

    `share`: of the time, at most so much goes into keeping: an epoch that is over too soon after the last one
    kept is not. The first always is.
    """

    def __init__(self, path: Path | None = None, share: float = math.inf):
        self._path = path
        self._share = share
        self._kept_at, self._took = -math.inf, 0.0

    def save(
        self,
        epoch: int,
        rows: list[Row],
        parts: Parts,
        generator: torch.Generator | None = None,
    ) -> None:
        """Keep the state after so many epochs, the rows reported so far, and the generator's state.

        Not that of PyTorch's global generators: `seed_epoch` sets it.
        """
        began = time.monotonic()
        if self._path is None or self._took > self._share * (began - self._kept_at):
            return
        tensors: dict[str, Tensor] = {}
        state = {
            "epoch": epoch,
            "rows": rows,
            "parts": _pack({name: part.state_dict() for name, part in parts.items()}, tensors),
        }
        if generator is not None:
            state["generator"] = _pack(generator.get_state(), tensors)
        with atomic(self._path, shared=True) as temporary:
            temporary.write_bytes(to_bytes(tensors, metadata={"state": json.dumps(state)}))
        self._kept_at = time.monotonic()
        self._took = self._kept_at - began

    def restore(
        self, parts: Parts, generator: torch.Generator | None = None, unit: str = "epoch"
    ) -> tuple[int, list[Row]]:
        """Put the parts back to the last epoch kept; return its number and the rows up to it.

        (0, []) and nothing changed if there is no state to go on from. `unit`: what an epoch is called.
        Raises: UserError if the state is none of this training.
        """
        if self._path is None or not self._path.exists():
            return 0, []
        try:
            size = self._path.stat().st_size  # no limit: what was kept is taken up
            text, tensors = read_tensors(self._path, "state", of_bytes, size)
            state = State.model_validate(json.loads(text))
        except (ValueError, RecursionError) as error:
            say(f"{self._path} cannot be read ({error}): starting from the first {unit}")
            return 0, []
        try:
            unpacked = _unpack(state.parts, tensors)
            for name, part in parts.items():
                part.load_state_dict(versioned(unpacked[name], part.state_dict()))
            if generator is not None:
                generator.set_state(_unpack(state.generator, tensors))
        # The parts may be half changed now, so this run cannot start from the first epoch.
        except (LookupError, TypeError, ValueError, AttributeError, RuntimeError) as error:
            raise UserError(
                f"{self._path} does not fit this training ({error}): remove it and run the same "
                "command again"
            ) from None
        say(f"going on after {unit} {state.epoch}, which an earlier run finished")
        return state.epoch, state.rows


NOTHING_KEPT = Checkpoint()


def seed_epoch(seed: int, epoch: int, rank: int = 0) -> None:
    """Seed PyTorch's global generators, from which dropout draws, for an epoch of this process.

    Each epoch of each process has draws of its own, whatever was drawn before, and on whichever device.
    """
    drawn = hashlib.sha256(f"{seed} {epoch} {rank}".encode()).digest()
    torch.manual_seed(int.from_bytes(drawn[:8]))


@dataclass(frozen=True)
class Session:
    """One run of a long stage. `fingerprint`: of its data and parameters. `folder`: of its checkpoints.

    `inputs`: all that each of its trainings follows from, but for threads and processes.
    """

    fingerprint: str
    folder: Path
    inputs: str

    def checkpoint(self, name: str) -> Checkpoint:
        """Return the checkpoint of one of the stage's trainings, by as many threads as this process takes."""
        return Checkpoint(self.folder / f"{name}-{cores.threads()}.safetensors", KEEPING)

    def finished(self, training: str, processes: int) -> Checkpoint:
        """Return the checkpoint of a training's end, by so many processes, which other runs may take up.

        It stays until it was of no use for a week. `training`: what tells it from others of the stage.
        """
        made_of = f"{self.inputs} {training} {cores.threads()} {processes}"
        folder = self.folder.with_name(f"finished-{_key(made_of)}")
        with suppress(FileNotFoundError):
            os.utime(folder)
        return Checkpoint(folder / "end.safetensors")


@contextmanager
def session(stage: str, hardware: Hardware, leave_out: tuple[str, ...] = ()) -> Iterator[Session]:
    """Yield a session; its checkpoints are removed when the block ends without an error.

    Another number of processes (`distributed`) goes on from the same. Of experiments with the same inputs one
    has its turn after the other. `leave_out`: params that no single training of the stage follows from.
    """
    once = functools.cache(sha256)  # the images are in all fingerprints
    machine = described(hardware)
    inputs = of_stage(stage, leave_out=("distributed",), hashed=once)
    each_inputs = of_stage(stage, leave_out=("distributed", *leave_out), hashed=once)
    fingerprint = of_stage(stage, leave_out=(*CODE, *leave_out), hashed=once)
    key = _key(f"{inputs} {machine}")
    scratch = scratch_folder(Path.cwd())
    if is_first():
        _remove_old(scratch)
    folder = scratch / f"{stage}-{key}"
    with _in_turn(stage, folder) if is_first() else nullcontext():
        yield Session(fingerprint, folder, f"{each_inputs} {machine}")


def _key(made_of: str) -> str:
    return hashlib.sha256(made_of.encode()).hexdigest()[:KEY_LENGTH]


@contextmanager
def _in_turn(stage: str, folder: Path) -> Iterator[None]:
    """Hold the folder, once no other process does; empty it when the block ends without an error.

    Its lock stays: whoever waits for a file that is removed would hold nothing.
    """
    said = False
    with ExitStack() as held:
        while True:
            try:
                held.enter_context(alone(stage, folder / LOCK))
                break
            except UserError as error:
                if not said:
                    say(f"{stage}: waiting for another experiment with the same inputs: {error}")
                said = True
                time.sleep(LOOKED_AT_EVERY)
        os.utime(folder)  # what is in use is not removed as old
        yield
        for file in folder.iterdir():
            if file.name != LOCK:
                file.unlink()


def scratch_folder(root: Path) -> Path:
    """Return where the checkpoints of the project at `root` lie.

    `dvc exp run --temp` and the queue run in a copy under .dvc/tmp/exps that is thrown away: what is kept
    there would be lost, so that copy uses the folder of the project it was made from.
    """
    for parent in root.parents:
        if parent.parts[-3:] == (".dvc", "tmp", "exps"):
            return parent.parents[2] / SCRATCH
    return root / SCRATCH


def _remove_old(scratch: Path) -> None:
    oldest = time.time() - KEPT_DAYS * 24 * 3600
    for folder in scratch.glob(f"*-{'[0-9a-f]' * KEY_LENGTH}/"):  # what else is there is a person's
        with suppress(FileNotFoundError):  # another process removes it at the same time
            if folder.stat().st_mtime < oldest:
                shutil.rmtree(folder, ignore_errors=True)


def _pack(value: Any, tensors: dict[str, Tensor]) -> Any:
    """Return `value` as JSON can hold it; its tensors are put into `tensors`.

    A dict becomes a list of pairs, since an optimizer's keys are numbers.
    """
    if isinstance(value, Tensor):
        name = str(len(tensors))
        # safetensors wants rows in order; the layout matters to the speed, and so to the rounding.
        layout = value.dim() == 4 and value.is_contiguous(memory_format=torch.channels_last)
        tensors[name] = value.detach().cpu().contiguous()
        return {"tensor": name, "channels_last": layout}
    if isinstance(value, Mapping):
        return {"pairs": [[key, _pack(item, tensors)] for key, item in value.items()]}
    if isinstance(value, list | tuple):
        return [_pack(item, tensors) for item in value]
    return value


def _unpack(value: Any, tensors: dict[str, Tensor]) -> Any:
    if isinstance(value, list):
        return [_unpack(item, tensors) for item in value]
    if not isinstance(value, dict):
        return value
    if "pairs" in value:
        return {key: _unpack(item, tensors) for key, item in value["pairs"]}
    tensor = tensors[value["tensor"]]
    return (
        tensor.contiguous(memory_format=torch.channels_last) if value["channels_last"] else tensor
    )
