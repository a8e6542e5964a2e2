"""The model of a call that names none: the configured one, or what takes its place."""

from __future__ import annotations

import logging
from contextlib import suppress
from typing import TYPE_CHECKING

from amplifier_core.llm_errors import LLMError

from ..models.model import LATEST, split_fast
from ..models.retirement import is_retired

if TYPE_CHECKING:
    from ..models.catalogue import Catalogue
    from .context import CallContext

logger = logging.getLogger(__name__)


async def default_model(context: CallContext, gone: str = "") -> str:
    """Return the id to use, which is a live one as far as that is known, and not ``gone``.

    Raises kernel errors for ``latest`` while signed out.
    """
    wanted, catalogue = context.default_model, context.catalogue
    if wanted == LATEST:
        return await catalogue.latest()
    if _is_in_doubt(wanted, catalogue):
        with suppress(LLMError):
            await catalogue.list()
    used = catalogue.present(wanted, gone=[*context.shapes.gone(context.account_id()), gone])
    if used != wanted:
        _report(wanted, used, context)
    return used


def _is_in_doubt(wanted: str, catalogue: Catalogue) -> bool:
    """True where only an old list lacks a model for which OpenAI has named no successor."""
    slug, _ = split_fast(wanted)
    return catalogue.lacks(slug) and not is_retired(slug) and not catalogue.is_live


def _report(wanted: str, used: str, context: CallContext) -> None:
    """Say once per process that a model was replaced; our own default is not the person's concern."""
    message = f"The model {wanted} is no longer available; using {used}."
    if not context.shapes.is_news(message):
        return
    if context.is_model_configured:
        logger.warning("%s Change default_model to silence this warning.", message)
    else:
        logger.info("%s", message)
