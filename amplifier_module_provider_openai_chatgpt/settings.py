"""All settings, their defaults, and the validation of their values.

Settings are read once into a frozen object: a host's config takes precedence over the environment, and
that over the defaults. No other module reads a config dictionary.
"""

from __future__ import annotations

import contextlib
import difflib
import logging
import math
import os
import re
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from amplifier_core.llm_errors import ConfigurationError

from .redaction import without_secrets
from .services import CHATGPT_CODEX, CHATGPT_PLAN, SERVICES, Service, is_loopback

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

PROVIDER = "openai-chatgpt"
EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
SUMMARIES = ("auto", "concise", "detailed", "none")
VERBOSITIES = ("low", "medium", "high")
LOGIN_COMMAND = CHATGPT_CODEX.login
# Modules imported by the first call may have been removed since the provider was mounted.
REPLACED = "The provider was updated or removed while this session was running: restart the session."

MODE_VARIABLE = "OPENAI_CHATGPT_AUTH_MODE"
# The first variable that is set takes precedence.
_ENVIRONMENT = {
    "auth_mode": (MODE_VARIABLE,),
    "base_url": ("OPENAI_CHATGPT_BASE_URL",),
    "auth_url": ("OPENAI_CHATGPT_AUTH_URL",),
    "token_file_path": ("OPENAI_CHATGPT_TOKEN_FILE",),
}
# Some hosts look for the file of this service where their own variable points.
_OF_HOSTS = {
    CHATGPT_CODEX.name: {"token_file_path": ("AMPLIFIER_OPENAI_CHATGPT_OAUTH_PATH_OVERRIDE",)},
}
# Set to 1 where a process may not start others, or has no interpreter that could: a thread then renews.
RENEW_IN_PROCESS = "OPENAI_CHATGPT_RENEW_IN_PROCESS"
_ALIASES = {"effort": "reasoning_effort"}
_MODES = {**{name: name for name in SERVICES}, "legacy_codex": CHATGPT_CODEX.name}
# Defaults that are not fields of a service: no model is known before the plan service sends its list.
_OF_SERVICES = {CHATGPT_PLAN.name: {"default_model": "latest"}}
# Hosts add these to every provider's config; they are ignored without a warning.
_FROM_HOSTS = frozenset({"max_tokens", "filtered"})

logger = logging.getLogger(__name__)


class EnvironmentRefusedError(ConfigurationError):
    """An environment variable has a bad value. The config of the host is not the cause."""


def _boolean(value: object) -> bool:
    if isinstance(value, bool):
        return value
    word = str(value).strip().lower()
    if word in {"true", "yes", "on", "1"}:
        return True
    if word in {"false", "no", "off", "0"}:
        return False
    raise ValueError("true or false")


def _finite(value: Any) -> float:
    """Read a finite number, also from text; NaN for anything else."""
    try:
        number = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        return math.nan
    return number if math.isfinite(number) else math.nan


def _seconds(value: object) -> float:
    number = _finite(value)
    if not number >= 0:
        raise ValueError("a number of seconds from 0 up")
    return number


def _positive(value: object) -> float:
    number = _finite(value)
    if not number > 0:
        raise ValueError("a number of seconds above 0")
    return number


def _integer(value: object) -> int:
    number = _finite(value)
    if not number.is_integer():
        raise ValueError("a whole number")
    return int(number)


def _whole_number(value: object) -> int:
    number = _finite(value)
    if not number.is_integer() or number < 0:
        raise ValueError("a whole number from 0 up")
    return int(number)


def _one_of(*words: str) -> Callable[[object], str]:
    def read(value: object) -> str:
        word = str(value).strip().lower()
        if word not in words:
            raise ValueError("one of " + ", ".join(words))
        return word

    return read


def _mode(value: object) -> str:
    return _MODES[_one_of(*_MODES)(value)]


def _line(value: object) -> str:
    if not isinstance(value, str) or not value.strip() or not value.isprintable():
        raise ValueError("a non-empty line of text")
    return value.strip()


def _header_text(value: object) -> str:
    text = _line(value)
    if not text.isascii():
        raise ValueError("a non-empty line of ASCII text")
    return text


def _path(value: object) -> Path:
    if not isinstance(value, str | os.PathLike) or not str(value).strip() or "\0" in str(value):
        raise ValueError("a path")
    try:
        return Path(value).expanduser()
    except RuntimeError:
        raise ValueError("a path whose ~ names a known home directory") from None


def _optional_path(value: object) -> Path | None:
    return None if value is None else _path(value)


def _url(value: Any) -> str:
    """Read an address: HTTPS, or HTTP to this machine, because tokens must not be sent unencrypted."""
    wanted = "an https:// address, or http:// on a loopback host"
    try:
        parts = urlsplit(value.strip())
        host, _ = parts.hostname or "", parts.port
    except (AttributeError, TypeError, ValueError):
        raise ValueError(wanted) from None
    if not host or "@" in parts.netloc or "?" in value or "#" in value:
        raise ValueError(wanted)
    if parts.scheme == "https" or (parts.scheme == "http" and is_loopback(host)):
        return str(value.strip().rstrip("/"))
    raise ValueError(wanted)


def _mapping(value: object) -> dict[str, object]:
    if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
        raise ValueError("an object with text keys")
    return dict(value)


def _setting(default: Any, read: Callable[[Any], Any], *, secret: bool = False) -> Any:
    metadata = {"read": read}
    if isinstance(default, dict):
        return field(default_factory=lambda: dict(default), metadata=metadata, repr=not secret)
    return field(default=default, metadata=metadata, repr=not secret)


@dataclass(frozen=True, slots=True)
class Settings:
    """All settings: keys, defaults and readers; docs/settings.md explains each. Durations are in seconds.

    ``service`` and ``given`` are not keys: ``service`` has the defaults of ``base_url``, ``auth_url``
    and ``token_file_path``, and ``given`` are the keys that the config has set.
    """

    auth_mode: str = _setting(CHATGPT_CODEX.name, _mode)
    default_model: str = _setting("gpt-5.5", _line)
    raw: bool = _setting(False, _boolean)
    login_on_mount: bool = _setting(True, _boolean)
    token_file_path: Path = _setting(Path(CHATGPT_CODEX.token_file), _path)
    host_file_path: Path | None = _setting(None, _optional_path)
    app_name: str = _setting("Amplifier", _line)
    timeout: float = _setting(300.0, _positive)
    connect_timeout: float = _setting(10.0, _positive)
    models_cache_ttl: float = _setting(3600.0, _seconds)
    priority: int = _setting(100, _integer)
    use_streaming: bool = _setting(True, _boolean)
    reasoning_effort: str | None = _setting(None, _line)
    reasoning_summary: str = _setting("detailed", _one_of(*SUMMARIES))
    text_verbosity: str | None = _setting(None, _one_of(*VERBOSITIES))
    max_retries: int = _setting(3, _whole_number)
    min_retry_delay: float = _setting(1.0, _seconds)
    max_retry_delay: float = _setting(60.0, _seconds)
    max_continuations: int = _setting(3, _whole_number)
    compress_requests: str = _setting("auto", _one_of("auto", "never"))
    originator: str = _setting("amplifier", _header_text)
    base_url: str = _setting(CHATGPT_CODEX.base_url, _url)
    auth_url: str = _setting(CHATGPT_CODEX.issuer.url, _url)
    extra_request_params: dict[str, Any] = _setting({}, _mapping, secret=True)
    models_client_version: str = _setting(CHATGPT_CODEX.models.client_versions[0], _header_text)
    service: Service = field(default=CHATGPT_CODEX, repr=False)
    given: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        # Without a home directory the path stays as it is, and the first use of the file reports it.
        with contextlib.suppress(RuntimeError):
            object.__setattr__(self, "token_file_path", self.token_file_path.expanduser())


def read_settings(
    config: Mapping[str, object] | None, environ: Mapping[str, str], service: Service = CHATGPT_CODEX
) -> Settings:
    """Read the settings; ``config`` takes precedence over ``environ``, and that over the defaults.

    A key with the value None (an empty line in YAML) is ignored. Raises ConfigurationError naming key,
    value and what is allowed; EnvironmentRefusedError if an environment variable is the cause. Unknown
    keys are logged as warnings, with the most similar known one.
    """
    given = _canonical(config or {})
    mode = _value("auth_mode", _mode, given, environ, service)
    if service is CHATGPT_CODEX and mode:
        service = SERVICES[mode]
    readers = {item.name: item.metadata["read"] for item in fields(Settings) if item.metadata}
    values: dict[str, Any] = {
        **_OF_SERVICES.get(service.name, {}),
        "service": service,
        "auth_mode": service.name,
        "given": frozenset(given),
        "base_url": service.base_url,
        "auth_url": service.issuer.url,
        "token_file_path": Path(service.token_file),
    }
    for key, read in readers.items():
        if key != "auth_mode" and (key in given or _variable(key, environ, service)):
            values[key] = _value(key, read, given, environ, service)
    return Settings(**values)


def mode_of(environ: Mapping[str, str]) -> str:
    """Return the mode that the environment chooses; the usual one where it chooses none, or a bad one."""
    word = environ.get(MODE_VARIABLE, "").strip().lower()
    return _MODES.get(word, CHATGPT_CODEX.name)


def _value(
    key: str,
    read: Callable[[Any], Any],
    given: Mapping[str, object],
    environ: Mapping[str, str],
    service: Service,
) -> Any:
    """Return what the config, else the environment says about a key; None if both are silent."""
    if key in given:
        return _read_value(read, given[key], f"setting {key!r}", ConfigurationError)
    if variable := _variable(key, environ, service):
        where = f"environment variable {variable}"
        return _read_value(read, environ[variable], where, EnvironmentRefusedError)
    return None


def _variable(key: str, environ: Mapping[str, str], service: Service) -> str:
    """Return the environment variable that sets ``key``; empty if none does."""
    names = (*_ENVIRONMENT.get(key, ()), *_OF_HOSTS.get(service.name, {}).get(key, ()))
    return next((name for name in names if environ.get(name)), "")


def _canonical(config: Mapping[str, object]) -> dict[str, object]:
    known = [item.name for item in fields(Settings) if item.metadata] + list(_ALIASES)
    given: dict[str, object] = {}
    for key, value in config.items():
        name = _ALIASES.get(key, key)
        if key not in known:
            if key not in _FROM_HOSTS:
                near = difflib.get_close_matches(str(key), known, n=1)
                hint = f" Did you mean {near[0]!r}?" if near else ""
                logger.warning("Unknown setting %r for provider %s is ignored.%s", key, PROVIDER, hint)
        elif value is not None and not (name in given and key in _ALIASES):
            given[name] = value
    return given


def _read_value(
    read: Callable[[Any], Any], value: object, where: str, refusal: type[ConfigurationError]
) -> Any:
    try:
        return read(value)
    except ValueError as wanted:
        raise refusal(
            f"Bad value {_quoted(value, is_address=read is _url)} for {where}: it must be {wanted}.",
            provider=PROVIDER,
        ) from None


def _quoted(value: object, *, is_address: bool) -> str:
    """Return a value for a message: shortened, without tokens, and of an address only what is public."""
    if isinstance(value, str) and (is_address or "://" in value):
        value = _address(value)
    text = without_secrets(repr(value))
    return text if len(text) <= 60 else text[:57] + "..."


def _address(text: str) -> str:
    """Return an address without user name, password, query and fragment; any other text unchanged."""
    scheme, mark, rest = text.partition("://")
    if not mark:
        return f"***@{text.rpartition('@')[2]}" if "@" in text else text
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
    behind = rest[len(authority) :]
    if "@" in behind:
        return f"{scheme}://***"  # the password may contain a slash
    _, at, host = authority.rpartition("@")
    path = re.split(r"[?#]", behind, maxsplit=1)[0]
    return f"{scheme}://{'***@' if at else ''}{host}{path}{'?***' if path != behind else ''}"
