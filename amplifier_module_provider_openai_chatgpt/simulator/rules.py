"""What a request is checked against: the account's policy, the request itself, the shapes of refusals."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from pydantic_core import to_json

from .changes import Changes

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

Json = dict[str, Any]

# How a gate refuses: by naming a newer client, in the words for an unknown model, or with 404.
Voice = Literal["upgrade", "not_supported", "not_found"]

LITE_HEADER = "x-openai-internal-codex-responses-lite"

SEAL = "gAAAAAB"
SEALED_FROM = 32


def _no_turn(state: str) -> str | None:
    del state
    return None


@dataclass(frozen=True, slots=True)
class PlanTerms:
    """What is open about the requests of the plan service [unsure] (docs/backend-plan.md, Requests).

    `refused_fields` are refused besides those that are documented; `additional_tools`: functions may be in
    the input; `flat_tools`: functions may be outside a namespace; `named_choice`: one function may be forced;
    `empty_descriptions`: of namespaces; `session_header`: `session-id` is accepted; `image_links`: images may
    be https links; `namespaced_calls`: calls name the namespace "functions" too; `wording`: how a part of the
    body is refused, as a capability, as an unknown parameter, or in the shape of the Codex service.
    """

    refused_fields: frozenset[str] = frozenset()
    additional_tools: bool = True
    flat_tools: bool = False
    named_choice: bool = True
    empty_descriptions: bool = False
    session_header: bool = False
    image_links: bool = True
    namespaced_calls: bool = False
    wording: Literal["capability", "parameter", "detail"] = "capability"


@dataclass(frozen=True, slots=True)
class Policy:
    """The account of a request, what it may use, and the switches in force.

    `models` has the catalogue entries by slug. With the gate "strict" a model flagged for Lite needs a
    `version` header; slugs in `require_lite` need the Lite shape; `gate_voice` chooses the words of both.
    `scripted_tools` names the tools with side effects that the simulated model may call. `turn_of`
    returns the turn that an `x-codex-turn-state` was sent in. `plan` is None at the Codex service.
    `changes` are departures from the rules.
    """

    account_id: str
    models: Mapping[str, Json]
    encryption_key: str = field(default="simulated", repr=False)
    version_gate: Literal["open", "strict"] = "open"
    gate_voice: Voice | None = None
    require_lite: frozenset[str] = frozenset()
    tier_refused: bool = False
    scripted_tools: frozenset[str] = frozenset()
    turn_of: Callable[[str], str | None] = _no_turn
    plan: PlanTerms | None = None
    changes: Changes = field(default_factory=Changes)


@dataclass(frozen=True, slots=True)
class Refused:
    """A refusal: the HTTP status, the JSON body and the id of the rule; with 200 it is in the stream."""

    status: int
    body: Json
    rule: str = ""


@dataclass(frozen=True, slots=True)
class Incoming:
    """One request as the checks see it; header names in lower case, `body` a JSON object."""

    body: Json
    headers: Mapping[str, str]
    policy: Policy

    @property
    def lite(self) -> bool:
        """True for a request in the Lite shape."""
        return self.headers.get(LITE_HEADER, "").lower() == "true"

    @property
    def slug(self) -> str:
        """The requested model, or an empty text."""
        slug = self.body.get("model")
        return slug if isinstance(slug, str) else ""

    @property
    def entry(self) -> Json:
        """The model's catalogue entry, or an empty one."""
        return self.policy.models.get(self.slug, {})

    @property
    def items(self) -> list[Json]:
        """The input items that are objects; any other is refused before this is read.

        An item with a role and without a type is a message, as in the Responses API.
        """
        items = [item for item in as_list(self.body.get("input")) if isinstance(item, dict)]
        return [{"type": "message", **item} if "role" in item else item for item in items]

    @property
    def turn(self) -> str:
        """A key of the turn: the session and the input up to its last user message."""
        items = self.items
        last = max((place for place, item in enumerate(items) if item.get("role") == "user"), default=-1)
        content = to_json(items[: last + 1], inf_nan_mode="null")
        return f"{self.headers.get('session-id', '')}/{hashlib.sha256(content).hexdigest()}"

    @property
    def declarations(self) -> list[tuple[str, object]]:
        """The lists of tools with their place: `tools`, in Lite the first item, in the plan service both."""
        first = self.items[0] if self.items else {}
        carried = ("input[0].tools", first.get("tools"))
        if self.lite:
            return [carried]
        in_body = ("tools", self.body.get("tools"))
        both = self.policy.plan is not None and first.get("type") == "additional_tools"
        return [in_body, carried] if both else [in_body]

    @property
    def tools(self) -> list[Json]:
        """The declared tools of all lists."""
        return [t for _, tools in self.declarations for t in as_list(tools) if isinstance(t, dict)]


def detail(text: str, status: int = 400) -> Refused:
    """Return a refusal in the FastAPI shape."""
    return Refused(status, {"detail": text})


def error(message: str, param: str | None = None, code: str | None = None, status: int = 400) -> Refused:
    """Return a refusal in the shape of the Responses API."""
    kind = "invalid_request_error"
    return Refused(status, {"error": {"message": message, "type": kind, "param": param, "code": code}})


def missing(param: str) -> Refused:
    """Return the refusal of a missing field."""
    return error(f"Missing required parameter: '{param}'.", param, "missing_required_parameter")


def unknown(param: str) -> Refused:
    """Return the refusal of an unknown field."""
    return error(f"Unknown parameter: '{param}'.", param, "unknown_parameter")


def wrong_type(param: str, expected: str) -> Refused:
    """Return the refusal of a value of the wrong JSON type."""
    return error(f"Invalid type for '{param}': expected {expected}.", param, "invalid_type")


def wrong_value(param: str, value: object, allowed: object = ()) -> Refused:
    """Return the refusal of a value outside the allowed ones."""
    return error(f"Invalid value: {_shown(value)}.{_choices(allowed)}", param, "invalid_value")


def unsupported(param: str, value: object, slug: str, allowed: object = ()) -> Refused:
    """Return the refusal of a value that this model does not support."""
    text = f"Unsupported value: {_shown(value)} is not supported with the '{slug}' model.{_choices(allowed)}"
    return error(text, param, "unsupported_value")


def as_list(value: object) -> list[Any]:
    """Return `value` if it is a list, else an empty one."""
    return value if isinstance(value, list) else []


def as_object(value: object) -> Json:
    """Return `value` if it is an object, else an empty one."""
    return value if isinstance(value, dict) else {}


def family(model: str) -> str:
    """Return the generation of a model, such as "gpt-5.6"; other names are families of their own.

    [unsure]: that reasoning is bound to a family is reported, where a family ends is not.
    """
    generation = re.match(r"gpt-\d+(?:\.\d+)?(?=-|\Z)", model)
    return generation.group() if generation else model


def seal(text: str, policy: Policy, model: str) -> str:
    """Return `text` as ciphertext that is valid only for this account, family of models and key."""
    content = text.encode("utf-8", "replace")
    return SEAL + base64.urlsafe_b64encode(_mac(content, policy, model) + content).decode()


def opens(blob: object, policy: Policy, model: str) -> bool:
    """Return True if `blob` was sealed for this account, family of models and key."""
    if not isinstance(blob, str) or not re.fullmatch(SEAL + r"[A-Za-z0-9_=-]+", blob):
        return False
    try:
        raw = base64.urlsafe_b64decode(blob[len(SEAL) :])
    except ValueError:
        return False
    return hmac.compare_digest(raw[:SEALED_FROM], _mac(raw[SEALED_FROM:], policy, model))


def _mac(content: bytes, policy: Policy, model: str) -> bytes:
    bound_to = family(model) if policy.changes.family_bound else ""
    bound = f"{policy.account_id}\0{bound_to}".encode("utf-8", "replace")
    return hmac.digest(policy.encryption_key.encode(), bound + b"\0" + content, hashlib.sha256)


def _shown(value: object) -> str:
    return f"'{value}'" if isinstance(value, str) else repr(value)[:80]


def _choices(allowed: object) -> str:
    names = [f"'{name}'" for name in allowed] if isinstance(allowed, list | tuple) else []
    return f" Supported values are: {', '.join(names)}." if names else ""
