"""A self-signed certificate for 127.0.0.1, created for each run with the ``openssl`` program."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import certifi


def make_certificate(folder: Path) -> Path | None:
    """Return a PEM file with key and certificate, or None if ``openssl`` is not installed."""
    openssl = shutil.which("openssl")
    if openssl is None:
        return None
    key, certificate, both = (folder / name for name in ("key.pem", "certificate.pem", "both.pem"))
    new = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1"]
    named = ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run([openssl, *new, *named], check=True, capture_output=True)
    both.write_bytes(key.read_bytes() + certificate.read_bytes())
    return both


def trust_store(folder: Path) -> Path:
    """Return the certificates the clients trust: all the usual ones and ours."""
    store = folder / "trusted.pem"
    ours = folder / "certificate.pem"
    store.write_bytes(Path(certifi.where()).read_bytes() + (ours.read_bytes() if ours.exists() else b""))
    return store
