"""Talking to the issuer: one way to ask, and one way to read answers of any shape.

Codes and tokens appear in no message.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NoReturn

from amplifier_core.llm_errors import (
    AuthenticationError,
    LLMError,
    LLMTimeoutError,
    NetworkError,
    ProviderUnavailableError,
    RateLimitError,
)
from pydantic_core import from_json

from ..redaction import without_secrets
from ..settings import PROVIDER

if TYPE_CHECKING:
    import httpx

CLIENT_ID = "app_EMoamEEZ73f0CkXaXp7hrann"
_CHALLENGES = ("just a moment", "attention required")


@dataclass(frozen=True, slots=True)
class Answer:
    """What the issuer said: ``data`` is empty and ``is_json`` false unless it was a JSON object.

    ``code`` is the error's, in lower case, and empty without one; ``detail`` is fit for a person's eyes.
    """

    status: int
    data: Mapping[str, Any] = field(repr=False)
    code: str
    detail: str
    is_json: bool
    is_page: bool
    is_challenge: bool
    ray: str

    @property
    def is_success(self) -> bool:
        """True for a 2xx that can be read."""
        return 200 <= self.status < 300 and self.is_json

    def word(self, *names: str) -> str:
        """Return the first of these fields that holds text."""
        found = (self.data.get(name) for name in names)
        return next((value for value in found if isinstance(value, str) and value), "")


async def post(client: httpx.AsyncClient, url: str, **content: Any) -> Answer:
    """Ask the issuer; an answer of any status is returned.

    Raises LLMTimeoutError and NetworkError when there is none.
    """
    import httpx

    try:
        response = await client.post(url, headers={"Accept": "application/json"}, **content)
    except httpx.TimeoutException as error:
        raise LLMTimeoutError(
            f"No answer from {httpx.URL(url).host} in time: check the network, then try again.",
            provider=PROVIDER,
        ) from error
    except (httpx.HTTPError, OSError) as error:
        raise NetworkError(
            f"{httpx.URL(url).host} cannot be reached: check the network, then try again.", provider=PROVIDER
        ) from error
    return _read(response)


def fail(answer: Answer, doing: str) -> NoReturn:
    """Raise the kernel error for an answer that ends a sign-in."""
    if answer.is_challenge:
        ray = f" (cf-ray {answer.ray})" if answer.ray else ""
        raise ProviderUnavailableError(
            f"Cloudflare blocks the sign-in from this network{ray}: "
            "try without VPN or proxy, or from another network.",
            provider=PROVIDER,
            status_code=answer.status,
            retryable=False,
        )
    if 200 <= answer.status < 300:
        raise ProviderUnavailableError(
            f"Signing in failed while {doing}: the answer cannot be read. Try again in a moment.",
            provider=PROVIDER,
        )
    said = f" The server says: {answer.detail}" if answer.detail else ""
    code = f", {clean(answer.code)}" if answer.code else ""
    error = AuthenticationError if answer.status < 500 else ProviderUnavailableError
    if answer.status == 429:
        error = RateLimitError
    raise error(
        f"Signing in failed while {doing} (HTTP {answer.status}{code}).{said}",
        provider=PROVIDER,
        status_code=answer.status,
    )


def unreadable(what: str) -> LLMError:
    """Return the error for an answer that lacks what was asked for."""
    return ProviderUnavailableError(
        f"The issuer's answer with {what} cannot be read: try again in a moment.", provider=PROVIDER
    )


def clean(value: object) -> str:
    """Reduce a server's text to a printable, secret-free line."""
    text = "".join(sign if sign.isprintable() else " " for sign in value) if isinstance(value, str) else ""
    return without_secrets(" ".join(text.split())[:300])


def _read(response: httpx.Response) -> Answer:
    try:
        data = from_json(response.content)
    except ValueError:
        data = None
    mapping: Mapping[str, Any] = data if isinstance(data, Mapping) else {}
    error = mapping.get("error")
    inner = error if isinstance(error, Mapping) else {}
    code = inner.get("code") or (error if isinstance(error, str) else None) or mapping.get("code")
    said = (
        mapping.get("error_description"),
        inner.get("message"),
        mapping.get("message"),
        mapping.get("detail"),
    )
    start = "" if data is not None else response.content[:4096].decode("utf-8", "replace").lstrip().lower()
    return Answer(
        status=response.status_code,
        data=mapping,
        code=code.lower() if isinstance(code, str) else "",
        detail=next((clean(text) for text in said if isinstance(text, str) and text), ""),
        is_json=isinstance(data, Mapping),
        is_page=start.startswith("<"),
        is_challenge="cf-mitigated" in response.headers or any(mark in start for mark in _CHALLENGES),
        ray=clean(response.headers.get("cf-ray", ""))[:64],
    )
