"""Decides which certificates are trusted: those a variable names, else the system's and certifi's.

On Linux and similar systems, OpenSSL reads the system's store. Where it cannot, truststore does, which
asks the system for each connection. No context here sets VERIFY_X509_STRICT, which is part of
``ssl.create_default_context`` since Python 3.13: it refuses company roots that other programs accept.
"""

from __future__ import annotations

import os
import re
import ssl
import sys
from functools import lru_cache
from pathlib import Path

from .failures import NetworkSettingFailure

_FILE, _FOLDER = "SSL_CERT_FILE", "SSL_CERT_DIR"
_HASHED = re.compile(r"[0-9a-f]{8}\.\d+")


def tls_context() -> ssl.SSLContext:
    """Return the context for the variables as they are now. Raises NetworkSettingFailure.

    Building one reads a certificate store (about 20 ms), so all clients share one.
    """
    return _build_context(os.environ.get(_FILE, ""), os.environ.get(_FOLDER, ""))


def store_in_use() -> str:
    """Name the variables that set the trusted certificates; empty if none does."""
    return " and ".join(name for name in (_FILE, _FOLDER) if os.environ.get(name))


@lru_cache(maxsize=4)
def _build_context(file: str, folder: str) -> ssl.SSLContext:
    if not file and not folder:
        return _default_context()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # some companies distribute only an intermediate
    if file:
        _load_file(context, file)
    if folder:
        _load_folders(context, folder)
    return context


def _load_file(context: ssl.SSLContext, file: str) -> None:
    try:
        context.load_verify_locations(cafile=file)
    except (ssl.SSLError, ValueError) as error:
        raise NetworkSettingFailure(f"{_FILE} names {file}: it contains no usable certificate") from error
    except OSError as error:
        why = error.strerror or "it cannot be read"
        raise NetworkSettingFailure(f"{_FILE} names {file}: {why}") from error


def _load_folders(context: ssl.SSLContext, folders: str) -> None:
    """Several folders are separated as in PATH; OpenSSL itself would not report a missing one."""
    present = [one for one in folders.split(os.pathsep) if Path(one).is_dir()]
    if not present:
        raise NetworkSettingFailure(f"{_FOLDER} names {folders}: there is no such folder")
    try:
        context.load_verify_locations(capath=os.pathsep.join(present))
    except (OSError, ValueError) as error:
        raise NetworkSettingFailure(f"{_FOLDER} names {folders}: it cannot be used") from error


def _default_context() -> ssl.SSLContext:
    import certifi

    paths = ssl.get_default_verify_paths()
    has_hashes = bool(paths.capath) and _has_hashes(paths.capath)
    if sys.platform in {"win32", "darwin"} or not (paths.cafile or has_hashes):
        return _system_context(certifi.where())
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if has_hashes:  # read only when a certificate is looked for
        context.load_verify_locations(capath=paths.capath)
    else:
        context.load_verify_locations(cafile=paths.cafile)
    context.load_verify_locations(cafile=certifi.where())
    return context


def _system_context(also: str) -> ssl.SSLContext:
    import truststore

    context = truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(also)
    return context


def _has_hashes(folder: str) -> bool:
    try:
        return any(_HASHED.fullmatch(path.name) for path in Path(folder).iterdir())
    except OSError:
        return False
