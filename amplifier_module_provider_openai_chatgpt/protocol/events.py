"""One event of an answer, as the Responses API writes it."""

from __future__ import annotations

from typing import Any, TypeAlias

# An object with a text "type"; everything else in it depends on that.
Event: TypeAlias = dict[str, Any]
