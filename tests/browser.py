"""A person's browser, for tests: it follows addresses with codes in them and, unlike httpx, logs none."""

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
    """Return the page at an address, or the redirect to it."""
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
    """Have the two ports of the callback, which exist once on a machine: other runs of these tests wait."""
    with FileLock(Path(tempfile.gettempdir()) / "chatgpt-callback-ports.lock", timeout=60):
        yield
