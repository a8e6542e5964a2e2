"""A long answer: CPU time with and without a listener, and the delay of the first delta."""

from __future__ import annotations

from ..bench import Bench, Job
from ..rows import Report, Row
from ..streams import prepare

DELTAS, QUICK_DELTAS = 20_000, 4_000
PEERS = {"OpenAI SDK": "openai_sdk", "httpx-sse": "httpx_sse"}


def measure(bench: Bench) -> Report:
    deltas = QUICK_DELTAS if bench.quick else DELTAS
    return Report([*_without_listener(bench, deltas), _with_listener(bench, deltas), _first_delta(bench)])


def _without_listener(bench: Bench, deltas: int) -> list[Row]:
    pair = {name: Job(name, "stream", stream=f"deltas-{deltas}") for name in ("floor", "ours")}
    peers = {name: Job(client, "stream", stream=f"deltas-{deltas}") for name, client in PEERS.items()}
    times = bench.race(pair | peers, 1 if bench.quick else 5)
    times |= bench.race(pair, 8 if bench.quick else 40)
    cpu = {name: least.cpu for name, least in times.items()}
    compared = {name: cpu[name] / cpu["floor"] for name in (*PEERS, "floor")}
    ratio = cpu["ours"] / cpu["floor"]
    sdk = cpu["OpenAI SDK"] / cpu["ours"]
    return [
        Row(f"CPU, {deltas:,} deltas, no listener", ratio, "floor", peers=compared, goal=1.25, absolute=cpu),
        Row("CPU of the OpenAI SDK for the same answer", sdk, "ours", goal=20, at_least=True),
    ]


def _with_listener(bench: Bench, deltas: int) -> Row:
    """Compare with one emit for each chunk that httpx gave to the floor client in the same run."""
    name = f"deltas-{deltas}"
    stream = prepare(name)
    reads = bench.run(Job("floor", "stream", stream=name))["reads"]
    size = (len(stream.text) + len(stream.thinking)) // reads
    jobs = {
        "ours": Job("ours", "with_listener", stream=name),
        "emits": Job("ours", "emits", {"count": reads, "size": size}),
    }
    times = bench.race(jobs, 3 if bench.quick else 12)
    cpu = {name: least.cpu for name, least in times.items()}
    emitted = min(result["emits"] for result in times["ours"].rounds)
    absolute = cpu | {"reads": reads, "emitted": emitted}
    value = cpu["ours"] / cpu["emits"]
    return Row(
        "CPU for the same answer with a listener",
        value,
        "one emit per HTTP chunk",
        goal=1.3,
        absolute=absolute,
    )


def _first_delta(bench: Bench) -> Row:
    job = Job("ours", "first_delta", stream="stamped")
    rounds = bench.race({"ours": job}, 5 if bench.quick else 20)["ours"].rounds
    delay = sorted(result["delay"] for result in rounds)[len(rounds) // 2]
    return Row("first delta, from server to hook (median)", delay * 1000, unit="ms", goal=5)
