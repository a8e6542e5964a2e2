"""How hard the model shall think: which effort was asked for, and what of it this model is sent."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from amplifier_core.llm_errors import ConfigurationError, InvalidRequestError

from ..settings import EFFORTS, PROVIDER

if TYPE_CHECKING:
    from ..models.model import Model

# From least to most. The backend knows the last one by the name of the one before.
SCALE = (*EFFORTS, "ultra")
_SENT_AS = {"ultra": "max"}
_PRO = "gpt-5.5-pro"
_PRO_EFFORTS = ("medium", "high", "xhigh")

logger = logging.getLogger(__name__)


def choose_effort(asked: Any, configured: str | None, model: Model, *, thinking: object = None) -> str | None:
    """Return the effort to send, or None: the model's own default.

    ``asked`` by the call counts before ``configured``; both may be a word or ``{"effort": word}``.
    ``thinking`` False wants no reasoning and counts before both. An effort the model does not list
    goes down to the nearest lower one, or up to its lowest. Raises InvalidRequestError
    (ConfigurationError for ``configured``) for a word that is no effort at all, and for gpt-5.5-pro
    below medium.
    """
    if thinking is False:
        return "none" if "none" in model.efforts else None
    word = _word(asked)
    refusal: type[InvalidRequestError | ConfigurationError] = InvalidRequestError
    if word is None:
        word, refusal = _word(configured), ConfigurationError
    if word is None:
        return None
    if word not in SCALE and word not in model.efforts:
        shown = word if len(word) <= 40 else word[:37] + "..."
        raise refusal(
            f"Reasoning effort {shown!r} is not known; use one of {', '.join(model.efforts or SCALE)}.",
            provider=PROVIDER,
            model=model.slug,
        )
    if model.slug.startswith(_PRO) and word not in _PRO_EFFORTS:
        raise InvalidRequestError(
            f"{model.slug} does not take reasoning effort {word!r}; use one of {', '.join(_PRO_EFFORTS)}.",
            provider=PROVIDER,
            model=model.slug,
        )
    return _offered(word, model)


def _word(asked: Any) -> str | None:
    if isinstance(asked, Mapping):
        asked = asked.get("effort")
    if asked is None:
        return None
    return str(asked).strip().lower() or None


def _offered(word: str, model: Model) -> str:
    if not model.efforts or word in model.efforts:
        return _SENT_AS.get(word, word)
    place = SCALE.index(word)
    offered = [step for step in SCALE if step in model.efforts]
    lower = [step for step in offered if SCALE.index(step) < place]
    chosen = lower[-1] if lower else (offered or list(model.efforts))[0]
    logger.info("%s has no reasoning effort %s; %s is sent instead.", model.slug, word, chosen)
    return _SENT_AS.get(chosen, chosen)
