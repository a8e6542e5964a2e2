"""Changes of the simulated service, one at a time, and the claims that each of them refutes."""

import time
from dataclasses import dataclass, field, replace
from typing import Any

from pydantic_core import from_json, to_json

from amplifier_module_provider_openai_chatgpt.simulator import Changes, Fault
from amplifier_module_provider_openai_chatgpt.simulator.rules import as_list, as_object, error

AUTH = "https://api.openai.com/auth"
PROFILE = "https://api.openai.com/profile"
NOT_THIS = error("Not this.")
OTHER_WORDS = "The request is not to our liking."


@dataclass(frozen=True)
class Change:
    """What is changed at a simulator, and what follows; ``early``: before the sign-in.

    ``follows`` are claims that cannot be checked because of it.
    """

    refutes: str
    change: Any
    early: bool = False
    follows: frozenset[str] = field(default=frozenset())

    @property
    def name(self):
        return self.refutes.replace(" ", "+")


def lifted(claim, rule):
    return Change(claim, lambda sim: departs(sim, lifted=frozenset({rule})))


def reworded(claim, rule):
    return Change(claim, lambda sim: departs(sim, reworded={rule: OTHER_WORDS}))


def refusing(claim, is_meant, *follows):
    def check(request):
        return NOT_THIS if is_meant(request) else None

    return Change(claim, lambda sim: departs(sim, added=(check,)), follows=frozenset(follows))


def departing(claim, **fields):
    return Change(claim, lambda sim: departs(sim, **fields))


def departs(sim, **fields):
    sim.changes = Changes(**fields)


def claiming(claim, **claims):
    def change(sim):
        if sim.world.kind == "plan":
            sim.sharing.claims = claims
        else:
            sim.accounts.claims = claims

    return Change(claim, change, early=True)


def faulty(claim, path, *follows, **fault):
    return Change(
        claim, lambda sim: sim.misbehave(path, Fault(**fault), times=None), follows=frozenset(follows)
    )


def events(claim, change, *follows):
    """Change each event of a stream; answers that are not streams stay as they are."""

    def framing(frames):
        return [_changed_event(frame, change) for frame in frames]

    return faulty(claim, "/responses", *follows, framing=framing)


def _changed_event(frame, change):
    head, mark, data = frame.partition(b"data: ")
    if not mark:
        return frame
    event = from_json(data)
    change(event)
    return head + mark + to_json(event) + b"\n\n"


def document(claim, path, change):
    def framing(frames):
        value = from_json(b"".join(frames))
        change(value)
        return [to_json(value)]

    return faulty(claim, path, framing=framing)


def listing(claim, change, *follows):
    """Change the entries of the list, at the whole service."""
    return Change(claim, lambda sim: change(sim.models), follows=frozenset(follows))


def terms(claim, **fields):
    def change(sim):
        sim.sharing.terms = replace(sim.sharing.terms, **fields)

    return Change(claim, change)


def body(name, is_meant):
    return lambda request: is_meant(request.body.get(name))


def has_item(*kinds):
    return lambda request: any(item.get("type") in kinds for item in request.items)


def has_tool(is_meant):
    return lambda request: any(is_meant(tool) for tool in request.tools)


def links(request):
    parts = [part for item in request.items for part in as_list(item.get("content"))]
    return any(str(as_object(part).get("image_url", "")).startswith("http") for part in parts)


def is_open(tool):
    return tool.get("strict") is False and "city" in str(tool)


def cold(sim):
    class NoCache:
        def cached_tokens(self, *_):
            return 0

    sim.cache = NoCache()


def serves_the_retired(sim):
    [old] = [entry for entry in sim.world.retired_entries() if entry["slug"] == "gpt-5.5"]
    sim.models.append({**old, "upgrade": None, "visibility": "hide"})


def serves_old_clients(sim):
    sim.models[0]["minimal_client_version"] = "0.0.1"
    departs(sim, oldest_client=(0, 0, 1))


def lists_more(sim):
    sim.sharing.lists_details = True
    sim.models[0]["mood"] = "good"


def drop(name):
    def change(models):
        for model in models:
            model.pop(name, None)

    return change


def no_fast_tier(models):
    for model in models:
        model["service_tiers"] = [{"id": "turbo"} for _ in model.get("service_tiers", [])]
        model["additional_speed_tiers"] = []


def usage(change):
    return lambda event: change(event["response"]["usage"]) if event["type"] == "response.completed" else None


def finished(change):
    return lambda event: change(event["item"]) if event["type"] == "response.output_item.done" else None


def rename(before, after):
    def change(event):
        if event["type"] == before:
            event["type"] = after

    return change


def longer_deltas(event):
    if event["type"] == "response.output_text.delta":
        event["delta"] += "!"


def full_output(event):
    if event["type"] == "response.completed":
        event["response"]["output"] = [{"type": "message"}]


WITHOUT_REASONING = (
    "reasoning.replay",
    "reasoning.counted",
    "reasoning.changed",
    "reasoning.family",
)
EMPTY_WINDOWS = {f"x-codex-{slot}-window-minutes": "" for slot in ("primary", "secondary")}

_SCHEMAS = [
    lifted(f"schema.{name}", f"schemas.{name}")
    for name in ("root", "union", "items", "types", "nulls", "properties")
]
# What both services have, in the same rules.
SHARED = [
    reworded("effort.accepted", "model.effort"),
    departing("effort.ultra", efforts=("ultra",)),
    departing("effort.none", efforts=("none",)),
    refusing("effort.first-text", body("reasoning", lambda it: as_object(it).get("effort") == "high")),
    events("stream.order", rename("response.completed", "response.done")),
    events("stream.events", rename("response.in_progress", "response.steer.accepted")),
    events("stream.items", finished(lambda item: item.update(mood="good"))),
    events("stream.empty-output", full_output),
    events("stream.usage", usage(lambda it: it.pop("output_tokens_details"))),
    events("stream.deltas", longer_deltas),
    faulty("stream.request-id", "/responses", headers={"x-request-id": ""}),
    events(
        "reasoning.sealed", finished(lambda item: item.pop("encrypted_content", None)), *WITHOUT_REASONING
    ),
    reworded("reasoning.changed", "reasoning.readable"),
    departing("reasoning.family", family_bound=False),
    refusing("reasoning.replay", has_item("reasoning"), "reasoning.counted"),
    lifted("refusal.store", "body.store"),
    lifted("refusal.stream", "body.stream"),
    lifted("refusal.input-text", "body.input"),
    lifted("refusal.system-role", "items.system"),
    lifted("refusal.content-type", "headers.content-type"),
    lifted("refusal.cache-key", "body.cache-key"),
    refusing("text.schema", body("text", lambda it: "format" in as_object(it))),
    reworded("tier.unknown", "model.tier"),
    *_SCHEMAS,
    lifted("tools.strict", "schemas.strict"),
    refusing("tools.open", has_tool(is_open)),
    lifted("tools.names", "tools.names"),
    lifted("tools.unique", "tools.unique-names"),
    refusing("tools.result", has_item("function_call_output")),
    refusing("tools.web-search", has_tool(lambda tool: tool.get("type") == "web_search")),
    reworded("pairs.no-result pairs.no-call", "pairs.complete"),
    reworded("pairs.namespace", "pairs.namespaces"),
    reworded("items.reference", "items.types"),
    reworded("images.broken", "images.bytes"),
    refusing("provider.call", lambda request: "one short sentence" not in str(request.body)),
]
CODEX = [
    *SHARED,
    claiming("sign-in.account-claim", **{AUTH: {"chatgpt_plan_type": "plus"}}),
    claiming("sign-in.plan-claim", **{AUTH: {"chatgpt_account_id": "6f1c2a10-0000-4000-8000-000000000001"}}),
    claiming("sign-in.email-claim", email=None, **{PROFILE: None}),
    claiming("sign-in.expiry", exp=int(time.time()) + 90 * 86_400),
    departing("sign-in.made-up-token", unknown_token=403),
    lifted("sign-in.account-header", "account.header"),
    faulty("sign-in.device-code", "/usercode", status=404),
    lifted("list.version-required", "catalogue.client-version"),
    departing("list.whole", whole_list=False),
    Change("list.old-client", serves_old_clients),
    listing("list.fields", drop("effective_context_window_percent")),
    listing("list.known-fields", lambda models: models[0].update(mood="good")),
    listing(
        "list.efforts", lambda models: models[0]["supported_reasoning_levels"].append({"effort": "hyper"})
    ),
    listing("list.client-versions", lambda models: models[0].update(minimal_client_version=1.5)),
    listing("list.fast-tier", no_fast_tier, "tier.echo"),
    faulty("list.etag", "/models", "list.etag-of-calls", headers={"ETag": ""}),
    faulty("list.etag-of-calls", "/responses", headers={"x-models-etag": 'W/"another"'}),
    Change("model.plain", lambda sim: setattr(sim, "version_gate", "strict")),
    Change("model.plain", lambda sim: setattr(sim, "require_lite", {"gpt-6-luna"})),
    reworded("model.unknown", "model.known"),
    Change("model.retired", serves_the_retired),
    reworded("model.old-client", "model.version"),
    refusing("lite.accepted", lambda request: request.lite),
    lifted("lite.parallel", "model.parallel-calls"),
    faulty("limits.headers", "/responses", headers=EMPTY_WINDOWS),
    document("limits.usage", "/wham/usage", lambda value: value.update(plan_type=None)),
    document("limits.fields", "/wham/usage", lambda value: value.update(mood="good")),
    document("limits.spend-cap", "/wham/usage", lambda value: value.update(spend_control=None)),
    document(
        "limits.reset-credits", "/wham/usage", lambda value: value.update(rate_limit_reset_credits=None)
    ),
    faulty("reasoning.counted", "/responses", headers={"x-reasoning-included": ""}),
    Change("cache.session", cold),
    reworded("refusal.parameter", "body.fields"),
    *(
        departing(f"fields.{name.replace('_', '-')}", fields=frozenset({name}))
        for name in ("max_output_tokens", "temperature", "previous_response_id", "metadata", "truncation")
    ),
    lifted("refusal.instructions", "body.instructions"),
    refusing("text.verbosity", body("text", lambda it: as_object(it).get("verbosity") == "low")),
    Change("tier.echo", lambda sim: setattr(sim, "tier_refused", True)),
    departing("encoding.gzip", encodings=frozenset({"identity", "zstd"})),
    departing("encoding.zstd", encodings=frozenset({"identity", "gzip"})),
    refusing("tools.named-choice", body("tool_choice", lambda choice: isinstance(choice, dict))),
    refusing("images.link", links),
]
PLAN = [
    *SHARED,
    claiming("sign-in.id-token", iss="https://example.com"),
    departing("sign-in.admission", unknown_token=403),
    listing("list.plan-fields", lambda models: models.append({**models[0], "slug": 7})),
    Change("list.known-fields", lists_more),
    lifted("list.no-parameters", "sharing.list"),
    refusing("model.plan-plain", lambda request: request.slug == "gpt-6-luna"),
    reworded("model.unknown", "plan.model"),
    Change("cache.key", cold),
    *(
        departing(f"capability.{name.replace('_', '-')}", fields=frozenset({name}))
        for name in ("max_output_tokens", "temperature", "previous_response_id", "metadata")
    ),
    lifted("route.other", "sharing.route"),
    terms("headers.session", session_header=True),
    terms("tools.flat", flat_tools=True),
    refusing(
        "tools.namespace", has_tool(lambda tool: tool.get("type") == "namespace" and tool.get("description"))
    ),
    terms("tools.bare-namespace", empty_descriptions=True),
    terms("tools.named-choice", named_choice=False),
    terms("images.link", image_links=False),
]
