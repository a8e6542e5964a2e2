"""Models: reading the backend's list, the built-in list, and their description for hosts."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from amplifier_core.models import ModelInfo

from ..drift import note_fields
from ..services import ModelList

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

LATEST = "latest"
# The shape in which lists are stored on disk.
STORED_SHAPE = ModelList()
FAST_SUFFIX = "-fast"
FAST_TIER = "priority"

_MAX_MODELS = 1000
_MAX_SLUG_LENGTH = 128
_MAX_TEXT_LENGTH = 500
_MAX_COUNT = 100_000_000
_LONG_CONTEXT = 200_000
_FAST_FAMILIES = frozenset({"mini", "nano", "luna", "spark"})


@dataclass(frozen=True, slots=True)
class Model:
    """One model as this subscription offers it.

    The defaults are for an unknown model: `Model(slug)` is a reasonable guess. Empty `efforts`,
    `service_tiers` and `plans` mean "not known". `context_window` is the one of the subscription,
    which may be smaller than the model's own; ``effective_percent`` is how much of it input may fill.
    """

    slug: str
    display_name: str = ""
    description: str = ""
    visibility: str = "list"
    priority: int = 1000
    context_window: int = 272_000
    effective_percent: int = 95
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
        """Return the name to display: the display name, else the slug."""
        return self.display_name or self.slug

    @property
    def is_listed(self) -> bool:
        """True if the backend lists it to choose from; other models still work by name."""
        return self.visibility == "list"

    @property
    def has_fast(self) -> bool:
        """True if it has the fast tier, and with it a `-fast` id."""
        return FAST_TIER in self.service_tiers

    @property
    def accepts_images(self) -> bool:
        """True if images may be sent."""
        return "image" in self.input_modalities

    @property
    def input_limit(self) -> int:
        """The tokens that input may have (docs/backend.md, Models)."""
        return self.context_window * self.effective_percent // 100

    @property
    def thinks(self) -> bool:
        """True unless `none` is the only effort; so far every model reasons."""
        return self.efforts != ("none",)


def split_fast(model_id: str) -> tuple[str, bool]:
    """Split a model id into the slug to send and whether to use the fast tier."""
    slug = model_id.removesuffix(FAST_SUFFIX)
    return (slug, slug != model_id) if slug else (model_id, False)


def version_key(version: str) -> tuple[int, ...]:
    """Order client versions such as ``0.155.0`` by their numbers."""
    return tuple(int(part) for part in version.split(".") if part.isdecimal())


def look_up(known: Mapping[str, Model], slug: str) -> Model:
    """Return what is known about a slug, with that slug.

    The exact entry, else the longest known slug it starts with, else the same without one leading
    `namespace/`, else a generic entry (docs/backend.md, Models).
    """
    for name in (slug, slug.partition("/")[2]):
        near = name if name in known else max(filter(name.startswith, known), key=len, default=None)
        if name and near:
            return known[slug] if near == slug else replace(known[near], slug=slug, display_name=slug)
    return Model(slug)


def listed(models: Iterable[Model]) -> list[Model]:
    """Return the models to choose from, in the backend's order of preference."""
    return sorted((model for model in models if model.is_listed), key=lambda model: model.priority)


def model_infos(models: Iterable[Model], *, hidden: bool = False) -> list[ModelInfo]:
    """Describe the listed models for hosts; a model with the fast tier is followed by its `-fast` variant.

    With ``hidden``, all given models are described, in the given order.
    """
    chosen = list(models) if hidden else listed(models)
    slugs = {model.slug for model in chosen}
    infos = []
    for model in chosen:
        infos.append(_info(model, model.slug, model.name, _capabilities(model)))
        fast_id = model.slug + FAST_SUFFIX
        if model.has_fast and fast_id not in slugs:
            infos.append(_info(model, fast_id, f"{model.name} (fast)", [*_capabilities(model), "fast"]))
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
    """Return names from `amplifier_core.capabilities`, by which hosts filter."""
    has = {
        "tools": True,
        "streaming": True,
        "thinking": model.thinks,
        "vision": model.accepts_images,
        "json_mode": True,
        "long_context": model.context_window >= _LONG_CONTEXT,
        "fast": not _FAST_FAMILIES.isdisjoint(model.slug.split("-")),
    }
    return [name for name, is_true in has.items() if is_true]


def _defaults(model: Model) -> dict[str, object]:
    """Return what `ModelInfo` has no field for (it silently drops unknown fields), if it is known."""
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


def parse_models(payload: object, shape: ModelList = STORED_SHAPE) -> list[Model]:
    """Read the backend's list leniently, because its shape changes over time.

    ``payload`` is an object with the entries under the key that ``shape`` names, or just the list. An
    entry without a usable slug is skipped, a field of the wrong type is ignored like an unknown one, and
    the first of two entries with the same slug wins.
    """
    entries = payload.get(shape.entries) if isinstance(payload, dict) else payload
    models: dict[str, Model] = {}
    for entry in entries[:_MAX_MODELS] if isinstance(entries, list) else ():
        slug = _read_slug(entry.get(shape.slug)) if isinstance(entry, dict) else None
        if slug:
            if entry.get("visibility") == "list":
                note_fields("models", entry)
            models.setdefault(slug, _from_entry(slug, _renamed(entry, shape)))
    return list(models.values())


def _renamed(entry: Mapping[str, object], shape: ModelList) -> Mapping[str, object]:
    """Translate a service's field names to those of the Codex list; leave out what means nothing there."""
    renamed = {**entry, **{ours: entry.get(theirs) for ours, theirs in shape.renamed.items()}}
    return {key: value for key, value in renamed.items() if key not in shape.ignored}


def to_entry(model: Model) -> dict[str, object]:
    """Return a model as an entry that `parse_models` reads back unchanged."""
    return {"slug": model.slug, **{key: getattr(model, name) for name, (key, _) in _FIELDS.items()}}


def _from_entry(slug: str, entry: Mapping[str, object]) -> Model:
    flat = _flatten(entry)
    values = {name: read(flat.get(key)) for name, (key, read) in _FIELDS.items()}
    return Model(slug, **{name: value for name, value in values.items() if value is not None})


def _flatten(entry: Mapping[str, object]) -> dict[str, object]:
    """Move nested fields to the top level, and merge those that have two names."""
    flat = dict(entry)
    flat["context_window"] = _read_count(entry.get("context_window")) or entry.get("max_context_window")
    tiers = _read_names(entry.get("service_tiers")) or ()
    # The older name of the same tier; some lists have only this one.
    if "fast" in (_read_names(entry.get("additional_speed_tiers")) or ()):
        tiers = tuple(dict.fromkeys((*tiers, FAST_TIER)))
    flat["service_tiers"] = tiers
    upgrade = entry.get("upgrade")
    if isinstance(upgrade, dict):
        flat["upgrade"] = upgrade.get("model")
        flat["retirement_at"] = upgrade.get("retirement_at")
    return flat


def _printable_line(value: object) -> str | None:
    """Return one printable line, because this text is shown in terminals."""
    if not isinstance(value, str):
        return None
    line = "".join(char if char.isprintable() else " " for char in value[:_MAX_TEXT_LENGTH])
    return " ".join(line.split()) or None


def _read_slug(value: object) -> str | None:
    if not isinstance(value, str) or len(value) > _MAX_SLUG_LENGTH or not value.isprintable():
        return None
    return value if value and not any(map(str.isspace, value)) else None


def _read_names(value: object) -> tuple[str, ...] | None:
    """Read a list of names, or of objects with the name in `id` or `effort`."""
    if not isinstance(value, list | tuple):
        return None
    found = [item.get("id", item.get("effort")) if isinstance(item, dict) else item for item in value]
    return tuple(dict.fromkeys(name for name in map(_read_slug, found) if name)) or None


def _read_bool(value: object) -> bool | None:
    return value if isinstance(value, bool) else None


def _read_integer(value: object) -> int | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return int(value) if abs(value) <= _MAX_COUNT and value == int(value) else None


def _read_count(value: object) -> int | None:
    number = _read_integer(value)
    return number if number and number > 0 else None


def _read_percent(value: object) -> int | None:
    number = _read_count(value)
    return number if number and number <= 100 else None


def _read_version(value: object) -> str | None:
    """Read `"0.144.0"` or `[0, 144, 0]`; anything else could not be sent as a header."""
    text = ".".join(map(str, value)) if isinstance(value, list | tuple) else value
    return text if isinstance(text, str) and re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9}){0,3}", text) else None


# Field of Model -> key in the backend's list, and a reader for its value (None: use the default).
_FIELDS: dict[str, tuple[str, Callable[[object], Any]]] = {
    "display_name": ("display_name", _printable_line),
    "description": ("description", _printable_line),
    "visibility": ("visibility", _read_slug),
    "priority": ("priority", _read_integer),
    "context_window": ("context_window", _read_count),
    "effective_percent": ("effective_context_window_percent", _read_percent),
    "max_output_tokens": ("max_output_tokens", _read_count),
    "efforts": ("supported_reasoning_levels", _read_names),
    "default_effort": ("default_reasoning_level", _read_slug),
    "summaries": ("supports_reasoning_summary_parameter", _read_bool),
    "verbosity": ("support_verbosity", _read_bool),
    "default_verbosity": ("default_verbosity", _read_slug),
    "service_tiers": ("service_tiers", _read_names),
    "input_modalities": ("input_modalities", _read_names),
    "parallel_tool_calls": ("supports_parallel_tool_calls", _read_bool),
    "lite": ("use_responses_lite", _read_bool),
    "minimal_client_version": ("minimal_client_version", _read_version),
    "plans": ("available_in_plans", _read_names),
    "upgrade": ("upgrade", _read_slug),
    "retires_at": ("retirement_at", _printable_line),
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
