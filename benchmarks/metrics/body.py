"""From a conversation to a body, beside merely encoding that body as JSON."""

from __future__ import annotations

from ..bench import Bench, Job
from ..rows import Report, Row


def measure(bench: Bench) -> Report:
    rounds = 8 if bench.quick else 25
    usual, brief = (_race(bench, rounds, brief=brief) for brief in (False, True))
    beside = {"items made without care": "floor", "the standard library's encoding": "dumps"}
    return Report(
        [
            _row("body of 4,000 messages", usual, goal=3),
            *(Row("the same", usual["build"] / usual[job], yardstick) for yardstick, job in beside.items()),
            _row("body of 4,000 brief messages", brief),
        ]
    )


def _race(bench: Bench, rounds: int, *, brief: bool) -> dict[str, float]:
    shape = {"messages": 4000, "brief": brief}
    jobs = {name: Job("bodies", name, shape) for name in ("build", "encode", "floor", "dumps")}
    return {name: least.cpu for name, least in bench.race(jobs, rounds).items()}


def _row(name: str, cpu: dict[str, float], goal: float | None = None) -> Row:
    peers = {"floor": cpu["floor"] / cpu["encode"]}
    return Row(name, cpu["build"] / cpu["encode"], "JSON encoding", peers=peers, goal=goal, absolute=cpu)
