"""The interpreter of one client: ``python -m benchmarks.worker CLIENT`` runs jobs from JSON lines.

A job is ``{"name": …, "options": {…}}`` for a function of ``clients/CLIENT.py``; the reply is its result with
texts as digests, plus seconds of CPU and wall time and the growth of peak memory.
"""

from __future__ import annotations

import asyncio
import gc
import hashlib
import importlib
import json
import resource
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

STATUS = Path("/proc/self/status")


def digest(text: str) -> str:
    """Return a short hash of a text that is too long to send back."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _peak() -> float:
    """Return the peak memory of this process in MB; outside Linux it may be the parent's."""
    if STATUS.exists():
        return int(STATUS.read_text().partition("VmHWM:")[2].split()[0]) / 1024
    unit = 2**20 if sys.platform == "darwin" else 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def resident() -> float:
    """Return the memory of this process in MB; if the system does not report it, its peak."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return pages * resource.getpagesize() / 2**20


def do(loop: asyncio.AbstractEventLoop, job: Callable[..., Awaitable[dict[str, Any]]], **options: Any) -> Any:
    """Run one job and measure it."""
    gc.collect()
    peak, wall, cpu = _peak(), time.perf_counter(), time.process_time()
    result = loop.run_until_complete(job(**options))
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    measured = {"cpu": cpu, "wall": wall, "peak": _peak() - peak}
    shown = {key: digest(value) if isinstance(value, str) else value for key, value in result.items()}
    return measured | shown


def main(client: str) -> None:
    """Run jobs until the input ends."""
    jobs = importlib.import_module(f".clients.{client}", __package__)
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    for line in sys.stdin:
        job = json.loads(line)
        reply = do(loop, getattr(jobs, job["name"]), **job["options"])
        print(json.dumps(reply), flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
