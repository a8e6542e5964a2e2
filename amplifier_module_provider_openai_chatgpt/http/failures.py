"""What this package's own HTTP layer refuses, as data; ``errors.transport`` turns it into sentences."""

from __future__ import annotations


class HttpFailure(Exception):  # noqa: N818 - data, like a Refusal
    """The base of everything that the HTTP layer raises besides httpx's own exceptions."""


class NetworkSettingFailure(HttpFailure):
    """A variable of the environment decides how servers are reached, and cannot be used.

    The text names the variable and what is wrong with it. It never holds the value of a proxy variable,
    which may contain a password.
    """


class ProxyFailure(HttpFailure):
    """A connection through a proxy failed; the text names the variable that the proxy comes from.

    The cause says how it failed, and whether it was the proxy at all.
    """


class BodyTooLarge(HttpFailure):
    """An answer, or its head, is larger than is read; the text is the bound."""


class UnknownEncoding(HttpFailure):
    """An answer is packed in a way that was not offered; the text is its ``Content-Encoding``."""
