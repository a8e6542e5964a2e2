"""Talking to the issuer: one way to ask, and one way to read answers of any shape. No judgement."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from pydantic_core import from_json

from ..errors.refusal import Refusal, read_refusal
from ..errors.transport import Fault, fault_of, transport_failures
from ..redaction import Sealed
from ..secret import Secret, revealed
from ..services import ResponseHeaders
from .failures import Reason, SignInError
from .waiting import ANNOUNCE_AFTER, announced, silent_issuer

if TYPE_CHECKING:
    import httpx

# Seconds for a whole answer, however it trickles.
ANSWER_LIMIT = 60.0
# How often the exchange of an approval is sent if the connection is lost.
_EXCHANGES = 3
# An issuer sends none of a backend's own headers.
_HEADERS = ResponseHeaders()
_TIMEOUTS = {
    Fault.CONNECT_TIMEOUT,
    Fault.WRITE_TIMEOUT,
    Fault.POOL_TIMEOUT,
    Fault.TIMEOUT,
    Fault.NO_ANSWER,
}

# Faults whose own sentence says more than that the issuer cannot be reached.
_NAMED = {
    Fault.CERTIFICATE,
    Fault.TLS,
    Fault.SETTING,
    Fault.PROXY,
    Fault.PROXY_SIGN_IN,
    Fault.PROXY_UNREACHABLE,
    Fault.TOO_LARGE,
    Fault.ENCODING,
}


@dataclass(frozen=True, slots=True)
class Answer:
    """What the issuer said: a JSON object, or None if it was anything else, and the answer read as a refusal.

    Whether it is one is for the caller to say, by ``is_success`` and the fields it needs.
    """

    data: Secret[Mapping[str, Any]] | None
    refusal: Refusal

    @property
    def status(self) -> int:
        """The HTTP status."""
        return self.refusal.status or 0

    @property
    def is_success(self) -> bool:
        """True for a 2xx that can be read."""
        return 200 <= self.status < 300 and self.data is not None

    def word(self, *names: str) -> str:
        """Return the first of these fields that holds text; empty if none does."""
        found = (self.get(name) for name in names)
        return next((value for value in found if isinstance(value, str) and value), "")

    def get(self, name: str) -> Any:
        """Return one field of the object; None if it is missing."""
        return self.fields.get(name)

    @property
    def fields(self) -> Mapping[str, Any]:
        """The fields of the object, with the secrets; empty if there is none."""
        return self.data.reveal() if self.data is not None else {}


async def post(
    client: httpx.AsyncClient,
    url: str,
    *,
    limit: float | None = ANSWER_LIMIT,
    announce_after: float = ANNOUNCE_AFTER,
    **content: Mapping[str, Any],
) -> Answer:
    """Ask the issuer; an answer of any status is returned, if it is complete after ``limit`` seconds.

    ``content`` is the ``json`` or the ``data`` to send; the secrets in it are revealed here. A wait of more
    than ``announce_after`` seconds is announced. Raises SignInError, NO_ANSWER or UNREACHABLE, when there is
    no answer.
    """
    return await _request(client, "POST", url, limit, announce_after, **content)


async def get(client: httpx.AsyncClient, url: str) -> Answer:
    """Do what ``post`` does, for what the issuer publishes."""
    return await _request(client, "GET", url, ANSWER_LIMIT, ANNOUNCE_AFTER)


async def _request(
    client: httpx.AsyncClient,
    method: str,
    url: str,
    limit: float | None,
    announce_after: float,
    **content: Mapping[str, Any],
) -> Answer:
    host = urlsplit(url).hostname or url
    headers = {"Accept": "application/json"}
    try:
        with Sealed(), announced(silent_issuer(host), announce_after):
            async with asyncio.timeout(limit):
                response = await client.request(method, url, headers=headers, **_sent(content))
    except TimeoutError as error:
        raise SignInError(Reason.NO_ANSWER, host=host) from error
    except transport_failures() as error:
        found = fault_of(error)
        reason = Reason.NO_ANSWER if found.fault in _TIMEOUTS else Reason.UNREACHABLE
        named = found if found.fault in _NAMED else None
        raise SignInError(reason, named, host=host) from error
    return _read(response)


async def post_until_answered(
    client: httpx.AsyncClient, url: str, form: Mapping[str, str | Secret[str]]
) -> Answer:
    """Send a form again after a lost connection: the person's approval is worth more than a second try.

    If the issuer had the first one, it refuses the second; then what was lost is the failure.
    """
    lost: SignInError | None = None
    for _ in range(_EXCHANGES):
        try:
            answer = await post(client, url, data=form)
        except SignInError as failure:
            lost = lost or failure
            continue
        if lost is not None and not answer.is_success:
            raise lost
        return answer
    raise lost or unreadable("the tokens")


def _sent(content: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    return {kind: revealed(fields) for kind, fields in content.items()}


def failure(answer: Answer, doing: str) -> SignInError:
    """Return the failure that an answer means which ends a sign-in, whatever it was asked for."""
    if answer.refusal.cloudflare:
        reason = Reason.CHALLENGED
    elif answer.status == 429:
        reason = Reason.BUSY
    elif answer.status >= 500:
        reason = Reason.SERVER_TROUBLE
    else:
        reason = Reason.REFUSED
    return SignInError(reason, answer.refusal, doing=doing)


def unreadable(what: str) -> SignInError:
    """Return the failure for an answer that lacks what was asked for."""
    return SignInError(Reason.UNREADABLE, what=what)


def _read(response: httpx.Response) -> Answer:
    try:
        data = from_json(response.content)
    except ValueError:
        data = None
    return Answer(
        data=Secret(data) if isinstance(data, Mapping) else None,
        refusal=read_refusal(
            response.status_code, response.headers, response.content, names=_HEADERS, now=time.time()
        ),
    )
