"""Reasoning effort: which one was requested, and which one this model is sent."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from amplifier_core.llm_errors import ConfigurationError, InvalidRequestError

from ..settings import EFFORTS, PROVIDER

if TYPE_CHECKING:
    from ..models.model import Model

# From lowest to highest. On the wire ultra is called max (docs/backend.md, Request body).
SCALE = (*EFFORTS, "ultra")
_SENT_AS = {"ultra": "max"}
_PRO = "gpt-5.5-pro"
_PRO_EFFORTS = ("medium", "high", "xhigh")

logger = logging.getLogger(__name__)


def choose_effort(
    asked: object, configured: str | None, model: Model, *, thinking: object = None
) -> str | None:
    """Return the effort to send, or None: the model's own default.

    ``asked``, from the call, takes precedence over ``configured``; both may be a word or
    ``{"effort": word}``. ``configured`` "none" means that no effort is configured. ``thinking`` False turns
    reasoning off and takes precedence over both. An effort the model does not list is lowered to the
    nearest one it does, else raised to its lowest. Raises InvalidRequestError (ConfigurationError for
    ``configured``) for an unknown word, and for an effort that gpt-5.5-pro does not accept.
    """
    if thinking is False:
        return "none" if "none" in model.efforts else None
    word = _word(asked)
    refusal: type[InvalidRequestError | ConfigurationError] = InvalidRequestError
    if word is None:
        word, refusal = _word(configured), ConfigurationError
        # In settings it means that no effort is configured, as in the plugin that this one replaces.
        word = None if word == "none" else word
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


def nearest(effort: str, accepted: Sequence[str]) -> str:
    """Return the nearest lower effort of those accepted, else the lowest; ``accepted`` is not empty."""
    place = SCALE.index(effort) if effort in SCALE else len(SCALE)
    offered = [step for step in SCALE if step in accepted]
    lower = [step for step in offered if SCALE.index(step) < place]
    return lower[-1] if lower else (offered or list(accepted))[0]


def _word(asked: object) -> str | None:
    if isinstance(asked, Mapping):
        asked = asked.get("effort")
    if asked is None:
        return None
    return str(asked).strip().lower() or None


def _offered(word: str, model: Model) -> str:
    if not model.efforts or word in model.efforts:
        return _SENT_AS.get(word, word)
    chosen = nearest(word, model.efforts)
    logger.info("%s does not list reasoning effort %s; sending %s.", model.slug, word, chosen)
    return _SENT_AS.get(chosen, chosen)
