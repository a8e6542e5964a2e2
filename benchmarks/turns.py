"""Tool turns of a conversation that grows: each adds a question to a tool and its result."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from .worker import resident

QUESTION = "Read all files and summarize them."
NAME = "read_file"
SPAN = 3


@dataclass(frozen=True)
class ToolTurn:
    """What one turn adds; every client writes it in its own objects."""

    thought: str
    talk: str
    call_id: str
    arguments: dict[str, Any]
    result: str


def tool_turn(number: int) -> ToolTurn:
    """Return the turn of that number, with a result of about 2 KB."""
    return ToolTurn(
        thought="gAAAA" * 180,
        talk=f"Now I read file {number}.",
        call_id=f"call_{number}",
        arguments={"path": f"src/file_{number}.py"},
        result=f"file {number}\n" + "One line of a result.\n" * 90,
    )


async def live(
    turns: int, step: int, add: Callable[[int], Any], send: Callable[[Any], Awaitable[dict[str, Any]]]
) -> dict[str, Any]:
    """Run a conversation; ``costs`` are the seconds of CPU time of every ``step``-th turn.

    ``add(number)`` adds a turn and returns the conversation as a host hands it over, at its own cost;
    ``send`` sends it and returns the answer. The least of SPAN turns counts, so no disturbance shows.
    """
    costs: list[float] = []
    for number in range(turns):
        conversation = add(number)
        began = time.process_time()
        result = await send(conversation)
        costs.append(time.process_time() - began)
    return {
        "costs": [min(costs[at - SPAN : at]) for at in range(step, turns + 1, step)],
        "resident": resident(),
        "output_tokens": result["output_tokens"],
    }
