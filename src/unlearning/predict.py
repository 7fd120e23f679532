"""What the models say of single pictures (A15, A18)."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from unlearning.audit.evaluation import top_predictions
from unlearning.audit.words import confidence_band, score_band
from unlearning.base.errors import UserError, choices, printable
from unlearning.base.reading import as_on_disk, composed
from unlearning.data.dataset import scaled
from unlearning.models.discriminator import load_discriminator, scores
from unlearning.models.panel import ORIGINAL
from unlearning.models.weights import load_classifier
from unlearning.review.columns import aligned
from unlearning.running.hardware import Hardware
from unlearning.sources.decode import BadImage, decode
from unlearning.sources.depth import PLAIN, Depth
from unlearning.sources.folder import files_below

BATCH_SIZE = 64

# Of an image: of the feature extractor's output, and of the model's own.
Scores = tuple[float | None, float | None]


@dataclass(frozen=True)
class Prediction:
    """One picture as a model sees it.

    `top`: the three most probable classes with their probabilities. `discriminator_score`: of the
    feature extractor's output, as the article has it (A14); `generator_score`: of this model's own
    output. Both in [0, 1], and say little without the retain accuracy. `reading_if_forgotten`: the
    article's word for the first score, near 0 as forgotten. It holds only if the picture shows a class to
    forget, which nobody but the asker knows: of any other picture a high score is as it should be. All three
    are None where the original and what was made of it are erased.
    """

    path: str
    predicted: str
    confidence: float
    confidence_reading: str
    top: list[tuple[str, float]]
    discriminator_score: float | None
    generator_score: float | None
    reading_if_forgotten: str | None


@dataclass(frozen=True)
class Unreadable:
    """A file that is no image, with the reason."""

    path: str
    reason: str


@torch.no_grad()
def predict(
    paths: Sequence[Path], model: str, folder: Path, hardware: Hardware
) -> Iterator[Prediction | Unreadable]:
    """Yield what the model `<folder>/<model>.safetensors` says of each picture, in order.

    Raises: UserError if the model or a path does not exist, or the model is broken.
    """
    files = [file for path in paths for file in _pictures(path)]
    classifier, labelling = load_classifier(_model_file(model, folder))
    classifier.to(hardware.device)
    judge = _judge(folder, hardware)
    try:
        depth = Depth.loads(labelling.depth) if labelling.depth else PLAIN
    except (ValueError, TypeError) as error:
        raise UserError(f"{model}: {error} in its header: make it anew with `dvc repro`") from None

    for start in range(0, len(files), BATCH_SIZE):
        read = [
            (file, _decoded(file, labelling.image_size, depth))
            for file in files[start : start + BATCH_SIZE]
        ]
        pixels = [picture for _, picture in read if not isinstance(picture, BadImage)]
        if pixels:
            images = scaled(torch.from_numpy(np.stack(pixels)), hardware.device)
            with hardware.autocast():
                logits = classifier(images).float().cpu()
            if not logits.isfinite().all():
                raise UserError(
                    f"{model}: its answers are not finite: make it anew with `dvc repro`"
                )
            own = judge(images, logits) if judge else [(None, None)] * len(logits)
            rows = iter(zip(logits, own, strict=True))
        for file, picture in read:
            if isinstance(picture, BadImage):
                yield Unreadable(str(file), str(picture))
            else:
                yield _prediction(file, labelling.classes, *next(rows))


def _judge(folder: Path, hardware: Hardware) -> Callable[[Tensor, Tensor], list[Scores]] | None:
    """Return what gives images and a model's logits of them the article's scores; None once it is erased."""
    file = folder / "init" / "feature_extractor.safetensors"
    if not file.exists() and not (folder / f"{ORIGINAL}.safetensors").exists():
        return None
    extractor, _ = load_classifier(file)
    extractor.to(hardware.device)
    discriminator = load_discriminator(folder / "discriminator.safetensors")

    def judge(images: Tensor, logits: Tensor) -> list[Scores]:
        with hardware.autocast():
            extracted = extractor(images).float().cpu()
        if not extracted.isfinite().all():
            raise UserError(f"{file}: its answers are not finite: make it anew with `dvc repro`")
        both = (scores(discriminator, extracted), scores(discriminator, logits))
        return list(zip(*(each.tolist() for each in both), strict=True))

    return judge


def _prediction(file: Path, classes: tuple[str, ...], logits: Tensor, own: Scores) -> Prediction:
    top = top_predictions(logits.detach().numpy(), classes)
    predicted, confidence = top[0]
    score, generator_score = own
    return Prediction(
        path=str(file),
        predicted=predicted,
        confidence=confidence,
        confidence_reading=confidence_band(confidence),
        top=top,
        discriminator_score=score,
        generator_score=generator_score,
        reading_if_forgotten=None if score is None else score_band(score),
    )


def _decoded(file: Path, size: int, depth: Depth) -> np.ndarray | BadImage:
    try:
        return decode(file, size, depth)
    except BadImage as bad:
        return bad


def table(answers: Sequence[Prediction | Unreadable]) -> list[str]:
    """Return the answers as lines of a table, as wide as the longest name needs."""
    rows: list[tuple[str, ...]] = [
        ("image", "predicted", "confidence", "top 3", "score", "if it is to be forgotten")
    ]
    for answer in answers:
        if isinstance(answer, Unreadable):
            rows.append((answer.path, "-", "-", answer.reason, "-", "-"))
            continue
        top = ", ".join(f"{name} {prob:.4f}" for name, prob in answer.top)
        confidence = f"{answer.confidence:.4f} ({answer.confidence_reading})"
        rows.append(
            (
                answer.path,
                answer.predicted,
                confidence,
                top,
                "-" if answer.discriminator_score is None else f"{answer.discriminator_score:.3f}",
                answer.reading_if_forgotten or "-",
            )
        )
    shown = [[printable(cell) for cell in row] for row in rows]
    return ["  ".join(row).rstrip() for row in aligned(shown)]


def model_names(folder: Path) -> list[str]:
    """Return the models that can be asked: original, retrained/<seed> by number, unlearned, ..."""
    files = folder.rglob("*.safetensors")
    names = [file.relative_to(folder).with_suffix("").as_posix() for file in files]
    return sorted((name for name in names if not name.endswith("discriminator")), key=_by_number)


def _by_number(name: str) -> list[tuple[int, str]]:
    return [(int(part) if part.isdecimal() else -1, part) for part in name.split("/")]


def _model_file(model: str, folder: Path) -> Path:
    names = model_names(folder)
    if not names:
        raise UserError(f"{folder} holds no model: run `dvc repro` or `dvc pull` first")
    spelled = {composed(name): name for name in names}
    if composed(model) not in spelled:
        raise UserError(f"--model is {model!r}, but the models are {choices(names)}")
    return folder / f"{spelled[composed(model)]}.safetensors"


def _pictures(path: Path) -> list[Path]:
    path = as_on_disk(path)
    if path.is_dir():
        files = sorted(files_below(path))
        if not files:
            raise UserError(f"{path} holds no file: give a picture or a folder of pictures")
        return files
    if not path.exists():
        raise UserError(f"{path} does not exist: give a picture or a folder of pictures")
    return [path]
