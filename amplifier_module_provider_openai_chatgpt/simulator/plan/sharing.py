"""What the plan service does with a sign-in and a call: its switches, and the codes of its refusals."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from ..rules import PlanTerms, Refused
from .keys import Keys

Json = dict[str, Any]

PLAN_SCOPE = "chatgpt.tokens.use.direct"
IDENTITY_SCOPES = ("openid", "profile", "email", "offline_access", "resource.invoke")
SCOPES = (*IDENTITY_SCOPES, PLAN_SCOPE)
# Plus and Pro [doc]; the names of the larger Pro plans are those of the Codex service [unsure].
ELIGIBLE = ("plus", "pro", "prolite", "promax")

_PREFIX = "subscription_sharing_"
USAGE_LIMIT = f"{_PREFIX}usage_limit_exceeded"
NOT_ELIGIBLE = f"{_PREFIX}user_not_eligible"
INVALID_USER = f"{_PREFIX}invalid_user"
NO_ROUTE = f"{_PREFIX}route_not_supported"
NO_SCOPE = "chatpass_v2_scope_not_authorized"
# The refusals of the service by code, with the status of each before the stream.
STATUSES: dict[str, int] = {
    USAGE_LIMIT: 429,
    f"{_PREFIX}usage_unavailable": 503,
    f"{_PREFIX}user_unavailable": 503,
    NOT_ELIGIBLE: 403,
    f"{_PREFIX}unsupported_capability": 400,
    NO_ROUTE: 403,
    INVALID_USER: 401,
    NO_SCOPE: 403,
    "chatpass_v2_invalid_authorization_context": 403,
}


@dataclass(frozen=True, slots=True)
class Refusal:
    """A refusal of every call by a code in ``STATUSES``; ``in_stream``: after the first half of an answer."""

    code: str
    in_stream: bool = False
    param: str | None = None

    @property
    def error(self) -> Json:
        """The error object; its words are [unsure]."""
        kind = "invalid_request_error" if STATUSES[self.code] < 429 else "subscription_sharing_error"
        text = f"The request was refused: {self.code}."
        return {"message": text, "type": kind, "param": self.param, "code": self.code}

    @property
    def refused(self) -> Refused:
        """The answer before the stream."""
        return Refused(STATUSES[self.code], {"error": self.error})


@dataclass(slots=True)
class Client:
    """One registered app: the host that registered it, the person, and whether the plan may be used."""

    host_id: str
    subject: str
    uses_plan: bool


@dataclass(slots=True)
class Sharing:
    """The switches of the plan service; each may be assigned between two requests.

    * ``consent``: what the person does on the consent page; ``subject`` and ``email``: who signs in
    * ``lifetime``: of new access tokens, in seconds; ``earliest``: how `earliest_refresh_at` is written, and
      with ``refuse_early`` a refresh before it fails
    * ``client_id_in_callback``, ``scope_in_callback``: what the browser brings besides the code
    * ``discovery``: fields that replace those of the discovery document
    * ``keys``: the keys that sign id tokens, and which of them are published
    * ``signature``, ``token_header``, ``claims``: how the next id tokens are forged; a None removes a field
    * ``lists_details``: list entries have priorities, efforts and windows, as those of the Codex service
    * ``content_type``: of streams, None for none
    * ``admission``: the status (401, 403 or 503) with which every call is refused before anything is read
    * ``refusal``: the refusal of every call
    * ``terms``: what is open about requests (see ``rules.PlanTerms``)

    ``clients`` has the registered apps by client id, ``earliest_refresh`` a time for each refresh token.
    """

    consent: Literal["plan", "sign_in", "denied"] = "plan"
    subject: str = "user-simulated"
    email: str = "ada@example.com"
    lifetime: float = 3_600.0
    earliest: Literal["seconds", "text", "absent"] = "seconds"
    refuse_early: bool = False
    client_id_in_callback: Literal["always", "new", "never"] = "always"
    scope_in_callback: bool = True
    discovery: Mapping[str, Any] = field(default_factory=dict)
    keys: Keys = field(default_factory=Keys)
    signature: Literal["RS256", "none", "HS256", "broken", "other-key"] = "RS256"
    token_header: Mapping[str, Any] = field(default_factory=dict)
    claims: Mapping[str, Any] = field(default_factory=dict)
    lists_details: bool = False
    content_type: str | None = None
    admission: Literal[401, 403, 503] | None = None
    refusal: Refusal | None = None
    terms: PlanTerms = field(default_factory=PlanTerms)
    clients: dict[str, Client] = field(default_factory=dict)
    earliest_refresh: dict[str, float] = field(default_factory=dict, repr=False)

    def refuse(self, code: str, *, in_stream: bool = False, param: str | None = None) -> None:
        """Refuse every call with a code of ``STATUSES``; its prefix may be left out."""
        full = next(known for known in STATUSES if known in (code, f"{_PREFIX}{code}"))
        self.refusal = Refusal(full, in_stream, param)

    def entry(self, model: Mapping[str, Any]) -> Json:
        """Return a model's list entry; priorities and efforts may be missing [seen]. [unsure]: what else."""
        if self.lists_details:
            return dict(model)
        return {name: model[name] for name in ("slug", "display_name", "description", "visibility")}
