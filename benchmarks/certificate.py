"""A self-signed certificate for 127.0.0.1, made anew for every run by the ``openssl`` program."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import certifi


def make_certificate(folder: Path) -> Path | None:
    """Return a PEM file with key and certificate, or None where there is no ``openssl``."""
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
    """Return the certificates that clients trust: all the usual ones, as in life, and ours."""
    store = folder / "trusted.pem"
    ours = folder / "certificate.pem"
    store.write_bytes(Path(certifi.where()).read_bytes() + (ours.read_bytes() if ours.exists() else b""))
    return store
