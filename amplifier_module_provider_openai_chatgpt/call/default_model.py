"""The model of a call that does not name one: the configured model, or its successor."""

from __future__ import annotations

import logging
from contextlib import suppress
from typing import TYPE_CHECKING

from amplifier_core.llm_errors import LLMError

from ..models.model import LATEST, split_fast
from ..models.retirement import is_retired

if TYPE_CHECKING:
    from ..models.cache import CachedCatalogue
    from ..secret import Secret
    from .context import CallContext

logger = logging.getLogger(__name__)


async def default_model(context: CallContext, account_id: Secret[str], gone: str = "") -> str:
    """Return the model id for this account: never ``gone``, and one that the backend lists, if that is known.

    Raises kernel errors for ``latest`` when signed out.
    """
    wanted, catalogue = context.default_model, context.catalogue
    if wanted == LATEST:
        return await catalogue.latest([*context.shapes.gone(context.account_id()), gone])
    known = catalogue.cached()
    if _is_missing(wanted, known) and not catalogue.is_live:
        with suppress(LLMError):
            await catalogue.list()
        known = catalogue.cached()
    used = known.resolve(wanted, gone=[*context.shapes.gone(account_id), gone])
    if used != wanted:
        await _report(wanted, used, context)
    return used


def _is_missing(wanted: str, known: CachedCatalogue) -> bool:
    """True if the backend's list lacks the model and OpenAI has not named a successor for it."""
    slug, _ = split_fast(wanted)
    return known.lacks(slug) and not is_retired(slug)


async def _report(wanted: str, used: str, context: CallContext) -> None:
    """Show and log once that a model was replaced; users are warned only about a model they chose."""
    message = f"The model {wanted} is no longer available; using {used}."
    if context.is_model_configured:
        await context.notices.once(message)
    if not context.shapes.is_first_report(message):
        return
    if context.is_model_configured:
        logger.warning("%s Change default_model to silence this warning.", message)
    else:
        logger.info("%s", message)
