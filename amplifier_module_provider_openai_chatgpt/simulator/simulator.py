"""The simulator as one object, and as a command that runs until Ctrl-C."""

from __future__ import annotations

import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from .accounts import announce_stray
from .app import App
from .backend import BASE as CODEX
from .plan.api import BASE as PLAN
from .plan.tokens import stored
from .server import Server
from .state import Json, State
from .worlds import DEFAULT_WORLD, WORLDS, World

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import Self


_BASES = {"codex": CODEX, "plan": PLAN}


class Simulator(State):
    """An offline ChatGPT on two loopback ports: the backend, the issuer and every switch of both.

    Use it as a context manager, or call ``start`` and ``close``. ``port`` is the backend's, the issuer has
    the next one; 0 picks two free ones. ``world`` is the service at a date, or its name in ``WORLDS``.
    ``on_stray`` is called with a sentence when a secret reaches the wrong service.
    """

    def __init__(
        self,
        port: int = 0,
        *,
        world: World | str = DEFAULT_WORLD,
        on_stray: Callable[[str], object] = announce_stray,
    ) -> None:
        super().__init__(WORLDS[world] if isinstance(world, str) else world, on_stray)
        self._port = port
        self._server: Server | None = None

    @property
    def auth_url(self) -> str:
        """The address that replaces https://auth.openai.com."""
        return f"http://127.0.0.1:{self._running().port('issuer')}"

    @property
    def base_url(self) -> str:
        """The address that replaces https://chatgpt.com/backend-api, or https://api.openai.com/v1."""
        return f"http://127.0.0.1:{self._running().port('backend')}{_BASES[self.world.kind]}"

    def start(self) -> Self:
        """Start serving; returns once requests are answered."""
        if self._server is None:
            after = self._port + 1 if self._port else 0
            apps = {"backend": (App(self, "backend"), self._port), "issuer": (App(self, "issuer"), after)}
            self._server = Server(apps)
            self._server.start()
        return self

    def _running(self) -> Server:
        if self._server is None:
            raise RuntimeError("The simulator has no address until it runs; call start() first.")
        return self._server

    def connect(
        self, expires_in: float = 3_600.0, *, uses_plan: bool = True, plan: str | None = None
    ) -> Json:
        """Return the content of the credential file of a new sign-in at the plan service."""
        backend = self.base_url.removesuffix(PLAN)
        plan = plan or self.plan
        return stored(self, self.auth_url, backend, expires_in, uses_plan=uses_plan, plan=plan)

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


_PLAN_MODE = "  export OPENAI_CHATGPT_AUTH_MODE=chatgpt_plan"
_LOGIN = "  amplifier-openai-chatgpt login     # "
_TOOLS = (
    "Its model calls a tool only when you ask for it by name, or by verb and object (“read the file”), "
    "and never a tool that writes, deletes, executes, installs or sends."
)
_ASK = '  amplifier-openai-chatgpt ask "What time is it in Tokyo?"'


def _instructions(simulator: Simulator, token_file: Path) -> tuple[str, ...]:
    is_plan = simulator.world.kind == "plan"
    month = f"{simulator.world.today:%B %Y}"
    played = f"“Sign in with ChatGPT” as of {month}" if is_plan else f"the service of {month}"
    return (
        "A simulated ChatGPT is running on this machine; it needs no account and no network.",
        f"It simulates {played}; --world chooses another {'service' if is_plan else 'date'}.",
        f"  backend  {simulator.base_url}",
        f"  sign-in  {simulator.auth_url}",
        "In another terminal:",
        f"  export OPENAI_CHATGPT_BASE_URL={simulator.base_url}",
        f"  export OPENAI_CHATGPT_AUTH_URL={simulator.auth_url}",
        f"  export OPENAI_CHATGPT_TOKEN_FILE={token_file}",
        *((_PLAN_MODE,) if is_plan else ()),
        _LOGIN + ("open the address that it shows" if is_plan else "approved automatically"),
        _ASK,
        _TOOLS,
        "Ctrl-C stops it and removes that token file.",
    )
