"""Who signed in: an id token, verified by the issuer's keys (docs/backend-plan.md, Id token). No I/O."""

from __future__ import annotations

import base64
import binascii
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic_core import from_json

from ...secret import Secret
from .failures import PlanError, Problem

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

ALGORITHM = "RS256"
# Seconds by which the issuer's clock may differ.
TOLERANCE = 5
_SMALLEST_MODULUS = 2_048
_LARGEST_MODULUS = 8_192
# A larger one only costs time.
_LARGEST_EXPONENT = 2**32
_SUBJECT = re.compile(r"[!-~]{1,255}")
_LONGEST_EMAIL = 320


@dataclass(frozen=True, slots=True)
class Identity:
    """The person: ``subject`` is permanent, ``email`` is for display."""

    subject: Secret[str]
    email: Secret[str]


@dataclass(frozen=True, slots=True)
class Expected:
    """What an id token has to say; ``nonce`` and ``subject`` are None where anything may be said.

    ``may_be_expired``: for a token that was verified when it was new.
    """

    issuer: str
    client_id: Secret[str]
    nonce: str | None = None
    subject: Secret[str] | None = None
    may_be_expired: bool = False


def verified(token: Secret[str], keys: Mapping[str, Any], expected: Expected, now: float) -> Identity:
    """Return who an id token is about; ``keys`` is the published key set, ``now`` in Unix seconds.

    Raises PlanError: KEYS_UNAVAILABLE if the set does not have its key, which is transient, OTHER_ACCOUNT for
    another person, CLOCK if nothing but its times is wrong, UNTRUSTED for anything else.
    """
    claims = _signed_claims(token.reveal(), keys)
    for is_right, why in _checks(claims, expected):
        if not is_right:
            raise _untrusted(why)
    subject = claims["sub"]
    if expected.subject is not None and subject != expected.subject:
        raise PlanError(Problem.OTHER_ACCOUNT)
    if claims["exp"] <= now - TOLERANCE and not expected.may_be_expired:
        raise PlanError(Problem.CLOCK, why="has expired")
    if claims["iat"] > now + TOLERANCE:
        raise PlanError(Problem.CLOCK, why="was issued in the future")
    email = claims.get("email")
    return Identity(Secret(subject), Secret(str(email) if is_shown(email) else ""))


def _checks(claims: Mapping[str, Any], expected: Expected) -> list[tuple[bool, str]]:
    """Return each rule about the claims: whether it is kept, and what is wrong if not."""
    subject = claims.get("sub")
    return [
        (claims.get("iss") == expected.issuer, "it was issued by another server"),
        (_is_for(claims, expected.client_id), "it was issued for another app"),
        (_is_number(claims.get("exp")), "it does not say when it expires"),
        (_is_number(claims.get("iat")), "it does not say when it was issued"),
        (_is_subject(subject), "it names no person"),
        (expected.nonce is None or _equal(claims.get("nonce"), expected.nonce), "it is of another sign-in"),
    ]


def is_shown(email: object) -> bool:
    """True for an address that can be shown as it is."""
    return isinstance(email, str) and len(email) <= _LONGEST_EMAIL and email.isprintable()


def _is_subject(subject: object) -> bool:
    """True for up to 255 ASCII characters, as OpenID Connect has it."""
    return isinstance(subject, str) and _SUBJECT.fullmatch(subject) is not None


def _is_for(claims: Mapping[str, Any], client_id: Secret[str]) -> bool:
    """True if the app is the audience, and the authorized party where one is needed or named."""
    audience = claims.get("aud")
    audiences = audience if isinstance(audience, list) else [audience]
    party = claims.get("azp")
    needs_party = len(audiences) > 1 or party is not None
    is_party: bool = party == client_id or not needs_party
    return client_id in audiences and is_party


def _signed_claims(token: str, keys: Mapping[str, Any]) -> Mapping[str, Any]:
    parts = token.split(".")
    if len(parts) != 3:
        raise _untrusted("it is not a signed token")
    header, claims = (_object(part) for part in parts[:2])
    if header.get("alg") != ALGORITHM or "crit" in header:
        raise _untrusted("it is not signed as it has to be")
    key = _key(keys, header.get("kid"))
    if not _is_signature(key, _bytes(parts[2]), f"{parts[0]}.{parts[1]}".encode()):
        raise _untrusted("its signature is wrong")
    return claims


def _key(keys: Mapping[str, Any], kid: object) -> RSAPublicKey:
    """Find the key by its name; one that is not in the set may be published any moment."""
    if not isinstance(kid, str) or not kid:
        raise _untrusted("it does not name its key")
    listed = keys.get("keys")
    named = [key for key in listed if _is_named(key, kid)] if isinstance(listed, list) else []
    if not named:
        raise PlanError(Problem.KEYS_UNAVAILABLE)
    return _public_key(named[0])


def _is_named(key: object, kid: str) -> bool:
    """True for the RSA key of this name that is there for signatures."""
    if not isinstance(key, Mapping) or (key.get("kid"), key.get("kty")) != (kid, "RSA"):
        return False
    return (key.get("use", "sig"), key.get("alg", ALGORITHM)) == ("sig", ALGORITHM)


def _public_key(key: Mapping[str, Any]) -> RSAPublicKey:
    try:
        from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicNumbers
    except ImportError as error:
        raise PlanError(Problem.NO_LIBRARY) from error
    modulus, exponent = (int.from_bytes(_bytes(str(key.get(name, "")))) for name in ("n", "e"))
    if not _SMALLEST_MODULUS <= modulus.bit_length() <= _LARGEST_MODULUS or exponent > _LARGEST_EXPONENT:
        raise _untrusted("its key has the wrong size")
    try:
        return RSAPublicNumbers(exponent, modulus).public_key()
    except ValueError as error:
        raise _untrusted("its key is not valid") from error


def _is_signature(key: RSAPublicKey, signature: bytes, signed: bytes) -> bool:
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
    from cryptography.hazmat.primitives.hashes import SHA256

    try:
        key.verify(signature, signed, PKCS1v15(), SHA256())
    except InvalidSignature:
        return False
    return True


def _object(part: str) -> Mapping[str, Any]:
    try:
        found = from_json(_bytes(part))
    except ValueError:
        found = None
    if not isinstance(found, Mapping):
        raise _untrusted("it is not a signed token")
    return found


def _bytes(part: str) -> bytes:
    """Decode base64url; characters outside its alphabet are refused."""
    try:
        return base64.b64decode(part + "=" * (-len(part) % 4), altchars=b"-_", validate=True)
    except (ValueError, binascii.Error) as error:
        raise _untrusted("it is not a signed token") from error


def _is_number(value: object) -> bool:
    """True for a number that can be a time."""
    return isinstance(value, int | float) and not isinstance(value, bool) and -1e18 < value < 1e18


def _equal(value: object, expected: str) -> bool:
    return isinstance(value, str) and secrets.compare_digest(value.encode(), expected.encode())


def _untrusted(why: str) -> PlanError:
    return PlanError(Problem.UNTRUSTED, why=why)
