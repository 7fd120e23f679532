"""What a workspace says of its last run, section by section, as a certificate holds it."""

import hashlib
import json
import platform
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from unlearning import evaluation, gate, models, summary
from unlearning.certificate.record import (
    FORMAT,
    STATEMENT,
    Accuracies,
    Content,
    Figures,
    Forgotten,
    ForgottenImage,
    Model,
)
from unlearning.data import contents, dataset
from unlearning.errors import UserError, choices
from unlearning.files import DIGITS, read_metrics, read_table, rounded
from unlearning.hardware import Hardware, available_cores
from unlearning.repository import GUARD, dvc, git
from unlearning.settings import load_params
from unlearning.tensors import read_tensors

DATA_FILES = ("data/images.npy", "data/samples.csv", "data/split.csv")
# Of metrics/audit.json, for the unlearned model with original and retrained beside it.
AUDIT_FIGURES = (
    "agreement_with_original",
    "auditor_auc",
    "destination_tv",
    "few_shot_recall",
    "js_to_retrained",
    "knn_recall",
    "membership_auc",
    "probe_recall",
    "relearn_passes",
    "returned_accuracy",
)
PACKAGES = ("unlearning", "dvc", "numpy", "torch", "torchvision")


def describe(root: Path, machine: Hardware) -> Content:
    """Return what is to be certified.

    Raises: UserError unless all outputs are those of dvc.lock and everything tracked is committed.
    """
    _require_finished_run(root)
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
        "threads": str(available_cores()),
    }


def forgotten(root: Path) -> Forgotten:
    """Return the classes of the request and every image it covers: held-out and withdrawn ones too."""
    _require(root, DATA_FILES[1:])
    samples = read_table(root / "data/samples.csv", ["id", "class", "sha256"])
    split = read_table(root / "data/split.csv", ["id", "subset", "role"])
    rows = samples.merge(split[split["role"] != "retain"], on="id").sort_values("id")
    return Forgotten(
        classes=sorted(rows[rows["role"] == "forget"]["class"].unique()),
        images=[
            ForgottenImage(id=id_, subset=subset, sha256=sha256)
            for id_, subset, sha256 in zip(
                rows["id"].tolist(), rows["subset"], rows["sha256"], strict=True
            )
        ],
    )


def weights(root: Path) -> dict[str, Model]:
    """Return hash and fingerprint of original, unlearned and retrained models."""
    files = [
        root / "models/original.safetensors",
        root / "models/unlearned.safetensors",
        *sorted((root / "models/retrained").glob("*.safetensors")),
    ]
    return {
        file.relative_to(root / "models").with_suffix("").as_posix(): Model(
            sha256=_sha256(file), fingerprint=_fingerprint(file)
        )
        for file in files
        if file.is_file()
    }


def accuracies(root: Path, machine: Hardware) -> Figures:
    """Return the accuracy of every model on test images, computed from weights and images."""
    _require(root, DATA_FILES)
    images = dataset.load(root / "data")
    test = {role: images.select(role=role, subset="test") for role in ("forget", "retain")}

    def of_model(model: Any) -> Accuracies:
        return Accuracies(
            **{
                role: round(
                    evaluation.accuracy(
                        models.predict_logits(model, images, indices, machine),
                        images.labels[indices],
                    ),
                    DIGITS,
                )
                for role, indices in test.items()
            }
        )

    versions = models.load_versions(root / "models").map(of_model)
    return Figures(
        forget_images=len(test["forget"]),
        retain_images=len(test["retain"]),
        models={
            "original": versions.original,
            "unlearned": versions.unlearned,
            **{f"retrained/{seed}": value for seed, value in versions.retrained.items()},
        },
    )


def audit(root: Path) -> dict[str, Any]:
    """Return the verdict and the figures that a reader asks for first."""
    _require(root, ["metrics/audit.json"])
    figures = read_metrics(root / "metrics/audit.json")
    readings = figures["readings"]

    def chosen(values: Any) -> Any:
        # Words instead of figures: "no reference", where retraining is switched off.
        return (
            {name: values[name] for name in AUDIT_FIGURES} if isinstance(values, dict) else values
        )

    return {
        "verdict": figures["verdict"],
        "verdict_in_words": summary.verdict(root / "metrics"),
        "decisive_figures_outside": sorted(
            name
            for name, reading in readings.items()
            if isinstance(reading, dict) and reading["decisive"] and reading["reading"] == "outside"
        ),
        "floors": {name: figures[name] for name in ("js_floor", "destination_tv_floor")},
        "unlearned": chosen(figures),
        "original": chosen(figures["original"]),
        "retrained": chosen(figures["retrained"]),
    }


def limits(root: Path) -> dict[str, Any]:
    """Return what the gate says of each limit."""
    checks = gate.check(root / "metrics", load_params(root / "params.yaml").gate)
    return {
        each.limit_name: {
            "value": rounded(each.value),
            "limit": each.limit,
            "outcome": each.outcome,
        }
        for each in checks
    }


def params(root: Path) -> dict[str, Any]:
    """Return the parameters as they stand in params.yaml, checked."""
    return load_params(root / "params.yaml").model_dump(mode="json")


def file_hashes(root: Path) -> dict[str, str]:
    """Return the SHA-256 of the lock file, the graph, the parameters, the data and the metrics."""
    names = ["dvc.lock", "dvc.yaml", "params.yaml", *DATA_FILES]
    names += sorted(file.relative_to(root).as_posix() for file in root.glob("metrics/*.json"))
    return {name: _sha256(root / name) for name in names if (root / name).is_file()}


def _require_finished_run(root: Path) -> None:
    """Raise UserError if an output is not the one that dvc.lock knows, or an input has changed since."""
    changed = json.loads(dvc(root, "status", "--json"))
    # It runs every time, to look at the images: so that is done here.
    if changed.get(GUARD) == ["always changed"]:
        del changed[GUARD]
        request = read_metrics(root / "data/request.json")
        if request != {"valid": True} | contents.of(load_params(root / "params.yaml").data, root):
            raise UserError(
                "the images in data.path are not those of the last run: run `dvc repro` first"
            )
    if changed:
        raise UserError(
            f"the workspace is not what dvc.lock says in {choices(sorted(changed))}: "
            "run `dvc repro` (or `dvc pull`) first"
        )


def _require(root: Path, names: Any) -> None:
    for name in names:
        if not (root / name).is_file():
            raise UserError(f"{name} does not exist: run `dvc repro` or `dvc pull` first")


def _fingerprint(file: Path) -> str | None:
    try:
        text, _ = read_tensors(file, "labelling")
        return models.Header.model_validate_json(text).fingerprint
    except ValueError:
        return None


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
