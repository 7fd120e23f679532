"""The certificate as a file: JSON of a strict schema, with one canonical form that is signed."""

import json
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, field_validator

from unlearning.base.errors import UserError
from unlearning.base.files import atomic

MOST_BYTES = 2**28  # a million images need half of it
FORMAT: Literal["unlearning-certificate/2"] = "unlearning-certificate/2"
STATEMENT = (
    "Evidence of what was run and measured. It is not legal advice, and no proof that nothing of the "
    "forgotten images is left in the model."
)

# In pydantic's patterns $ is the end of the text, never the place before a last line break.
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=0)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class ForgottenImage(_Strict):
    """An image of the request: its hash is that of the file it came from. No path, for it may name a person."""

    id: Count
    subset: Literal["train", "validation", "test"]
    sha256: Sha256


class Forgotten(_Strict):
    """What the request covers."""

    classes: list[str]
    images: list[ForgottenImage]

    @field_validator("images")
    @classmethod
    def _each_id_once(cls, images: list[ForgottenImage]) -> list[ForgottenImage]:
        if len({image.id for image in images}) < len(images):
            raise ValueError("an id stands twice")
        return images


class Model(_Strict):
    """A weights file; `fingerprint`: of the data and params it was made from, null if it has none."""

    sha256: Sha256
    fingerprint: Sha256 | None


class Accuracies(_Strict):
    """A model's accuracy, computed from its weights when the certificate was written.

    `retain`: on test images. `forget`: of whole classes on test images, of single images on those trained on.
    """

    forget: Share
    retain: Share


class Figures(_Strict):
    """Accuracies by model, and the number of images that each of the two rests on."""

    forget_images: Count
    retain_images: Count
    models: dict[str, Accuracies]


class Place(_Strict):
    """A place that held images of the request, or what follows from them: how much was found, and left.

    Files, objects or images, as the place counts; null where nobody could tell.
    """

    place: str
    holds: str
    found: Count | None
    left: Count | None


class Content(_Strict):
    """All that is certified. `files`: SHA-256 of each file that the figures rest on, by path."""

    format: Literal["unlearning-certificate/2"]
    statement: str
    issued_at: Annotated[str, Field(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$")]
    commit: Annotated[str, Field(pattern=r"^[0-9a-f]{40,64}$")]
    environment: dict[str, str]
    forgotten: Forgotten
    models: dict[str, Model]
    accuracies: Figures
    audit: dict[str, JsonValue]
    gate: dict[str, JsonValue]
    places: list[Place]
    params: dict[str, JsonValue]
    files: dict[str, Sha256]


class Signature(_Strict):
    """Of the content's canonical form; the key it belongs to reaches the reader by another way."""

    algorithm: Literal["Ed25519"]
    value: Annotated[str, Field(pattern=r"^[A-Za-z0-9+/]{86}==$")]


class Sealed(_Strict):
    """A DSSE envelope that was read; payload and signature in base64. Source: DSSE v1.0.2, envelope.md."""

    payload: str
    payload_type: Literal["application/vnd.in-toto+json"]
    keyid: str
    sig: str


class Certificate(_Strict):
    """The file. `signature`: of the content itself, or of the in-toto statement that it was read from."""

    content: Content
    signature: Signature | Sealed | None


def canonical(content: Content) -> bytes:
    """Return the bytes that are signed: UTF-8 JSON, keys sorted, no spaces, no NaN."""
    return json.dumps(
        content.model_dump(mode="json"),
        sort_keys=True,
        ensure_ascii=False,
        allow_nan=False,
        separators=(",", ":"),
    ).encode("utf-8")


def require_new(path: Path) -> None:
    """Raise UserError if the file exists."""
    if path.exists():
        raise UserError(f"{path} exists: a certificate is not overwritten; name another with --out")


def write(path: Path, certificate: Certificate) -> None:
    """Write the certificate for people to read. Raises: UserError if the file cannot be written."""
    text = json.dumps(
        certificate.model_dump(mode="json"), indent=2, ensure_ascii=False, allow_nan=False
    )
    with atomic(path) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")


def strict_json(text: str) -> Any:
    """Return what JSON says, if a person reads the same in it. Raises: ValueError, RecursionError."""
    return json.loads(
        text,
        object_pairs_hook=_each_key_once,
        parse_constant=_no_constant,
        parse_float=_exact,
    )


def _exact(digits: str) -> float:
    """Refuse a number of which a program would keep another: 0.10000000000000000001 is 0.1 to it."""
    value = float(digits)
    if json.dumps(value) != digits:
        raise ValueError(f"{digits[:40]} is not the shortest form of its number")
    return value


def _each_key_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Refuse a key that stands twice: a reader would see the first, a program the last."""
    values = dict(pairs)
    if len(values) < len(pairs):
        raise ValueError("a key stands twice")
    return values


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no number of JSON")
