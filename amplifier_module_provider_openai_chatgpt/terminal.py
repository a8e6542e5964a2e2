"""How a conversation looks in a terminal: thinking dimmed, text as it comes, calls and tokens named."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from amplifier_core.events import LLM_RESPONSE, PROVIDER_RETRY

from .events import STREAM_ABORTED, STREAM_DELTA, STREAM_END, STREAM_START

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from rich.console import Console


class Transcript:
    """Writes the events of a provider to a console. ``hear`` is the listener."""

    def __init__(self, console: Console) -> None:
        self.usage: Mapping[str, Any] | None = None
        self._console = console
        self._scenes: Mapping[str, Callable[[Mapping[str, Any]], None]] = {
            STREAM_START: self._start,
            STREAM_DELTA: self._delta,
            STREAM_END: self._end,
            STREAM_ABORTED: self._abort,
            PROVIDER_RETRY: self._retry,
            LLM_RESPONSE: self._response,
        }

    def hear(self, event: str, data: Mapping[str, Any]) -> None:
        """Show one event, or nothing where it has no place on a screen."""
        if scene := self._scenes.get(event):
            scene(data)

    def _start(self, data: Mapping[str, Any]) -> None:
        if data["block_type"] == "tool_use":
            self._line(f"→ calls {data.get('name', 'a tool')}", style="cyan")

    def _delta(self, data: Mapping[str, Any]) -> None:
        style = "dim italic" if data["block_type"] == "thinking" else ""
        self._write(data["text"], style=style)

    def _end(self, data: Mapping[str, Any]) -> None:
        if data["block_type"] != "tool_use":
            self._write("\n")

    def _abort(self, _: Mapping[str, Any]) -> None:
        self._line("(what was shown so far is void)", style="yellow")

    def _retry(self, data: Mapping[str, Any]) -> None:
        wait = f"again in {data['delay']:.0f} s" if data["delay"] >= 1 else "again now"
        self._line(
            f"{data['error_message']} Trying {wait} ({data['attempt']}/{data['max_retries']}).",
            style="yellow",
        )

    def _response(self, data: Mapping[str, Any]) -> None:
        usage = data.get("usage")
        if usage:
            self.usage = _sum(self.usage, usage)

    def _line(self, text: str, style: str = "") -> None:
        self._write(text + "\n", style=style)

    def _write(self, text: str, style: str = "") -> None:
        self._console.print(
            printable(text), end="", style=style, markup=False, highlight=False, soft_wrap=True, emoji=False
        )


def printable(text: str) -> str:
    """Drop what could steer a terminal; line ends and tabs stay."""
    return "".join(character for character in text if character.isprintable() or character in "\n\t")


def usage_line(usage: Mapping[str, Any]) -> str:
    """One line on the tokens of a turn."""
    details = {
        "cached": usage.get("cache_read_tokens"),
        "reasoning": usage.get("reasoning_tokens"),
    }
    shown = ", ".join(f"{count:,} {name}" for name, count in details.items() if count)
    line = f"{usage['input_tokens']:,} tokens in, {usage['output_tokens']:,} out"
    return f"{line} ({shown})" if shown else line


def _sum(first: Mapping[str, Any] | None, second: Mapping[str, Any]) -> dict[str, Any]:
    """Add the counts of two calls of one turn."""
    keys = {key for usage in (first or {}, second) for key, count in usage.items() if isinstance(count, int)}
    return {key: (first or {}).get(key, 0) + second.get(key, 0) for key in keys}
