"""Whether a workspace still says what a certificate says: each section recomputed and compared as it is nested.

No path is taken from the certificate: what it names and the workspace has not is a difference, unopened.
Nothing is flattened or written out before it is compared: a key "a.b" is not the key "b" of "a".
"""

import json
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from unlearning.base.errors import UserError, choices
from unlearning.certificate import envelope, signature, workspace
from unlearning.certificate.record import Certificate, Content, Sealed
from unlearning.erase import places
from unlearning.review.git import git
from unlearning.running.hardware import Hardware

# Of a recomputed accuracy: bf16, threads and versions move an image or two across a boundary.
TOLERANCE = 0.01
# How lines begin that speak of hashes, which no version of this program finds otherwise.
OF_BYTES = ("models", "files")
# Keys of objects and places in lists that lead to a value.
Keys = tuple[str | int, ...]


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

    Where the certificate says that the images were erased, accuracies and the images' own files are left out,
    and so is the original; the tables were kept to check by. Time, commit and environment of the certificate
    are notes: they may differ in an honest workspace.
    """
    content = certificate.content
    tables, images = not without_data, not without_data and places.PACKED not in _erased(content)
    found = _differences(content, root, machine, tables=tables, images=images)
    differences = _signature_differences(certificate, public_key) + found
    notes = _notes(certificate, machine, public_key)
    if found and not any(line.startswith(OF_BYTES) for line in found):
        notes.append(
            "models and files are those of the certificate to the byte. Unless somebody edited it, this is "
            "another version of the program than that commit's: before you run anything again, check by that "
            "one (docs/certificate.md)"
        )
    if not tables:
        notes.append("not checked without data: forgotten images, accuracies, files in data/")
    elif not images:
        notes.append(f"not checked without images: accuracies, files in {places.PACKED}/")
    if erased := _erased(content):
        notes.append(f"erased when it was issued: {choices(sorted(erased))}")
    return Verification(differences, notes)


def _erased(content: Content) -> set[str]:
    return {each.place for each in content.places if each.found and each.left == 0}


def _differences(
    content: Content, root: Path, machine: Hardware, *, tables: bool, images: bool
) -> list[str]:
    """Return what differs in each section. Without `images` the tables in data/ can still be checked."""
    sections: dict[str, Callable[[], Any]] = {
        "models": lambda: workspace.weights(root),
        "audit": lambda: workspace.audit(root),
        "gate": lambda: workspace.limits(root),
        "params": lambda: workspace.params(root),
        "files": lambda: workspace.file_hashes(root),
    }
    if tables:
        sections["forgotten"] = lambda: workspace.forgotten(root)
    if images:
        sections["accuracies"] = lambda: workspace.accuracies(root, machine)
    differences: list[str] = []
    for name, recompute in sections.items():
        try:
            says, has = _plain(name, getattr(content, name)), _plain(name, recompute())
        except UserError as error:
            differences.append(f"{name} cannot be recomputed: {error}")
            continue
        if name == "files" and not images:
            gone = f"{places.PACKED}/" if tables else "data/"
            says, has = (_without(gone, files) for files in (says, has))
        if name == "models":
            says = {
                model: each
                for model, each in says.items()
                if f"models/{model}.safetensors" not in _erased(content)
            }
        differences += list(_compare((name,), says, has, content))
    return differences


def begun(
    draft: Path, root: Path, machine: Hardware, public_key: Ed25519PublicKey | None
) -> Content:
    """Return what an erasing that broke off had written down before it began, with what is left by now.

    Accuracies, time and environment cannot be had again: only the signature of the draft vouches for them.

    Raises: UserError if it is not signed by `public_key`, where there is one, if it is of another commit or if
    it is not what the rest of the workspace in `root` says.
    """
    certificate = envelope.read(draft)
    if differences := _signature_differences(certificate, public_key):
        raise UserError(
            f"{draft}: {differences[0]}: give the key it was begun with, or go on without --key"
        )
    content = certificate.content
    head = git(root, "rev-parse", "HEAD")
    if content.commit != head:
        raise UserError(f"{draft} was begun at commit {content.commit}, but HEAD is {head}")
    found = workspace.listed(places.visit(root, ask_remotes=False), before=content.places)
    content = content.model_copy(update={"places": found})
    if differences := _differences(content, root, machine, tables=True, images=False):
        raise UserError(f"{draft} is of another run, delete it: {differences[0]}")
    return content


def _signature_differences(
    certificate: Certificate, public_key: Ed25519PublicKey | None
) -> list[str]:
    if public_key is None:
        return []
    if certificate.signature is None:
        return ["signature: the certificate has none, so the key cannot vouch for it"]
    signed = certificate.signature
    if isinstance(signed, Sealed):
        fits = envelope.fits(signed, public_key)
    else:
        fits = signature.fits(certificate.content, signed, public_key)
    if not fits:
        return ["signature: it was not made by this key, or the content was changed afterwards"]
    return []


def _compare(path: Keys, says: Any, has: Any, content: Content) -> Iterator[str]:
    """Yield one line for each value that differs, or that is on one side only."""
    if isinstance(says, dict) and isinstance(has, dict):
        for key in sorted(says.keys() | has.keys(), key=str):
            if key not in has:
                yield f"{_named((*path, key))}: the certificate says {_shown(says[key])}, the workspace nothing"
            elif key not in says:
                yield f"{_named((*path, key))}: the certificate says nothing, the workspace {_shown(has[key])}"
            else:
                yield from _compare((*path, key), says[key], has[key], content)
    elif isinstance(says, list) and isinstance(has, list) and len(says) == len(has):
        for place, (left, right) in enumerate(zip(says, has, strict=True)):
            yield from _compare((*path, place), left, right, content)
    # To Python 1 == True == 1.0.
    elif (type(says) is not type(has) or says != has) and not _close(path, says, has, content):
        left, right = _told_apart(_shown(says), _shown(has))
        yield f"{_named(path)}: the certificate says {left}, the workspace {right}"


def _close(path: Keys, says: Any, has: Any, content: Content) -> bool:
    """Return whether both are accuracies that lie within the tolerance, or one image apart."""
    if len(path) != 4 or path[:2] != ("accuracies", "models"):
        return False
    images = getattr(content.accuracies, f"{path[3]}_images")
    # Accuracies have four digits: half of the last one on each side.
    return abs(says - has) <= max(TOLERANCE, 1 / max(images, 1)) + 1e-4


def _plain(name: str, section: Any) -> Any:
    """Return a section as JSON has it; images by their id, so that one less moves no other."""
    if name == "models":
        return {model: each.model_dump(mode="json") for model, each in section.items()}
    if name == "forgotten":
        images = {image.id: image.model_dump(mode="json") for image in section.images}
        return {"classes": section.classes, "images": images}
    if name == "accuracies":
        return section.model_dump(mode="json")
    # What is recomputed may hold tuples, which JSON has not.
    return json.loads(json.dumps(section))


def _without(folder: str, files: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in files.items() if not name.startswith(folder)}


def _named(path: Keys) -> str:
    """Return how a person finds a value: audit.floors.js_floor, audit."a.b", images[3]."""
    words = ""
    for part in path:
        if isinstance(part, int):
            words += f"[{part}]"
        else:
            plain = part.replace("_", "").replace("/", "").replace("-", "").isalnum()
            words += f".{part if plain or words in ('.files', '.models') else json.dumps(part)}"
    return words[1:]


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _told_apart(left: str, right: str) -> tuple[str, str]:
    """Return both as they are, or written out where they would look alike: 1 and "1", two forms of é."""
    if unicodedata.normalize("NFKC", left) == unicodedata.normalize("NFKC", right):
        return ascii(left), ascii(right)
    return left, right


def _notes(
    certificate: Certificate,
    machine: Hardware,
    public_key: Ed25519PublicKey | None,
) -> list[str]:
    content = certificate.content
    notes = [f"issued at {content.issued_at} for commit {content.commit}"]
    here = workspace.environment(machine)
    notes += [
        f"{name} was {content.environment.get(name, 'nothing')}, is {here.get(name, 'nothing')} here"
        for name in sorted(content.environment.keys() | here.keys())
        if content.environment.get(name) != here.get(name)
    ]
    if certificate.signature is None:
        notes.append("not signed: whoever can write the file could have changed it")
    elif public_key is None:
        notes.append("signature not checked: give the signer's key by --public-key")
    return notes
