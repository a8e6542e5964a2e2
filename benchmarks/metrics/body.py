"""From a conversation to a body, beside merely encoding that body as JSON."""

from __future__ import annotations

from ..bench import Bench, Job
from ..rows import Report, Row


def measure(bench: Bench) -> Report:
    shape = {"messages": 4000}
    jobs = {name: Job("bodies", name, shape) for name in ("build", "encode")}
    cpu = {name: least.cpu for name, least in bench.race(jobs, 8 if bench.quick else 25).items()}
    ratio = cpu["build"] / cpu["encode"]
    return Report([Row("body of 4,000 messages", ratio, "JSON encoding alone", goal=3, absolute=cpu)])
