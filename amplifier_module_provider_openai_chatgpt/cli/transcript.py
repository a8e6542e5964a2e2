"""A conversation in a terminal: dimmed thinking, streamed text, tool calls, retries and token counts."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from amplifier_core.events import LLM_RESPONSE, PROVIDER_RETRY
from rich.cells import cell_len

from ..call.events import STREAM_ABORTED, STREAM_DELTA, STREAM_END, STREAM_START
from .console import printable
from .markdown import MarkdownStream

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from rich.console import Console

# What stays together in a line: a word, or one character of a script without spaces between words.
_WIDE = r"[\u2e80-\U0010ffff]"
_JOINED = rf"{_WIDE}(?:[\ufe00-\ufe0f\U0001f3fb-\U0001f3ff\U000e0020-\U000e007f]|\u200d[\u2600-\U0010ffff])*"
_PIECES = re.compile(rf"\n|[^\S\n]+|{_JOINED}|[^\s\u2e80-\U0010ffff]+")
_FENCE = "```"
_CANCELLED = {"AbortError", "CancelledError"}


class Flow:
    """Streams text to a console and wraps lines between words; fenced code is not wrapped.

    Only a terminal gets wrapped lines: there, a word is held back until it is complete or fills a line.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._column = 0
        self._gap = ""
        self._word = ""
        self._style = ""
        self._verbatim = False

    def write(self, text: str, style: str = "") -> None:
        """Write a piece of text."""
        if style != self._style:
            self._end_word()
            self._style = style
        if not self._console.is_terminal:
            self._print(text)
            self._column = 0 if text.endswith("\n") else self._column + len(text)
            return
        for piece in _PIECES.findall(printable(text)):
            if piece.isspace():
                self._end_word()
                self._add_space(piece)
            elif piece[0] >= "\u2e80":
                self._end_word()
                self._word = piece
                self._end_word()
            else:
                self._add_to_word(piece)

    def close(self) -> None:
        """End the current line, if there is one."""
        self._end_word()
        if self._column or self._gap:
            self._add_space("\n")

    def _add_space(self, space: str) -> None:
        if space == "\n":
            self._print("\n")
            self._column, self._gap = 0, ""
        else:
            self._gap += space

    def _add_to_word(self, piece: str) -> None:
        """Hold a piece of a word, unless the word is longer than a line: that is shown as it comes."""
        self._word += piece
        if len(self._word) >= self._console.width:
            self._end_word()

    def _end_word(self) -> None:
        """Write the word after its gap, or at the start of a new line if it does not fit."""
        if not self._word:
            return
        if self._column == 0 and self._word.startswith(_FENCE):
            self._verbatim = not self._verbatim
        whole = self._gap + self._word
        if self._is_too_long(whole):
            self._print("\n")
            self._column, whole = 0, self._word
        self._print(whole)
        self._column += cell_len(whole.expandtabs())
        self._gap = self._word = ""

    def _is_too_long(self, text: str) -> bool:
        if self._verbatim or not self._column:
            return False
        return self._column + cell_len(text.expandtabs()) > self._console.width

    def _print(self, text: str) -> None:
        self._console.print(
            text, end="", style=self._style, markup=False, highlight=False, soft_wrap=True, emoji=False
        )


class Transcript:
    """Writes a provider's events to a console. ``handle`` takes an event.

    ``on_output`` is called before anything is written. ``usage`` holds the token counts so far.
    """

    def __init__(self, console: Console, on_output: Callable[[], object] = lambda: None) -> None:
        self.usage: Mapping[str, int] | None = None
        self._flow = Flow(console)
        is_rendered = console.is_terminal and not console.is_dumb_terminal
        self._markdown = MarkdownStream(console) if is_rendered else None
        self._on_output = on_output
        self._is_thinking = self._has_called = False
        self._handlers: Mapping[str, Callable[[Mapping[str, Any]], None]] = {
            STREAM_START: self._start,
            STREAM_DELTA: self._delta,
            STREAM_END: self._end,
            STREAM_ABORTED: self._abort,
            PROVIDER_RETRY: self._retry,
            LLM_RESPONSE: self._response,
        }

    def handle(self, event: str, data: Mapping[str, Any]) -> None:
        """Show one event; events without a handler are ignored."""
        if handler := self._handlers.get(event):
            handler(data)

    def _start(self, data: Mapping[str, Any]) -> None:
        if data["block_type"] == "tool_use":
            self._has_called = True
            self._write_line(f"→ calls {data.get('name', 'a tool')}", style="cyan")

    def _delta(self, data: Mapping[str, Any]) -> None:
        self._on_output()
        self._is_thinking = data["block_type"] == "thinking"
        style = "dim italic" if self._is_thinking else ""
        if self._markdown:
            self._markdown.write(printable(data["text"]), style)
        else:
            self._flow.write(data["text"], style)

    def close(self) -> None:
        """End what is being written, and give the cursor back."""
        if self._markdown:
            self._markdown.close()
        self._flow.close()

    def _end(self, _: Mapping[str, Any]) -> None:
        """End the line; an empty line separates thinking from the answer, also without colours."""
        self.close()
        if self._is_thinking:
            self._flow.write("\n")
        self._is_thinking = False

    def _abort(self, data: Mapping[str, Any]) -> None:
        """Mark the partial answer as discarded, unless the user cancelled it."""
        if data["error"]["type"] not in _CANCELLED:
            self._write_line("(ignore the partial answer above)", style="yellow")

    def _retry(self, data: Mapping[str, Any]) -> None:
        """Name the problem and the wait; the error's own advice is left out, because the retry follows it."""
        problem, _, _ = data["error_message"].partition(": ")
        wait = f"in {data['delay']:.0f} s" if data["delay"] >= 1 else "now"
        attempt = f"{data['attempt']} of {data['max_retries']}"
        self._write_line(f"{problem.rstrip('.')}. Retrying {wait} ({attempt}).", style="yellow")

    def _response(self, data: Mapping[str, Any]) -> None:
        """Add up the usage; an empty line separates tool calls from what follows."""
        if self._has_called:
            self._flow.write("\n")
        self._has_called = False
        usage = data.get("usage")
        if usage:
            self.usage = _add_usage(self.usage or {}, usage)

    def _write_line(self, text: str, style: str = "") -> None:
        self._on_output()
        self.close()
        self._flow.write(text, style)
        self._flow.close()


def usage_line(usage: Mapping[str, int]) -> str:
    """Return the token counts of a turn as one line."""
    details = {
        "cached": usage.get("cache_read_tokens"),
        "reasoning": usage.get("reasoning_tokens"),
    }
    shown = ", ".join(f"{count:,} {name}" for name, count in details.items() if count)
    line = f"{usage['input_tokens']:,} tokens in, {usage['output_tokens']:,} out"
    return f"{line} ({shown})" if shown else line


def _add_usage(first: Mapping[str, int], second: Mapping[str, Any]) -> dict[str, int]:
    """Add the counts of two calls of one turn; what is not a count is left out."""
    counts = {key: count for key, count in second.items() if isinstance(count, int)}
    return {key: first.get(key, 0) + counts.get(key, 0) for key in first.keys() | counts.keys()}
