"""Markdown in a terminal while it streams in: finished paragraphs rendered, code line by line.

Rendering leaves out nothing: HTML, link targets, references and line breaks stay visible, and code is
printed unchanged and unwrapped, so it can be copied.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, ClassVar

from rich.live import Live
from rich.markdown import Heading, Markdown, MarkdownElement, TextElement
from rich.padding import Padding
from rich.segment import Segment
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from markdown_it import MarkdownIt
    from markdown_it.token import Token
    from rich.console import Console, ConsoleOptions, RenderableType, RenderResult

CODE_STYLE = "cyan"
# Parsing can take more than linear time, and the preview is parsed for each piece. Longer text is not.
_LONGEST_PREVIEW, _LONGEST_BLOCK = 4_000, 20_000
_FENCE = re.compile(r"\s*(?P<mark>`{3,}|~{3,})(?P<info>.*)")
_INDENT = re.compile(r"[ \t]*")
_LIST_ITEM = re.compile(r"(?:[-*+]|\d{1,9}[.)])\s")
# Spaces that a Markdown parser removes at the ends of lines, and characters that take their place.
_SPACES = "\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f\u3000"
_GUARDS = "".join(chr(0xFDD0 + number) for number in range(len(_SPACES)))
_GUARD, _UNGUARD = str.maketrans(_SPACES, _GUARDS), str.maketrans(_GUARDS, _SPACES)
_EDGES = re.compile(rf"(?m)^[{_SPACES}]+|[{_SPACES}]+$")


class _PlainHeading(Heading):
    """A heading at the left margin."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield self.text


class _PlainCode(TextElement):
    """Code inside a list or a quotation."""

    style_name = "markdown.code_block"

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield Text(str(self.text).rstrip("\n"), CODE_STYLE, overflow="fold")


class _Prose(Markdown):
    """Parsed Markdown, without its heavy headings and code blocks."""

    elements: ClassVar[dict[str, type[MarkdownElement]]] = {
        **Markdown.elements,
        "heading_open": _PlainHeading,
        "fence": _PlainCode,
        "code_block": _PlainCode,
    }

    def __init__(self, text: str, style: str) -> None:
        super().__init__("", style=style, hyperlinks=False)
        has_guards = not set(_GUARDS).isdisjoint(text)
        guarded = text if has_guards else _EDGES.sub(lambda edge: edge[0].translate(_GUARD), text)
        self.parsed = _parser().parse(guarded)
        _restore(self.parsed, {} if has_guards else _UNGUARD)


def _parser() -> MarkdownIt:
    from markdown_it import MarkdownIt

    rules = MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"])
    return rules.disable(["reference", "image", "html_block", "html_inline"])


def _restore(tokens: Iterable[Token], unguard: Mapping[int, int]) -> None:
    """Keep the line breaks of the text, and put back the guarded spaces."""
    for token in tokens:
        token.content = token.content.translate(unguard)
        if token.type == "softbreak":
            token.type = "hardbreak"
        _restore(token.children or (), unguard)


def rendered(text: str, style: str = "") -> RenderableType:
    """Render one block of Markdown: a paragraph, a list, a table, a heading."""
    if len(text) > _LONGEST_BLOCK:
        return Text(text, style)
    margin = len(_indent(text).expandtabs(4))
    if margin >= 4 and not _LIST_ITEM.match(text.lstrip(" \t")):
        return Text(text, style)
    lines = [line.removeprefix(_indent(text)) for line in text.split("\n")]
    prose = _Prose("\n".join(lines), style)
    return Padding(prose, (0, 0, 0, margin)) if margin else prose


def _indent(text: str) -> str:
    found = _INDENT.match(text)
    return found[0] if found else ""


class _Lines:
    """The lines of a renderable, or the last of them, without the spaces and empty lines around them."""

    def __init__(self, renderable: RenderableType, last: int = 0) -> None:
        self._renderable = renderable
        self._last = last

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        lines = [_trimmed(line) for line in console.render_lines(self._renderable, options, pad=False)]
        while lines and not lines[0]:
            lines.pop(0)
        while lines and not lines[-1]:
            lines.pop()
        for line in lines[-self._last :]:
            yield from line
            yield Segment.line()


def _trimmed(line: list[Segment]) -> list[Segment]:
    while line and not line[-1].text.rstrip(" "):
        line = line[:-1]
    if not line:
        return []
    end = line[-1]
    return [*line[:-1], Segment(end.text.rstrip(" "), end.style)]


class MarkdownStream:
    """Renders Markdown to a terminal as it arrives.

    What is finished is printed and stays: paragraphs, lists and tables rendered, lines of code as they are.
    Below it is a preview of what is not finished yet.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._block: list[str] = []
        self._line = ""
        self._fence = ""
        self._style = ""
        self._is_separated = True
        self._preview: Live | None = None

    def write(self, text: str, style: str = "") -> None:
        """Write a piece of text."""
        self._style = style
        *lines, self._line = (self._line + text).split("\n")
        for line in lines:
            self._end_line(line)
        self._show_preview()

    def close(self) -> None:
        """Print what is not finished, and remove the preview."""
        if self._line:
            self._end_line(self._line)
        self._line = self._fence = ""
        self._flush()
        self._is_separated = True
        if self._preview is not None:
            self._preview.update(Text(""))
            self._preview.stop()
            self._preview = None

    def _end_line(self, line: str) -> None:
        if self._fence:
            self._print_code(line)
            if self._closes(line):
                self._fence = ""
        elif self._opens(line):
            self._flush()
            self._print_code(line)
        elif line.strip():
            self._block.append(line)
        else:
            self._separate()

    def _opens(self, line: str) -> bool:
        found = _FENCE.fullmatch(line)
        if found and not (found["mark"][0] == "`" and "`" in found["info"]):
            self._fence = found["mark"]
        return bool(self._fence)

    def _closes(self, line: str) -> bool:
        return line.strip().startswith(self._fence) and not line.strip().strip(self._fence[0])

    def _separate(self) -> None:
        self._flush()
        if not self._is_separated:
            self._print(Text(""))
            self._is_separated = True

    def _flush(self) -> None:
        """Print the finished block."""
        if self._block:
            self._print(_Lines(rendered("\n".join(self._block), self._style)))
            self._block = []

    def _print_code(self, line: str) -> None:
        """Print a line of code; the terminal wraps it."""
        self._print(Text(line, CODE_STYLE), unwrapped=True)

    def _print(self, renderable: RenderableType, *, unwrapped: bool = False) -> None:
        if self._preview is not None:
            self._preview.update(Text(""))
        self._console.print(renderable, soft_wrap=unwrapped, highlight=False)
        self._is_separated = False

    def _show_preview(self) -> None:
        if not self._console.is_interactive:
            return
        if self._preview is None:
            self._preview = Live(
                console=self._console,
                auto_refresh=False,
                transient=True,
                redirect_stdout=False,
                redirect_stderr=False,
            )
            self._preview.start()
        self._preview.update(_Lines(self._unfinished(), max(1, self._console.height - 2)), refresh=True)

    def _unfinished(self) -> RenderableType:
        text = "\n".join([*self._block, self._line])
        if self._fence:
            return Text(self._line[-_LONGEST_PREVIEW:], CODE_STYLE, overflow="fold")
        if len(text) > _LONGEST_PREVIEW:
            return Text(text[-_LONGEST_PREVIEW:], self._style, overflow="fold")
        return rendered(text, self._style) if text.strip() else Text("")
