"""What the checks of ``doctor`` share: the provider, the findings so far, and how a check fails."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

from ..settings import Settings, read_settings

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..provider import ChatGPTProvider

# A check must not hide a failure that a retry ends.
OWN_SETTINGS = {"max_retries": 0}


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check: ``ok`` (None if skipped), what was found, and how to fix it."""

    check: str
    ok: bool | None
    found: str
    advice: str = ""

    def to_dict(self) -> dict[str, Any]:
        """JSON-safe form."""
        return asdict(self)


class CheckFailedError(Exception):
    """A check failed: what was found, and how to fix it."""

    def __init__(self, found: str, advice: str) -> None:
        super().__init__(found)
        self.found, self.advice = found, advice


class CheckSkippedError(Exception):
    """A check cannot run; the text is the reason."""


@dataclass(slots=True)
class Examination:
    """What the checks share: the provider that the environment configures, and the findings so far.

    ``dates`` are the ``Date`` headers of servers that answered; ``file_mode`` is that of the token file.
    """

    provider: ChatGPTProvider
    environ: Mapping[str, str]
    findings: dict[str, Finding] = field(default_factory=dict)
    dates: list[str] = field(default_factory=list)
    file_mode: int = 0

    @property
    def login_advice(self) -> str:
        """How to sign in."""
        return f"Run: {self.provider.settings.service.login}"

    def require(self, *checks: str) -> None:
        """Raise CheckSkippedError for the first of these checks that failed or was skipped."""
        for check in checks:
            finding = self.findings[check]
            if finding.ok is None:
                raise CheckSkippedError(finding.found)
            if not finding.ok:
                raise CheckSkippedError(f"skipped (depends on: {check})")


def configured(examination: Examination) -> Settings:
    """Return the settings without the one that only this command changes: it sends everything once."""
    settings = examination.provider.settings
    own = frozenset(OWN_SETTINGS)
    return replace(settings, given=settings.given - own, max_retries=read_settings({}, {}).max_retries)
