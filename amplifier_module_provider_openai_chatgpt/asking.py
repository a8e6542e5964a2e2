"""One question to the real service, outside any session: what the command ``ask`` does."""

from __future__ import annotations

import base64
import mimetypes
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from amplifier_core.message_models import ChatRequest, ImageBlock, Message, TextBlock

from .terminal import Transcript, usage_line

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rich.console import Console

    from .provider import ChatGPTProvider


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked; ``images`` are paths."""

    text: str
    model: str | None = None
    effort: str | None = None
    images: tuple[str, ...] = ()

    def request(self) -> ChatRequest:
        """Build the request. Raises OSError for an image that cannot be read."""
        content: list[Any] = [TextBlock(text=self.text), *map(_image, self.images)]
        return ChatRequest(
            messages=[Message(role="user", content=content)], model=self.model, reasoning_effort=self.effort
        )


@dataclass(frozen=True, slots=True)
class Listener:
    """Stands where a session's coordinator would: its ``hooks`` are this object, its events a transcript."""

    transcript: Transcript | None

    @property
    def hooks(self) -> Listener:
        """The registry that the provider emits to."""
        return self

    def list_handlers(self, event: str) -> dict[str, list[str]]:
        """Say that every event is listened to, as long as there is a transcript."""
        return {event: ["terminal"] if self.transcript else []}

    async def emit(self, event: str, data: Mapping[str, Any]) -> None:
        """Show an event."""
        if self.transcript:
            self.transcript.hear(event, data)


async def ask_once(
    provider: ChatGPTProvider, question: Question, out: Console | None, notes: Console
) -> dict[str, Any]:
    """Ask; the answer streams to ``out`` if there is one and is returned as a JSON object."""
    provider.coordinator = Listener(Transcript(out) if out else None)
    try:
        response = await provider.complete(question.request(), extended_thinking=True)
    finally:
        await provider.close()
    usage = response.usage.model_dump(exclude_none=True) if response.usage else None
    if out and usage:
        notes.print(f"\n{usage_line(usage)}", style="dim")
    return {
        "text": getattr(response, "text", None),
        "model": (response.metadata or {}).get("openai-chatgpt:model"),
        "finish_reason": response.finish_reason,
        "usage": usage,
    }


def _image(path: str) -> ImageBlock:
    media_type = mimetypes.guess_type(path)[0] or "application/octet-stream"
    data = base64.b64encode(Path(path).read_bytes()).decode()
    return ImageBlock(source={"type": "base64", "media_type": media_type, "data": data})
