"""Builds a ``Call`` from Amplifier's request, the keyword arguments and the settings.

The only module that reads fields of a request; docs/requests.md lists what happens to each.
"""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, SupportsFloat

from ..models.model import FAST_TIER, split_fast
from ..protocol.call import Call
from ..protocol.conversation import REMEMBERED, find_conversation
from ..protocol.items import message, text_part
from ..protocol.text import clean_json, clean_text, encode
from .effort import choose_effort
from .history import Reader, read_history
from .images import Images
from .invalid import invalid
from .output_format import wire_format, wire_verbosity
from .tools import ToolNames, forbids_parallel, wire_choice, wire_tools

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, MutableMapping, MutableSet

    from amplifier_core.message_models import ChatRequest

    from ..models.model import Model
    from ..protocol.items import Item
    from ..secret import Secret
    from ..services import Service
    from ..settings import Settings

# Caps by the names that hosts give them, and the fields of a request that no service accepts.
_CAPS = ("max_output_tokens", "max_tokens", "max_completion_tokens")
_REFUSED_FIELDS = ("temperature", "top_p", "max_output_tokens")
DEFAULT_INSTRUCTIONS = "You are a helpful assistant."

# Each option and its names as keyword arguments; the field of the request has the first name.
OPTIONS = {
    "model": ("model",),
    "reasoning_effort": ("reasoning_effort", "effort"),
    "extended_thinking": ("extended_thinking",),
    "tool_choice": ("tool_choice",),
    "parallel_tool_calls": ("parallel_tool_calls",),
    "response_format": ("response_format",),
    "text_verbosity": ("text_verbosity", "verbosity"),
    "stop": ("stop", "stop_sequences"),
    "timeout": ("timeout",),
}
_KNOWN_KWARGS = frozenset(name for names in OPTIONS.values() for name in names)

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Asked:
    """The options of one call: keyword arguments take precedence over fields of the request."""

    request: ChatRequest
    kwargs: Mapping[str, Any]

    def __getitem__(self, option: str) -> object:
        given = (self.kwargs.get(name) for name in OPTIONS[option])
        value = next((value for value in given if value is not None), None)
        return getattr(self.request, option, None) if value is None else value


def is_model_named(request: ChatRequest, kwargs: Mapping[str, Any]) -> bool:
    """Return whether this call names a model; if not, the default one is used."""
    return _named_model(request, kwargs) is not None


def _named_model(request: ChatRequest, kwargs: Mapping[str, Any]) -> object:
    return next((name for name in (kwargs.get("model"), request.model) if name not in (None, "")), None)


def requested_model(request: ChatRequest, kwargs: Mapping[str, Any], default_model: str) -> str:
    """Return the requested model id as written: it may end in ``-fast`` or be ``latest``."""
    named = _named_model(request, kwargs)
    model = default_model if named is None else named
    if not isinstance(model, str) or not model.strip():
        raise invalid("The model must be text, for example gpt-6-sol.")
    return clean_text(model.strip())


def build_call(
    request: ChatRequest,
    kwargs: Mapping[str, Any],
    settings: Settings,
    *,
    model: str,
    find: Callable[[str], Model],
    knows: Callable[[str], bool],
    account_id: Secret[str],
    session_id: str | None,
    remembered: MutableMapping[str, str] = REMEMBERED,
    warned: MutableSet[str] | None = None,
) -> Call:
    """Build the call for a request. Changes no argument but ``remembered`` and ``warned``; sends nothing.

    ``knows`` returns whether the catalogue lists a slug, or ``find`` had to guess. ``remembered``
    maps sessions to conversation ids, ``warned`` holds warnings that are not repeated. Raises
    InvalidRequestError or ConfigurationError for a value that cannot be sent as intended.
    """
    asked = Asked(request, kwargs)
    _note_ignored(request, kwargs)
    warn = _warner(set() if warned is None else warned)
    slug, fast = (model, False) if knows(model) else split_fast(model)
    known, entry, names = knows(slug), find(slug), ToolNames()
    history = read_history(
        request.messages,
        Reader(slug, account_id, Images(entry.accepts_images, warn), names, settings.service.name),
    )
    text_format = clean_json(wire_format(asked["response_format"]))
    if settings.service.no_cap and (cap := _cap(request, kwargs)):
        warn(f"{settings.service.no_cap}; {cap} is not sent.")
    return Call(
        model=entry,
        requested_model=model,
        conversation=find_conversation(request, session_id, remembered),
        account_id=account_id,
        service=settings.service.name,
        tools_in_input=settings.service.tools == "input",
        instructions=history.instructions or DEFAULT_INSTRUCTIONS,
        items=tuple(_input(history.items, text_format)),
        text_format=text_format,
        service_tier=_tier(entry, settings.service, known=known, warn=warn) if fast else None,
        verbosity=wire_verbosity(
            asked["text_verbosity"] or settings.text_verbosity, entry, known=known, warn=warn
        ),
        extra=clean_json(settings.extra_request_params),
        stop=_stop(asked["stop"]),
        timeout=_timeout(asked["timeout"]),
        message_count=len(request.messages),
        repairs=history.repairs,
        tool_names=names.changed,
        streaming=(request.metadata or {}).get("stream") is not False,
        has_instructions=bool(history.instructions),
        **_tools(asked, entry, names, warn),
        **_thinking(asked, settings, entry),
    )


def _tools(asked: Asked, model: Model, names: ToolNames, warn: Callable[[str], None]) -> dict[str, Any]:
    tools = wire_tools(asked.request.tools, names, warn)
    choice, parallel = asked["tool_choice"], asked["parallel_tool_calls"]
    return {
        "tools": tuple(tools),
        "tool_choice": wire_choice(choice, tools, names),
        "parallel_tool_calls": parallel is not False
        and not forbids_parallel(choice)
        and model.parallel_tool_calls,
    }


def _thinking(asked: Asked, settings: Settings, model: Model) -> dict[str, Any]:
    """Choose the effort, and request a summary where reasoning was requested and will happen."""
    thinking, summary = asked["extended_thinking"], settings.reasoning_summary
    effort = choose_effort(asked["reasoning_effort"], settings.reasoning_effort, model, thinking=thinking)
    wanted = (effort or thinking is True) and effort != "none" and summary != "none"
    return {"effort": effort, "summary": summary if wanted and model.summaries else None}


def _input(items: list[Item], text_format: Mapping[str, Any] | None) -> list[Item]:
    if not items:
        raise invalid("The request has no message with content.")
    if text_format == {"type": "json_object"} and b"json" not in encode(items).lower():
        # The Responses API accepts json_object only if the input mentions JSON.
        return [*items, message("developer", [text_part("Answer with one JSON object.")])]
    return items


def _tier(model: Model, service: Service, *, known: bool, warn: Callable[[str], None]) -> str | None:
    if known and not model.has_fast:
        warn(f"{service.no_fast.format(model=model.slug)}; sending the request without it.")
        return None
    return FAST_TIER


def _stop(asked: object) -> tuple[str, ...]:
    sequences = [asked] if isinstance(asked, str) else asked or ()
    if not isinstance(sequences, list | tuple) or not all(isinstance(one, str) for one in sequences):
        raise invalid("stop must be text or a list of texts.")
    return tuple(clean_text(one) for one in sequences if one)


def _timeout(asked: object) -> float | None:
    if asked is None:
        return None
    try:
        seconds = float(asked) if isinstance(asked, str | SupportsFloat) else math.nan
    except (TypeError, ValueError, OverflowError):
        seconds = math.nan
    if isinstance(asked, bool) or not math.isfinite(seconds) or seconds <= 0:
        raise invalid("timeout must be a number of seconds above 0.")
    return seconds


def _cap(request: ChatRequest, kwargs: Mapping[str, Any]) -> str:
    """Return the name of what limits the length of the answer; empty if nothing does."""
    if request.max_output_tokens is not None:
        return "max_output_tokens"
    return next((name for name in _CAPS if kwargs.get(name) is not None), "")


def _note_ignored(request: ChatRequest, kwargs: Mapping[str, Any]) -> None:
    """Log what is not sent, because the backend refuses it or nothing is known about it."""
    if not logger.isEnabledFor(logging.DEBUG):
        return
    fields = [name for name in _REFUSED_FIELDS if getattr(request, name) is not None]
    if ignored := sorted(str(name) for name in kwargs if name not in _KNOWN_KWARGS):
        logger.debug("Ignored keyword arguments: %s", ", ".join(ignored))
    if fields:
        logger.debug("Fields that are not sent, because the backend refuses them: %s", ", ".join(fields))


def _warner(warned: MutableSet[str]) -> Callable[[str], None]:
    def warn(message: str) -> None:
        if message not in warned:
            warned.add(message)
            logger.warning("%s", message)

    return warn
