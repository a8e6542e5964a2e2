"""Peak memory, which depends on the answer and not on the stream."""

from __future__ import annotations

from ..bench import Bench, Job
from ..rows import Report, Row
from ..streams import prepare

STREAM, QUICK_STREAM = "deltas-250000", "deltas-50000"
CLIENTS = {"ours": "ours", "OpenAI SDK": "openai_sdk", "httpx-sse": "httpx_sse"}
ALLOWANCE = 4
ROUNDS = 3


def measure(bench: Bench) -> Report:
    clients = {"ours": "ours"} if bench.quick else CLIENTS
    name = QUICK_STREAM if bench.quick else STREAM
    peaks = {
        who: min(bench.run(Job(client, "stream", stream=name), fresh=True)["peak"] for _ in range(ROUNDS))
        for who, client in clients.items()
    }
    stream = prepare(name)
    size, answer = stream.size / 2**20, len((stream.text + stream.thinking).encode()) / 2**20
    metric = f"peak memory, {size:.0f} MB stream with a {answer:.1f} MB answer"
    ours = peaks.pop("ours")
    return Report([Row(metric, ours, unit="MB", peers=peaks, goal=3 * answer + ALLOWANCE)])
