"""The simulator as one object, and as a program that runs until Ctrl-C."""

from __future__ import annotations

import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from .app import Play
from .server import Server
from .state import World

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import Self


class Simulator(World):
    """An offline ChatGPT on a loopback port: the backend, the issuer, and all that can be told to both.

    Use it as a context manager, or call ``start`` and ``close``. Port 0 takes any free one.
    """

    def __init__(self, port: int = 0) -> None:
        super().__init__()
        self._port = port
        self._server: Server | None = None

    @property
    def auth_url(self) -> str:
        """Stands for https://auth.openai.com."""
        if self._server is None:
            raise RuntimeError("The simulator has an address only while it runs; call start() first.")
        return f"http://127.0.0.1:{self._server.port}"

    @property
    def base_url(self) -> str:
        """Stands for https://chatgpt.com/backend-api."""
        return f"{self.auth_url}/backend-api"

    def start(self) -> Self:
        """Serve, and return once requests are answered."""
        if self._server is None:
            self._server = Server(Play(self), self._port)
            self._server.start()
        return self

    def close(self) -> None:
        """Hang up on everybody and stop; what was recorded stays."""
        if self._server is not None:
            self._server.stop()
            self._server = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def serve(port: int, say: Callable[[str], object]) -> None:
    """Run a simulator until Ctrl-C; ``say`` gets each line of how to use it."""
    with tempfile.TemporaryDirectory(prefix="simulated-chatgpt-") as folder, Simulator(port) as simulator:
        try:
            for line in _directions(simulator, Path(folder, "tokens.json")):
                say(line)
            threading.Event().wait()
        except KeyboardInterrupt:
            say("The simulator has stopped.")


def _directions(simulator: Simulator, token_file: Path) -> tuple[str, ...]:
    return (
        "A simulated ChatGPT is running on this machine; it needs no account and calls nobody.",
        f"  backend  {simulator.base_url}",
        f"  sign-in  {simulator.auth_url}",
        "In another terminal:",
        f"  export OPENAI_CHATGPT_BASE_URL={simulator.base_url}",
        f"  export OPENAI_CHATGPT_AUTH_URL={simulator.auth_url}",
        f"  export OPENAI_CHATGPT_TOKEN_FILE={token_file}",
        "  amplifier-openai-chatgpt login     # the simulated person approves by itself",
        '  amplifier-openai-chatgpt ask "What time is it in Tokyo?"',
        "Ctrl-C stops it and removes that token file.",
    )
