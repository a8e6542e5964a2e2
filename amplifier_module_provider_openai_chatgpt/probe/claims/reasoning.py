"""Claims about reasoning that is sent back, and about the prompt cache."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ...errors.refusal import is_stale_reasoning
from ...protocol.conversation import uuid7
from ..checks import answered, judged
from ..claim import Claim, Finding, UnclearError, confirmed, decided, refuted
from ..session import is_gate, must_be_answered, why_not
from ..shape import shape_of
from .places import SMALL, both, codex, plan

if TYPE_CHECKING:
    from ..reading import Answer
    from ..session import Session

Fields = Mapping[str, Any]

# The shortest prompt that is cached has 1,024 tokens.
_LONG = "The quick brown fox jumps over the lazy dog while the careful reader counts every word. " * 130
_CACHED_TOKENS = 2_400
_TRIES = 3
_QUOTED = 200
# Longer ciphertext for one short answer is not sent back.
_LONGEST_SEALED = 100_000


async def _thought(session: Session) -> Fields:
    """Return the plain call's reasoning as it is sent back. Raises UnclearError without any."""
    base = await session.base()
    items = base.answer.items_of("reasoning")
    if not items:
        raise UnclearError("the answer to the plain call has no reasoning")
    sealed = items[-1].get("encrypted_content")
    if not isinstance(sealed, str) or not 0 < len(sealed) <= _LONGEST_SEALED:
        raise UnclearError("the reasoning of the plain call has no usable ciphertext")
    return {"type": "reasoning", "summary": [], "encrypted_content": sealed}


async def _replay(session: Session, thought: Fields, model: str = "") -> Answer:
    """Send a conversation in which this reasoning precedes the first answer."""
    base = await session.base()
    body = session.body(model or base.model.slug)
    said = {
        "type": "message",
        "role": "assistant",
        "content": [{"type": "output_text", "text": base.answer.text[:_QUOTED] or "ready"}],
    }
    again = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Again, please."}]}
    return await session.post({**body, "input": [*body["input"], thought, said, again]}, base.headers)


async def _replay_own(session: Session) -> Answer:
    thought = await _thought(session)
    return await session.once("replay", lambda: _replay(session, thought))


async def _sealed(session: Session) -> Finding:
    base = await session.base()
    items = base.answer.items_of("reasoning")
    if not items:
        raise UnclearError("the answer to the plain call has no reasoning")
    has = all(isinstance(item.get("encrypted_content"), str) for item in items)
    return decided(has, "with ciphertext" if has else "without ciphertext", shape_of(dict(items[-1])))


async def _own(session: Session) -> Finding:
    return answered(await _replay_own(session))


async def _included(session: Session) -> Finding:
    answer = must_be_answered(await _replay_own(session))
    has = bool(answer.headers.get("x-reasoning-included"))
    return decided(has, "the header is there" if has else "the header is not there")


async def _changed(session: Session) -> Finding:
    thought = await _thought(session)
    sealed = thought["encrypted_content"]
    flipped = sealed[:-6] + ("AAAAAA" if sealed[-6:] != "AAAAAA" else "BBBBBB")
    return judged(await _replay(session, {**thought, "encrypted_content": flipped}), reads=is_stale_reasoning)


async def _bound(session: Session) -> Finding:
    thought, other = await _thought(session), await session.other_family()
    answer = await _replay(session, thought, other.slug)
    if answer.refusal is not None and is_gate(answer.refusal):
        raise UnclearError(f"{other.slug}: {why_not(answer)}")
    return judged(answer)


async def _cache(session: Session) -> Finding:
    """Send a long prompt again until tokens of it come from the cache."""
    base = await session.base()
    conversation = uuid7()
    headers = {**base.headers, **dict.fromkeys(session.service.request.session, conversation)}
    body = {**session.body(base.model.slug, _LONG), "prompt_cache_key": conversation}
    for number in range(1, _TRIES + 1):
        answer = must_be_answered(await session.post(body, headers))
        if answer.cached_tokens is None:
            raise UnclearError("the answer does not say how many tokens came from the cache")
        if number > 1 and answer.cached_tokens:
            return confirmed(f"{answer.cached_tokens} tokens from the cache at call {number}")
    return refuted(f"nothing from the cache in {_TRIES} calls")


_CACHE = {
    "sends": "two or three calls with the same long prompt",
    "expects": "`cached_tokens` above 0 from the second call on",
}

CLAIMS = (
    Claim(
        "reasoning.sealed",
        "Reasoning has an encrypted_content when include asks for it.",
        both("Reasoning replay", "Requests"),
        "the plain call",
        "each `reasoning` item has `encrypted_content`",
        _sealed,
        requests=0,
    ),
    Claim(
        "reasoning.replay",
        "Reasoning can be sent back to the model that wrote it.",
        both("Reasoning replay", "Requests"),
        "the plain call's conversation with its reasoning, and another question",
        "an answer",
        _own,
        tokens=2 * SMALL,
    ),
    Claim(
        "reasoning.counted",
        "The header x-reasoning-included says that past reasoning is counted.",
        codex("Event stream"),
        "the same call",
        "the response header",
        _included,
        requests=0,
    ),
    Claim(
        "reasoning.changed",
        "Changed ciphertext is refused in words that this provider reads.",
        both("Reasoning replay", "Requests"),
        "the same call with other characters at the end of the ciphertext",
        "400 `invalid_encrypted_content`",
        _changed,
    ),
    Claim(
        "reasoning.family",
        "Ciphertext of a model is refused by another family of models.",
        both("Reasoning replay", "Requests"),
        "the same call to a model of another family",
        "400",
        _bound,
    ),
    Claim(
        "cache.session",
        "With a constant session-id, a repeated prompt comes from the cache.",
        codex("Prompt cache"),
        **_CACHE,
        check=_cache,
        requests=2,
        tokens=2 * _CACHED_TOKENS,
    ),
    Claim(
        "cache.key",
        "With a constant prompt_cache_key, a repeated prompt comes from the cache.",
        plan("Requests"),
        **_CACHE,
        check=_cache,
        requests=2,
        tokens=2 * _CACHED_TOKENS,
    ),
)
