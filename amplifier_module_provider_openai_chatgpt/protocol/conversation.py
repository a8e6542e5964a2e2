"""Which conversation a request belongs to: one UUIDv7 that survives turns and resume, but not a fork.

The backend keeps its prompt cache by this id (docs/backend.md, Prompt cache). Each response carries
it in its metadata together with whose it is; the message comes back with the next request.
"""

from __future__ import annotations

import hashlib
import os
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, MutableMapping

    from amplifier_core.message_models import ChatRequest, Message

METADATA_KEY = "openai-chatgpt:conversation"
MOST_REMEMBERED = 1000

# For histories that come back without metadata. Sessions of a process share it: each mounts its own provider.
REMEMBERED: dict[str, str] = {}


@dataclass(frozen=True, slots=True)
class Conversation:
    """``id`` goes to the backend; ``of`` names the session or conversation it was made for."""

    id: str
    of: str

    def metadata(self, *, reasoning_refused: bool = False) -> dict[str, Any]:
        """Return what a response carries so that the next request finds its conversation again.

        ``reasoning_refused`` notes that the backend could no longer read the reasoning before it.
        """
        note = {"reasoning": "refused"} if reasoning_refused else {}
        return {METADATA_KEY: {"id": self.id, "of": self.of, **note}}


def find_conversation(
    request: ChatRequest, session_id: str | None, remembered: MutableMapping[str, str]
) -> Conversation:
    """Return the conversation of a request, a new one where neither history nor memory knows it.

    ``request.conversation_id`` decides, else the session, else how the conversation began. An id
    made for another session is not taken over: a fork and a sub-agent begin conversations of their own.
    """
    of = request.conversation_id or session_id or _opening(request.messages)
    known = _in_history(request.messages, of) or remembered.get(of)
    conversation = Conversation(known or uuid7(), of)
    remembered.setdefault(of, conversation.id)
    while len(remembered) > MOST_REMEMBERED:
        remembered.pop(next(iter(remembered)), None)
    return conversation


def uuid7() -> str:
    """Make a UUIDv7: 48 bits of Unix milliseconds, then chance. Python has its own from 3.14 on."""
    milliseconds = time.time_ns() // 1_000_000
    value = (milliseconds & (1 << 48) - 1) << 80 | int.from_bytes(os.urandom(10))
    value = value & ~(0xF << 76) | 0x7 << 76
    value = value & ~(0x3 << 62) | 0x2 << 62
    return str(uuid.UUID(int=value))


def reasoning_refused_before(messages: list[Message]) -> int:
    """Find the newest answer that was given only after all reasoning before it was left out; else 0."""
    refused = (place for place, state in _newest_states(messages) if state.get("reasoning") == "refused")
    return next(refused, 0)


def _in_history(messages: list[Message], of: str) -> str | None:
    for _, state in _newest_states(messages):
        if state.get("of") == of and _is_uuid7(state.get("id")):
            return str(state["id"])
    return None


def _newest_states(messages: list[Message]) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """Give what responses left in the metadata of their messages, with their places, the newest first."""
    for place in range(len(messages) - 1, -1, -1):
        metadata = messages[place].metadata
        if metadata and isinstance(state := metadata.get(METADATA_KEY), Mapping):
            yield place, state


def _is_uuid7(value: object) -> bool:
    """Only an id of our own making may become a header: transcripts are files that people edit."""
    try:
        return isinstance(value, str) and str(uuid.UUID(value)) == value and uuid.UUID(value).version == 7
    except ValueError:
        return False


def _opening(messages: list[Message]) -> str:
    """Name a conversation that has no name by its messages up to the first of the user."""
    digest = hashlib.sha256()
    for message in messages:
        digest.update(repr((message.role, message.content)).encode("utf-8", "replace"))
        if message.role == "user":
            break
    return f"opening:{digest.hexdigest()[:32]}"
