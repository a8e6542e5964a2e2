"""The command ``ask``: one question to ChatGPT, outside any session."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from amplifier_core.events import LLM_RESPONSE
from amplifier_core.llm_errors import AbortError
from amplifier_core.message_models import ChatRequest, ImageBlock, Message, TextBlock

from ..quota.values import NEAR_THE_LIMIT
from ..quota.words import reset_phrase
from .console import printable
from .transcript import Transcript, usage_line
from .usage_history import read_windows, record

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from rich.console import Console

    from ..provider import ChatGPTProvider
    from ..quota.values import Window
    from .raw_answer import RawAnswer

_CUT = {
    "length": "The answer was cut at the output limit.",
    "content_filter": "The answer was cut by OpenAI's content filter.",
}


@dataclass(frozen=True, slots=True)
class Question:
    """What the user asks; ``attached`` is the text of stdin, ``images`` are the sources of image blocks."""

    text: str
    attached: str = ""
    system: str | None = None
    model: str | None = None
    effort: str | None = None
    images: tuple[Mapping[str, str], ...] = ()

    def request(self) -> ChatRequest:
        """Build the request: the prompt, what is attached, the images."""
        content: list[TextBlock | ImageBlock] = [TextBlock(text=self.text)]
        content += [TextBlock(text=self.attached)] if self.attached else []
        content += [ImageBlock(source=dict(image)) for image in self.images]
        system = [Message(role="system", content=self.system)] if self.system else []
        return ChatRequest(
            messages=[*system, Message(role="user", content=content)],
            model=self.model,
            reasoning_effort=self.effort,
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


@dataclass(slots=True)
class Audience:
    """Takes the place of a session's coordinator: passes every event to ``show``, and keeps the limits.

    ``output`` can stop the call, like a session's cancellation.
    """

    show: Callable[[str, Mapping[str, Any]], None] | None = None
    output: RawAnswer | None = None
    windows: tuple[Window, ...] = field(default=())

    @property
    def hooks(self) -> Audience:
        """The registry the provider emits to."""
        return self

    @property
    def cancellation(self) -> RawAnswer | None:
        """What can stop the call."""
        return self.output

    def list_handlers(self, event: str) -> dict[str, list[str]]:
        """Report one handler for the events that are used."""
        return {event: ["terminal"] if self.show or event == LLM_RESPONSE else []}

    async def emit(self, event: str, data: Mapping[str, Any]) -> None:
        """Show an event."""
        if event == LLM_RESPONSE:
            self.windows = read_windows(data.get("rate_limits"))
        if self.show:
            self.show(event, data)


async def ask_once(
    provider: ChatGPTProvider, question: Question, audience: Audience | None = None
) -> Answer | None:
    """Ask the question; ``audience`` hears the answer while it streams in. Raises kernel errors.

    Returns None if the output stopped the call.
    """
    provider.coordinator = audience or Audience()
    try:
        response = await provider.complete(question.request(), extended_thinking=True)
    except AbortError:
        if audience and audience.output and audience.output.is_immediate:
            return None
        raise
    finally:
        await provider.close()
        record(provider, provider.coordinator.windows, time.time())
    return Answer(
        text=getattr(response, "text", None),
        model=(response.metadata or {}).get("openai-chatgpt:model"),
        finish_reason=response.finish_reason,
        usage=response.usage.model_dump(exclude_none=True) if response.usage else None,
    )


async def ask_at_terminal(
    provider: ChatGPTProvider, question: Question, out: Console, notes: Console, stop: Callable[[], object]
) -> None:
    """Ask, and show thinking and answer as they arrive; ``stop`` ends the spinner before the first of it."""
    transcript = Transcript(out, on_output=stop)
    audience = Audience(transcript.handle)
    try:
        answer = await ask_once(provider, question, audience)
    finally:
        transcript.close()
    if answer and answer.usage:
        notes.print(f"\n{usage_line(answer.usage)}", style="dim")
    _remark(answer, audience, notes)


async def ask_in_pipe(
    provider: ChatGPTProvider, question: Question, output: RawAnswer, notes: Console
) -> None:
    """Ask, and write the answer as it arrives. Raises OutputError."""
    audience = Audience(output.handle, output)
    answer = await ask_once(provider, question, audience)
    if answer is None:
        output.check()
        return
    output.finish(answer.text or "")
    _remark(answer, audience, notes)


async def ask_for_json(provider: ChatGPTProvider, question: Question, notes: Console) -> Answer | None:
    """Ask, and return the complete answer."""
    audience = Audience()
    answer = await ask_once(provider, question, audience)
    _remark(answer, audience, notes)
    return answer


def _remark(answer: Answer | None, audience: Audience, notes: Console) -> None:
    """Say that an answer is incomplete, and which limits are nearly used up."""
    if answer and (cut := _CUT.get(answer.finish_reason or "")):
        notes.print(cut, style="yellow")
    for window in audience.windows:
        if window.used_percent >= NEAR_THE_LIMIT:
            notes.print(printable(limit_line(window, time.time())), style="yellow", markup=False)


def limit_line(window: Window, now: float) -> str:
    """Say how much of a window is used, and when it resets."""
    name = " ".join(filter(None, (window.limit, window.name)))
    resets = f"; it resets {reset_phrase(window.resets_at, now)}" if window.resets_at else ""
    return f"{window.used_percent:.0f} % of your {name} limit is used{resets}."
