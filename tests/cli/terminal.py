"""Runs the console script in a terminal or a pipe and returns what is displayed.

``at_terminal`` and ``in_pipe`` run it in this process, which saves a second of imports per command;
``in_own_process`` starts the real program with a pseudo-terminal for stdin, stdout and stderr.
"""

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
import threading
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass

from click.testing import CliRunner
from rich.cells import cell_len

from amplifier_module_provider_openai_chatgpt.cli import cli

NAME = "amplifier-openai-chatgpt"
COMMAND = [sys.executable, "-m", "amplifier_module_provider_openai_chatgpt"]
_PIECES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|[\r\n]|[^\x1b\r\n]+")
_UP = re.compile(r"\x1b\[(\d*)A")
_COLOUR = re.compile(r"\x1b\[[0-9;]*(?:3[0-79]|38|4[0-7]|48|9[0-7])[0-9;]*m")


@dataclass(frozen=True)
class Screen:
    """What a terminal displays at the end; ``raw`` includes control sequences and spinner lines."""

    code: int
    raw: str

    @property
    def text(self):
        """The text that remains visible: cursor movements and erased lines are applied."""
        lines, row = [""], 0
        for piece in _PIECES.findall(self.raw.replace("\r\n", "\n")):
            up = _UP.fullmatch(piece)
            if up:
                row = max(0, row - int(up[1] or 1))
            elif piece in {"\r", "\x1b[2K"}:
                lines[row] = ""
            elif piece == "\n":
                row += 1
                lines += [""] * (row == len(lines))
            elif not piece.startswith("\x1b"):
                lines[row] += piece
        return "\n".join(line.rstrip() for line in lines).strip("\n")

    @property
    def lines(self):
        return self.text.split("\n")

    @property
    def width(self):
        return max(cell_len(line) for line in self.lines)

    @property
    def has_colour(self):
        return bool(_COLOUR.search(self.raw))


class _Terminal:
    """A pseudo-terminal and everything written to it."""

    def __init__(self, width):
        self._master, self.slave = pty.openpty()
        fcntl.ioctl(self.slave, termios.TIOCSWINSZ, struct.pack("HHHH", 50, width, 0, 0))
        self._written = bytearray()
        self._changed = threading.Condition()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def type(self, text):
        os.write(self._master, text.encode())

    def wait_for(self, text, timeout=20.0):
        with self._changed:
            assert self._changed.wait_for(lambda: text.encode() in self._written, timeout), self._written

    def _read(self):
        while True:
            try:
                piece = os.read(self._master, 65536)
            except OSError:
                return
            if not piece:
                return
            with self._changed:
                self._written += piece
                self._changed.notify_all()

    def close(self):
        os.close(self.slave)
        self._reader.join()
        os.close(self._master)
        return self._written.decode()


def at_terminal(monkeypatch, width, *arguments, colour=True, term="xterm-256color"):
    """Run a command with a terminal of that width as stdout and stderr."""
    monkeypatch.setenv("TERM", term)
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.delenv("NO_COLOR", raising=False)
    if not colour:
        monkeypatch.setenv("NO_COLOR", "1")
    terminal = _Terminal(width)
    code = 0
    with (
        os.fdopen(os.dup(terminal.slave), "r", encoding="utf-8") as keyboard,
        os.fdopen(os.dup(terminal.slave), "w", encoding="utf-8") as out,
        redirect_stdout(out),
        redirect_stderr(out),
    ):
        monkeypatch.setattr(sys, "stdin", keyboard)
        try:
            cli(list(arguments), prog_name=NAME)
        except SystemExit as end:
            code = int(end.code or 0)
    return Screen(code, terminal.close())


def in_pipe(*arguments, stdin="", env=None):
    """Run a command with pipes; the result has ``stdout`` and ``stderr`` separately."""
    return CliRunner().invoke(cli, list(arguments), input=stdin, env=env, prog_name=NAME)


def in_own_process(width, *arguments, env=None, act=None):
    """Run the real command in a terminal; ``act(terminal, process)`` does what the user does."""
    environ = {key: value for key, value in os.environ.items() if key not in {"COLUMNS", "NO_COLOR"}}
    terminal = _Terminal(width)
    with subprocess.Popen(
        [*COMMAND, *arguments],
        stdin=terminal.slave,
        stdout=terminal.slave,
        stderr=terminal.slave,
        env={**environ, "TERM": "xterm-256color", **(env or {})},
    ) as process:
        try:
            if act:
                act(terminal, process)
            code = process.wait(timeout=30)
        finally:
            process.kill()
    return Screen(code, terminal.close())
