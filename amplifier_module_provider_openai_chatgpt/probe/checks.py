"""The usual checks, made from data: a call is refused, a call is answered, an answer shows something."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from .claim import Check, Finding, UnclearError, confirmed, refuted
from .session import PROMPT, why_not
from .shape import refusal_shape

if TYPE_CHECKING:
    from ..errors.refusal import Refusal
    from .reading import Answer
    from .session import Session

Fields = Mapping[str, Any]
ANSWERED = "the call was answered"


def refused(
    fields: Fields | None = None,
    headers: Mapping[str, str | None] | None = None,
    *,
    tools: Sequence[Fields] = (),
    model: str = "",
    says: str = "",
    reads: Callable[[Refusal], object] | None = None,
    statuses: Sequence[int | None] = (400,),
) -> Check:
    """Return a check of a changed plain call that must be refused.

    ``says`` is a pattern for the words, ``reads`` the project's own function that must recognize them.
    """

    async def check(session: Session) -> Finding:
        answer = await session.call(fields, headers, tools=tools, model=model)
        return judged(answer, says=says, reads=reads, statuses=statuses)

    return check


def judged(
    answer: Answer,
    *,
    says: str = "",
    reads: Callable[[Refusal], object] | None = None,
    statuses: Sequence[int | None] = (400,),
) -> Finding:
    """Return whether an answer is the expected refusal. Raises UnclearError for a failure of the server."""
    refusal = answer.refusal
    if refusal is None:
        if not answer.is_answered and answer.document is None:
            raise UnclearError(why_not(answer))
        return refuted(f"{ANSWERED} instead of refused")
    shape = refusal_shape(refusal)
    if refusal.status is not None and refusal.status >= 500:
        raise UnclearError(why_not(answer))
    if refusal.status not in statuses:
        return refuted(f"refused with another status: {why_not(answer)}", shape)
    is_as_said = bool(re.search(says, f"{refusal.code} {refusal.message}", re.IGNORECASE))
    if is_as_said and (reads is None or reads(refusal)):
        return confirmed(why_not(answer), shape)
    return refuted(f"refused in other words: {why_not(answer)}", shape)


def accepted(
    fields: Fields | None = None,
    headers: Mapping[str, str | None] | None = None,
    *,
    tools: Sequence[Fields] = (),
    text: str = PROMPT,
    shows: Callable[[Answer], Finding] | None = None,
) -> Check:
    """Return a check of a changed plain call that must be answered; ``shows`` looks at its answer."""

    async def check(session: Session) -> Finding:
        return answered(await session.call(fields, headers, tools=tools, text=text), shows)

    return check


def answered(answer: Answer, shows: Callable[[Answer], Finding] | None = None) -> Finding:
    """Return whether a call was answered. Raises UnclearError for a failure of the server."""
    refusal = answer.refusal
    if refusal is not None and refusal.status is not None and 400 <= refusal.status < 500:
        return refuted(f"refused: {why_not(answer)}", refusal_shape(refusal))
    if not answer.is_answered:
        raise UnclearError(why_not(answer))
    return shows(answer) if shows else confirmed(ANSWERED)


def seen(look: Callable[[Answer], Finding]) -> Check:
    """Return a check that only looks at the plain call's answer."""

    async def check(session: Session) -> Finding:
        base = await session.base()
        return look(base.answer)

    return check
