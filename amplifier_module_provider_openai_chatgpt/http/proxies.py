"""Decides which proxy is used for a server, and for which servers none is.

Only https uses a proxy: plain HTTP is only for this machine, which is reached directly.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING
from urllib.request import getproxies

from ..services import is_loopback
from .failures import NetworkSettingFailure

if TYPE_CHECKING:
    from ipaddress import IPv4Network, IPv6Network

    import httpx

_SCHEMES = {"http", "https", "socks5", "socks5h"}
# Clash and v2ray set ``socks``.
_OTHER_SCHEMES = {"socks", "socks4", "socks4a"}


@dataclass(frozen=True, slots=True)
class ProxySetting:
    """The value of a variable that names a proxy, not yet checked."""

    variable: str
    value: str = field(repr=False)

    def url(self) -> httpx.URL:
        """Read the address. Raises NetworkSettingFailure, which does not quote it."""
        from .lean import httpx

        text = self.value.strip()
        try:
            url = httpx.URL(text if "://" in text else f"http://{text}")
        except (httpx.InvalidURL, ValueError):
            raise self._failure("is not the address of a proxy") from None
        if url.scheme not in _SCHEMES:
            other = "socks5://" if url.scheme in _OTHER_SCHEMES else "http://, https:// or socks5://"
            raise self._failure(f"names a proxy whose address has to begin with {other}")
        if not url.host:
            raise self._failure("names a proxy without a host")
        if url.port is not None and not 0 < url.port < 65536:
            raise self._failure("names a proxy whose port is not a number from 1 to 65535")
        # With both schemes, the proxy looks up the server's name.
        return url.copy_with(scheme="socks5") if url.scheme == "socks5h" else url

    def _failure(self, why: str) -> NetworkSettingFailure:
        return NetworkSettingFailure(f"{self.variable} {why}")


@dataclass(frozen=True, slots=True)
class Proxies:
    """The proxy for https, and the list of hosts that are reached directly."""

    https: ProxySetting | None
    no_proxy: str = ""

    @classmethod
    def from_environment(cls) -> Proxies:
        """Read the variables, or on Windows and macOS the system's settings. Checks nothing yet."""
        found = getproxies()
        named = ((scheme, found.get(scheme, "")) for scheme in ("https", "all"))
        first = next(((scheme, value) for scheme, value in named if value.strip()), None)
        setting = ProxySetting(_variable(*first), first[1]) if first else None
        return cls(setting, found.get("no", ""))

    def for_host(self, host: str, port: int) -> ProxySetting | None:
        """Return the proxy for a server; None for this machine and for hosts that NO_PROXY names."""
        if self.https is None or is_this_machine(host) or is_exempt(self.no_proxy, host, port):
            return None
        return self.https


def is_this_machine(host: str) -> bool:
    """True for loopback addresses, and for ``localhost`` and the names below it (RFC 6761)."""
    name = host.lower().rstrip(".")
    return is_loopback(name) or name.endswith(".localhost")


def is_exempt(no_proxy: str, host: str, port: int) -> bool:
    """True if a ``NO_PROXY`` list names the host.

    Entries are names (with all names below them), IP addresses, networks, and ``*``, each with a port if
    it is only for that port; any other entry matches nothing.
    """
    host = host.lower().rstrip(".")
    return any(_matches(entry, host, port) for entry in re.split(r"[\s,]+", no_proxy.lower()) if entry)


def _matches(entry: str, host: str, port: int) -> bool:
    name, only_port = _name_and_port(entry.rpartition("://")[2])
    if only_port and only_port != str(port):
        return False
    if name == "*":
        return True
    try:
        address = ip_address(host)
    except ValueError:
        name = name.lstrip("*").strip(".")
        return bool(name) and (host == name or host.endswith(f".{name}"))
    network = _network(name)
    return network is not None and address in network


def _name_and_port(entry: str) -> tuple[str, str]:
    """Split ``host:port`` and ``[v6]:port``; several colons without brackets are an IPv6 address."""
    if entry.startswith("["):
        name, _, port = entry[1:].partition("]")
        return name, port.lstrip(":")
    if entry.count(":") == 1:
        name, _, port = entry.partition(":")
        return name, port
    return entry, ""


def _network(text: str) -> IPv4Network | IPv6Network | None:
    try:
        return ip_network(text, strict=False)
    except ValueError:
        return None


def _variable(scheme: str, value: str) -> str:
    """Name the variable that a proxy comes from; lower case takes precedence, as in Python itself."""
    names = (f"{scheme}_proxy", f"{scheme}_proxy".upper())
    return next((name for name in names if os.environ.get(name) == value), "The system's proxy setting")
