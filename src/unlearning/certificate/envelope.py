"""The certificate as others verify it: an in-toto statement, signed as a DSSE envelope.

The statement's subjects are the models and the files, by SHA-256; its predicate is the certificate's content.
Sources: in-toto attestation framework, Statement v1; DSSE v1.0.2 (protocol.md, envelope.md). Envelope, encoding
and signing are those of the package `securesystemslib`.
"""

import base64
import json
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from pydantic import ValidationError
from securesystemslib.dsse import Envelope
from securesystemslib.exceptions import VerificationError
from securesystemslib.signer import CryptoSigner, SSlibKey
from securesystemslib.signer import Signature as KeyedSignature

from unlearning.base.errors import UserError
from unlearning.base.files import atomic
from unlearning.base.reading import read_text
from unlearning.certificate.record import (
    FORMAT,
    MOST_BYTES,
    Certificate,
    Content,
    Sealed,
    canonical,
    strict_json,
)

STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE = "urn:unlearning:certificate:2"
PAYLOAD_TYPE = "application/vnd.in-toto+json"


def statement(content: Content) -> dict[str, Any]:
    """Return the in-toto statement of a certificate's content."""
    hashes = {f"models/{name}.safetensors": model.sha256 for name, model in content.models.items()}
    return {
        "_type": STATEMENT_TYPE,
        "subject": [
            {"name": name, "digest": {"sha256": value}}
            for name, value in sorted((hashes | content.files).items())
        ],
        "predicateType": PREDICATE_TYPE,
        "predicate": content.model_dump(mode="json"),
    }


def path_beside(path: Path) -> Path:
    """Return where the statement of the certificate at `path` stands: certificate.intoto.json."""
    return path.with_suffix(".intoto.json")


def write(path: Path, content: Content, key: Ed25519PrivateKey | None) -> None:
    """Write the statement, in a DSSE envelope if there is a key. Raises: UserError if it cannot be written."""
    values = statement(content)
    if key is not None:
        payload = json.dumps(values, sort_keys=True, ensure_ascii=False, allow_nan=False)
        sealed = Envelope(payload.encode(), PAYLOAD_TYPE, {})
        sealed.sign(CryptoSigner(key))
        values = sealed.to_dict()
    with atomic(path) as temporary:
        temporary.write_text(
            json.dumps(values, indent=2, ensure_ascii=False, allow_nan=False) + "\n",
            encoding="utf-8",
        )


def read(path: Path) -> Certificate:
    """Return a certificate in any of its forms: plain, statement, or statement in an envelope.

    Raises: UserError if there is none, if anything in it is not of the schema, or if a statement's subjects are
    not those of its predicate.
    """
    try:
        certificate = _of_values(strict_json(read_text(path, MOST_BYTES)))
        canonical(certificate.content)
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from None
    except ValidationError as error:
        first = error.errors()[0]
        if first["loc"][-1:] == ("format",) and isinstance(first["input"], str):
            raise UserError(
                f"{path} is of the format {first['input']}, this version reads {FORMAT}: check it by the "
                "version that wrote it, that of the commit in it"
            ) from None
        where = ".".join(str(part) for part in first["loc"])
        raise UserError(f"{path} is not a certificate: {where}: {first['msg']}") from None
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path} is not a certificate: {error}") from None
    return certificate


def _of_values(values: Any) -> Certificate:
    if not isinstance(values, dict):
        raise ValueError("it holds no names of values")
    if "payload" in values:
        sealed = _sealed(values)
        return Certificate(
            content=_content(strict_json(_bytes(sealed.payload).decode())), signature=sealed
        )
    if "_type" in values:
        return Certificate(content=_content(values), signature=None)
    return Certificate.model_validate(values)


def _sealed(values: dict[str, Any]) -> Sealed:
    signatures = values.get("signatures")
    if values.keys() != {"payload", "payloadType", "signatures"} or not isinstance(
        signatures, list
    ):
        raise ValueError("an envelope holds payload, payloadType and signatures, nothing else")
    if len(signatures) != 1 or not isinstance(signatures[0], dict):
        raise ValueError("an envelope of ours has one signature")
    found = Sealed.model_validate(
        {"payload": values["payload"], "payload_type": values["payloadType"]} | signatures[0]
    )
    _bytes(found.payload), _bytes(found.sig)
    return found


def _content(values: Any) -> Content:
    if not isinstance(values, dict) or not isinstance(values.get("predicate"), dict):
        raise ValueError("the statement has no predicate")
    content = Content.model_validate(values["predicate"])
    if json.dumps(values, sort_keys=True) != json.dumps(statement(content), sort_keys=True):
        raise ValueError("the statement's type or subjects are not those of its predicate")
    return content


def _bytes(text: str) -> bytes:
    """Return what base64 says. Raises: ValueError where a lax reader would find another spelling of it."""
    value = base64.b64decode(text, validate=True)
    if base64.b64encode(value).decode("ascii") != text:
        raise ValueError("base64 with bits to spare")
    return value


def fits(sealed: Sealed, key: Ed25519PublicKey) -> bool:
    """Return whether an envelope was signed with the private half of `key`, whatever key id it names."""
    own = SSlibKey.from_crypto(key)
    signature = KeyedSignature(own.keyid, _bytes(sealed.sig).hex())
    envelope = Envelope(_bytes(sealed.payload), sealed.payload_type, {own.keyid: signature})
    try:
        envelope.verify([own], 1)
    except VerificationError:
        return False
    return True
