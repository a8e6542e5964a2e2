"""A terminal of 80 columns for a program under test: shows its output, and sends key presses.

It understands what our programs write: line ends, colours, and the cursor movements of a status line.
"""

import codecs
import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time

from tests.secret_leaks import watch

WIDTH, HEIGHT = 80, 40
CTRL_C, CTRL_D = "\x03", "\x04"
_ESCAPE = re.compile(r"\x1b\[([?\d;]*)([A-Za-z])|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b[=>78()][B0]?")
# What the address of a consent page has to name, and nothing else may.
_IN_ADDRESS = re.compile(r"[?&](?:client_id|ext_agent_host_id)=[\w.%-]+")
# Makes the terminal the controlling terminal of the program, so Ctrl-C reaches it.
_TAKE_CONTROL = """
import fcntl, os, signal, sys, termios
signal.signal(signal.SIGINT, signal.SIG_DFL)
fcntl.ioctl(2, termios.TIOCSCTTY, 0)
os.execv(sys.argv[1], sys.argv[1:])
"""
_IN_CONTROL = [sys.executable, "-SEc", _TAKE_CONTROL]


class Screen:
    """Rows of text and a cursor; colours are ignored, long lines continue in the next row."""

    def __init__(self):
        self.rows = [""]
        self._row = self._column = 0
        self._rest = ""

    def feed(self, text):
        """Process a piece of output, which may end inside an escape sequence."""
        text, self._rest, at = self._rest + text, "", 0
        while at < len(text):
            found = _ESCAPE.match(text, at)
            if found:
                self._execute(found[1] or "", found[2] or "")
            elif text[at] == "\x1b":
                self._rest = text[at:]
                return
            else:
                self._write(text[at])
            at = found.end() if found else at + 1

    def _execute(self, numbers, command):
        count = int(numbers) if numbers.isdigit() else 1
        if command == "A":
            self._row = max(0, self._row - count)
        elif command == "K":
            row = self.rows[self._row]
            self.rows[self._row] = "" if numbers == "2" else row[: self._column]
        elif command in {"H", "J"}:
            raise NotImplementedError("the screen is cleared: something jumps")

    def _write(self, char):
        if char == "\r":
            self._column = 0
        elif char == "\n":
            self._down()
        elif char >= " ":
            if self._column == WIDTH:
                self._down()
                self._column = 0
            row = self.rows[self._row].ljust(self._column)
            self.rows[self._row] = row[: self._column] + char + row[self._column + 1 :]
            self._column += 1

    def _down(self):
        self._row += 1
        if self._row == len(self.rows):
            self.rows.append("")

    @property
    def text(self):
        return "\n".join(row.rstrip() for row in self.rows).strip("\n")


class Terminal:
    """Runs a program in a terminal; ``frames`` are the contents of the screen over time."""

    def __init__(self, command, env=None, **streams):
        self._keyboard, line = pty.openpty()
        fcntl.ioctl(line, termios.TIOCSWINSZ, struct.pack("HHHH", HEIGHT, WIDTH, 0, 0))
        streams = {"stdin": line, "stdout": line, "stderr": line, **streams}
        env = {**os.environ, "TERM": "xterm-256color", **(env or {})}
        self.process = subprocess.Popen([*_IN_CONTROL, *command], env=env, start_new_session=True, **streams)
        os.close(line)
        self.screen, self.frames, self.raw = Screen(), [""], ""
        self._decoder = codecs.getincrementaldecoder("utf-8")()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        os.close(self._keyboard)
        watch.search("output", _IN_ADDRESS.sub("", self.raw))

    def modes(self):
        """Return the settings of the terminal, such as its echo."""
        return termios.tcgetattr(self._keyboard)

    def press(self, keys):
        os.write(self._keyboard, keys.encode())

    def show(self, text, timeout=30):
        """Wait until the screen shows a text, or something that matches a pattern."""
        deadline = time.monotonic() + timeout
        pattern = re.compile(re.escape(text)) if isinstance(text, str) else text
        while not pattern.search(self.screen.text):
            assert self._read(deadline), f"never shown: {text!r}\n{self.screen.text}"

    def end(self, timeout=30):
        """Wait for the end of the program; return its exit code."""
        deadline = time.monotonic() + timeout
        while self._read(deadline):
            pass
        return self.process.wait(max(0.1, deadline - time.monotonic()))

    def _read(self, deadline):
        """Process the next output; False at the end of the program and after the deadline."""
        if not select.select([self._keyboard], [], [], max(0, deadline - time.monotonic()))[0]:
            return False
        try:
            piece = os.read(self._keyboard, 65536)
        except OSError:
            return False
        text = self._decoder.decode(piece)
        self.raw += text
        self.screen.feed(text)
        if self.frames[-1] != self.screen.text:
            self.frames.append(self.screen.text)
        return bool(piece)
