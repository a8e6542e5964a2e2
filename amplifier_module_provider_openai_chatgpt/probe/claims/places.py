"""Where a claim comes from: the heading in the document of each service."""

from __future__ import annotations

from collections.abc import Mapping

from ...services import CHATGPT_CODEX, CHATGPT_PLAN

CODEX, PLAN = CHATGPT_CODEX.name, CHATGPT_PLAN.name
# A rough count of one small answered call: instructions, prompt, a little reasoning and the answer.
SMALL = 150


def codex(section: str) -> Mapping[str, str]:
    """A claim about the Codex service."""
    return {CODEX: section}


def plan(section: str) -> Mapping[str, str]:
    """A claim about the plan service."""
    return {PLAN: section}


def both(section: str, of_plan: str) -> Mapping[str, str]:
    """A claim about both."""
    return {CODEX: section, PLAN: of_plan}
