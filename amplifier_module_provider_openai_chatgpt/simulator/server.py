"""The HTTP server: uvicorn's protocol on a loopback port, in a thread with its own event loop."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import threading
from typing import TYPE_CHECKING

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from starlette.types import ASGIApp

_START_TIMEOUT = 10.0


class _Protocol(H11Protocol):
    """Puts the connection's transport into the state of each request, so a fault can break it."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self.app_state = {"transport": transport}
        # asyncio sets this on sockets it creates itself; without it each small write waits 40 ms
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        super().connection_made(transport)


class Server:
    """Serves applications, each on a port of 127.0.0.1, from ``start`` to ``stop``; port 0 picks a free one.

    It runs uvicorn's protocol without uvicorn's own main loop, which takes 0.1 s to stop.
    """

    def __init__(self, apps: Mapping[str, tuple[ASGIApp, int]]) -> None:
        self._sockets = _open({name: port for name, (_, port) in apps.items()})
        self._configs = {name: _config(app) for name, (app, _) in apps.items()}
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, name="simulator", daemon=True)

    def start(self) -> None:
        """Start serving; returns once connections are answered."""
        self._thread.start()
        if not self._ready.wait(_START_TIMEOUT):
            raise RuntimeError("The simulator did not start in time.")

    def stop(self) -> None:
        """Close every connection and end the thread."""
        self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join(_START_TIMEOUT)

    def _run(self) -> None:
        asyncio.run(self._serve())

    def port(self, name: str) -> int:
        """Return the port of an application."""
        port: int = self._sockets[name].getsockname()[1]
        return port

    async def _serve(self) -> None:
        self._loop, self._stopping = asyncio.get_running_loop(), asyncio.Event()
        state = ServerState()
        listeners = [
            await self._loop.create_server(_protocol(self._configs[name], state), sock=opened)
            for name, opened in self._sockets.items()
        ]
        self._ready.set()
        await self._stopping.wait()
        for opened in self._sockets.values():
            self._loop.remove_reader(opened.fileno())
        for _ in range(3):  # asyncio needs as many turns for a connection it has just accepted
            await asyncio.sleep(0)
        for listener in listeners:
            listener.close()
        for connection in list(state.connections):
            connection.transport.abort()
        for task in list(state.tasks):
            task.cancel()
        await asyncio.gather(*state.tasks, return_exceptions=True)
        await asyncio.sleep(0)


def _open(ports: Mapping[str, int]) -> dict[str, socket.socket]:
    """Open a socket for each port, or none."""
    with contextlib.ExitStack() as opened:
        sockets = {
            name: opened.enter_context(socket.create_server(("127.0.0.1", port)))
            for name, port in ports.items()
        }
        opened.pop_all()
    return sockets


def _config(app: ASGIApp) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        interface="asgi3",
        ws="none",
        lifespan="off",
        proxy_headers=False,
        log_config=None,
        log_level=logging.CRITICAL,
        timeout_keep_alive=60,
    )


def _protocol(config: uvicorn.Config, state: ServerState) -> Callable[[], _Protocol]:
    config.load()
    return lambda: _Protocol(config, state, {})
