"""Tiny data and networks: four colours to tell apart, a few images each, 32 x 32 pixels."""

import os
import shutil
import signal
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from filelock import FileLock
from test_settings import VALID
from tiny_project import make_clone, run
from torch import nn

from unlearning import methods
from unlearning.base.progress import Report, silent
from unlearning.data.dataset import Dataset
from unlearning.data.request import Request
from unlearning.methods.shared.game import Players, Run
from unlearning.models import weights
from unlearning.models.anatomy import Anatomy
from unlearning.models.build import new_classifier
from unlearning.models.classifier import Architecture, Classifier
from unlearning.models.discriminator import new_discriminator
from unlearning.models.train import train
from unlearning.running.hardware import Hardware
from unlearning.running.resume import NOTHING_KEPT, Checkpoint
from unlearning.settings.game import GameParams
from unlearning.settings.original import OriginalParams

COLOURS = {
    "cat": (220, 40, 40),
    "dog": (40, 220, 40),
    "elephant": (40, 40, 220),
    "horse": (220, 220, 40),
}
FORGET = "elephant"


def build_data(train_images: Mapping[str, int], size: int = 32, held_out: int = 1) -> Dataset:
    """Return so many training images per class, and `held_out` each to validate and to test with."""
    random = np.random.default_rng(0)
    classes = tuple(sorted(train_images))
    names = [name for name in classes for _ in range(train_images[name] + 2 * held_out)]
    noise = random.integers(-30, 31, (len(names), size, size, 3))
    images = (np.array([COLOURS[name] for name in names])[:, None, None] + noise).clip(0, 255)
    subsets = [
        subset
        for name in classes
        for subset in ["train"] * train_images[name] + ["validation"] * held_out + ["test"] * held_out
    ]  # fmt: skip
    return Dataset(
        images=images.astype(np.uint8),
        labels=torch.tensor([classes.index(name) for name in names]),
        classes=classes,
        paths=tuple(f"{name}/{number}.png" for number, name in enumerate(names)),
        subsets=np.array(subsets),
        roles=np.array(["forget" if name == FORGET else "retain" for name in names]),
        request=Request((FORGET,)),
    )


def build_game(**changes: object) -> GameParams:
    """Return the committed knobs of the game, with these changed."""
    return GameParams(**{key: VALID[key] for key in GameParams.model_fields} | changes)


def build_original(**changes: object) -> OriginalParams:
    """Return a short training recipe, with these values changed."""
    return OriginalParams(**VALID["original"] | {"batch_size": 8, "epochs": 1} | changes).training(
        1
    )


@dataclass(frozen=True)
class Outcome:
    """What a method made of the players."""

    generator: nn.Module
    discriminator: nn.Module
    epochs: list[dict[str, int | float]]
    image_passes: int
    flops: int


def play(
    recipe: str,
    players: Players,
    data: Dataset,
    params: GameParams,
    hardware: Hardware,
    report: Report = silent,
    checkpoint: Checkpoint = NOTHING_KEPT,
    budget: int | float = 0,
) -> Outcome:
    """Play a game whose original is the players' feature extractor."""
    run = Run(players, params.seed, hardware, report, checkpoint, budget=budget)
    with run.work:
        model = methods.load(recipe).unlearn(players.feature_extractor, data, params, run)
    return Outcome(model, run.discriminator, run.rows, run.image_passes, run.work.flops)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the longest test: at the end, one of two processes would have nothing left to do."""
    items.sort(key=lambda item: "test_torture" not in item.nodeid)


@pytest.fixture(scope="session", autouse=True)
def ctrl_c() -> None:
    """Hear Ctrl-C, here and in children: whoever is started in the background is told to ignore it."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def resnet(class_count: int, seed: int) -> Classifier:
    """Return an untrained ResNet-18 for images of the tests' size."""
    return new_classifier(Architecture(), 32, class_count, seed)


class Rows:
    """A report that keeps its rows."""

    def __init__(self) -> None:
        self.rows: list[dict[str, float]] = []

    def __call__(self, **values: float) -> None:
        self.rows.append(values)


def tiny_network(
    seed: int, class_count: int = len(COLOURS), dropout: float | None = None
) -> Classifier:
    """Return a small network with batch normalisation and a ResNet's names that can stand in for ResNet-18."""
    drops = () if dropout is None else (nn.Dropout(dropout),)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        # No bias: batch normalisation takes it out, and Adam would blow up the noise of its gradient.
        convolution = nn.Conv2d(3, 8, 4, stride=4, bias=False)
        layers = OrderedDict(
            stem=nn.Identity(),
            layer2=nn.Sequential(convolution, nn.BatchNorm2d(8), nn.ReLU()),
            layer3=nn.Sequential(
                nn.Conv2d(8, 8, 1, bias=False), nn.BatchNorm2d(8), nn.ReLU(), *drops
            ),
            avgpool=nn.AdaptiveAvgPool2d(1),
            flatten=nn.Flatten(),
            fc=nn.Linear(8, class_count),
        )
    places = {"stem": "stem", "layer1": "stem", "layer2": "layer2", "layer3": "layer3"}
    anatomy = Anatomy(places, "fc", ("layer2", "layer3", "fc"))
    return Classifier(nn.Sequential(layers), Architecture(), 32, anatomy)


@pytest.fixture(scope="session")
def make_data() -> Callable[..., Dataset]:
    return build_data


@pytest.fixture(scope="session")
def make_game() -> Callable[..., GameParams]:
    return build_game


@pytest.fixture(scope="session")
def make_original() -> Callable[..., OriginalParams]:
    return build_original


@pytest.fixture(scope="session")
def make_network() -> Callable[..., Classifier]:
    return tiny_network


@pytest.fixture
def rows() -> Rows:
    return Rows()


@pytest.fixture(scope="session")
def data() -> Dataset:
    """Return 8 training images per class."""
    return build_data(dict.fromkeys(COLOURS, 8))


@pytest.fixture(scope="session")
def cpu() -> Hardware:
    return Hardware(torch.device("cpu"), bf16=False)


@pytest.fixture(scope="session")
def trained(data: Dataset, cpu: Hardware) -> Classifier:
    """Return a ResNet-18 that knows the four colours; tests must not change it."""
    params = build_original(epochs=10, lr=0.001)
    model = resnet(len(data.classes), seed=0)
    return train(model, data, data.select(subset="train"), params, 0, cpu, Rows())


@pytest.fixture(scope="session")
def model_folder(
    data: Dataset, trained: Classifier, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """Return a folder such as models/: the original knows the colours, every other network is random."""
    folder = tmp_path_factory.mktemp("models")
    other = resnet(len(data.classes), seed=7)
    weights.save(trained, data.labelling, folder / "original.safetensors")
    weights.save(other, data.labelling, folder / "unlearned.safetensors")
    (folder / "init").mkdir()
    (folder / "retrained").mkdir()
    for name in ("init/feature_extractor", "retrained/10"):
        shutil.copy(folder / "original.safetensors", folder / f"{name}.safetensors")
    for name in ("init/generator", "retrained/2"):
        shutil.copy(folder / "unlearned.safetensors", folder / f"{name}.safetensors")
    discriminator = new_discriminator(len(data.classes), seed=3)
    weights.save(discriminator, data.labelling, folder / "discriminator.safetensors")
    return folder


@pytest.fixture
def restored_torch() -> Iterator[None]:
    """Undo what `hardware.choose` sets for the whole process."""
    threads = torch.get_num_threads()
    deterministic = torch.are_deterministic_algorithms_enabled()
    benchmark = torch.backends.cudnn.benchmark
    fill = torch.utils.deterministic.fill_uninitialized_memory
    yield
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(deterministic)
    torch.backends.cudnn.benchmark = benchmark
    torch.utils.deterministic.fill_uninitialized_memory = fill


def pytest_configure() -> None:
    """Give each worker its own cores: programs of two tests that each use all of them take a fifth longer.

    PyTorch counted the cores when it was imported: of two threads on one core the second only waits.
    """
    if worker := os.environ.get("PYTEST_XDIST_WORKER"):
        number, count = int(worker[2:]), int(os.environ["PYTEST_XDIST_WORKER_COUNT"])
        if own := sorted(os.sched_getaffinity(0))[number::count]:
            os.sched_setaffinity(0, own)
            torch.set_num_threads(len(own))


@pytest.fixture(scope="session")
def finished_clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a Git repository with tiny parameters after one `dvc repro`; it is not to be changed."""
    shared = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = shared.parent  # of all workers: the run is made once
    folder = shared / "finished_clone"
    with FileLock(shared / "finished_clone.lock"):
        if not (shared / "finished_clone.made").exists():
            folder.mkdir()
            make_clone(folder)
            run(folder, "dvc", "repro")
            run(folder, "git", "add", "--all")
            run(folder, "git", "commit", "--quiet", "--message=tiny")
            (shared / "finished_clone.made").touch()
    return folder


@pytest.fixture(scope="session")
def reviewed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a Git repository with a run made by hand on `main`; it is not to be changed."""
    from test_review import build_repository  # here alone: most tests need none of it

    return build_repository(tmp_path_factory.mktemp("reviewed"))
