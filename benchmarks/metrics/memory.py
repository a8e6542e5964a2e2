"""Peak memory: it follows the answer and not the stream."""

from __future__ import annotations

from ..bench import Bench, Job
from ..rows import Report, Row
from ..streams import prepare

STREAM = "deltas-250000"
CLIENTS = {"ours": "ours", "OpenAI SDK": "openai_sdk", "httpx-sse": "httpx_sse"}
BESIDE = 4


def measure(bench: Bench) -> Report:
    clients = {"ours": "ours"} if bench.quick else CLIENTS
    peaks = {
        name: bench.run(Job(client, "stream", stream=STREAM), fresh=True)["peak"]
        for name, client in clients.items()
    }
    stream = prepare(STREAM)
    size, answer = stream.size / 2**20, len((stream.text + stream.thinking).encode()) / 2**20
    name = f"peak memory, {size:.0f} MB stream with a {answer:.1f} MB answer"
    ours = peaks.pop("ours")
    return Report([Row(name, ours, unit="MB", peers=peaks, goal=3 * answer + BESIDE)])
