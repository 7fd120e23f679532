"""What a workspace says of its last run, section by section, as a certificate holds it."""

import json
import platform
from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from safetensors.torch import load as of_bytes

from unlearning.base import cores
from unlearning.base.errors import UserError, choices
from unlearning.base.files import DIGITS, read_metrics, rounded
from unlearning.base.fingerprint import sha256
from unlearning.base.tensors import read_tensors
from unlearning.certificate.record import (
    FORMAT,
    STATEMENT,
    Accuracies,
    Content,
    Figures,
    Forgotten,
    ForgottenImage,
    Model,
    Place,
)
from unlearning.data import dataset, request
from unlearning.erase import places, wanted
from unlearning.models.forward import accuracy, predict_logits
from unlearning.models.panel import ORIGINAL, UNLEARNED
from unlearning.models.weights import Header, load_classifier, retrained
from unlearning.report import evidence, sentences
from unlearning.review import gate, summary
from unlearning.review.git import GUARD, dvc, git
from unlearning.running.hardware import Hardware
from unlearning.settings.data import DataParams
from unlearning.settings.gate import GateParams
from unlearning.settings.load import load
from unlearning.settings.whole import load_params
from unlearning.sources import contents

PACKAGES = ("unlearning", "dvc", "numpy", "torch", "torchvision")


def describe(root: Path, machine: Hardware) -> Content:
    """Return what is to be certified.

    Raises: UserError unless all outputs are those of dvc.lock and everything tracked is committed.
    """
    # Models of earlier requests may be erased by now: they had not forgotten the images of later ones.
    gone = {path for path in places.earlier_models(root) if not path.exists()}
    require_in_step(root, {path.relative_to(root).as_posix() for path in gone})
    commit = git(root, "rev-parse", "HEAD")
    git(root, "ls-files", "--error-unmatch", "dvc.lock", "dvc.yaml", "params.yaml")
    if git(root, "status", "--porcelain", "--untracked-files=no"):
        raise UserError("tracked files have changes: commit them, so that the commit names the run")
    return Content(
        format=FORMAT,
        statement=STATEMENT,
        issued_at=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        commit=commit,
        environment=environment(machine),
        forgotten=forgotten(root),
        models=weights(root),
        accuracies=accuracies(root, machine),
        audit=audit(root),
        gate=limits(root),
        places=listed(places.visit(root, ask_remotes=False)),
        params=params(root),
        files=file_hashes(root),
    )


def environment(machine: Hardware) -> dict[str, str]:
    """Return versions and hardware: what the last digits of a figure depend on."""
    return {
        **{package: version(package) for package in PACKAGES},
        "python": platform.python_version(),
        "processor": platform.machine(),
        "device": machine.device.type,
        "precision": "bf16" if machine.bf16 else "fp32",
        "threads": str(cores.threads()),
    }


def forgotten(root: Path) -> Forgotten:
    """Return the classes of the request and every image it covers: held-out and withdrawn ones too."""
    images = wanted.joined(*wanted.tables(root))
    rows = images[images["role"].isin(wanted.ASKED)].sort_values("id")
    return Forgotten(
        classes=sorted(request.read(root / wanted.REQUEST).classes),
        images=[
            ForgottenImage(id=id_, subset=subset, sha256=sha256)
            for id_, subset, sha256 in zip(
                rows["id"].tolist(), rows["subset"], rows["sha256"], strict=True
            )
        ],
    )


def weights(root: Path) -> dict[str, Model]:
    """Return hash and fingerprint of original, unlearned and retrained models."""
    names = (ORIGINAL, UNLEARNED, *retrained(root / "models"))
    files = {name: root / f"models/{name}.safetensors" for name in names}
    return {
        name: Model(sha256=sha256(file), fingerprint=_fingerprint(file))
        for name, file in files.items()
        if file.is_file()
    }


def accuracies(root: Path, machine: Hardware) -> Figures:
    """Return the accuracy of every model on test images (of a request for single ones on these too)."""
    try:
        images = dataset.load(root / "data")
    except FileNotFoundError as error:
        raise UserError(
            f"{error.filename} does not exist: run `dvc repro` or `dvc pull` first"
        ) from None
    # Of single images these themselves: a model that never saw them knows their classes.
    forget = "train" if images.request.images else "test"
    test = {
        "forget": images.select(role="forget", subset=forget),
        "retain": images.select(role="retain", subset="test"),
    }

    def of_model(name: str) -> Accuracies:
        model, _ = load_classifier(root / f"models/{name}.safetensors")
        return Accuracies(
            **{
                role: round(
                    accuracy(
                        predict_logits(model, images, indices, machine), images.labels[indices]
                    ),
                    DIGITS,
                )
                for role, indices in test.items()
            }
        )

    return Figures(
        forget_images=len(test["forget"]),
        retain_images=len(test["retain"]),
        models={
            name: of_model(name) for name in (ORIGINAL, UNLEARNED, *retrained(root / "models"))
        },
    )


def audit(root: Path) -> dict[str, Any]:
    """Return the figures of a review, and the verdict in words."""
    figures = read_metrics(root / "metrics/audit.json")
    return figures | {"verdict_in_words": sentences.verdict(summary.read(root))}


def limits(root: Path) -> dict[str, Any]:
    """Return what the gate says of each limit."""
    checks = gate.check(gate.read(root / "metrics"), load(GateParams, root / "params.yaml"))
    return {
        each.limit_name: {
            "value": rounded(each.value),
            "limit": each.limit,
            "outcome": each.outcome,
        }
        for each in checks
    }


def listed(visited: Sequence[places.Found], before: Sequence[Place] = ()) -> list[Place]:
    """Return what each place that may hold images of the request had, and what was left in it.

    `before`: the same when clearing began, which may have been broken off since.
    """
    had = {each.place: each.found for each in before}
    return [
        Place(
            place=each.place.name,
            holds=each.place.holds,
            found=each.found if had.get(each.place.name) is None else had[each.place.name],
            left=each.left,
        )
        for each in visited
    ]


def params(root: Path) -> dict[str, Any]:
    """Return the parameters as they stand in params.yaml, checked, but for what may name a person.

    The SHA-256 of params.yaml, under `files`, shows whether a hidden value changed.
    """
    return evidence.without_names(load_params(root / "params.yaml"))


def file_hashes(root: Path) -> dict[str, str]:
    """Return the SHA-256 of the lock file, the graph, the parameters, the data and the metrics."""
    names = ["dvc.lock", "dvc.yaml", "params.yaml", wanted.REQUEST, wanted.SAMPLES, wanted.SPLIT]
    for pattern in (f"{places.PACKED}/*.npy", "metrics/*.json"):
        names += sorted(file.relative_to(root).as_posix() for file in root.glob(pattern))
    return {name: sha256(root / name) for name in names if (root / name).is_file()}


def require_in_step(root: Path, erased: Collection[str] = (), *, with_source: bool = True) -> None:
    """Raise UserError if an output is not the one that dvc.lock knows, or an input has changed since.

    DVC is asked, of every file. Whether the stages of dvc.lock saw one request `cached.require_one_run` says.
    `erased`: outputs that need not be there, or not whole. `with_source`: whether `data.path` must still hold
    the images that were packed.
    """
    changed = _without(erased, json.loads(dvc(root, "status", "--json")))
    # It runs every time, to look at the images: so that is done here.
    if changed.get(GUARD) == ["always changed"]:
        del changed[GUARD]
        seen = read_metrics(root / "data/source.json")
        if with_source and seen != {"valid": True} | contents.of(
            load(DataParams, root / "params.yaml"), root
        ):
            raise UserError(
                "the images in data.path are not those of the last run: run `dvc repro` first"
            )
    if changed:
        raise UserError(
            f"the workspace is not what dvc.lock says in {choices(sorted(changed))}: "
            "run `dvc repro` (or `dvc pull`) first"
        )


def _without(erased: Collection[str], changed: dict[str, Any]) -> dict[str, Any]:
    """Return what DVC calls changed, stage by stage, but for these files.

    And but for what `dvc add` keeps where the cache alone lacks it, since it was erased there.
    """

    def is_erased(stage: str, change: Any) -> bool:
        return isinstance(change, dict) and all(
            name in erased or (stage.endswith(".dvc") and how == "not in cache")
            for files in change.values()
            for name, how in files.items()
        )

    left = {
        stage: [each for each in changes if not is_erased(stage, each)]
        for stage, changes in changed.items()
    }
    return {stage: changes for stage, changes in left.items() if changes}


def _fingerprint(file: Path) -> str | None:
    try:
        text, _ = read_tensors(file, "labelling", of_bytes)
        return Header.model_validate_json(text).fingerprint
    except ValueError:
        return None
