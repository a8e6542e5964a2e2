"""Every refusal and failure in Amplifier's vocabulary, as the error that leaves this package.

A person sees nothing of an error but its one line, so each sentence says what happened, whose turn
it is and what to do. What a refusal means stands in ``verdicts``; connections and streams that break
are told here.
"""

from __future__ import annotations

import enum
import re
from contextlib import contextmanager
from http import HTTPStatus
from typing import TYPE_CHECKING

from amplifier_core.llm_errors import (
    ContentFilterError,
    InvalidRequestError,
    LLMError,
    LLMTimeoutError,
    NetworkError,
    ProviderUnavailableError,
    StreamError,
)

from ..settings import LOGIN_COMMAND, PROVIDER
from .quota import USAGE_PAGE, Window, plan_name, reset_phrase, span
from .refusal import (
    Refusal,
    clean,
    is_lane_refusal,
    is_stale_reasoning,
    is_tier_refusal,
    is_version_gate,
    read_event_refusal,
    read_refusal,
    unsupported_parameter,
)
from .verdicts import USAGE_LIMIT, Row, row_for

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence
    from datetime import tzinfo

__all__ = [
    "Phase",
    "Refusal",
    "event_too_large",
    "filtered_answer",
    "garbage_stream",
    "is_lane_refusal",
    "is_stale_reasoning",
    "is_tier_refusal",
    "is_version_gate",
    "kernel_error",
    "may_be_repeated",
    "not_json",
    "read_event_refusal",
    "read_refusal",
    "refusal_of",
    "silent_stream",
    "stream_ended_early",
    "translated",
    "transport_error",
]

_MODELS_COMMAND = "amplifier-openai-chatgpt models"

# What the server's own message repeats without adding anything.
_EMPTY_WORDS = frozenset(status.phrase.lower() for status in HTTPStatus) | {
    "error",
    "unknown error",
    "an error occurred",
}

_WORKSPACE = {
    "workspace_owner_credits_depleted": "Your ChatGPT workspace is out of credits: add some to go on",
    "workspace_member_credits_depleted": "Your ChatGPT workspace is out of credits: ask its owner for more",
    "workspace_owner_usage_limit_reached": "Your ChatGPT workspace is at its spend cap: raise it to go on",
    "workspace_member_usage_limit_reached": "Your ChatGPT workspace is at its spend cap: its owner can raise it",
}


def kernel_error(
    refusal: Refusal,
    *,
    model: str | None,
    now: float,
    plan: str | None = None,
    extra_params: Collection[str] = (),
    alternatives: Sequence[str] = (),
    tz: tzinfo | None = None,
) -> LLMError:
    """Return the kernel error for a refusal, to be raised ``from`` it.

    ``plan`` is the account's, where the refusal does not tell it; ``extra_params``: body fields that
    came from the setting; ``alternatives``: models that do work. Times are told in ``tz``, else local.
    """
    row = row_for(refusal)
    plan = refusal.plan or plan
    resets_at = _resets_at(refusal) if row is USAGE_LIMIT else None
    if row is USAGE_LIMIT:
        sentence = _usage_limit(refusal, plan, resets_at, now, tz)
    else:
        sentence = _parameter(refusal, extra_params) or row.say.format(
            model=model or "asked for",
            status=f" (HTTP {refusal.status})" if refusal.status else "",
            account=_account(plan),
            choose=_choose(alternatives, model),
            wait=_wait(refusal.retry_after),
        )
    wait = resets_at - now if resets_at else refusal.retry_after
    return row.error(
        sentence + _said(refusal, row) + _trace(refusal),
        provider=PROVIDER,
        model=model,
        status_code=refusal.status,
        retryable=row.retryable,
        retry_after=max(0.0, wait) if wait is not None else None,
    )


def refusal_of(error: BaseException) -> Refusal | None:
    """Return what the backend said, if that is what caused ``error``."""
    return error.__cause__ if isinstance(error.__cause__, Refusal) else None


def may_be_repeated(error: BaseException) -> bool:
    """True when the same request may work a moment later.

    A Cloudflare challenge keeps the kernel's ``retryable`` flag, but repeating only hardens it.
    """
    if not isinstance(error, LLMError) or not error.retryable:
        return False
    refusal = refusal_of(error)
    return refusal is None or not refusal.cloudflare


def _resets_at(refusal: Refusal) -> float | None:
    window = refusal.quota.exhausted() if refusal.quota else None
    return refusal.resets_at or (window.resets_at if window else None)


def _usage_limit(
    refusal: Refusal, plan: str | None, resets_at: float | None, now: float, tz: tzinfo | None
) -> str:
    window = _spent_window(refusal, resets_at)
    reached = refusal.quota.reached_type if refusal.quota else None
    when = f"works again {reset_phrase(resets_at, now, tz)}" if resets_at else ""
    if workspace := _WORKSPACE.get(reached or ""):
        return f"{workspace}{'; ' + when if when else ''}. See {USAGE_PAGE}"
    subject = "ChatGPT usage limit" + (f" for {window.limit}" if window and window.limit else "")
    place = f" on the {plan_name(plan)} plan" if plan else ""
    length = f" ({window.name} window)" if window and window.minutes else ""
    return (
        f"{subject} reached{place}{length}: {when or 'the backend does not say until when'}. See {USAGE_PAGE}"
    )


def _spent_window(refusal: Refusal, resets_at: float | None) -> Window | None:
    """Find the window that is used up: the one that resets at the told time, else the fullest."""
    if not refusal.quota:
        return None
    for window in refusal.quota.windows:
        if resets_at and window.resets_at and abs(window.resets_at - resets_at) < 120:
            return window
    return refusal.quota.exhausted()


def _parameter(refusal: Refusal, extra_params: Collection[str]) -> str:
    name = unsupported_parameter(refusal)
    root = re.split(r"[.\[]", name)[0] if name else ""
    if root and root in extra_params:
        return (
            f"The backend refuses {name!r}, which the setting extra_request_params adds: take it out there."
        )
    return f"The backend refuses the parameter {name!r}." if name else ""


def _account(plan: str | None) -> str:
    return f"This ChatGPT account ({plan_name(plan)} plan)" if plan else "This ChatGPT account"


def _choose(alternatives: Sequence[str], model: str | None) -> str:
    others = [name for name in alternatives if name != model][:4]
    if not others:
        return f"choose one that `{_MODELS_COMMAND}` lists"
    return f"choose another, such as {', '.join(others)}"


def _wait(seconds: float | None) -> str:
    return f"try again in {span(seconds)}" if seconds else "try again in a moment"


def _said(refusal: Refusal, row: Row) -> str:
    words = refusal.message
    if not row.quote or not words or words.lower().rstrip(".!") in _EMPTY_WORDS:
        return ""
    return f" The server says: {words}"


def _trace(refusal: Refusal) -> str:
    named = (("request id", refusal.request_id), ("cf-ray", refusal.cf_ray))
    parts = [f"{name} {value}" for name, value in named if value]
    return f" ({', '.join(parts)})" if parts else ""


class Phase(enum.Enum):
    """How far a call had come: to a connection, to the first event, into the answer."""

    CONNECTING = "connecting"
    WAITING = "waiting"
    ANSWERING = "answering"


_NO_CONNECTION = "ChatGPT cannot be reached: check the network, then try again"
# By the name of the exception class, of the deepest cause that has a row: httpx is not imported for this.
_UNREACHABLE = {
    "SSLCertVerificationError": "ChatGPT's certificate cannot be verified: check this machine's clock, "
    "and any proxy that inspects TLS (SSL_CERT_FILE names its certificate)",
    "SSLError": "A secure connection to ChatGPT cannot be made: check any proxy, VPN or firewall on the way",
    "gaierror": "The address of ChatGPT cannot be looked up: check the network and its name server",
    "ConnectionRefusedError": "The server refuses connections: check base_url and any proxy",
    "ProxyError": "The proxy does not let the call through: check HTTPS_PROXY",
    "ConnectError": _NO_CONNECTION,
    "NetworkError": "The connection to ChatGPT broke before an answer came: try again",
    "RemoteProtocolError": "The server hung up before an answer came: try again",
}
_TIMED_OUT = {
    "ConnectTimeout": "No connection to ChatGPT in time: check the network, or raise connect_timeout",
    "WriteTimeout": "ChatGPT stopped taking in the request: try again",
    "PoolTimeout": "No free connection to ChatGPT came about in time: try again",
}


@contextmanager
def translated(model: str | None, phase: Phase, *, silence: float | None = None) -> Iterator[None]:
    """Turn whatever httpx or the system raises inside into a kernel error; all else passes through."""
    import httpx  # noqa: PLC0415 - late, so that mounting stays cheap

    try:
        yield
    except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, OSError) as error:
        raise transport_error(error, model=model, phase=phase, silence=silence) from error


def transport_error(
    error: BaseException, *, model: str | None, phase: Phase, silence: float | None = None
) -> LLMError:
    """Return the kernel error for a connection that could not be made, kept or understood.

    ``silence`` is the bound in seconds that a read timeout has passed, where it is known.
    """
    names = [name for cause in _causes(error) for name in _class_names(cause)]
    outermost = _class_names(error)
    if "TimeoutException" in outermost or isinstance(error, TimeoutError):
        said = next((_TIMED_OUT[name] for name in outermost if name in _TIMED_OUT), "")
        if not said:
            return silent_stream(model, silence, began=phase is Phase.ANSWERING)
        return _failure(LLMTimeoutError, f"{said}.", model)
    if "LocalProtocolError" in outermost or "InvalidURL" in outermost or "UnsupportedProtocol" in outermost:
        # Its text may quote a header, and with it the token.
        sentence = f"The request cannot be put on the wire: check base_url, or run `{LOGIN_COMMAND}` again."
        return _failure(InvalidRequestError, sentence, model)
    if "DecodingError" in outermost:
        return _failure(StreamError, f"ChatGPT's answer arrives damaged{_reason(error)}: try again.", model)
    if phase is Phase.ANSWERING:
        sentence = f"The connection to ChatGPT broke in the middle of the answer{_reason(error)}: try again."
        return _failure(StreamError, sentence, model)
    said = next((_UNREACHABLE[name] for name in names if name in _UNREACHABLE), _NO_CONNECTION)
    return _failure(NetworkError, f"{said}{_reason(error)}.", model)


def silent_stream(model: str | None, seconds: float | None, *, began: bool) -> LLMError:
    """Return the error for an answer that stays away, or falls silent after it ``began``."""
    length = f"for {span(seconds)}" if seconds else "for longer than the setting timeout allows"
    if began:
        sentence = f"ChatGPT fell silent {length} in the middle of its answer: try again."
    else:
        sentence = f"ChatGPT took the request but sent nothing {length}: try again, or raise timeout."
    return _failure(LLMTimeoutError, sentence, model)


def stream_ended_early(model: str | None, *, partial: str = "") -> LLMError:
    """Return the error for a stream without its closing event; ``partial_text`` keeps what had come."""
    came = f"after {len(partial):,} characters" if partial else "before any text came"
    error = _failure(StreamError, f"ChatGPT's answer was cut off {came}: try again.", model)
    error.partial_text = partial
    return error


def garbage_stream(model: str | None, skipped: int) -> LLMError:
    """Return the error for a stream in which nothing could be read."""
    count = f"{skipped} unreadable event{'s' if skipped != 1 else ''}"
    sentence = f"ChatGPT's answer was no event stream ({count}): try again, and check base_url and any proxy."
    return _failure(StreamError, sentence, model)


def event_too_large(model: str | None) -> LLMError:
    """Return the error for one event past what may be held in memory; the next would be no smaller."""
    sentence = "ChatGPT sent one event of more than 64 MiB, which is not read: ask for less at a time."
    error = _failure(StreamError, sentence, model)
    error.retryable = False
    return error


def filtered_answer(model: str | None) -> LLMError:
    """Return the error for an answer that the content filter left nothing of."""
    sentence = "OpenAI's content filter withheld the whole answer: rephrase the request."
    return _failure(ContentFilterError, sentence, model)


def not_json(path: str) -> LLMError:
    """Return the error for a document of the backend that cannot be decoded."""
    sentence = f"The backend's answer to {path} is no JSON: try again, and check base_url if it stays so."
    return _failure(ProviderUnavailableError, sentence, None)


def _failure(error: type[LLMError], sentence: str, model: str | None) -> LLMError:
    return error(sentence, provider=PROVIDER, model=model)


def _causes(error: BaseException) -> list[BaseException]:
    """List an exception and what it came from, the deepest first."""
    chain: list[BaseException] = []
    current: BaseException | None = error
    while current is not None and current not in chain and len(chain) < 20:
        chain.append(current)
        grouped = current.exceptions[0] if isinstance(current, BaseExceptionGroup) else None
        current = grouped or current.__cause__ or current.__context__
    return chain[::-1]


def _class_names(error: BaseException) -> list[str]:
    return [cls.__name__ for cls in type(error).__mro__]


def _reason(error: BaseException) -> str:
    said = clean(str(error), 120).rstrip(".")
    return f" ({said})" if said else ""
