"""What can go wrong in this sign-in only; all else is a ``SignInError`` of the package above."""

from __future__ import annotations

from enum import Enum, auto
from typing import TYPE_CHECKING

from amplifier_core.llm_errors import (
    AccessDeniedError,
    AuthenticationError,
    ConfigurationError,
    ProviderUnavailableError,
)

from ...services import CHATGPT_PLAN, Rule
from ..failures import Reason, SignInError
from ..store import StoreError

if TYPE_CHECKING:
    from ...errors.refusal import Refusal
    from ..store import Unusable

LOGIN = CHATGPT_PLAN.login
ENABLE = f"{LOGIN} --enable-plan"


class Problem(Enum):
    """What went wrong; ``RULES`` says how it is reported."""

    SIGNED_OUT = auto()
    NOT_USED = auto()
    NO_PLAN_USE = auto()
    FOREIGN_ENDPOINT = auto()
    KEYS_UNAVAILABLE = auto()
    UNTRUSTED = auto()
    CLOCK = auto()
    OTHER_ACCOUNT = auto()
    UNREGISTERED = auto()
    OTHER_CLIENT = auto()
    CHANGED_MEANWHILE = auto()
    UNDER_WAY = auto()
    SAME_PATHS = auto()
    TAKEN = auto()
    OTHER_REGISTRATION = auto()
    CODE_REFUSED = auto()
    TIMED_OUT = auto()
    NO_LIBRARY = auto()
    NO_ADDRESSES = auto()


_AGAIN = "start the sign-in again"
RULES: dict[Problem, Rule] = {
    Problem.SIGNED_OUT: Rule(AuthenticationError, f"Run {LOGIN}: you are not signed in.{{because}}"),
    Problem.NOT_USED: Rule(AuthenticationError, "Not signed in. {why}"),
    Problem.NO_PLAN_USE: Rule(AccessDeniedError, f"Run {ENABLE}: this app may not use your ChatGPT plan."),
    Problem.FOREIGN_ENDPOINT: Rule(
        ProviderUnavailableError,
        "The sign-in server names an address that is not its own ({name}), so nothing is sent there: "
        "try again in a moment, from another network if you can.",
    ),
    Problem.KEYS_UNAVAILABLE: Rule(
        ProviderUnavailableError,
        "The sign-in could not be verified just now, because the sign-in server's keys are not available: "
        "try again in a moment.",
        retryable=True,
    ),
    Problem.UNTRUSTED: Rule(
        AuthenticationError, f"The sign-in server's id token cannot be trusted: {{why}}. Please {_AGAIN}."
    ),
    Problem.CLOCK: Rule(
        ConfigurationError,
        "Check this machine's clock: by it, the sign-in server's id token {why}. Set it, then try again.",
    ),
    Problem.OTHER_ACCOUNT: Rule(
        AuthenticationError,
        "This is another ChatGPT account than the stored one: choose that one in the browser, "
        "or set token_file_path to another file for this one.",
    ),
    Problem.UNREGISTERED: Rule(
        AuthenticationError, f"The browser brought no registration of this app: {_AGAIN}."
    ),
    Problem.OTHER_CLIENT: Rule(
        AuthenticationError, f"The browser brought the registration of another app: {_AGAIN}."
    ),
    Problem.CHANGED_MEANWHILE: Rule(
        AuthenticationError, f"The stored sign-in changed while you were signing in: {_AGAIN}."
    ),
    Problem.UNDER_WAY: Rule(
        AuthenticationError,
        "Another sign-in with {place} is under way: finish it or cancel it, then start again.",
    ),
    Problem.SAME_PATHS: Rule(
        ConfigurationError,
        "Sign-in, source, registration and host id need a file each: {place} is named twice.",
    ),
    Problem.TAKEN: Rule(
        ConfigurationError,
        "There is already a sign-in in {place}: name a new file for the one that replaces its source.",
    ),
    Problem.OTHER_REGISTRATION: Rule(
        ConfigurationError,
        "The sign-in in {place} belongs to another registration of this app: use --profile NAME, "
        "or sign out first.",
    ),
    Problem.NO_ADDRESSES: Rule(
        AuthenticationError,
        "Signing in failed while asking for the server's addresses (HTTP {status}{code}): check auth_url, "
        f"then {_AGAIN}.",
    ),
    Problem.CODE_REFUSED: Rule(AuthenticationError, f"The authorization code was not accepted: {_AGAIN}."),
    Problem.TIMED_OUT: Rule(AuthenticationError, f"The sign-in was not completed in time: {_AGAIN}."),
    Problem.NO_LIBRARY: Rule(
        ConfigurationError,
        "Sign in with ChatGPT needs the package cryptography: install this provider again.",
    ),
}
_SIGNED_OUT = {Problem.SIGNED_OUT, Problem.NOT_USED}


def not_used(found: Unusable) -> PlanError | StoreError:
    """Return the failure that what is stored is not used."""
    return StoreError(found.text) if found.foreign else PlanError(Problem.NOT_USED, why=found.text)


class PlanError(SignInError):
    """One failure, as data; ``words`` fill the sentence of the problem."""

    def __init__(self, problem: Problem, refusal: Refusal | None = None, **words: str) -> None:
        reason = Reason.SIGNED_OUT if problem in _SIGNED_OUT else Reason.REFUSED
        super().__init__(reason, refusal, **words)
        self.problem = problem

    @property
    def rule(self) -> Rule:
        """How it is reported."""
        return RULES[self.problem]
