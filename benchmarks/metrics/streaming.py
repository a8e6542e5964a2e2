"""A long answer: the CPU time of reading it, unheard and heard, and how soon its first word is heard."""

from __future__ import annotations

from ..bench import Bench, Job
from ..rows import Report, Row
from ..streams import prepare

STREAM = "deltas-20000"
PEERS = {"OpenAI SDK": "openai_sdk", "httpx-sse": "httpx_sse"}


def measure(bench: Bench) -> Report:
    return Report([*_unheard(bench), _heard(bench), _first_delta(bench)])


def _unheard(bench: Bench) -> list[Row]:
    pair = {"floor": Job("floor", "stream", stream=STREAM), "ours": Job("ours", "stream", stream=STREAM)}
    peers = {name: Job(client, "stream", stream=STREAM) for name, client in PEERS.items()}
    times = bench.race(pair | peers, 1 if bench.quick else 5)
    times |= bench.race(pair, 8 if bench.quick else 40)
    cpu = {name: least.cpu for name, least in times.items()}
    beside = {name: cpu[name] / cpu["floor"] for name in (*PEERS, "floor")}
    ratio = cpu["ours"] / cpu["floor"]
    sdk = cpu["OpenAI SDK"] / cpu["ours"]
    httpx_sse = {"httpx-sse": cpu["httpx-sse"] / cpu["ours"]}
    return [
        Row("CPU, 20,000 deltas, nobody listens", ratio, "floor", peers=beside, goal=1.25, absolute=cpu),
        Row("the OpenAI SDK's CPU for the same", sdk, "ours", peers=httpx_sse, goal=20, at_least=True),
    ]


def _heard(bench: Bench) -> Row:
    """The yardstick is one emit for each read that httpx handed to the floor client in the same run."""
    stream = prepare(STREAM)
    reads = bench.run(Job("floor", "stream", stream=STREAM))["reads"]
    size = (len(stream.text) + len(stream.thinking)) // reads
    jobs = {
        "ours": Job("ours", "heard", stream=STREAM),
        "emits": Job("ours", "emits", {"count": reads, "size": size}),
    }
    times = bench.race(jobs, 3 if bench.quick else 12)
    cpu = {name: least.cpu for name, least in times.items()}
    emitted = min(result["emits"] for result in times["ours"].rounds)
    absolute = cpu | {"reads": reads, "emitted": emitted}
    value = cpu["ours"] / cpu["emits"]
    return Row("CPU, the same with a listener", value, "one bare emit a read", goal=1.3, absolute=absolute)


def _first_delta(bench: Bench) -> Row:
    job = Job("ours", "first_delta", stream="stamped")
    rounds = bench.race({"ours": job}, 5 if bench.quick else 20)["ours"].rounds
    delay = sorted(result["delay"] for result in rounds)[len(rounds) // 2]
    return Row("first delta, server to hook (median)", delay * 1000, unit="ms", goal=5)
