"""The command ``ask``: one question to ChatGPT, outside any session."""

from __future__ import annotations

import base64
import mimetypes
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from amplifier_core.message_models import ChatRequest, ImageBlock, Message, TextBlock

from .console import printable
from .transcript import Transcript, usage_line

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rich.console import Console

    from ..provider import ChatGPTProvider


@dataclass(frozen=True, slots=True)
class Question:
    """What the user asks; ``images`` are paths."""

    text: str
    model: str | None = None
    effort: str | None = None
    images: tuple[str, ...] = ()

    def request(self) -> ChatRequest:
        """Build the request. Raises OSError if an image cannot be read."""
        content: list[TextBlock | ImageBlock] = [TextBlock(text=self.text), *map(_read_image, self.images)]
        return ChatRequest(
            messages=[Message(role="user", content=content)], model=self.model, reasoning_effort=self.effort
        )


@dataclass(frozen=True, slots=True)
class Answer:
    """The complete answer; ``usage`` holds token counts by name."""

    text: str | None
    model: str | None
    finish_reason: str | None
    usage: Mapping[str, int] | None

    def to_dict(self) -> dict[str, Any]:
        """JSON-safe form."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class TranscriptCoordinator:
    """Takes the place of a session's coordinator: passes every event to a transcript, if there is one."""

    transcript: Transcript | None

    @property
    def hooks(self) -> TranscriptCoordinator:
        """The registry the provider emits to."""
        return self

    def list_handlers(self, event: str) -> dict[str, list[str]]:
        """Report one handler for every event if there is a transcript."""
        return {event: ["terminal"] if self.transcript else []}

    async def emit(self, event: str, data: Mapping[str, Any]) -> None:
        """Show an event."""
        if self.transcript:
            self.transcript.handle(event, data)


async def ask_once(
    provider: ChatGPTProvider, question: Question, transcript: Transcript | None = None
) -> Answer:
    """Ask the question; ``transcript`` shows the answer while it streams in. Raises kernel errors."""
    provider.coordinator = TranscriptCoordinator(transcript)
    try:
        response = await provider.complete(question.request(), extended_thinking=True)
    finally:
        await provider.close()
    return Answer(
        text=getattr(response, "text", None),
        model=(response.metadata or {}).get("openai-chatgpt:model"),
        finish_reason=response.finish_reason,
        usage=response.usage.model_dump(exclude_none=True) if response.usage else None,
    )


def show_answer(answer: Answer, out: Console, notes: Console) -> None:
    """Print the answer to a pipe; a terminal has seen it already and gets the token counts."""
    if not out.is_terminal:
        out.print(printable(answer.text or ""), markup=False, emoji=False, soft_wrap=True)
    elif answer.usage:
        notes.print(f"\n{usage_line(answer.usage)}", style="dim")


def _read_image(path: str) -> ImageBlock:
    """Read an image file; the request recognizes its type by content, whatever the name suggests."""
    data = base64.b64encode(Path(path).read_bytes()).decode()
    media_type = mimetypes.guess_type(path)[0] or "application/octet-stream"
    return ImageBlock(source={"type": "base64", "media_type": media_type, "data": data})
