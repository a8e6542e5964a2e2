"""Every way a sign-in, its renewal or its storage fails: data first, and the one kernel error it becomes.

Inside this package failures are ``SignInError``; ``translated`` makes the kernel error where they leave it.
"""

from __future__ import annotations

import contextlib
from enum import Enum, auto
from typing import TYPE_CHECKING

from amplifier_core.llm_errors import (
    AccessDeniedError,
    AuthenticationError,
    ConfigurationError,
    LLMError,
    LLMTimeoutError,
    NetworkError,
    ProviderUnavailableError,
    RateLimitError,
)

from ..services import Rule
from ..settings import LOGIN_COMMAND, PROVIDER
from .store import StoreError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..errors.refusal import Refusal
    from ..errors.transport import TransportFault
    from .store import Unusable


class PortsTakenError(ConfigurationError):
    """A sign-in in the browser cannot begin on this machine; a device code needs no port."""


class Reason(Enum):
    """What went wrong; ``RULES`` says how it is reported."""

    NO_ANSWER = auto()
    UNREACHABLE = auto()
    CHALLENGED = auto()
    UNREADABLE = auto()
    REFUSED = auto()
    BUSY = auto()
    SERVER_TROUBLE = auto()
    NO_DEVICE_CODES = auto()
    CODE_EXPIRED = auto()
    NOT_APPROVED = auto()
    DENIED = auto()
    NOT_ALLOWED = auto()
    CANCELLED = auto()
    CODE_MISSING = auto()
    NO_CODEX = auto()
    BROWSER_ERROR = auto()
    BROWSER_TIMEOUT = auto()
    PORTS_TAKEN = auto()
    SIGNED_OUT = auto()
    NOT_USED = auto()
    RENEWAL_FAILED = auto()
    RENEWAL_BUSY = auto()
    RENEWAL_TIMEOUT = auto()
    RENEWAL_FAILED_JUST_NOW = auto()
    LOCKED = auto()


_BY_BROWSER = f"run `{LOGIN_COMMAND} --browser` instead"
_TRY_LATER = (
    "Signing in failed while {doing} (HTTP {status}{code}): start the sign-in again in a few minutes."
)
_NOT_RENEWED = (
    "The sign-in could not be renewed just now (HTTP {status} from {host}). You are still signed in: "
    "try again in a moment."
)

# ``sentence`` is filled in with the words of the failure, and with status, code and cf-ray of its refusal.
RULES: dict[Reason, Rule] = {
    Reason.NO_ANSWER: Rule(
        LLMTimeoutError, "{host} did not answer in time: check the network, then try again.", retryable=True
    ),
    Reason.UNREACHABLE: Rule(
        NetworkError, "{host} cannot be reached: check the network, then try again.", retryable=True
    ),
    Reason.CHALLENGED: Rule(
        ProviderUnavailableError,
        "Cloudflare blocks the sign-in from this network{ray}: try without VPN or proxy, "
        "or from another network.",
        quote=False,
    ),
    Reason.UNREADABLE: Rule(
        ProviderUnavailableError,
        "The sign-in server's answer with {what} cannot be read: try again in a moment.",
        retryable=True,
        quote=False,
    ),
    Reason.REFUSED: Rule(
        AuthenticationError,
        "Signing in failed while {doing} (HTTP {status}{code}): start the sign-in again.",
    ),
    Reason.BUSY: Rule(RateLimitError, _TRY_LATER, retryable=True),
    Reason.SERVER_TROUBLE: Rule(ProviderUnavailableError, _TRY_LATER, retryable=True),
    Reason.NO_DEVICE_CODES: Rule(
        AuthenticationError, f"This server does not offer device codes: {_BY_BROWSER}.", quote=False
    ),
    Reason.CODE_EXPIRED: Rule(
        AuthenticationError,
        "The device code has expired or was already used: start the sign-in again.",
        quote=False,
    ),
    Reason.NOT_APPROVED: Rule(
        AuthenticationError,
        "The device code was not approved in time: start the sign-in again. If the web page rejected the "
        'code, first switch on "Enable device code authorization for Codex" in the security settings '
        "of ChatGPT.",
    ),
    Reason.DENIED: Rule(AuthenticationError, "The sign-in was refused in the browser.", quote=False),
    Reason.NOT_ALLOWED: Rule(
        AccessDeniedError,
        "The sign-in is not allowed{code}, usually by a policy of the workspace: ask its admin to allow "
        f"device codes for Codex, or {_BY_BROWSER}.",
        quote=False,
    ),
    Reason.CANCELLED: Rule(
        AuthenticationError,
        "The sign-in was cancelled by another program on this machine that signs in to ChatGPT: "
        "start it again once the other one has ended.",
    ),
    Reason.CODE_MISSING: Rule(
        AuthenticationError, "The browser brought no authorization code: start the sign-in again."
    ),
    Reason.NO_CODEX: Rule(
        AuthenticationError, "Codex is not enabled for your workspace: ask its administrator for access."
    ),
    Reason.BROWSER_ERROR: Rule(AuthenticationError, "The sign-in failed in the browser: {said}"),
    Reason.BROWSER_TIMEOUT: Rule(
        AuthenticationError,
        "The sign-in was not finished in the browser within {minutes} minutes: start it again.",
    ),
    Reason.PORTS_TAKEN: Rule(
        PortsTakenError,
        "The ports {ports} of this machine are all in use, and a sign-in in the browser needs one of them: "
        f"close the other program, or run `{LOGIN_COMMAND} --device` for a code.",
    ),
    # Hosts cut errors after 57 characters, class name included: the command comes first.
    Reason.SIGNED_OUT: Rule(AuthenticationError, f"Run {LOGIN_COMMAND}: you are not signed in.{{because}}"),
    Reason.NOT_USED: Rule(AuthenticationError, "Not signed in. {why}"),
    Reason.RENEWAL_FAILED: Rule(ProviderUnavailableError, _NOT_RENEWED, retryable=True, quote=False),
    Reason.RENEWAL_BUSY: Rule(RateLimitError, _NOT_RENEWED, retryable=True, quote=False),
    Reason.RENEWAL_TIMEOUT: Rule(
        ProviderUnavailableError,
        "The sign-in server did not renew the sign-in in time. You are still signed in: try again.",
        retryable=True,
    ),
    Reason.RENEWAL_FAILED_JUST_NOW: Rule(
        ProviderUnavailableError,
        "A renewal of the sign-in has just failed. You are still signed in: try again in a moment.",
        retryable=True,
    ),
    Reason.LOCKED: Rule(
        ProviderUnavailableError,
        "Another process has been renewing the sign-in for {seconds} seconds: try again.",
        retryable=True,
    ),
}


class SignInError(Exception):
    """One failure, as data. Its text is the sentence for a person; it never holds a code or a token.

    ``words`` fill the sentence of the reason; ``refusal`` is what the issuer said, if it said anything.
    """

    def __init__(self, reason: Reason, refusal: Refusal | None = None, **words: str) -> None:
        super().__init__(reason)
        self.reason = reason
        self.refusal = refusal
        self._words = words

    @property
    def rule(self) -> Rule:
        """How it is reported: a fault of the network as it is for calls."""
        fault = self._fault()
        return fault.rule if fault else RULES[self.reason]

    def __str__(self) -> str:
        rule, refusal = self.rule, self.refusal
        if fault := self._fault():
            cause = f" Cause: {fault.message}" if rule.quote and fault.message else ""
            return fault.sentence(self._words["host"]) + cause
        if refusal is None:
            return rule.sentence.format_map({"because": "", **self._words})
        facts = {
            "status": str(refusal.status),
            "code": f", {refusal.code}" if refusal.code else "",
            "ray": f" (cf-ray {refusal.cf_ray})" if refusal.cf_ray else "",
        }
        adds = rule.quote and refusal.message.lower() not in {"", refusal.code}
        said = f" The server says: {refusal.message}" if adds else ""
        return rule.sentence.format_map(facts | self._words) + said

    def _fault(self) -> TransportFault | None:
        if self.refusal is None:
            return None
        from ..errors.transport import TransportFault  # mounting does without it

        return self.refusal if isinstance(self.refusal, TransportFault) else None


class RefreshRefusedError(Exception):
    """A refresh token will never work again; the text says why, as the end of a sentence."""


def signed_out(problem: Unusable | None, because: str = "") -> SignInError | StoreError:
    """Return the failure that only a person can end: why what is stored is not used, or ``because``."""
    if problem is None or because:
        return SignInError(Reason.SIGNED_OUT, because=because and f" {because}")
    if problem.foreign:
        return StoreError(problem.text)
    if problem.is_ours:
        return SignInError(Reason.SIGNED_OUT, because=f" {problem.what} is not used: {problem.why}.")
    return SignInError(Reason.NOT_USED, why=problem.text)


def kernel_error(failure: SignInError | StoreError) -> LLMError:
    """Return the kernel error of a failure, to be raised from it."""
    if isinstance(failure, StoreError):
        return ConfigurationError(str(failure), provider=PROVIDER)
    rule, refusal = failure.rule, failure.refusal
    is_signed_out = failure.reason in {Reason.SIGNED_OUT, Reason.NOT_USED}
    status = 401 if is_signed_out else refusal.status if refusal else None
    return rule.error(str(failure), provider=PROVIDER, status_code=status, retryable=rule.retryable)


@contextlib.contextmanager
def translated() -> Iterator[None]:
    """Make the kernel error of whatever fails in the block; everything else passes through."""
    try:
        yield
    except (SignInError, StoreError) as failure:
        raise kernel_error(failure) from failure
