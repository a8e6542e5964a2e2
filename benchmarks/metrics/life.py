"""A conversation of many tool turns: what one turn costs as it grows."""

from __future__ import annotations

from urllib.request import urlopen

from ..bench import Bench, Job
from ..rows import Curve, Report, Row

TURNS, STEP = 400, 50
CLIENTS = {"ours": "ours", "codex_backend_sdk": "codex-backend-sdk", "codex_auth_helper": "codex-auth-helper"}


def measure(bench: Bench) -> Report:
    """Measure the peers only if they were installed before, by the subject ``peers``."""
    clients = {client: name for client, name in CLIENTS.items() if client == "ours" or bench.has_peers}
    curves, sent, memory = [], {}, {}
    for client, name in clients.items():
        before = _received(bench)
        job = Job(client, "life", {"turns": TURNS, "step": STEP}, "small-5")
        rounds = [bench.run(job, fresh=True) for _ in range(1 if bench.quick else 3)]
        costs = tuple(min(costs) for costs in zip(*(one["costs"] for one in rounds), strict=True))
        curves.append(Curve(f"a turn, {name}", "turns", tuple(range(STEP, TURNS + 1, STEP)), costs))
        sent[name] = (_received(bench) - before) / len(rounds) / 2**20
        memory[name] = min(one["resident"] for one in rounds)
    last = {curve.name.removeprefix("a turn, "): 1000 * curve.costs[-1] for curve in curves}
    return Report(
        [
            Row(f"CPU of turn {TURNS}", last.pop("ours"), unit="ms", peers=last),
            Row(f"sent in {TURNS} turns", sent.pop("ours"), unit="MB", peers=sent),
            Row(f"memory after {TURNS} turns", memory.pop("ours"), unit="MB", peers=memory),
        ],
        curves,
    )


def _received(bench: Bench) -> int:
    with urlopen(f"http://127.0.0.1:{bench.ports['http']}/received") as reply:
        return int(reply.read())
