"""How a conversation looks in a terminal: thinking dimmed, text as it comes, calls and tokens named."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from amplifier_core.events import LLM_RESPONSE, PROVIDER_RETRY
from rich.cells import cell_len

from ..call.events import STREAM_ABORTED, STREAM_DELTA, STREAM_END, STREAM_START

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from rich.console import Console

# What stays together in a line: a word, or one sign of a script that puts no spaces between words.
_PIECES = re.compile(r"\n|[^\S\n]+|[\u2e80-\U0010ffff]|[^\s\u2e80-\U0010ffff]+")
_FENCE = "```"


class Flow:
    """Streams text to a console, whose lines end between words; code in fences stays as it is.

    Only a terminal gets line ends of ours. The word that still grows is held back until it is whole.
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
        for piece in _PIECES.findall(printable(text)):
            if piece.isspace():
                self._end_word()
                self._space(piece)
            elif piece[0] >= "\u2e80":
                self._end_word()
                self._word = piece
                self._end_word()
            else:
                self._word += piece

    def close(self) -> None:
        """End the line that was begun, if there is one."""
        self._end_word()
        if self._column or self._gap:
            self._space("\n")

    def _space(self, space: str) -> None:
        if space == "\n":
            self._print("\n")
            self._column, self._gap = 0, ""
        else:
            self._gap += space

    def _end_word(self) -> None:
        """Write the word behind its gap, or at the beginning of a new line where it does not fit."""
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
        if self._verbatim or not self._column or not self._console.is_terminal:
            return False
        return self._column + cell_len(text.expandtabs()) > self._console.width

    def _print(self, text: str) -> None:
        self._console.print(
            text, end="", style=self._style, markup=False, highlight=False, soft_wrap=True, emoji=False
        )


class Transcript:
    """Writes the events of a provider to a console. ``hear`` is the listener.

    ``on_output`` is called before anything is written.
    """

    def __init__(self, console: Console, on_output: Callable[[], object] = lambda: None) -> None:
        self.usage: Mapping[str, Any] | None = None
        self._flow = Flow(console)
        self._on_output = on_output
        self._thought = self._called = False
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
            self._called = True
            self._line(f"→ calls {data.get('name', 'a tool')}", style="cyan")

    def _delta(self, data: Mapping[str, Any]) -> None:
        self._on_output()
        self._thought = data["block_type"] == "thinking"
        self._flow.write(data["text"], "dim italic" if self._thought else "")

    def _end(self, _: Mapping[str, Any]) -> None:
        """End the line; an empty one sets thinking apart where nothing can be dimmed."""
        self._flow.close()
        if self._thought:
            self._flow.write("\n")
        self._thought = False

    def _abort(self, _: Mapping[str, Any]) -> None:
        self._line("(what was shown so far is void)", style="yellow")

    def _retry(self, data: Mapping[str, Any]) -> None:
        wait = f"again in {data['delay']:.0f} s" if data["delay"] >= 1 else "again now"
        self._line(
            f"{data['error_message']} Trying {wait} ({data['attempt']}/{data['max_retries']}).",
            style="yellow",
        )

    def _response(self, data: Mapping[str, Any]) -> None:
        """Add up the usage; an empty line sets calls apart from what comes of them."""
        if self._called:
            self._flow.write("\n")
        self._called = False
        usage = data.get("usage")
        if usage:
            self.usage = _sum(self.usage, usage)

    def _line(self, text: str, style: str = "") -> None:
        self._on_output()
        self._flow.close()
        self._flow.write(text, style)
        self._flow.close()


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
