"""The simulator as one object, and as a command that runs until Ctrl-C."""

from __future__ import annotations

import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from .app import App
from .server import Server
from .state import State
from .worlds import DEFAULT_WORLD, WORLDS, World

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import Self


class Simulator(State):
    """An offline ChatGPT on a loopback port: the backend, the issuer and every switch of both.

    Use it as a context manager, or call ``start`` and ``close``. Port 0 picks a free one.
    ``world`` is the service at a date, or its name in ``WORLDS``.
    """

    def __init__(self, port: int = 0, *, world: World | str = DEFAULT_WORLD) -> None:
        super().__init__(WORLDS[world] if isinstance(world, str) else world)
        self._port = port
        self._server: Server | None = None

    @property
    def auth_url(self) -> str:
        """The address that replaces https://auth.openai.com."""
        if self._server is None:
            raise RuntimeError("The simulator has no address until it runs; call start() first.")
        return f"http://127.0.0.1:{self._server.port}"

    @property
    def base_url(self) -> str:
        """The address that replaces https://chatgpt.com/backend-api."""
        return f"{self.auth_url}/backend-api"

    def start(self) -> Self:
        """Start serving; returns once requests are answered."""
        if self._server is None:
            self._server = Server(App(self), self._port)
            self._server.start()
        return self

    def close(self) -> None:
        """Close every connection and stop; recorded requests stay."""
        if self._server is not None:
            self._server.stop()
            self._server = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def serve(port: int, say: Callable[[str], object], world: str | None = None) -> None:
    """Run a simulator of the named ``world`` until Ctrl-C; ``say`` receives each line of instructions."""
    with (
        tempfile.TemporaryDirectory(prefix="simulated-chatgpt-") as folder,
        Simulator(port, world=world or DEFAULT_WORLD) as simulator,
    ):
        try:
            for line in _instructions(simulator, Path(folder, "tokens.json")):
                say(line)
            threading.Event().wait()
        except KeyboardInterrupt:
            say("The simulator has stopped.")


def _instructions(simulator: Simulator, token_file: Path) -> tuple[str, ...]:
    return (
        "A simulated ChatGPT is running on this machine; it needs no account and no network.",
        f"It plays the service of {simulator.world.today:%B %Y}; --world chooses another date.",
        f"  backend  {simulator.base_url}",
        f"  sign-in  {simulator.auth_url}",
        "In another terminal:",
        f"  export OPENAI_CHATGPT_BASE_URL={simulator.base_url}",
        f"  export OPENAI_CHATGPT_AUTH_URL={simulator.auth_url}",
        f"  export OPENAI_CHATGPT_TOKEN_FILE={token_file}",
        "  amplifier-openai-chatgpt login     # approved automatically",
        '  amplifier-openai-chatgpt ask "What time is it in Tokyo?"',
        "Its model calls a tool only when you ask for it by name, or by verb and object (“read the file”),",
        "and never a tool that writes, deletes, executes, installs or sends.",
        "Ctrl-C stops it and removes that token file.",
    )
