"""The issuer's endpoints, which it publishes itself (docs/backend-plan.md, Endpoints)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from ...services import Origin
from .. import issuer
from ..failures import Reason
from .failures import PlanError, Problem

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    import httpx

    from ...services import PlanSignIn

_NAMES = {
    "authorize": "authorization_endpoint",
    "token": "token_endpoint",
    "revoke": "revocation_endpoint",
    "keys": "jwks_uri",
}


@dataclass(frozen=True, slots=True)
class Endpoints:
    """Addresses of one issuer, all at its origin."""

    issuer: str
    authorize: str
    token: str
    revoke: str
    keys: str


async def discover(client: httpx.AsyncClient, service: PlanSignIn) -> Endpoints:
    """Ask the issuer for its endpoints. Raises SignInError; what is transient is retryable."""
    answer = await issuer.get(client, service.url + service.discovery_path)
    if not answer.is_success:
        if 200 <= answer.status < 300:
            raise issuer.unreadable("its addresses")
        failure = issuer.failure(answer, "asking for the server's addresses")
        if failure.reason is Reason.REFUSED:
            raise PlanError(Problem.NO_ADDRESSES, answer.refusal)
        raise failure
    return endpoints(answer.fields, service.url)


def endpoints(document: Mapping[str, Any], url: str) -> Endpoints:
    """Read a discovery document of the issuer at ``url``. Raises PlanError for an address elsewhere."""
    if document.get("issuer") != url:
        raise PlanError(Problem.FOREIGN_ENDPOINT, name="issuer")
    found = {field: document.get(name) for field, name in _NAMES.items()}
    for field, address in found.items():
        if not isinstance(address, str) or not _is_at(address, url):
            raise PlanError(Problem.FOREIGN_ENDPOINT, name=_NAMES[field])
    return Endpoints(issuer=url, **{field: str(address) for field, address in found.items()})


def _is_at(address: str, url: str) -> bool:
    """True for an address of the same origin, without a user, a fragment or characters that readers hide."""
    try:
        parts = urlsplit(address)
        same = Origin.of(address, url)
    except ValueError:
        return False
    is_plain = address.isascii() and address.isprintable() and " " not in address and "\\" not in address
    return is_plain and same.issuer == same.backend and "@" not in parts.netloc and not parts.fragment
