"""A person's browser, for tests: it follows addresses with codes in them and, unlike httpx, logs none."""

from dataclasses import dataclass
from http.client import HTTPConnection, HTTPMessage
from urllib.parse import urlsplit


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
