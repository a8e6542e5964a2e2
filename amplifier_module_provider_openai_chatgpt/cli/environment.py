"""What surrounds the provider on this machine, for ``doctor``: versions, proxy, certificates and settings.

No text here has a password: of a proxy's address, only scheme, host and port are shown.
"""

from __future__ import annotations

import platform
import re
import ssl
from dataclasses import fields
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

from ..http import DISTRIBUTION
from ..redaction import without_secrets
from ..secret import REDACTED
from ..settings import Settings
from .accounts import used_option

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_LIBRARIES = ("amplifier-core", "httpx", "rich", "click")
_PROXY_VARIABLES = ("https_proxy", "all_proxy", "no_proxy")
_CERTIFICATE_VARIABLES = ("SSL_CERT_FILE", "SSL_CERT_DIR")
_VARIABLES = {
    "auth_mode": "OPENAI_CHATGPT_AUTH_MODE",
    "base_url": "OPENAI_CHATGPT_BASE_URL",
    "auth_url": "OPENAI_CHATGPT_AUTH_URL",
    "token_file_path": "OPENAI_CHATGPT_TOKEN_FILE",
}
# Their values may have anything in them.
_HIDDEN_SETTINGS = {"extra_request_params"}
_E_MAIL = re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+")


def versions() -> str:
    """Return the versions of this package, Python, the system and the libraries that matter."""
    libraries = ", ".join(f"{name} {_version(name)}" for name in _LIBRARIES)
    system = f"{platform.system()} {platform.release()} {platform.machine()}"
    return (
        f"{_version(DISTRIBUTION)} with {libraries}; Python {platform.python_version()}, "
        f"{ssl.OPENSSL_VERSION}, {system}"
    )


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


def proxy_variables(environ: Mapping[str, str]) -> str:
    """Return the variables that decide about proxies, without passwords; empty if none is set."""
    names = (name for lower in _PROXY_VARIABLES for name in (lower, lower.upper()) if environ.get(name))
    return ", ".join(f"{name}={without_login(environ[name])}" for name in names)


def certificate_variables(environ: Mapping[str, str]) -> str:
    """Return the variables that decide which certificates are trusted; empty if none is set."""
    return ", ".join(f"{name}={environ[name]}" for name in _CERTIFICATE_VARIABLES if environ.get(name))


def without_login(address: str) -> str:
    """Remove user name and password from an address, with or without a scheme."""
    scheme, separator, rest = address.rpartition("://")
    _, at, host = rest.rpartition("@")
    return f"{scheme}{separator}{'***@' if at else ''}{host.partition('?')[0]}"


def effective_settings(settings: Settings, environ: Mapping[str, str]) -> Iterator[tuple[str, str, str]]:
    """Yield the name, value and source of each setting.

    The source is ``option``, the name of an option or of a variable, or ``default``.
    """
    for item in fields(Settings):
        if not item.metadata:
            continue
        name, value = item.name, getattr(settings, item.name)
        variable = _VARIABLES.get(name, "")
        shown = REDACTED if name in _HIDDEN_SETTINGS and value else _shown(value)
        yield name, shown, "option" if name in settings.given else _source(variable, environ)


def _source(variable: str, environ: Mapping[str, str]) -> str:
    used = used_option(variable).partition(" ")[0]
    return used or (variable if environ.get(variable) else "default")


def _shown(value: object) -> str:
    if value is None:
        return "not set"
    return str(value).lower() if isinstance(value, bool) else str(value)


def changed_settings(settings: Settings, environ: Mapping[str, str]) -> str:
    """Return the settings that differ from the defaults, and where each comes from."""
    found = [
        f"{name}={value} ({source})"
        for name, value, source in effective_settings(settings, environ)
        if source != "default"
    ]
    return ", ".join([*found, "all others: defaults" if found else "defaults"])


def anonymous(text: str, *secrets: str) -> str:
    """Remove what identifies a person: e-mail addresses, ``secrets``, and the path of the home folder."""
    text = _E_MAIL.sub("[e-mail]", without_secrets(text))
    for secret in filter(None, secrets):
        text = text.replace(secret, REDACTED)
    for home in {str(Path.home()), str(Path.home().resolve())} - {"/"}:
        text = text.replace(home, "~")
    return text
