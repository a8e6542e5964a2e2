"""Cloudflare, in front of both services: it challenges clients that do not say who they are."""

from __future__ import annotations

import re
import uuid
from typing import TYPE_CHECKING, Literal

from starlette.responses import HTMLResponse, Response

if TYPE_CHECKING:
    from collections.abc import Mapping

Service = Literal["backend", "issuer"]

# Default names of HTTP libraries: httpx, urllib and the SDK were challenged [seen], the others are alike.
_LIBRARY = re.compile(
    r"(python-httpx|python-urllib|(async)?openai/|python-requests|python/[\d.]+ aiohttp|urllib3|go-http)",
    re.IGNORECASE,
)
_PAGE = (
    "<!DOCTYPE html><html><head><title>Just a moment...</title></head>"
    "<body>Enable JavaScript and cookies to continue</body></html>"
)


def challenge(service: Service, path: str, headers: Mapping[str, str]) -> Response | None:
    """Return the challenge page, or None for a client that may pass (docs/backend.md, Failures).

    The public API has no such page (docs/backend-plan.md, Answers).
    """
    if service == "backend" and not path.startswith("/backend-api"):
        return None
    refused = _edge_user_agent(service, headers) or (service == "backend" and _edge_originator(path, headers))
    if not refused:
        return None
    ray = f"{uuid.uuid4().hex[:16]}-SIM"
    marks = {"cf-mitigated": "challenge", "cf-ray": ray, "server": "cloudflare"}
    return HTMLResponse(_PAGE, 403, marks)


def _edge_user_agent(service: Service, headers: Mapping[str, str]) -> bool:
    """Rule edge.user-agent: a library's default name. The issuer serves clients without any [source].

    [unsure]: whether the backend challenges a client without a User-Agent.
    """
    agent = headers.get("user-agent", "")
    return _LIBRARY.match(agent) is not None or (service == "backend" and not agent.strip())


def _edge_originator(path: str, headers: Mapping[str, str]) -> bool:
    """Rule edge.originator: a call of the API without one. The usage document needs none [source]."""
    return "/codex/" in path and not headers.get("originator", "").strip()
