"""Other clients of this backend, side by side: the same streams, every answer checked."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Collection

from ..bench import ROOT, Bench, Job, Least
from ..peers import PEERS
from ..rows import Report, Row

NAMES = {"ours": "ours", "floor": "floor", **{client: client.replace("_", "-") for client in PEERS}}
CALLS = 30
COUNTS = (1, 16, 64)
LARGE = 50_000
# Their text is empty if an answer has no deltas.
READ_ONLY_DELTAS = {"llm_openai_codex", "codex_auth_helper"}
# Reads one answer in a new process and leaves in parallel, as amplifier-core's threads require.
FRESH = """
import asyncio, os, sys
from benchmarks.clients import {client} as client
assert asyncio.run(client.stream(sys.argv[1]))["output_tokens"]
os._exit(0)
"""


def measure(bench: Bench) -> Report:
    bench.install_peers()
    rounds = 2 if bench.quick else 8
    return Report(
        [
            _row(bench, "CPU, 20,000 deltas", _stream("deltas-20000"), rounds),
            _large(bench, rounds),
            _row(bench, f"CPU, {CALLS} small calls over TLS", _calls, rounds),
            *(_row(bench, _streams(count), _parallel(count), rounds) for count in COUNTS),
            *_first_delta(bench, 3 * rounds),
            _fresh(bench, rounds),
            _memory(bench),
        ]
    )


def _stream(name: str) -> Callable[[str], Job]:
    return lambda client: Job(client, "stream", stream=name)


def _calls(client: str) -> Job:
    return Job(client, "calls", {"count": CALLS}, "small-5", "https")


def _streams(count: int) -> str:
    return f"CPU, {count} parallel streams of 200 deltas" if count > 1 else "CPU, a stream of 200 deltas"


def _parallel(count: int) -> Callable[[str], Job]:
    return lambda client: Job(client, "parallel", {"count": count}, "deltas-200")


def _race(
    bench: Bench, job: Callable[[str], Job], rounds: int, without: Collection[str] = ()
) -> dict[str, Least]:
    return bench.race({name: job(client) for client, name in NAMES.items() if client not in without}, rounds)


def _row(bench: Bench, metric: str, job: Callable[[str], Job], rounds: int) -> Row:
    """Compare CPU times, as multiples of the floor's."""
    cpu = {name: least.cpu for name, least in _race(bench, job, rounds).items()}
    floor = cpu["floor"]
    peers = {name: time / floor for name, time in cpu.items() if name != "ours"}
    return Row(metric, cpu["ours"] / floor, "floor", peers=peers, absolute=cpu)


def _large(bench: Bench, rounds: int) -> Row:
    """Compare times: the floor splits an event that comes in many pieces in quadratic time."""
    cpu = {
        name: 1000 * least.cpu
        for name, least in _race(bench, _stream("large-4"), rounds, {*READ_ONLY_DELTAS, "floor"}).items()
    }
    return Row("CPU, one event of 4 MB", cpu.pop("ours"), unit="ms", peers=cpu)


def _first_delta(bench: Bench, rounds: int) -> list[Row]:
    """Measure with the hook registry of the kernel, which alone costs more than the rest, and without."""
    jobs = {name: Job(client, "first_delta", stream="stamped") for client, name in NAMES.items()}
    jobs["bare"] = Job("ours", "bare_first_delta", stream="stamped")
    delays = {
        name: 1000 * sorted(result["delay"] for result in least.rounds)[rounds // 2]
        for name, least in bench.race(jobs, rounds).items()
    }
    bare, ours = delays.pop("bare"), delays.pop("ours")
    return [
        Row("first delta (median)", ours, unit="ms", peers=delays),
        Row("… without the kernel's hooks", bare, unit="ms", peers={"floor": delays["floor"]}),
    ]


def _fresh(bench: Bench, rounds: int) -> Row:
    """Measure a whole process, from its start to the answer; ours imports amplifier_core."""
    url = f"http://127.0.0.1:{bench.ports['http']}/small-5"
    least = dict.fromkeys(NAMES.values(), float("inf"))
    for _ in range(rounds + 1):
        for client, name in NAMES.items():
            command = [bench.interpreter(client), "-c", FRESH.format(client=client), url]
            began = time.perf_counter()
            subprocess.run(command, cwd=ROOT, env=bench.environment(), check=True)
            least[name] = min(least[name], 1000 * (time.perf_counter() - began))
    return Row("first answer of a new process", least.pop("ours"), unit="ms", peers=least)


def _memory(bench: Bench) -> Row:
    job = _stream(f"deltas-{LARGE}")
    peaks = {name: bench.run(job(client), fresh=True)["peak"] for client, name in NAMES.items()}
    return Row(f"peak memory, {LARGE:,} deltas", peaks.pop("ours"), unit="MB", peers=peaks)
