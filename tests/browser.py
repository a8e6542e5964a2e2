"""A browser for tests: it follows addresses with codes and, unlike httpx, does not log them."""

import contextlib
import tempfile
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPMessage
from pathlib import Path
from urllib.parse import urlsplit

from filelock import FileLock


@dataclass
class Page:
    url: str
    status: int
    headers: HTTPMessage
    text: str


def browse(url, *, follow=True):
    """Return the page at an address, or its redirect."""
    parts = urlsplit(url)
    connection = HTTPConnection(parts.hostname or "", parts.port, timeout=5)
    try:
        connection.request("GET", parts._replace(scheme="", netloc="").geturl())
        reply = connection.getresponse()
        page = Page(url, reply.status, reply.headers, reply.read().decode())
    finally:
        connection.close()
    return browse(page.headers["location"]) if follow and page.status == 302 else page


@contextlib.contextmanager
def callback_ports():
    """Reserve the two callback ports of this machine; other runs of these tests wait."""
    with FileLock(Path(tempfile.gettempdir()) / "chatgpt-callback-ports.lock", timeout=60):
        yield
