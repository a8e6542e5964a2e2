"""How CPU time grows with events, event size, messages, message size, tools and parallel calls."""

from __future__ import annotations

from collections.abc import Callable

from ..bench import Bench, Job
from ..rows import Curve, Report, Row

LINEAR = 1.25
SIZES = {
    "events": (5_000, 20_000, 80_000),
    "one event": (2, 4, 8),
    "messages": (1_000, 4_000, 16_000),
    "a message": (250_000, 1_000_000, 4_000_000),
    "tools": (16, 64, 256),
    "parallel calls": (1, 16, 64),
}
UNITS = {"one event": "MB", "a message": "characters"}
JOBS: dict[str, Callable[[int], Job]] = {
    "events": lambda size: Job("ours", "stream", stream=f"deltas-{size}"),
    "one event": lambda size: Job("ours", "stream", stream=f"large-{size}"),
    "messages": lambda size: Job("bodies", "build", {"messages": size}),
    "a message": lambda size: Job("bodies", "build", {"messages": 0, "length": size}),
    "tools": lambda size: Job("bodies", "build", {"messages": 0, "tools": size}),
    "parallel calls": lambda size: Job("ours", "parallel", {"count": size}, stream="deltas-200"),
}
BATCH = 300


def measure(bench: Bench) -> Report:
    curves = [_curve(bench, name) for name in JOBS]
    return Report([*(curve.row(LINEAR) for curve in curves), *_long_life(bench)], curves)


def _curve(bench: Bench, name: str) -> Curve:
    sizes = SIZES[name][:2] if bench.quick else SIZES[name]
    jobs = {str(size): JOBS[name](size) for size in sizes}
    times = bench.race(jobs, 2 if bench.quick else 7)
    return Curve(name, UNITS.get(name, name), sizes, tuple(least.cpu for least in times.values()))


def _long_life(bench: Bench) -> list[Row]:
    """Compare batches of calls in one process; the first batch fills the caches."""
    count = BATCH // 3 if bench.quick else BATCH
    job = Job("ours", "resident", {"count": count}, stream="small-5")
    batches = bench.race({"ours": job}, 3 if bench.quick else 8)["ours"].rounds
    first, last = batches[0], batches[-1]
    calls = count * (len(batches) - 1)
    grown = last["resident"] - first["resident"]
    slower = min(batch["cpu"] for batch in batches[-2:]) / min(batch["cpu"] for batch in batches[:2])
    return [
        Row(f"memory growth over {calls:,} calls", grown, unit="MB", goal=1),
        Row(f"CPU of a call after {calls:,} calls", slower, "a call before them", goal=LINEAR),
    ]
