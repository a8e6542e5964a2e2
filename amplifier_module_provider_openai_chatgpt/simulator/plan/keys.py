"""The keys that sign id tokens, the published set of them, and forged signatures."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal

from pydantic_core import to_json

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

Json = dict[str, Any]

# The key that is never published.
_OTHER = -1


class Keys:
    """The signing keys of one issuer. New id tokens are signed with the newest one.

    ``published``: all keys, all "but-newest", or "none".
    """

    def __init__(self) -> None:
        self.published: Literal["all", "but-newest", "none"] = "all"
        self._newest = 0

    def rotate(self) -> None:
        """Sign with a new key from now on."""
        self._newest += 1

    def document(self) -> Json:
        """Return the key set."""
        count = {"all": self._newest + 1, "but-newest": self._newest, "none": 0}[self.published]
        return {"keys": [_public(number) for number in range(count)]}

    def token(
        self, claims: Mapping[str, Any], signature: str = "RS256", header: Mapping[str, Any] | None = None
    ) -> str:
        """Return an id token; ``header`` replaces fields of its header, None removes one."""
        named = {"alg": _ALGORITHMS.get(signature, "RS256"), "kid": _kid(self._newest), "typ": "JWT"}
        parts = [_base64url(to_json(_merged(part, more))) for part, more in ((named, header), (claims, None))]
        signed = ".".join(parts)
        return f"{signed}.{_base64url(self._signature(signed.encode(), signature))}"

    def _signature(self, signed: bytes, kind: str) -> bytes:
        if kind == "none":
            return b""
        if kind == "broken":
            return secrets.token_bytes(256)
        if kind == "HS256":
            return hmac.digest(_public_pem(self._newest), signed, hashlib.sha256)
        return _sign(_OTHER if kind == "other-key" else self._newest, signed)


_ALGORITHMS = {"none": "none", "HS256": "HS256"}


def _merged(fields: Mapping[str, Any], more: Mapping[str, Any] | None) -> Json:
    return {name: value for name, value in {**fields, **(more or {})}.items() if value is not None}


@lru_cache
def _private(number: int) -> RSAPrivateKey:
    """Return one key of this process; making one takes a tenth of a second."""
    from cryptography.hazmat.primitives.asymmetric import rsa

    del number
    return rsa.generate_private_key(public_exponent=65_537, key_size=2_048)


def _sign(number: int, signed: bytes) -> bytes:
    from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
    from cryptography.hazmat.primitives.hashes import SHA256

    return _private(number).sign(signed, PKCS1v15(), SHA256())


def _public(number: int) -> Json:
    numbers = _private(number).public_key().public_numbers()
    modulus, exponent = (_base64url(_bytes(value)) for value in (numbers.n, numbers.e))
    return {"kty": "RSA", "use": "sig", "alg": "RS256", "kid": _kid(number), "n": modulus, "e": exponent}


def _public_pem(number: int) -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    key = _private(number).public_key()
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def _kid(number: int) -> str:
    """Return a name that no other key has, in any process."""
    modulus = _private(number).public_key().public_numbers().n
    return hashlib.sha256(_bytes(modulus)).hexdigest()[:16]


def _bytes(value: int) -> bytes:
    return value.to_bytes((value.bit_length() + 7) // 8, "big")


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")
