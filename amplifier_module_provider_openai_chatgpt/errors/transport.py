"""Connections and streams that break, as kernel errors with a sentence for a person."""

from __future__ import annotations

import enum
from contextlib import contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING

from amplifier_core.llm_errors import (
    ConfigurationError,
    ContentFilterError,
    InvalidRequestError,
    LLMError,
    LLMTimeoutError,
    NetworkError,
    ProviderUnavailableError,
    StreamError,
)

from ..quota import span
from ..settings import LOGIN_COMMAND, PROVIDER
from .refusal import clean

if TYPE_CHECKING:
    from collections.abc import Iterator

# What a cause may say without adding anything.
_EMPTY_WORDS = frozenset({"all connection attempts failed", "timed out"})


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
# Without the cause's own text: it may quote a header, and with it the token.
_UNSENDABLE = (
    InvalidRequestError,
    f"The request cannot be put on the wire: check base_url, or run `{LOGIN_COMMAND}` again",
)
# By the name of the outermost exception class, at whatever phase.
_EVER_THE_SAME: dict[str, tuple[type[LLMError], str]] = {
    "ConnectTimeout": (
        LLMTimeoutError,
        "No connection to ChatGPT in time: check the network, or raise connect_timeout",
    ),
    "WriteTimeout": (LLMTimeoutError, "ChatGPT stopped taking in the request: try again"),
    "PoolTimeout": (LLMTimeoutError, "No free connection to ChatGPT came about in time: try again"),
    "TimeoutError": (
        LLMTimeoutError,
        "No answer from ChatGPT came in time: check the network, then try again",
    ),
    "DecodingError": (StreamError, "ChatGPT's answer arrives damaged: try again"),
    "LocalProtocolError": _UNSENDABLE,
    "InvalidURL": _UNSENDABLE,
    "UnsupportedProtocol": _UNSENDABLE,
    "UnicodeError": _UNSENDABLE,
}


@contextmanager
def translated(model: str | None, phase: Phase, *, silence: float | None = None) -> Iterator[None]:
    """Turn whatever httpx or the system raises inside into a kernel error; all else passes through."""
    try:
        yield
    except transport_failures() as error:
        raise transport_error(error, model=model, phase=phase, silence=silence) from error


@lru_cache(maxsize=1)
def transport_failures() -> tuple[type[Exception], ...]:
    """Classes of all that httpx or the system raise about a connection."""
    import httpx

    return (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, OSError, UnicodeError)


def transport_error(
    error: BaseException, *, model: str | None, phase: Phase, silence: float | None = None
) -> LLMError:
    """Return the kernel error for a connection that could not be made, kept or understood.

    ``silence`` is the bound in seconds that a read timeout has passed, where it is known.
    """
    if isinstance(error, OSError) and error.filename:
        return _failure(ConfigurationError, _file_sentence(error), model)
    outermost = _class_names(error)
    for told in filter(None, map(_EVER_THE_SAME.get, outermost)):
        return _failure(told[0], f"{told[1]}.", model)
    if "TimeoutException" in outermost:
        return silent_stream(model, silence, began=phase is Phase.ANSWERING)
    if phase is Phase.ANSWERING:
        sentence = f"The connection to ChatGPT broke in the middle of the answer: try again.{_reason(error)}"
        return _failure(StreamError, sentence, model)
    names = (name for cause in _causes(error) for name in _class_names(cause))
    said = next((_UNREACHABLE[name] for name in names if name in _UNREACHABLE), _NO_CONNECTION)
    return _failure(NetworkError, f"{said}.{_reason(error)}", model)


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


def _file_sentence(error: OSError) -> str:
    """Speak of a file that a call met on its way, such as the sign-in's: no matter of the network."""
    name, why = clean(str(error.filename), 200), clean(error.strerror, 100) or type(error).__name__
    return f"The file {name} cannot be used ({why}): check that it and its folder are yours and writable."


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
    said = clean(str(error), 120)
    return f" Cause: {said}" if said and said.lower() not in _EMPTY_WORDS else ""
