"""Two processes train one network: each time with the same bytes, and nearly those of one process.

On the CPU, by gloo: on GPUs, by nccl, the same code has not run yet.
"""

import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch
from test_any_model import split_photographs
from test_copies import write_params
from tiny_project import ENVIRONMENT
from torch import nn

from stages import train_original
from unlearning.base.errors import UserError
from unlearning.base.files import read_table
from unlearning.base.stage import TOLD, is_first
from unlearning.base.stage import run as run_stage
from unlearning.data.dataset import crop_and_flip, load_subsets
from unlearning.models import weights
from unlearning.models.build import new_classifier
from unlearning.models.classifier import Architecture
from unlearning.models.foreign import new_model
from unlearning.running.world import World, joined, synchronised
from unlearning.settings.whole import load_params

STAGE = (sys.executable, "-m", "stages.train_original")
# Does not give the others ten seconds to say why they ended.
IMPATIENT = (
    sys.executable,
    "-c",
    "from unlearning.base import stage; from unlearning.running import world; world.PATIENCE = 0.5; "
    "from stages import train_original; stage.run('train_original', train_original.main)",
)
# Its network normalises no batch: what two processes compute is what one does, but for the rounding.
KNOBS = {
    "model__name": "timm/test_vit",
    "original__epochs": 2,
    "original__batch_size": 7,
    "precision": "fp32",
}
WEIGHTS = Path("models/original.safetensors")


@pytest.fixture
def prepared(tmp_path, monkeypatch, restored_torch) -> Path:
    """Return a project whose images are split, as the current folder."""
    split_photographs(tmp_path, monkeypatch, **KNOBS)
    return tmp_path


def started(folder: Path, command: tuple[str, ...] = STAGE, **params: object) -> subprocess.Popen:
    write_params(folder, **KNOBS | params)
    return subprocess.Popen(
        command, cwd=folder, env=ENVIRONMENT, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )  # fmt: skip


def run(folder: Path, command: tuple[str, ...] = STAGE, **params: object) -> str:
    said, errors = (stage := started(folder, command, **params)).communicate()
    assert stage.returncode == 0, errors
    return said


def here(capsys: pytest.CaptureFixture[str], **params: object) -> str:
    """Run the stage by one process, this one, in the current folder; return what it says."""
    write_params(Path(), **KNOBS | params | {"distributed__processes": 1})
    train_original.main()
    return capsys.readouterr().out


def test_two_processes_do_the_work_of_one(prepared, capsys):
    """Must fail if shares overlap, an image weighs twice, the loss is one process's own, or a run differs.

    Or if both report, or `torchrun` starts something else.
    """
    made = []
    torchrun = Path(sys.executable).parent / "torchrun"
    alike = (str(torchrun), "--standalone", "--nproc-per-node", "2", *STAGE[1:])
    for command, processes in ((None, 1), (STAGE, 2), (alike, 2)):
        said = run(prepared, command, distributed__processes=processes) if command else here(capsys)
        assert said.count("epoch 1 loss") == said.count("epoch 2 loss") == 1
        curve = read_table("plots/train_original.csv")["loss"].to_numpy(dtype=float)
        made.append((WEIGHTS.read_bytes(), curve, vector(weights.load_classifier(WEIGHTS)[0])))
    assert made[0][0] != made[1][0] == made[2][0]
    np.testing.assert_allclose(made[1][1], made[0][1], rtol=1e-3)
    begun = new_model(load_params().model, load_subsets("data"), seed=0)
    learned = made[0][2] - vector(begun)
    # Adam takes small gradients for large ones: what is rounding here is not small everywhere.
    assert (made[1][2] - made[0][2]).norm() < 0.05 * learned.norm()


def vector(model: nn.Module) -> torch.Tensor:
    return torch.cat([value.detach().flatten() for value in model.parameters()])


def test_the_end_of_one_ends_all_in_one_line_and_another_number_goes_on(prepared, capsys):
    """Must fail if the others hang or live on, a traceback is shown, or what was kept is lost."""
    stage = started(prepared, original__epochs=60, distributed__processes=2)
    others: list[psutil.Process] = []
    for line in stage.stdout:
        if "epoch 3 " in line:
            others = psutil.Process(stage.pid).children(recursive=True)
            others[0].kill()
            break
    said, errors = stage.communicate()
    assert stage.returncode == 2
    assert errors.startswith("error: process 2 of 2 ended") and errors.count("\n") == 1, errors
    assert not psutil.wait_procs(others, timeout=10)[1]
    said = here(capsys, original__epochs=60)
    assert "going on after epoch" in said and "epoch 60 loss" in said


def test_the_end_of_one_before_all_have_met_ends_all_in_one_line(prepared):
    """Must fail if the first process waits for one that is gone until PyTorch gives up: half an hour."""
    stage = started(prepared, IMPATIENT, distributed__processes=2)
    while not (others := psutil.Process(stage.pid).children(recursive=True)):
        time.sleep(0.05)
    others[0].kill()
    try:
        _, errors = stage.communicate(timeout=120)
    finally:
        stage.kill()
    assert stage.returncode == 2
    assert errors.startswith("error: process 2 of 2 ended") and errors.count("\n") == 1, errors


def test_the_others_end_with_the_first(prepared):
    """Must fail if a stage that is killed leaves behind processes that wait for it, before they even met."""
    stage = started(prepared, distributed__processes=2)
    while not (others := psutil.Process(stage.pid).children(recursive=True)):
        time.sleep(0.05)
    stage.kill()
    stage.wait()  # the others hold its pipes as long as they live
    left = psutil.wait_procs(others, timeout=40)[1]
    for other in left:
        other.kill()
    assert not left


@pytest.mark.parametrize("count", [4, 7, 8])
def test_shares_cover_a_batch_once(count):
    """Must fail if an image is in two shares or in none, or sees other random numbers than with one process."""
    shares = [World(rank, 3).share(count) for rank in range(3)]
    rows = [torch.arange(count)[part] for part in shares]
    assert torch.cat(rows).tolist() == list(range(count))
    assert max(map(len, rows)) - min(map(len, rows)) <= 1
    pixels = torch.randint(0, 256, (count, 32, 32, 3), dtype=torch.uint8)
    whole = crop_and_flip(pixels, torch.Generator().manual_seed(0))
    for part in shares:
        own = crop_and_flip(pixels[part], torch.Generator().manual_seed(0), count, part)
        assert torch.equal(own, whole[part])


@pytest.mark.parametrize("name", ["timm/test_efficientnet", "resnet18"])
def test_normalisation_over_all_processes_leaves_the_rest_of_a_network(name):
    """Must fail if PyTorch's converter is called on timm's normalisation, whose activation it drops."""
    model = new_classifier(Architecture(name), 32, 4, seed=0).eval()
    images = torch.rand(2, 3, 32, 32)
    with torch.no_grad():
        before = model(images)
        assert torch.equal(synchronised(model)(images), before)
    assert any(isinstance(part, nn.SyncBatchNorm) for part in model.modules())


def test_a_batch_that_is_too_small_is_refused(cpu):
    """Must fail if a process is left with one image, of which no variance can be taken."""
    with pytest.raises(UserError, match="set it to at least 6"), joined(3, 5, cpu):
        pass


@pytest.mark.parametrize(
    "told",
    [
        {"WORLD_SIZE": "1", "RANK": "0", "MASTER_ADDR": "here", "MASTER_PORT": "1"},
        {"RANK": "3"},
        {"WORLD_SIZE": "", "RANK": "1"},
    ],
)
def test_what_a_job_system_tells_a_process_that_is_alone_changes_nothing(
    told, cpu, tmp_path, monkeypatch
):
    """Must fail if a stray WORLD_SIZE asks for LOCAL_WORLD_SIZE, or a stray RANK goes without the lock."""
    monkeypatch.chdir(tmp_path)
    for name, value in told.items():
        monkeypatch.setenv(name, value)
    with joined(1, 8, cpu) as (world, _):
        assert world == World()
    run_stage("train", lambda: None)
    assert Path("scratch/train.lock").exists()


@pytest.mark.parametrize("missing", TOLD[1:])
def test_of_several_each_is_told_all_or_refused(missing, cpu, tmp_path, monkeypatch, capsys):
    """Must fail if one of several runs alone, writing what the others write, or ends in a traceback."""
    monkeypatch.chdir(tmp_path)
    for name in TOLD:
        monkeypatch.setenv(name, "2")
    assert not is_first()
    monkeypatch.delenv(missing)
    with pytest.raises(SystemExit):
        run_stage("train", lambda: None)
    said = capsys.readouterr().err
    assert said.startswith(f"error: the environment has WORLD_SIZE=2 but no {missing}: ")
    with pytest.raises(UserError, match=missing), joined(1, 8, cpu):
        pass
    assert not list(tmp_path.iterdir())
