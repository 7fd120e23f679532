"""Ed25519 signatures by a local key in PEM, as `openssl genpkey -algorithm ed25519` writes it.

The algorithm and the file format are those of the package `cryptography`. Source: RFC 8032.
"""

import base64
from pathlib import Path

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key

from unlearning.base.errors import UserError
from unlearning.base.reading import read_bytes
from unlearning.certificate.record import Content, Signature, canonical

MOST_BYTES = 2**16  # of a key; it has some hundred


def read_private_key(path: Path) -> Ed25519PrivateKey:
    """Return the key to sign with. Raises: UserError if it is none, or protected by a password."""
    try:
        key = load_pem_private_key(_bytes(path), password=None)
    except TypeError:
        raise UserError(f"{path} is protected by a password: give a key without one") from None
    except (ValueError, UnsupportedAlgorithm):
        raise _no_key(path, "private") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise _no_key(path, "private")
    return key


def read_public_key(path: Path) -> Ed25519PublicKey:
    """Return the key to check with. Raises: UserError if it is none."""
    try:
        key = load_pem_public_key(_bytes(path))
    except (ValueError, UnsupportedAlgorithm):
        raise _no_key(path, "public") from None
    if not isinstance(key, Ed25519PublicKey):
        raise _no_key(path, "public")
    return key


def sign(content: Content, key: Ed25519PrivateKey) -> Signature:
    """Return the signature of the content's canonical form; the same content and key give the same one."""
    value = base64.b64encode(key.sign(canonical(content))).decode("ascii")
    return Signature(algorithm="Ed25519", value=value)


def fits(content: Content, signature: Signature, key: Ed25519PublicKey) -> bool:
    """Return whether this content was signed with the private half of `key`."""
    value = base64.b64decode(signature.value)
    try:
        key.verify(value, canonical(content))
    except InvalidSignature:
        return False
    # Base64 has several spellings of the same bytes: only one is ours.
    return base64.b64encode(value).decode("ascii") == signature.value


def _bytes(path: Path) -> bytes:
    try:
        return read_bytes(path, MOST_BYTES)
    except FileNotFoundError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from None


def _no_key(path: Path, half: str) -> UserError:
    return UserError(f"{path} is not an Ed25519 {half} key in PEM: see docs/certificate.md")
