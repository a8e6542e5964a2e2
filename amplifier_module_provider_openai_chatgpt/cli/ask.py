"""One question to the real service, outside any session: what the command ``ask`` does."""

from __future__ import annotations

import base64
import mimetypes
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from amplifier_core.message_models import ChatRequest, ImageBlock, Message, TextBlock

from .transcript import Transcript, printable, usage_line

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rich.console import Console

    from ..provider import ChatGPTProvider

_SIGNATURES = (
    (b"\x89PNG\r\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF8", "image/gif"),
)


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
    provider: ChatGPTProvider, question: Question, transcript: Transcript | None = None
) -> dict[str, Any]:
    """Ask; the answer is heard by ``transcript`` as it comes and returned as a JSON object."""
    provider.coordinator = Listener(transcript)
    try:
        response = await provider.complete(question.request(), extended_thinking=True)
    finally:
        await provider.close()
    return {
        "text": getattr(response, "text", None),
        "model": (response.metadata or {}).get("openai-chatgpt:model"),
        "finish_reason": response.finish_reason,
        "usage": response.usage.model_dump(exclude_none=True) if response.usage else None,
    }


def show_answer(answer: Mapping[str, Any], out: Console, notes: Console) -> None:
    """Finish what a terminal has seen already; anything else gets the whole answer, and nothing but it."""
    if not out.is_terminal:
        out.print(printable(answer["text"] or ""), markup=False, emoji=False, soft_wrap=True)
    elif answer["usage"]:
        notes.print(f"\n{usage_line(answer['usage'])}", style="dim")


def _image(path: str) -> ImageBlock:
    content = Path(path).read_bytes()
    data = base64.b64encode(content).decode()
    return ImageBlock(source={"type": "base64", "media_type": _media_type(path, content), "data": data})


def _media_type(path: str, content: bytes) -> str:
    """Tell by the first bytes, whatever the file is called."""
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        return "image/webp"
    known = (media_type for start, media_type in _SIGNATURES if content.startswith(start))
    return next(known, None) or mimetypes.guess_type(path)[0] or "application/octet-stream"
