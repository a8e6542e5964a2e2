"""Checks claims one after the other; whatever the service does, each row gets a verdict."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, assert_never

from amplifier_core.llm_errors import AuthenticationError, LLMError, QuotaExceededError

from ..errors.refusal import Refusal
from ..errors.transport import TransportFault
from .claim import Finding, NotCheckedError, Result, StoppedError, UnclearError
from .shape import safe

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .claim import Claim, Run
    from .session import Session

# So many connections that fail in a row end the run.
_MOST_FAILURES = 3
_NO_CONNECTION = "no answer: "
STOPPED = "the run was stopped: "


async def run_claims(
    session: Session, claims: Sequence[Claim], run: Run, on_result: Callable[[Result], object]
) -> None:
    """Check the claims; ``run`` gets each result as soon as there is one, also if this is cancelled.

    A refused sign-in and a reached limit end the run; other failures concern only their row.
    """
    failures = 0
    try:
        for claim in claims:
            result = await _checked(session, claim, run)
            failures = failures + 1 if result.finding.found.startswith(_NO_CONNECTION) else 0
            if failures >= _MOST_FAILURES and not run.stopped:
                run.stopped = "the service cannot be reached"
            run.results.append(result)
            on_result(result)
    finally:
        run.requests, run.tokens = session.requests, session.tokens


async def _checked(session: Session, claim: Claim, run: Run) -> Result:
    if claim.check is None:
        return Result(claim, Finding("not checked", claim.why_not))
    if run.stopped:
        return Result(claim, Finding("not checked", STOPPED + run.stopped))
    started = time.monotonic()
    try:
        finding = await claim.check(session)
    except (UnclearError, NotCheckedError, StoppedError) as reason:
        finding = _reason(reason, run)
    except TransportFault as fault:
        finding = Finding("unclear", _NO_CONNECTION + safe(fault.sentence()))
    except Refusal as refusal:
        finding = Finding("unclear", safe(str(refusal)))
    except (AuthenticationError, QuotaExceededError) as error:
        run.stopped = safe(str(error))
        finding = Finding("not checked", run.stopped)
    except LLMError as error:
        finding = Finding("unclear", safe(str(error)))
    except Exception as error:  # noqa: BLE001 - one odd answer must not end the run
        finding = Finding("unclear", f"the answer has an unexpected shape ({type(error).__name__})")
    return Result(claim, finding, time.monotonic() - started)


def _reason(reason: UnclearError | NotCheckedError | StoppedError, run: Run) -> Finding:
    match reason:
        case UnclearError():
            return Finding("unclear", str(reason))
        case NotCheckedError():
            return Finding("not checked", str(reason))
        case StoppedError():
            run.stopped = str(reason)
            return Finding("not checked", f"{STOPPED}{reason}")
        case _:
            assert_never(reason)
