"""Claims about the list of models."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from ...drift import FIELDS
from ...models.model import FAST_TIER
from ..checks import judged
from ..claim import Check, Claim, Finding, NotCheckedError, UnclearError, confirmed, decided, refuted
from ..session import why_not
from ..shape import at, objects, safe, shape_of
from .places import both, codex, plan

if TYPE_CHECKING:
    from ..reading import Answer
    from ..session import Session

Entry = Mapping[str, Any]

_OLD, _HIGH = "0.60.0", "99.99.99"
_EFFORTS = frozenset({"none", "minimal", "low", "medium", "high", "xhigh", "max", "ultra"})


def _entries(answer: Answer, *, offered: bool = True) -> list[Entry]:
    found = objects(at(answer.document, "models"))
    return [entry for entry in found if not offered or entry.get("visibility") == "list"]


async def _offered(session: Session) -> list[Entry]:
    """Return the entries to choose from. Raises UnclearError if there are none."""
    answer = await session.whole_list()
    found = _entries(answer)
    if not found:
        raise UnclearError(f"no list of models: {why_not(answer)}")
    return found


async def _version_required(session: Session) -> Finding:
    return judged(await session.list_as(None))


async def _whole(session: Session) -> Finding:
    first, second = await session.list_as("0.0.0"), await session.list_as(_HIGH)
    names = [{safe(str(e.get("slug"))) for e in _entries(one, offered=False)} for one in (first, second)]
    if not names[1]:
        raise UnclearError(f"no list as {_HIGH}: {why_not(second)}")
    missing = sorted(names[1] - names[0])
    found = f"{len(names[0])} models as 0.0.0, {len(names[1])} as {_HIGH}"
    return decided(not missing, found, {"missing_as_0.0.0": missing[:10]})


async def _old(session: Session) -> Finding:
    answer = await session.list_as(_OLD)
    if answer.refusal is not None or answer.cut:
        return refuted(f"not an empty list: {why_not(answer)}")
    count = len(_entries(answer, offered=False))
    return decided(count == 0, f"{count} models as {_OLD}")


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value)


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def _is_version(value: object) -> bool:
    if isinstance(value, list):
        return len(value) == 3 and all(isinstance(part, int) for part in value)
    return isinstance(value, str) and all(part.isdecimal() for part in value.split("."))


_FIELDS: Mapping[str, Callable[[object], bool]] = {
    "slug": _is_text,
    "display_name": _is_text,
    "priority": lambda value: isinstance(value, int),
    "context_window": _is_count,
    "input_modalities": lambda value: isinstance(value, list),
    "support_verbosity": lambda value: isinstance(value, bool),
    "supports_parallel_tool_calls": lambda value: isinstance(value, bool),
    "use_responses_lite": lambda value: isinstance(value, bool),
    "effective_context_window_percent": _is_count,
}


async def _fields(session: Session) -> Finding:
    return _all_have(await _offered(session), _FIELDS)


async def _known_fields(session: Session) -> Finding:
    entries = await _offered(session)
    unknown = sorted({safe(str(name)) for entry in entries for name in entry.keys() - FIELDS["models"]})
    text = f"unknown: {', '.join(unknown[:5])}" if unknown else "all are known"
    return decided(not unknown, text, shape_of(dict(entries[0])))


async def _plan_fields(session: Session) -> Finding:
    return _all_have(await _offered(session), {"slug": _is_text, "visibility": _is_text})


def _all_have(entries: list[Entry], fields: Mapping[str, Callable[[object], bool]]) -> Finding:
    odd = {name for entry in entries for name, is_right in fields.items() if not is_right(entry.get(name))}
    shape = shape_of(dict(entries[0]))
    if odd:
        return refuted(f"missing or of another type: {', '.join(sorted(odd))}", shape)
    return confirmed(f"{len(entries)} offered models have them", shape)


def _each(is_right: Callable[[Entry], bool], what: str) -> Check:
    """Return a check of every offered model."""

    async def check(session: Session) -> Finding:
        entries = await _offered(session)
        odd = [safe(str(entry.get("slug"))) for entry in entries if not is_right(entry)]
        return decided(
            not odd, f"not so for {', '.join(odd[:5])}" if odd else f"{what}: {len(entries)} models"
        )

    return check


def _has_known_efforts(entry: Entry) -> bool:
    efforts = [level.get("effort") for level in objects(entry.get("supported_reasoning_levels"))]
    return bool(efforts) and _EFFORTS.issuperset(str(effort) for effort in efforts)


def _has_version(entry: Entry) -> bool:
    return _is_version(entry.get("minimal_client_version"))


async def _fast_tier(session: Session) -> Finding:
    entries = await _offered(session)
    tiers = {safe(str(tier.get("id"))) for entry in entries for tier in objects(entry.get("service_tiers"))}
    return decided(FAST_TIER in tiers, f"tiers listed: {', '.join(sorted(tiers)) or 'none'}")


async def _etag(session: Session) -> Finding:
    answer = await session.whole_list()
    has = bool(answer.headers.get("etag"))
    return decided(has, "the list has an ETag" if has else "the list has no ETag")


async def _etag_of_calls(session: Session) -> Finding:
    listed = (await session.whole_list()).headers.get("etag", "")
    if not listed:
        raise NotCheckedError("the list has no ETag to compare")
    sent = (await session.base()).answer.headers.get(session.service.response.models_etag, "")
    is_same = sent.removeprefix("W/") == listed.removeprefix("W/")
    return decided(is_same, "equal" if is_same else "different" if sent else "calls do not have the header")


async def _no_parameters(session: Session) -> Finding:
    answer = await session.send(
        "GET", session.service.models_path, params={"client_version": "0.0.0"}, headers={"Accept": "*/*"}
    )
    return judged(answer)


CLAIMS = (
    Claim(
        "list.version-required",
        "The model list without client_version is refused with 400.",
        codex("Catalogue"),
        "the model list without a version",
        "400",
        _version_required,
    ),
    Claim(
        "list.whole",
        "As client version 0.0.0 one gets the whole list.",
        codex("Catalogue"),
        "the model list as 0.0.0 and as 99.99.99",
        "the first has all models of the second",
        _whole,
    ),
    Claim(
        "list.old-client",
        "An old client version (0.60.0) gets an empty list.",
        codex("Catalogue"),
        "the model list as 0.60.0",
        "200 with no models",
        _old,
    ),
    Claim(
        "list.fields",
        "Each offered model has the fields that this provider reads.",
        codex("Models"),
        "the model list",
        f"{', '.join(f'`{name}`' for name in _FIELDS)} of their types",
        _fields,
        requests=0,
    ),
    Claim(
        "list.known-fields",
        "Each field of an offered model is known.",
        both("Models", "Models"),
        "the model list",
        "no field besides those that this provider knows",
        _known_fields,
        requests=0,
    ),
    Claim(
        "list.efforts",
        "Each offered model lists its reasoning efforts, in words that are known.",
        codex("Models"),
        "the model list",
        "`supported_reasoning_levels` with none, minimal, low, medium, high, xhigh, max, ultra",
        _each(_has_known_efforts, "all efforts are known"),
        requests=0,
    ),
    Claim(
        "list.client-versions",
        "minimal_client_version is text or a list of three numbers.",
        codex("Models"),
        "the model list",
        "`0.155.0` or `[0, 155, 0]`",
        _each(_has_version, "the versions can be read"),
        requests=0,
    ),
    Claim(
        "list.fast-tier",
        "The fast tier is listed with the id priority.",
        codex("Models"),
        "the model list",
        "an entry of `service_tiers` with the id `priority`",
        _fast_tier,
        requests=0,
    ),
    Claim(
        "list.etag",
        "The model list has an ETag.",
        codex("Models"),
        "the model list",
        "the header `ETag`",
        _etag,
        requests=0,
    ),
    Claim(
        "list.etag-of-calls",
        "Each call has the list's ETag in the header x-models-etag.",
        codex("Models"),
        "the plain call",
        "equal to the `ETag` of the list",
        _etag_of_calls,
        requests=0,
    ),
    Claim(
        "list.plan-fields",
        "Each entry of the plan's list has a slug and a visibility.",
        plan("Models"),
        "the model list",
        "`models`, a list of objects with `slug` and `visibility`",
        _plan_fields,
        requests=0,
    ),
    Claim(
        "list.no-parameters",
        "The plan's list takes no client_version.",
        plan("Models"),
        "the model list with client_version",
        "400",
        _no_parameters,
    ),
)
