"""Which conversation a request belongs to: one UUIDv7, kept over turns and resume; a fork gets a new one.

The backend's prompt cache depends on this id (docs/backend.md, Prompt cache). Each response carries it
in its metadata, with the session it was made for; hosts send that message again with the next request.
"""

from __future__ import annotations

import hashlib
import os
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterator, MutableMapping

    from amplifier_core.message_models import ChatRequest, Message

# "older" means that the images of the newest item that had any were kept.
RefusedImages: TypeAlias = Literal["all", "older"]

METADATA_KEY = "openai-chatgpt:conversation"
MOST_REMEMBERED = 1000

# For histories without metadata. Shared by all sessions of the process, because each mounts its own provider;
# single dictionary operations, safe between threads.
REMEMBERED: dict[str, str] = {}


@dataclass(frozen=True, slots=True)
class Conversation:
    """``id`` is sent to the backend; ``of`` names the session or conversation it was made for."""

    id: str
    of: str

    def metadata(
        self, *, reasoning_refused: bool = False, images_refused: RefusedImages | None = None
    ) -> dict[str, dict[str, str]]:
        """Return what a response carries to let the next request find its conversation.

        ``reasoning_refused`` and ``images_refused`` record what the backend could not read before it.
        """
        state = {"id": self.id, "of": self.of}
        if reasoning_refused:
            state["reasoning"] = "refused"
        if images_refused:
            state["images"] = images_refused
        return {METADATA_KEY: state}


class Refusals(NamedTuple):
    """What the backend refused to read in the history, by the index of the answer that records it.

    ``reasoning_before`` is the index of the newest answer that required removing all reasoning before
    it, else 0. ``images_before`` has the answers that required removing images before them, in order.
    """

    reasoning_before: int
    images_before: tuple[tuple[int, RefusedImages], ...]


def find_conversation(
    request: ChatRequest, session_id: str | None, remembered: MutableMapping[str, str]
) -> Conversation:
    """Return the conversation of a request, a new one if neither history nor memory contains it.

    It is identified by ``request.conversation_id``, else by the session, else by its first messages. An
    id made for another session is not reused: a fork and a sub-agent start their own conversations.
    """
    of = request.conversation_id or session_id or _opening(request.messages)
    known = _in_history(request.messages, of) or remembered.get(of)
    conversation = Conversation(known or uuid7(), of)
    remembered.setdefault(of, conversation.id)
    while len(remembered) > MOST_REMEMBERED:
        remembered.pop(next(iter(remembered)), None)
    return conversation


def uuid7() -> str:
    """Return a UUIDv7: 48 bits of Unix milliseconds, then random bits. In the standard library from 3.14."""
    milliseconds = time.time_ns() // 1_000_000
    value = (milliseconds & (1 << 48) - 1) << 80 | int.from_bytes(os.urandom(10))
    value = value & ~(0xF << 76) | 0x7 << 76
    value = value & ~(0x3 << 62) | 0x2 << 62
    return str(uuid.UUID(int=value))


def refusals_in(messages: list[Message]) -> Refusals:
    """Return the refusals that earlier answers recorded in their metadata."""
    reasoning, images = 0, []
    for place, state in _newest_states(messages):
        if not reasoning and state.get("reasoning") == "refused":
            reasoning = place
        if state.get("images") in ("all", "older"):
            images.append((place, state["images"]))
    return Refusals(reasoning, tuple(reversed(images)))


def _in_history(messages: list[Message], of: str) -> str | None:
    for _, state in _newest_states(messages):
        if state.get("of") == of and _is_uuid7(state.get("id")):
            return str(state["id"])
    return None


def _newest_states(messages: list[Message]) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """Yield the index and stored state of each message that has one, newest first."""
    for place in range(len(messages) - 1, -1, -1):
        metadata = messages[place].metadata
        if metadata and isinstance(state := metadata.get(METADATA_KEY), Mapping):
            yield place, state


def _is_uuid7(value: object) -> bool:
    """Return whether an id may become a header: transcripts are files that people can edit."""
    try:
        return isinstance(value, str) and str(uuid.UUID(value)) == value and uuid.UUID(value).version == 7
    except ValueError:
        return False


def _opening(messages: list[Message]) -> str:
    """Return a name made from the messages up to the first user message."""
    digest = hashlib.sha256()
    for message in messages:
        digest.update(repr((message.role, message.content)).encode("utf-8", "replace"))
        if message.role == "user":
            break
    return f"opening:{digest.hexdigest()[:32]}"
