"""Failures of this package's HTTP layer, as data; ``errors.transport`` has the sentences."""

from __future__ import annotations


class HttpFailure(Exception):  # noqa: N818 - data, like a Refusal
    """The base class of everything that the HTTP layer raises apart from httpx's exceptions."""


class NetworkSettingFailure(HttpFailure):
    """An environment variable about the network has an unusable value.

    The text names the variable and what is wrong. It never contains the value of a proxy variable, which
    may include a password.
    """


class ProxyFailure(HttpFailure):
    """A connection through a proxy failed; the text is the name of the variable with the proxy.

    The cause says how it failed, and whether the proxy or the server failed.
    """


class BodyTooLarge(HttpFailure):
    """An answer, or its head, is larger than the limit."""


class UnknownEncoding(HttpFailure):
    """An answer has an encoding that was not offered; the text is its ``Content-Encoding``."""
