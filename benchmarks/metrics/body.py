"""Building a request body, compared with only encoding that body as JSON."""

from __future__ import annotations

from ..bench import Bench, Job
from ..rows import Report, Row


def measure(bench: Bench) -> Report:
    rounds = 8 if bench.quick else 25
    usual, brief = (_race(bench, rounds, brief=brief) for brief in (False, True))
    compared = {"a bare loop without checks": "floor", "encoding it with the json module": "dumps"}
    return Report(
        [
            _row("CPU to build a body of 4,000 messages", usual, goal=3),
            *(Row("the same body", usual["build"] / usual[job], unit) for unit, job in compared.items()),
            _row("CPU to build a body of 4,000 short messages", brief),
        ]
    )


def _race(bench: Bench, rounds: int, *, brief: bool) -> dict[str, float]:
    shape = {"messages": 4000, "brief": brief}
    jobs = {name: Job("bodies", name, shape) for name in ("build", "encode", "floor", "dumps")}
    return {name: least.cpu for name, least in bench.race(jobs, rounds).items()}


def _row(name: str, cpu: dict[str, float], goal: float | None = None) -> Row:
    peers = {"floor": cpu["floor"] / cpu["encode"]}
    return Row(
        name, cpu["build"] / cpu["encode"], "encoding it as JSON", peers=peers, goal=goal, absolute=cpu
    )
