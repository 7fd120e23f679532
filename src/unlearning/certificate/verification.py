"""Whether a workspace still says what a certificate says: each section recomputed, leaf by leaf.

No path is taken from the certificate: what it names and the workspace has not is a difference, unopened.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from unlearning.certificate import signature, workspace
from unlearning.certificate.record import Certificate, Content
from unlearning.errors import UserError
from unlearning.hardware import Hardware

# Of a recomputed accuracy: bf16, threads and versions move an image or two across a boundary.
TOLERANCE = 0.01
ABSENT = "nothing"

Leaves = dict[str, Any]


@dataclass(frozen=True)
class Verification:
    """Lines for a person. `differences`: what does not hold; `notes`: what to know beside."""

    differences: list[str]
    notes: list[str]


def verify(
    certificate: Certificate,
    root: Path,
    machine: Hardware,
    public_key: Ed25519PublicKey | None = None,
    without_data: bool = False,
) -> Verification:
    """Compare a certificate with the workspace in `root`; `without_data`: leave out what needs the images.

    Time, commit and environment of the certificate are notes: they may differ in an honest workspace.
    """
    content = certificate.content
    sections: dict[str, Callable[[], Any]] = {
        "models": lambda: workspace.weights(root),
        "audit": lambda: workspace.audit(root),
        "gate": lambda: workspace.limits(root),
        "params": lambda: workspace.params(root),
        "files": lambda: workspace.file_hashes(root),
    }
    if not without_data:
        sections["forgotten"] = lambda: workspace.forgotten(root)
        sections["accuracies"] = lambda: workspace.accuracies(root, machine)
    differences = _signature_differences(certificate, public_key)
    for name, recompute in sections.items():
        try:
            actual = _leaves(name, recompute())
        except UserError as error:
            differences.append(f"{name} cannot be recomputed: {error}")
            continue
        differences += _compare(_leaves(name, getattr(content, name)), actual, content)
    if without_data:
        differences = [line for line in differences if not line.startswith("files.data/")]
    return Verification(differences, _notes(certificate, machine, public_key, without_data))


def _signature_differences(
    certificate: Certificate, public_key: Ed25519PublicKey | None
) -> list[str]:
    if public_key is None:
        return []
    if certificate.signature is None:
        return ["signature: the certificate has none, so the key cannot vouch for it"]
    if not signature.fits(certificate.content, certificate.signature, public_key):
        return ["signature: it was not made by this key, or the content was changed afterwards"]
    return []


def _compare(expected: Leaves, actual: Leaves, content: Content) -> list[str]:
    """Return one line for each leaf that differs or is on one side only."""
    lines = []
    for path in sorted(expected.keys() | actual.keys()):
        says, has = expected.get(path, ABSENT), actual.get(path, ABSENT)
        if json.dumps(says) != json.dumps(has) and not _close(path, says, has, content):
            lines.append(
                f"{path}: the certificate says {_shown(says)}, the workspace {_shown(has)}"
            )
    return lines


def _close(path: str, says: Any, has: Any, content: Content) -> bool:
    """Return whether both are accuracies that lie within the tolerance, or one image apart."""
    if not path.startswith("accuracies.models.") or ABSENT in (says, has):
        return False
    role = path.rsplit(".", 1)[1]
    images = getattr(content.accuracies, f"{role}_images")
    # Accuracies have four digits: half of the last one on each side.
    return abs(says - has) <= max(TOLERANCE, 1 / max(images, 1)) + 1e-4


def _leaves(name: str, section: Any) -> Leaves:
    """Return every value in a section by its path; images by their id, so that one less moves no other."""
    values = section
    if hasattr(section, "model_dump"):
        values = section.model_dump(mode="json")
    elif name == "models":
        values = {model: each.model_dump(mode="json") for model, each in section.items()}
    if name == "forgotten":
        values = values | {"images": {str(image["id"]): image for image in values["images"]}}
    return dict(_walk(values, name))


def _walk(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            yield from _walk(inner, f"{path}.{key}")
    elif isinstance(value, list | tuple) and value:
        for place, inner in enumerate(value):
            yield from _walk(inner, f"{path}[{place}]")
    else:
        yield path, value


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _notes(
    certificate: Certificate,
    machine: Hardware,
    public_key: Ed25519PublicKey | None,
    without_data: bool,
) -> list[str]:
    content = certificate.content
    notes = [f"issued at {content.issued_at} for commit {content.commit}"]
    here = workspace.environment(machine)
    notes += [
        f"{name} was {content.environment.get(name, ABSENT)}, is {here.get(name, ABSENT)} here"
        for name in sorted(content.environment.keys() | here.keys())
        if content.environment.get(name) != here.get(name)
    ]
    if certificate.signature is None:
        notes.append("not signed: whoever can write the file could have changed it")
    elif public_key is None:
        notes.append("signature not checked: give the signer's key by --public-key")
    if without_data:
        notes.append("not checked without data: forgotten images, accuracies, files in data/")
    return notes
