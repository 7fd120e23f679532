"""How fast a network is trained here beside the loops that people write: `python -m benchmark.loops --help`.

All loops run in one process, one after the other in several rounds, each for some seconds on the same
pictures, drawn or of your folder (`data.source`); what counts is the ratio to ours. Of the article's game (as
printed: every picture is decoded anew in every epoch, single precision, batches of 64, two workers) one forget
image counts, against our own loop for the same recipe; of the others one training image, in the run's precision
and batch size.
"""

import argparse
import math
import statistics
import sys
import time
from collections.abc import Iterator
from contextlib import redirect_stdout
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, Subset, TensorDataset
from torchvision import datasets, models, transforms

from benchmark.timing import now, peak
from unlearning.data import dataset
from unlearning.methods.article import init_players, unlearn
from unlearning.methods.shared.flops import training_flops
from unlearning.methods.shared.game import Run
from unlearning.models import build
from unlearning.models.classifier import IMAGENET_MEAN, IMAGENET_STD, Architecture
from unlearning.models.discriminator import new_discriminator
from unlearning.models.train import train
from unlearning.running.hardware import Hardware, choose
from unlearning.settings.game import GameParams
from unlearning.settings.whole import load_params
from unlearning.sources.folder import DRAWN

# Images at least, so that what comes before and after a training counts as in a run of many epochs.
OF_A_TRAINING = 1000
ARTICLE = {"recipe": "article", "lr": 0.001, "batch_size": 64, "epochs": 5}

Loop = Iterator[int]  # yields how many images each step took


def ours(data: dataset.Dataset, batch: int, hardware: Hardware) -> Loop:
    """Train one model after the other by the project's own loop, a few epochs each."""
    rows = data.select(subset="train")
    knobs = load_params(Path("params.yaml")).original
    epochs = math.ceil(OF_A_TRAINING / len(rows))
    training = knobs.model_copy(update={"epochs": epochs, "batch_size": batch}).training(len(rows))
    while True:
        model = build.new_classifier(Architecture(), data.image_size, len(data.classes), seed=0)
        train(model, data, rows, training, 0, hardware)
        yield epochs * len(rows)


def plain(data: dataset.Dataset, batch: int, hardware: Hardware) -> Loop:
    """Train on decoded, normalised tensors in memory, shifted and mirrored batch by batch."""
    rows = data.select(subset="train")
    images = data.pixels(rows).permute(0, 3, 1, 2).float() / 255
    images = transforms.functional.normalize(images, list(IMAGENET_MEAN), list(IMAGENET_STD))
    model = models.resnet18(num_classes=len(data.classes)).to(
        hardware.device, memory_format=torch.channels_last
    )
    optimizer = torch.optim.AdamW(model.parameters(), fused=True)
    reach = data.image_size // 16
    shift = transforms.RandomCrop(data.image_size, padding=reach, padding_mode="edge")
    flip = transforms.RandomHorizontalFlip()
    while True:
        for pixels, labels in DataLoader(
            TensorDataset(images, data.labels[rows]), batch, shuffle=True
        ):
            views = flip(shift(pixels)).to(hardware.device, memory_format=torch.channels_last)
            with hardware.autocast():
                loss = F.cross_entropy(model(views), labels.to(hardware.device))
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            yield len(labels)


def reference(data: dataset.Dataset, folder: Path, batch: int, hardware: Hardware) -> Loop:
    """Train as torchvision's reference does: files, random resized crop, SGD, workers."""
    size = data.image_size
    way = transforms.Compose(
        [
            transforms.RandomResizedCrop(size),
            transforms.RandomHorizontalFlip(),
            transforms.PILToTensor(),
            transforms.ConvertImageDtype(torch.float),
            transforms.Normalize(IMAGENET_MEAN, IMAGENET_STD),
        ]
    )
    images = datasets.ImageFolder(folder, way)
    model = models.resnet18(num_classes=len(images.classes)).to(hardware.device)
    optimizer = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9, weight_decay=1e-4)
    loader = DataLoader(images, batch, shuffle=True, num_workers=2, persistent_workers=True)
    while True:
        for pixels, labels in loader:
            with hardware.autocast():
                loss = F.cross_entropy(
                    model(pixels.to(hardware.device)), labels.to(hardware.device)
                )
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            yield len(labels)


def article(data: dataset.Dataset, folder: Path, hardware: Hardware) -> Loop:
    """Play the printed game (A3 to A11): both loaders decode, the extractor is asked in every step."""
    way = transforms.Compose(
        [transforms.Resize((data.image_size, data.image_size)), transforms.ToTensor()]
    )
    images = datasets.ImageFolder(folder, way)
    wanted = [images.class_to_idx[data.classes[label]] for label in data.forget_labels]
    is_forget = [label in wanted for label in images.targets]
    forget, retain = (
        DataLoader(
            Subset(images, [row for row, is_one in enumerate(is_forget) if is_one == kind]),
            64,
            shuffle=True,
            num_workers=2,
        )
        for kind in (True, False)
    )
    generator, extractor = (
        models.resnet18(num_classes=len(images.classes)).to(hardware.device) for _ in range(2)
    )
    discriminator = new_discriminator(len(images.classes), 0).to(hardware.device)
    players = [
        torch.optim.Adam(player.parameters(), 1e-3, (0.5, 0.999), weight_decay=5e-4)
        for player in (discriminator, generator)
    ]
    judge = nn.BCEWithLogitsLoss()
    while True:
        for (gone, _), (kept, _) in zip(forget, retain, strict=False):
            gone, kept = gone.to(hardware.device), kept.to(hardware.device)
            for player, optimizer in zip((discriminator, generator), players, strict=True):
                if player is discriminator:
                    real = discriminator(extractor(kept).detach()).sigmoid()
                    fake = discriminator(generator(gone).detach()).sigmoid()
                    loss = judge(real, torch.ones_like(real)) + judge(fake, torch.zeros_like(fake))
                else:
                    fake = discriminator(generator(gone)).sigmoid()
                    loss = judge(fake, torch.ones_like(fake))
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            yield len(gone)


def ours_of_the_article(data: dataset.Dataset, hardware: Hardware) -> Loop:
    """Play the printed game as `methods/article.py` does, five epochs after the other."""
    knobs = load_params(Path("params.yaml")).model_dump() | ARTICLE
    params = GameParams(**{name: knobs[name] for name in GameParams.model_fields})
    original = build.new_classifier(Architecture(), data.image_size, len(data.classes), seed=0)
    while True:
        run = Run(init_players(original, 0, 0.0), 0, hardware)
        unlearn(original, data, params, run)
        yield run.image_passes


def rate(loop: Loop, seconds: float) -> float:
    """Return how many images a second the loop takes, once its first step is over."""
    next(loop)
    began, images = now(), 0
    while time.perf_counter() - began < seconds:  # without waiting for a GPU after each step
        images += next(loop)
    return images / (now() - began)


def main() -> None:
    """Print a line per loop: images a second in each round, and against ours in the same round."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--batch", type=int, default=32)
    asked.add_argument("--rounds", type=int, default=3)
    asked.add_argument("--seconds", type=float, default=10.0)
    asked.add_argument("--precision", choices=("auto", "fp32", "bf16"), default="auto")
    given = asked.parse_args()
    hardware = choose(precision=given.precision)
    settings = load_params(Path("params.yaml")).data
    folder = DRAWN if settings.source == "synthetic" else Path(settings.path)
    data = dataset.load("data")
    fp32 = Hardware(hardware.device, bf16=False)
    model = build.new_classifier(Architecture(), data.image_size, len(data.classes), seed=0)
    per_image, best = training_flops(model), peak(hardware)
    loops = {
        "ours": ours(data, given.batch, hardware),
        "plain": plain(data, given.batch, hardware),
        "torchvision": reference(data, folder, given.batch, hardware),
        "ours, article": ours_of_the_article(data, hardware),
        "article": article(data, folder, fp32),
    }
    rates: dict[str, list[float]] = {name: [] for name in loops}
    with redirect_stdout(sys.stderr):  # what the trainings report
        for _ in range(given.rounds):
            for name, loop in loops.items():
                rates[name].append(rate(loop, given.seconds))
    precision = "bf16" if hardware.bf16 else "fp32"
    print(
        f"{data.image_size} px, batches of {given.batch}, {precision}, peak {best / 1e9:,.0f} GFLOP/s"
    )
    for name, of_loop in rates.items():
        base = "ours, article" if "article" in name else "ours"
        ratio = statistics.median(a / b for a, b in zip(rates[base], of_loop, strict=True))
        shown = ", ".join(f"{each:.1f}" for each in of_loop)
        share = f", {statistics.median(of_loop) * per_image / best:.0%} of the peak"
        print(f"{name}: {shown} images a second; ours is {ratio:.2f} times as fast{share}")


if __name__ == "__main__":
    main()
