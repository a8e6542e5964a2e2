"""Faults: what a path does instead of, or to, its normal answer."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pydantic_core import to_json

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_GZIP = 31


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One misbehaviour, used up by one request.

    ``status``, ``body`` and ``pieces`` replace the normal answer, which is then not computed;
    ``pieces`` are flushed one by one. ``headers`` are always added. The other fields change the answer,
    normal or replaced. Its events (or its single body) count from 1; as a number of events, -1 means all
    but the last. ``framing`` rewrites the frames (see ``framings.py``), ``piece_size`` sets the size of
    each write in bytes, ``pace`` the seconds between writes, ``gzip`` compresses the body.
    ``cut_after_bytes`` and ``cut_after_event`` break the connection within the body, ``end_after_event``
    ends the body properly. ``stall_before_headers`` and ``stall_after_event`` send nothing more until
    ``Simulator.release`` is called, then continue. ``drop_connection`` closes without sending a byte.
    The connection is closed normally, or with a TCP reset where ``reset`` is set.
    """

    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | str | dict[str, Any] | list[Any] | None = None
    pieces: tuple[bytes, ...] | None = None
    framing: Callable[[Sequence[bytes]], Sequence[bytes]] | None = None
    piece_size: int | None = None
    pace: float = 0.0
    cut_after_bytes: int | None = None
    cut_after_event: int | None = None
    end_after_event: int | None = None
    stall_after_event: int | None = None
    stall_before_headers: bool = False
    drop_connection: bool = False
    reset: bool = False
    gzip: bool = False

    @property
    def replaces(self) -> bool:
        """True when the normal answer is not computed."""
        return self.status is not None or self.body is not None or self.pieces is not None

    @property
    def cuts(self) -> bool:
        """True when the connection breaks after the last piece."""
        return self.cut_after_bytes is not None or self.cut_after_event is not None

    def replacement(self) -> tuple[int, dict[str, str], list[bytes]]:
        """Return status, headers and body pieces of the answer that replaces the normal one."""
        pieces = list(self.pieces) if self.pieces is not None else [_content(self.body)]
        media_type = _media_type(self.body, pieces[0] if pieces else b"", self.status or 200)
        return self.status or 200, {"content-type": media_type}, pieces

    def schedule(self, frames: Sequence[bytes]) -> tuple[list[bytes], list[bytes]]:
        """Split the frames of a body (one per event) into the pieces before the stall and those after it."""
        frames = self.framing(frames) if self.framing else frames
        if self.gzip:
            frames = list(_compressed(frames))
        if self.cut_after_bytes is not None:
            return self._pieces([b"".join(frames)[: self.cut_after_bytes]]), []
        last = self.cut_after_event if self.cut_after_event is not None else self.end_after_event
        frames = frames[:last]
        pause = len(frames) if self.stall_after_event is None else self.stall_after_event
        return self._pieces(frames[:pause]), self._pieces(frames[pause:])

    def _pieces(self, frames: Sequence[bytes]) -> list[bytes]:
        if self.piece_size is None:
            return [frame for frame in frames if frame]
        whole, size = b"".join(frames), self.piece_size
        return [whole[at : at + size] for at in range(0, len(whole), size)]


def _content(body: object) -> bytes:
    if isinstance(body, dict | list):
        return to_json(body)
    return body if isinstance(body, bytes) else str(body or "").encode()


def _media_type(body: object, content: bytes, status: int) -> str:
    if isinstance(body, dict | list):
        return "application/json"
    if content.lstrip()[:1] == b"<":
        return "text/html; charset=utf-8"
    return "text/event-stream; charset=utf-8" if status < 400 else "text/plain; charset=utf-8"


def _compressed(frames: Sequence[bytes]) -> Iterator[bytes]:
    """Yield the frames as one gzip stream, flushed after each frame."""
    compressor = zlib.compressobj(wbits=_GZIP)
    for number, frame in enumerate(frames, 1):
        compressed = compressor.compress(frame)
        yield compressed + compressor.flush(zlib.Z_FINISH if number == len(frames) else zlib.Z_SYNC_FLUSH)
