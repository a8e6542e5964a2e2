"""One attempt to sign in: its secrets, its address, and what may come back from a browser. No I/O."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

from ...errors.refusal import clean
from ...secret import Secret
from ..failures import Reason, SignInError
from ..pkce import challenge_of, random_text
from .credential import is_client_id
from .failures import PlanError, Problem

if TYPE_CHECKING:
    from ...services import PlanSignIn

_MOST_FIELDS = 50


@dataclass(frozen=True, slots=True)
class Brought:
    """What a browser brought to the end: the code, and the registration that it belongs to."""

    code: Secret[str]
    client_id: Secret[str]


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt. ``client_id`` is the issued one, empty for the first sign-in, which registers the app.

    ``enable_plan``: the person asked to allow the use of the plan. ``hint`` is the last id token.
    """

    host_id: Secret[str]
    app_name: str
    client_id: Secret[str] = field(default_factory=lambda: Secret(""))
    hint: Secret[str] = field(default_factory=lambda: Secret(""))
    enable_plan: bool = False
    state: str = field(default_factory=lambda: random_text(32), repr=False)
    nonce: str = field(default_factory=lambda: random_text(32), repr=False)
    verifier: Secret[str] = field(default_factory=lambda: Secret(random_text(64)))

    def url(
        self, endpoint: str, service: PlanSignIn, redirect_uri: str, *, hinted: bool = False
    ) -> Secret[str]:
        """Return the page on which a person consents; ``hinted``: with a token, so it is never shown."""
        query = {
            **self._client(service),
            "ext_agent_host_id": self.host_id.reveal(),
            "response_type": "code",
            "redirect_uri": redirect_uri,
            "scope": service.scope,
            "resource": service.resource,
            "state": self.state,
            "nonce": self.nonce,
            "code_challenge_method": "S256",
            "code_challenge": challenge_of(self.verifier),
            **({"id_token_hint": self.hint.reveal()} if hinted and self.hint and self.client_id else {}),
        }
        return Secret(f"{endpoint}?{urlencode(query, quote_via=quote)}")

    def _client(self, service: PlanSignIn) -> dict[str, str]:
        if not self.client_id:
            return {"client_id": service.dynamic_client, "agent_name_hint": self.app_name}
        return {"client_id": self.client_id.reveal(), **({"prompt": "consent"} if self.enable_plan else {})}

    def outcome(self, query: str) -> Brought | SignInError | None:
        """Judge what a browser brought, in the order of docs/backend-plan.md, Callback.

        None: it does not belong to this attempt, which goes on.
        """
        try:
            pairs = parse_qsl(query, keep_blank_values=True, max_num_fields=_MOST_FIELDS)
        except ValueError:
            return None
        [state, *more] = _values(pairs, "state") or [""]
        if more or not secrets.compare_digest(state.encode(), self.state.encode()):
            return None
        if errors := _values(pairs, "error"):
            return _refused(errors[0], pairs)
        codes = _values(pairs, "code")
        if len(codes) != 1 or not codes[0]:
            return SignInError(Reason.CODE_MISSING)
        client_id = self._registered(_values(pairs, "client_id"))
        return client_id if isinstance(client_id, PlanError) else Brought(Secret(codes[0]), client_id)

    def _registered(self, named: list[str]) -> Secret[str] | PlanError:
        """Return the registration: a first sign-in needs a new one, a later one keeps its own."""
        if len(named) > 1:
            return PlanError(Problem.OTHER_CLIENT)
        if not self.client_id:
            is_issued = bool(named) and is_client_id(named[0])
            return Secret(named[0]) if is_issued else PlanError(Problem.UNREGISTERED)
        return self.client_id if not named or named[0] == self.client_id else PlanError(Problem.OTHER_CLIENT)


def pasted_query(line: str, redirect_uri: str) -> str | None:
    """Return the query of a pasted address; None if it is not the page at which a sign-in ends."""
    try:
        parts, expected = urlsplit(line.strip()), urlsplit(redirect_uri)
    except ValueError:
        return None
    is_page = (parts.scheme, parts.netloc, parts.path) == (expected.scheme, expected.netloc, expected.path)
    return parts.query if is_page else None


def _values(pairs: list[tuple[str, str]], name: str) -> list[str]:
    return [value for key, value in pairs if key == name]


def _refused(code: str, pairs: list[tuple[str, str]]) -> SignInError:
    if code == "access_denied":
        return SignInError(Reason.DENIED)
    [said, *_] = _values(pairs, "error_description") or [code]
    return SignInError(Reason.BROWSER_ERROR, said=clean(said or code))
