"""The HTTP server: uvicorn's protocol on a loopback port, in a thread with its own event loop."""

from __future__ import annotations

import asyncio
import logging
import socket
import threading
from typing import TYPE_CHECKING

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

if TYPE_CHECKING:
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
    """Serves an application on 127.0.0.1 from ``start`` to ``stop``; port 0 picks a free one.

    It runs uvicorn's protocol without uvicorn's own main loop, which takes 0.1 s to stop.
    """

    def __init__(self, app: ASGIApp, port: int) -> None:
        self._socket = socket.create_server(("127.0.0.1", port))
        self.port: int = self._socket.getsockname()[1]
        self._config = uvicorn.Config(
            app,
            interface="asgi3",
            ws="none",
            lifespan="off",
            proxy_headers=False,
            log_config=None,
            log_level=logging.CRITICAL,
            timeout_keep_alive=60,
        )
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

    async def _serve(self) -> None:
        self._loop, self._stopping = asyncio.get_running_loop(), asyncio.Event()
        self._config.load()
        state = ServerState()
        listener = await self._loop.create_server(
            lambda: _Protocol(self._config, state, {}), sock=self._socket
        )
        self._ready.set()
        await self._stopping.wait()
        self._loop.remove_reader(self._socket.fileno())
        for _ in range(3):  # asyncio needs as many turns for a connection it has just accepted
            await asyncio.sleep(0)
        listener.close()
        for connection in list(state.connections):
            connection.transport.abort()
        for task in list(state.tasks):
            task.cancel()
        await asyncio.gather(*state.tasks, return_exceptions=True)
        await asyncio.sleep(0)
