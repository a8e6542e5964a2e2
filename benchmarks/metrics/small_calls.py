"""Many short calls over TLS, one after another: what a shared connection saves."""

from __future__ import annotations

import sys

from ..bench import Bench, Job
from ..rows import Report, Row

STREAM = "small-5"
CALLS = 30


def measure(bench: Bench) -> Report:
    if not bench.has_tls:
        print("openssl is not installed: calls over TLS are skipped.", file=sys.stderr)
        return Report()
    jobs = {
        "ours": _job("ours"),
        "OpenAI SDK": _job("openai_sdk"),
        "httpx-sse": _job("httpx_sse"),
        "floor": _job("floor"),
        "client per call": _job("floor", pooled=False),
    }
    before = bench.connections()
    bench.run(jobs["ours"])
    used = bench.connections() - before
    cpu = {name: least.cpu for name, least in bench.race(jobs, 1 if bench.quick else 6).items()}
    fresh = cpu["client per call"]
    peers = {name: fresh / cpu[name] for name in ("OpenAI SDK", "httpx-sse", "floor")}
    saved = fresh / cpu["ours"]
    return Report(
        [
            Row(f"connections for {CALLS} calls over TLS", used, unit="", goal=1),
            Row(
                "CPU of a new client for each call over TLS",
                saved,
                "a call of this client",
                peers=peers,
                goal=10,
                at_least=True,
                absolute=cpu,
            ),
        ]
    )


def _job(client: str, **options: bool) -> Job:
    return Job(client, "calls", {"count": CALLS, **options}, STREAM, "https")
