"""Keeps only the cookies by which Cloudflare recognises a client that it has accepted."""

from __future__ import annotations

from http.cookiejar import Cookie, CookieJar
from typing import TYPE_CHECKING

from .lean import httpx

if TYPE_CHECKING:
    from ..secret import Secret

# docs/backend.md, Request headers.
_CLOUDFLARE = {"__cf_bm", "__cflb", "__cfruid", "__cfseq", "_cfuvid", "cf_clearance"}
MAX_SIZE = 4096  # bytes of all names and values
_MAX_ACCOUNTS = 8


class EdgeCookies(CookieJar):
    """A jar that keeps only Cloudflare's cookies, up to a limit."""

    def set_cookie(self, cookie: Cookie) -> None:
        """Keep a cookie if it is Cloudflare's, fits and can be sent back."""
        others = [one for one in self if not _is_same(one, cookie)]
        fits = sum(map(_size, [*others, cookie])) <= MAX_SIZE
        if fits and cookie.name in _CLOUDFLARE and _is_sendable(cookie.value):
            super().set_cookie(cookie)


class AccountCookies:
    """A jar for each account. Without an account nothing is kept, because accounts must not share cookies."""

    def __init__(self) -> None:
        self._jars: dict[Secret[str], httpx.Cookies] = {}  # changed atomically, because threads share it

    def add_to(self, request: httpx.Request, account: Secret[str]) -> None:
        """Send this account's cookies with a new request."""
        if jar := self._jars.get(account):
            jar.set_cookie_header(request)

    def take_from(self, response: httpx.Response, account: Secret[str]) -> None:
        """Keep the cookies of an answer to this account."""
        if not account or "set-cookie" not in response.headers:
            return
        if account not in self._jars and len(self._jars) >= _MAX_ACCOUNTS:
            self._jars.pop(next(iter(self._jars)), None)
        self._jars.setdefault(account, httpx.Cookies(EdgeCookies())).extract_cookies(response)


def _is_same(one: Cookie, other: Cookie) -> bool:
    return (one.name, one.domain, one.path) == (other.name, other.domain, other.path)


def _is_sendable(value: str | None) -> bool:
    return value is not None and value.isascii() and value.isprintable()


def _size(cookie: Cookie) -> int:
    return len(cookie.name) + len(cookie.value or "")
