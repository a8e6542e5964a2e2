"""Failures of connections and streams, as data.

Exceptions are classified here, for the backend and for the sign-in; the sentences are a table.
"""

from __future__ import annotations

import enum
import socket
import ssl
from contextlib import contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING

from amplifier_core.llm_errors import (
    ConfigurationError,
    ContentFilterError,
    InvalidRequestError,
    LLMTimeoutError,
    NetworkError,
    ProviderUnavailableError,
    StreamError,
)

from ..http.certificates import store_in_use
from ..http.failures import HttpFailure, NetworkSettingFailure, ProxyFailure, UnknownEncoding
from ..services import Rule
from ..settings import LOGIN_COMMAND
from .refusal import Refusal, clean

if TYPE_CHECKING:
    from collections.abc import Iterator

# Causes that add nothing to the sentence.
_UNINFORMATIVE = frozenset({"all connection attempts failed", "timed out"})


class Fault(enum.Enum):
    """What failed. The first group happens before an answer, the second within one."""

    CERTIFICATE = "certificate"
    TLS = "tls"
    DNS = "dns"
    CONNECTION_REFUSED = "connection refused"
    SETTING = "network setting"
    PROXY = "proxy"
    PROXY_SIGN_IN = "proxy sign-in"
    PROXY_UNREACHABLE = "proxy unreachable"
    UNREACHABLE = "unreachable"
    BROKEN = "broken"
    CLOSED = "closed"
    CONNECT_TIMEOUT = "connect timeout"
    WRITE_TIMEOUT = "write timeout"
    POOL_TIMEOUT = "pool timeout"
    TIMEOUT = "timeout"
    NO_ANSWER = "no answer"
    UNSENDABLE = "unsendable"
    FILE = "file"
    NOT_JSON = "not json"
    TOO_LARGE = "too large"
    ENCODING = "encoding"

    SILENT = "silent"
    CUT = "cut"
    ENDED_EARLY = "ended early"
    DAMAGED = "damaged"
    NOT_EVENTS = "not events"
    EVENT_TOO_LARGE = "event too large"
    WITHHELD = "withheld"


FAULTS: dict[Fault, Rule] = {
    Fault.CERTIFICATE: Rule(
        NetworkError,
        "{server}'s certificate cannot be verified{detail}: check this machine's clock, and any proxy that "
        "inspects TLS (set SSL_CERT_FILE to its certificate).",
        retryable=True,
    ),
    Fault.TLS: Rule(
        NetworkError,
        "A secure connection to {server} cannot be made: check any proxy, VPN or firewall in between.",
        retryable=True,
    ),
    Fault.DNS: Rule(
        NetworkError,
        "The address of {server} cannot be looked up: check the network and its DNS server.",
        retryable=True,
    ),
    Fault.CONNECTION_REFUSED: Rule(
        NetworkError, "The server refuses connections: check base_url and any proxy.", retryable=True
    ),
    Fault.SETTING: Rule(ConfigurationError, "{detail}. Correct or unset the variable.", quote=False),
    Fault.PROXY: Rule(
        NetworkError, "The proxy did not let the request through: check {detail}.", retryable=True
    ),
    Fault.PROXY_SIGN_IN: Rule(
        ConfigurationError,
        "The proxy requires a sign-in (HTTP 407): put its user name and password into {detail}.",
        quote=False,
    ),
    Fault.PROXY_UNREACHABLE: Rule(
        NetworkError, "The proxy cannot be reached: check or unset {detail}.", retryable=True
    ),
    Fault.UNREACHABLE: Rule(
        NetworkError, "ChatGPT cannot be reached: check the network, then try again.", retryable=True
    ),
    Fault.BROKEN: Rule(
        NetworkError, "The connection to ChatGPT broke before an answer arrived: try again.", retryable=True
    ),
    Fault.CLOSED: Rule(
        NetworkError, "The server closed the connection before it answered: try again.", retryable=True
    ),
    Fault.CONNECT_TIMEOUT: Rule(
        LLMTimeoutError,
        "No connection to ChatGPT in time: check the network, or raise connect_timeout.",
        retryable=True,
    ),
    Fault.WRITE_TIMEOUT: Rule(
        LLMTimeoutError, "ChatGPT stopped reading the request: try again.", retryable=True
    ),
    Fault.POOL_TIMEOUT: Rule(
        LLMTimeoutError, "No connection to ChatGPT became free in time: try again.", retryable=True
    ),
    Fault.TIMEOUT: Rule(
        LLMTimeoutError,
        "ChatGPT did not answer in time: check the network, then try again.",
        retryable=True,
    ),
    Fault.NO_ANSWER: Rule(
        LLMTimeoutError,
        "ChatGPT accepted the request but sent nothing {detail}: try again, or raise timeout.",
        retryable=True,
    ),
    # Without the cause's text: it may quote a header, and with it the token.
    Fault.UNSENDABLE: Rule(
        InvalidRequestError,
        f"The request cannot be sent: check base_url, or run `{LOGIN_COMMAND}` again.",
        quote=False,
    ),
    # Not a network failure: calls use files too, such as the token file.
    Fault.FILE: Rule(
        ConfigurationError,
        "The file {detail}: check that you own it and its folder and may write to them.",
        quote=False,
    ),
    Fault.NOT_JSON: Rule(
        ProviderUnavailableError,
        "The backend's answer to {detail} is not JSON: try again; if this persists, check base_url.",
        retryable=True,
        quote=False,
    ),
    # Not retryable: the next answer would be as large.
    Fault.TOO_LARGE: Rule(
        ProviderUnavailableError,
        "The answer of {server} is too large to read: check base_url, auth_url and any proxy in between.",
        quote=False,
    ),
    Fault.ENCODING: Rule(
        ProviderUnavailableError,
        "The answer of {server} is compressed in a way that was not offered ({detail}): check base_url, "
        "auth_url and any proxy in between.",
        quote=False,
    ),
    Fault.SILENT: Rule(
        LLMTimeoutError,
        "ChatGPT sent nothing {detail} in the middle of its answer: try again.",
        retryable=True,
    ),
    Fault.CUT: Rule(
        StreamError,
        "The connection to ChatGPT broke in the middle of the answer: try again.",
        retryable=True,
    ),
    Fault.ENDED_EARLY: Rule(StreamError, "ChatGPT's answer was cut off {detail}: try again.", retryable=True),
    Fault.DAMAGED: Rule(
        StreamError, "ChatGPT's answer arrived damaged: try again.", retryable=True, quote=False
    ),
    Fault.NOT_EVENTS: Rule(
        StreamError,
        "ChatGPT's answer was not an event stream ({detail}): try again, and check base_url and any proxy.",
        retryable=True,
    ),
    Fault.EVENT_TOO_LARGE: Rule(
        StreamError, "ChatGPT sent an event that is too large to read: ask for less at a time."
    ),
    Fault.WITHHELD: Rule(
        ContentFilterError, "OpenAI's content filter withheld the whole answer: rephrase the request."
    ),
}


class TransportFault(Refusal):
    """A failure with a ``fault``. ``detail`` completes its sentence, ``partial`` is the text that arrived."""

    def __init__(self, fault: Fault, *, detail: str = "", cause: str = "", partial: str = "") -> None:
        super().__init__(message=cause)
        self.fault = fault
        self.detail = detail
        self.partial = partial

    @property
    def rule(self) -> Rule:
        """How it is reported."""
        return FAULTS[self.fault]

    def sentence(self, server: str = "ChatGPT") -> str:
        """Return what happened and what to do; ``server`` is the name of the server."""
        return self.rule.sentence.format(detail=self.detail, server=server)

    def __str__(self) -> str:
        return f"{self.fault.value}: {self.message}" if self.message else self.fault.value


@contextmanager
def as_faults(*, silence: float | None = None, began: bool = False) -> Iterator[None]:
    """Convert exceptions of httpx and the system into a TransportFault; others are raised unchanged.

    The causes keep no frames, whose local variables hold requests and answers.
    ``silence`` is the read timeout in seconds; ``began``: the answer had started.
    """
    try:
        yield
    except transport_failures() as error:
        raise fault_of(error, silence=silence, began=began) from error.with_traceback(None)


@lru_cache(maxsize=1)
def transport_failures() -> tuple[type[Exception], ...]:
    """Return the exception classes that the HTTP layer and the system raise for connections."""
    from ..http.lean import httpx

    return (HttpFailure, httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, OSError, UnicodeError)


def fault_of(error: BaseException, *, silence: float | None = None, began: bool = False) -> TransportFault:
    """Classify an exception of a connection; see ``as_faults`` for the arguments."""
    if isinstance(error, OSError) and error.filename:
        why = clean(error.strerror, 100) or type(error).__name__
        return TransportFault(Fault.FILE, detail=f"{clean(str(error.filename), 200)} cannot be used ({why})")
    if isinstance(error, HttpFailure):
        return _http_fault(error)
    by_type, by_cause, silent = _classes()
    if isinstance(error, silent):
        return silent_fault(silence, began=began)
    for kind, fault in by_type:
        if isinstance(error, kind):
            return TransportFault(fault)
    cause = _cause_text(error)
    if began:
        return TransportFault(Fault.CUT, cause=cause)
    found = (fault for one in _cause_chain(error) for kind, fault in by_cause if isinstance(one, kind))
    fault = next(found, Fault.UNREACHABLE)
    return TransportFault(
        fault, detail=_trusted_certificates() if fault is Fault.CERTIFICATE else "", cause=cause
    )


def _http_fault(error: HttpFailure) -> TransportFault:
    """Classify a failure of the HTTP layer. The cause of a ProxyFailure may be the server behind it."""
    if isinstance(error, ProxyFailure):
        return _proxy_fault(error)
    if isinstance(error, NetworkSettingFailure):
        return TransportFault(Fault.SETTING, detail=clean(str(error), 300))
    if isinstance(error, UnknownEncoding):
        return TransportFault(Fault.ENCODING, detail=clean(str(error), 60))
    return TransportFault(Fault.TOO_LARGE)


def _proxy_fault(error: ProxyFailure) -> TransportFault:
    from ..http.lean import httpx

    why, variable = error.__cause__ or error, str(error)
    if any(isinstance(one, ssl.SSLError) for one in _cause_chain(why)):
        return fault_of(why)
    cause = _cause_text(why)
    if not isinstance(why, httpx.ProxyError):
        return TransportFault(Fault.PROXY_UNREACHABLE, detail=variable, cause=cause)
    if cause.startswith("407"):
        return TransportFault(Fault.PROXY_SIGN_IN, detail=variable)
    return TransportFault(Fault.PROXY, detail=variable, cause=cause)


def _trusted_certificates() -> str:
    """Name the variables that say which certificates are trusted, as a part of the sentence."""
    variables = store_in_use()
    return f" with the certificates in {variables}" if variables else ""


def silent_fault(seconds: float | None, *, began: bool) -> TransportFault:
    """Return the fault for a server that sends nothing, before or after its answer ``began``."""
    from ..quota.words import span

    length = f"for {span(seconds)}" if seconds else "for longer than the setting timeout allows"
    return TransportFault(Fault.SILENT if began else Fault.NO_ANSWER, detail=length)


def ended_early(partial: str) -> TransportFault:
    """Return the fault for a stream without its closing event; ``partial`` is the text so far."""
    arrived = f"after {len(partial):,} characters" if partial else "before any text arrived"
    return TransportFault(Fault.ENDED_EARLY, detail=arrived, partial=partial)


def not_events(skipped: int) -> TransportFault:
    """Return the fault for a stream in which ``skipped`` events were all unreadable."""
    return TransportFault(Fault.NOT_EVENTS, detail=f"{skipped} unreadable event{'s' if skipped != 1 else ''}")


@lru_cache(maxsize=1)
def _classes() -> tuple[
    tuple[tuple[type[BaseException], Fault], ...],
    tuple[tuple[type[BaseException], Fault], ...],
    type[BaseException],
]:
    """Return the faults by type of the exception, the faults by type of its cause, and read timeouts."""
    from ..http.lean import httpx

    by_type: tuple[tuple[type[BaseException], Fault], ...] = (
        (httpx.ConnectTimeout, Fault.CONNECT_TIMEOUT),
        (httpx.WriteTimeout, Fault.WRITE_TIMEOUT),
        (httpx.PoolTimeout, Fault.POOL_TIMEOUT),
        (TimeoutError, Fault.TIMEOUT),
        (httpx.DecodingError, Fault.DAMAGED),
        (httpx.LocalProtocolError, Fault.UNSENDABLE),
        (httpx.InvalidURL, Fault.UNSENDABLE),
        (httpx.UnsupportedProtocol, Fault.UNSENDABLE),
        (UnicodeError, Fault.UNSENDABLE),
    )
    by_cause: tuple[tuple[type[BaseException], Fault], ...] = (
        (ssl.SSLCertVerificationError, Fault.CERTIFICATE),
        (ssl.SSLError, Fault.TLS),
        (socket.gaierror, Fault.DNS),
        (ConnectionRefusedError, Fault.CONNECTION_REFUSED),
        (httpx.ProxyError, Fault.PROXY),
        (httpx.ConnectError, Fault.UNREACHABLE),
        (httpx.NetworkError, Fault.BROKEN),
        (httpx.RemoteProtocolError, Fault.CLOSED),
    )
    return by_type, by_cause, httpx.ReadTimeout


def _cause_chain(error: BaseException) -> list[BaseException]:
    """List an exception and its causes, the deepest first."""
    chain: list[BaseException] = []
    current: BaseException | None = error
    while current is not None and current not in chain and len(chain) < 20:
        chain.append(current)
        grouped = current.exceptions[0] if isinstance(current, BaseExceptionGroup) else None
        current = grouped or current.__cause__ or current.__context__
    return chain[::-1]


def _cause_text(error: BaseException) -> str:
    text = clean(str(error), 120)
    return "" if text.lower() in _UNINFORMATIVE else text
