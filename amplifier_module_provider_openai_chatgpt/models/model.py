"""What is known of a model: how the backend's list is read, a built-in few, and how hosts see them."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from amplifier_core.models import ModelInfo

from ..services import ModelList

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

LATEST = "latest"
# The form in which lists are kept on disk.
OWN_FORM = ModelList()
FAST_SUFFIX = "-fast"
FAST_TIER = "priority"

_MOST_MODELS = 1000
_LONGEST_SLUG = 128
_LONGEST_TEXT = 500
_LARGEST_COUNT = 100_000_000
_LONG_CONTEXT = 200_000
_QUICK_FAMILIES = frozenset({"mini", "nano", "luna", "spark"})


@dataclass(frozen=True, slots=True)
class Model:
    """One model as this subscription has it.

    The defaults describe a model nobody has told us about: `Model(slug)` is a sound guess. Empty
    `efforts`, `service_tiers` and `plans` mean "not known". `context_window` is what the
    subscription gives, which may be less than the model could take.
    """

    slug: str
    display_name: str = ""
    description: str = ""
    visibility: str = "list"
    priority: int = 1000
    context_window: int = 272_000
    max_output_tokens: int = 128_000
    efforts: tuple[str, ...] = ()
    default_effort: str | None = None
    summaries: bool = True
    verbosity: bool = False
    default_verbosity: str | None = None
    service_tiers: tuple[str, ...] = ()
    input_modalities: tuple[str, ...] = ("text", "image")
    parallel_tool_calls: bool = True
    lite: bool = False
    minimal_client_version: str | None = None
    plans: tuple[str, ...] = ()
    upgrade: str | None = None
    retires_at: str | None = None

    @property
    def name(self) -> str:
        """Return what a person reads: the display name, else the slug."""
        return self.display_name or self.slug

    @property
    def is_listed(self) -> bool:
        """Return whether the backend offers it for choosing; others still answer by name."""
        return self.visibility == "list"

    @property
    def has_fast(self) -> bool:
        """Return whether the quicker tier, and so a `-fast` id, exists."""
        return FAST_TIER in self.service_tiers

    @property
    def accepts_images(self) -> bool:
        """Return whether a picture may be sent."""
        return "image" in self.input_modalities

    @property
    def thinks(self) -> bool:
        """Return True unless `none` is the only effort listed; every model there reasons so far."""
        return self.efforts != ("none",)


def split_fast(model_id: str) -> tuple[str, bool]:
    """Split a listed id into the slug that is sent and whether the fast tier is asked for."""
    slug = model_id.removesuffix(FAST_SUFFIX)
    return (slug, slug != model_id) if slug else (model_id, False)


def version_key(version: str) -> tuple[int, ...]:
    """Order client versions such as ``0.155.0`` by their numbers."""
    return tuple(int(part) for part in version.split(".") if part.isdecimal())


def look_up(known: Mapping[str, Model], slug: str) -> Model:
    """Return the best knowledge about a slug, under that very slug.

    Exact entry, else the longest known slug it begins with, else both again without one leading
    `namespace/`, else a generic entry (docs/backend.md, Models).
    """
    for name in (slug, slug.partition("/")[2]):
        near = name if name in known else max(filter(name.startswith, known), key=len, default=None)
        if name and near:
            return known[slug] if near == slug else replace(known[near], slug=slug, display_name=slug)
    return Model(slug)


def listed(models: Iterable[Model]) -> list[Model]:
    """Return the models a person may choose, in the backend's order of preference."""
    return sorted((model for model in models if model.is_listed), key=lambda model: model.priority)


def model_infos(models: Iterable[Model], *, hidden: bool = False) -> list[ModelInfo]:
    """Describe the listed models to hosts; one with the fast tier is followed by its `-fast` twin.

    With ``hidden``, all the given models are described, in the order given.
    """
    chosen = list(models) if hidden else listed(models)
    slugs = {model.slug for model in chosen}
    infos = []
    for model in chosen:
        infos.append(_info(model, model.slug, model.name, _capabilities(model)))
        twin = model.slug + FAST_SUFFIX
        if model.has_fast and twin not in slugs:
            infos.append(_info(model, twin, f"{model.name} (fast)", [*_capabilities(model), "fast"]))
    return infos


def _info(model: Model, model_id: str, name: str, capabilities: Sequence[str]) -> ModelInfo:
    return ModelInfo(
        id=model_id,
        display_name=name,
        context_window=model.context_window,
        max_output_tokens=model.max_output_tokens,
        capabilities=list(dict.fromkeys(capabilities)),
        defaults=_defaults(model),
    )


def _capabilities(model: Model) -> list[str]:
    """Only words of `amplifier_core.capabilities`, which hosts filter by."""
    has = {
        "tools": True,
        "streaming": True,
        "thinking": model.thinks,
        "vision": model.accepts_images,
        "json_mode": True,
        "long_context": model.context_window >= _LONG_CONTEXT,
        "fast": not _QUICK_FAMILIES.isdisjoint(model.slug.split("-")),
    }
    return [word for word, true in has.items() if true]


def _defaults(model: Model) -> dict[str, Any]:
    """What `ModelInfo` has no field for (it drops unknown ones in silence); unknown values are left out."""
    values = {
        "reasoning_effort": model.default_effort,
        "reasoning_efforts": list(model.efforts),
        "text_verbosity": model.default_verbosity if model.verbosity else None,
        "service_tiers": list(model.service_tiers),
        "input_modalities": list(model.input_modalities),
        "priority": model.priority,
        "plans": list(model.plans),
        "upgrade": model.upgrade,
        "retires_at": model.retires_at,
        "description": model.description,
    }
    return {key: value for key, value in values.items() if value not in (None, "", [])}


def parse_models(payload: object, shape: ModelList = OWN_FORM) -> list[Model]:
    """Read the backend's list, as leniently as its changes over the months ask for.

    Takes an object with the entries under the key that ``shape`` names, or the bare list. An entry
    without a usable slug is skipped, a field of the wrong type counts as absent, unknown fields are
    ignored, the first of two equal slugs wins.
    """
    entries = payload.get(shape.entries) if isinstance(payload, dict) else payload
    models: dict[str, Model] = {}
    for entry in entries[:_MOST_MODELS] if isinstance(entries, list) else ():
        slug = _slug(entry.get(shape.slug)) if isinstance(entry, dict) else None
        if slug:
            models.setdefault(slug, _model(slug, _renamed(entry, shape)))
    return list(models.values())


def _renamed(entry: Mapping[str, Any], shape: ModelList) -> Mapping[str, Any]:
    """Give a service's own field names the names that the Codex list uses."""
    if not shape.renamed:
        return entry
    return {**entry, **{ours: entry.get(theirs) for ours, theirs in shape.renamed.items()}}


def to_entry(model: Model) -> dict[str, Any]:
    """Write a model in the backend's own words, so that `parse_models` reads it back unchanged."""
    return {"slug": model.slug, **{key: getattr(model, name) for name, (key, _) in _FIELDS.items()}}


def _model(slug: str, entry: Mapping[str, Any]) -> Model:
    flat = _flatten(entry)
    values = {name: read(flat.get(key)) for name, (key, read) in _FIELDS.items()}
    return Model(slug, **{name: value for name, value in values.items() if value is not None})


def _flatten(entry: Mapping[str, Any]) -> dict[str, Any]:
    """Bring together what the backend says in two places or one level deeper."""
    flat = dict(entry)
    flat["context_window"] = _count(entry.get("context_window")) or entry.get("max_context_window")
    flat["service_tiers"] = _words(entry.get("service_tiers")) or ()
    # The older name of the same tier; some lists carry only this one.
    if "fast" in (_words(entry.get("additional_speed_tiers")) or ()):
        flat["service_tiers"] = tuple(dict.fromkeys((*flat["service_tiers"], FAST_TIER)))
    upgrade = entry.get("upgrade")
    if isinstance(upgrade, dict):
        flat["upgrade"] = upgrade.get("model")
        flat["retirement_at"] = upgrade.get("retirement_at")
    return flat


def _text(value: object) -> str | None:
    """One printable line: this text reaches terminals."""
    if not isinstance(value, str):
        return None
    line = "".join(sign if sign.isprintable() else " " for sign in value[:_LONGEST_TEXT])
    return " ".join(line.split()) or None


def _slug(value: object) -> str | None:
    if not isinstance(value, str) or len(value) > _LONGEST_SLUG or not value.isprintable():
        return None
    return value if value and not any(map(str.isspace, value)) else None


def _words(value: object) -> tuple[str, ...] | None:
    """Words from a list of texts, or of objects that name themselves by `id` or `effort`."""
    if not isinstance(value, list | tuple):
        return None
    named = [item.get("id", item.get("effort")) if isinstance(item, dict) else item for item in value]
    return tuple(dict.fromkeys(word for word in map(_slug, named) if word)) or None


def _flag(value: object) -> bool | None:
    return value if isinstance(value, bool) else None


def _integer(value: object) -> int | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return int(value) if abs(value) <= _LARGEST_COUNT and value == int(value) else None


def _count(value: object) -> int | None:
    number = _integer(value)
    return number if number and number > 0 else None


def _version(value: object) -> str | None:
    """`"0.144.0"` or `[0, 144, 0]`; anything else could not go out as a header."""
    text = ".".join(map(str, value)) if isinstance(value, list | tuple) else value
    return text if isinstance(text, str) and re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9}){0,3}", text) else None


# Field of Model: key in the backend's list, and how its value is read (None: use the default).
_FIELDS: dict[str, tuple[str, Callable[[object], Any]]] = {
    "display_name": ("display_name", _text),
    "description": ("description", _text),
    "visibility": ("visibility", _slug),
    "priority": ("priority", _integer),
    "context_window": ("context_window", _count),
    "max_output_tokens": ("max_output_tokens", _count),
    "efforts": ("supported_reasoning_levels", _words),
    "default_effort": ("default_reasoning_level", _slug),
    "summaries": ("supports_reasoning_summary_parameter", _flag),
    "verbosity": ("support_verbosity", _flag),
    "default_verbosity": ("default_verbosity", _slug),
    "service_tiers": ("service_tiers", _words),
    "input_modalities": ("input_modalities", _words),
    "parallel_tool_calls": ("supports_parallel_tool_calls", _flag),
    "lite": ("use_responses_lite", _flag),
    "minimal_client_version": ("minimal_client_version", _version),
    "plans": ("available_in_plans", _words),
    "upgrade": ("upgrade", _slug),
    "retires_at": ("retirement_at", _text),
}

_FAST = (FAST_TIER,)
_TO_MAX = ("low", "medium", "high", "xhigh", "max")
_TO_ULTRA = (*_TO_MAX, "ultra")


def _built_in(
    slug: str, client: str, efforts: tuple[str, ...], default: str, tiers: tuple[str, ...]
) -> Model:
    return Model(
        slug,
        slug.title().replace("Gpt", "GPT"),
        efforts=efforts,
        default_effort=default,
        verbosity=True,
        default_verbosity="low",
        service_tiers=tiers,
        lite=True,
        minimal_client_version=client,
    )


# Offered on most plans in November 2026 (docs/backend.md, Models); `latest` is the first while offline.
BUILT_IN: tuple[Model, ...] = tuple(
    replace(model, priority=place)
    for place, model in enumerate(
        (
            _built_in("gpt-6-sol", "0.155.0", _TO_ULTRA, "medium", _FAST),
            _built_in("gpt-6.1-sol", "0.155.0", _TO_ULTRA, "low", _FAST),
            _built_in("gpt-6-astra", "0.153.0", _TO_ULTRA, "low", _FAST),
            _built_in("gpt-6-luna", "0.155.0", _TO_MAX, "medium", _FAST),
            _built_in("gpt-5.6-sol", "0.144.0", _TO_ULTRA, "low", (*_FAST, "ultrafast")),
            _built_in("gpt-5.6-terra", "0.144.0", _TO_ULTRA, "medium", _FAST),
            _built_in("gpt-5.6-luna", "0.144.0", _TO_MAX, "medium", _FAST),
        ),
        start=1,
    )
)
