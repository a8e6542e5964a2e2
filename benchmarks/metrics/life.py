"""A conversation of many tool turns: what one turn costs as it grows."""

from __future__ import annotations

from urllib.request import urlopen

from ..bench import Bench, Job, Result
from ..rows import Curve, Report, Row

TURNS, STEP = 400, 50
# codex-auth-helper would take minutes for the whole conversation.
SHORT_TURNS, SHORT_STEP = 100, 25
PEER, SLOW_PEER = "codex-backend-sdk", "codex-auth-helper"


def measure(bench: Bench) -> Report:
    """Measure the peers only if they were installed before, by the subject ``peers``."""
    rounds = 1 if bench.quick else 3
    before = _received(bench)
    lives = {"ours": _lives(bench, "ours", TURNS, STEP, rounds)}
    sent = {"ours": _received(bench) - before}
    if bench.has_peers:
        lives[PEER] = _lives(bench, "codex_backend_sdk", TURNS, STEP, rounds)
        sent[PEER] = _received(bench) - before - sent["ours"]
    curves = [_curve(name, TURNS, STEP, found) for name, found in lives.items()]
    if bench.has_peers:
        slow = _lives(bench, "codex_auth_helper", SHORT_TURNS, SHORT_STEP, 1)
        curves.append(_curve(SLOW_PEER, SHORT_TURNS, SHORT_STEP, slow))
    last = {curve.name: 1000 * curve.costs[-1] for curve in curves if curve.sizes[-1] == TURNS}
    memory = {name: min(one["resident"] for one in found) for name, found in lives.items()}
    megabytes = {name: size / rounds / 2**20 for name, size in sent.items()}
    return Report(
        [
            Row(f"CPU of turn {TURNS}", last.pop("ours"), unit="ms", peers=last),
            Row(f"request bodies of {TURNS} turns", megabytes.pop("ours"), unit="MB", peers=megabytes),
            Row(f"memory after {TURNS} turns", memory.pop("ours"), unit="MB", peers=memory),
        ],
        lives=curves,
    )


def _lives(bench: Bench, client: str, turns: int, step: int, rounds: int) -> list[Result]:
    job = Job(client, "life", {"turns": turns, "step": step}, "small-5")
    return [bench.run(job, fresh=True) for _ in range(rounds)]


def _curve(name: str, turns: int, step: int, found: list[Result]) -> Curve:
    costs = tuple(min(costs) for costs in zip(*(one["costs"] for one in found), strict=True))
    return Curve(name, "turns", tuple(range(step, turns + 1, step)), costs)


def _received(bench: Bench) -> int:
    """Return the bytes of all request bodies so far."""
    with urlopen(f"http://127.0.0.1:{bench.ports['http']}/received") as reply:
        return int(reply.read())
