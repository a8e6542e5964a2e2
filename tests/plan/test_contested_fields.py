"""Fields about which reports contradict each other: the other form is sent after a refusal that names it."""

import asyncio
import json
import logging
from typing import Any

import pytest
from amplifier_core.llm_errors import InvalidRequestError, LLMError
from amplifier_core.message_models import ToolSpec

from amplifier_module_provider_openai_chatgpt import provider as provider_module
from amplifier_module_provider_openai_chatgpt.call.shapes import LEARNT_FOR, LearntShapes
from amplifier_module_provider_openai_chatgpt.simulator import Fault
from amplifier_module_provider_openai_chatgpt.simulator.rules import PlanTerms
from amplifier_module_provider_openai_chatgpt.simulator.stream import encode
from tests.event_recorder import RESPONSES as ANYWHERE, EventRecorder, ask

pytestmark = pytest.mark.world("plan")

RESPONSES = ANYWHERE.removeprefix("/codex")
PACKAGE = "amplifier_module_provider_openai_chatgpt"
MODEL = "gpt-6-sol"
SCHEMA = {"type": "object", "properties": {}}
TOOLS = [ToolSpec(name=name, description="Tells it.", parameters=SCHEMA) for name in ("get_time", "get_date")]
CAPABILITY = "subscription_sharing_unsupported_capability"
WORDINGS = ("capability", "parameter", "detail")


def asking(**more):
    given: dict[str, Any] = {"tools": TOOLS, "model": MODEL, **more}
    return ask("Say hello.", **given)


def shape_of(body):
    """What differs between the forms of a body: where the functions are, the choice, and the key."""
    first = body["input"][0]
    carried = first["tools"] if first["type"] == "additional_tools" else []
    return {
        "in input": [tool["name"] for tool in carried],
        "flat": [tool["name"] for tool in body.get("tools", ())],
        "choice": body.get("tool_choice"),
        "key": "prompt_cache_key" in body,
        "tier": body.get("service_tier"),
    }


FIRST = {"in input": ["get_time", "get_date"], "flat": [], "choice": "auto", "key": True, "tier": None}
FLAT = {**FIRST, "in input": [], "flat": FIRST["in input"]}
NAMED = {**FIRST, "choice": {"type": "function", "name": "get_date"}}


def shapes(sim):
    return [shape_of(request.json) for request in sim.requests_to(RESPONSES)]


def refused(param=None, message="No.", code=CAPABILITY, status=400):
    error = {"message": message, "param": param, "code": code, "type": "invalid_request_error"}
    return Fault(status=status, body={"error": error})


# By point: the switches of the simulator, the request, the forms sent by a first call, the form of the next.
POINTS: dict[str, tuple[dict[str, Any], dict[str, Any], list[Any], Any]] = {
    "functions": ({"additional_tools": False, "flat_tools": True}, {}, [FIRST, FLAT], FLAT),
    "prompt_cache_key": (
        {"refused_fields": frozenset({"prompt_cache_key"})},
        {},
        [FIRST, {**FIRST, "key": False}],
        {**FIRST, "key": False},
    ),
    "service_tier": (
        {"refused_fields": frozenset({"service_tier"})},
        {"model": f"{MODEL}-fast"},
        [{**FIRST, "tier": "priority"}, FIRST],
        FIRST,
    ),
    "tool_choice": (
        {"named_choice": False},
        {"tool_choice": "get_date"},
        [NAMED, {**FIRST, "in input": ["get_date"], "choice": "required"}],
        {**FIRST, "in input": ["get_date"], "choice": "required"},
    ),
}


@pytest.mark.parametrize("wording", WORDINGS)
@pytest.mark.parametrize("point", POINTS)
async def test_the_other_form_is_sent_once_and_remembered(sim, plan, in_use, caplog, point, wording):
    caplog.set_level(logging.INFO, logger=PACKAGE)
    terms, options, first, learnt = POINTS[point]
    sim.sharing.terms = PlanTerms(wording=wording, **terms)
    provider = in_use(plan)
    for _ in range(2):
        assert await provider.complete(asking(**options))
    assert shapes(sim) == [*first, learnt]
    assert len([line for line in caplog.messages if line.startswith("Learnt")]) == 1


async def test_after_an_hour_the_first_form_is_tried_again(sim, plan, in_use):
    now = [1_000.0]
    provider_module._shapes[sim.base_url] = LearntShapes(lambda: now[0])
    sim.sharing.terms = PlanTerms(additional_tools=False, flat_tools=True)
    provider = in_use(plan)
    await provider.complete(asking())
    now[0] += LEARNT_FOR
    sim.sharing.terms = PlanTerms()
    await provider.complete(asking())
    assert shapes(sim) == [FIRST, FLAT, FIRST]


async def test_a_form_that_is_no_longer_accepted_is_replaced_by_the_first_one(sim, plan, in_use):
    sim.sharing.terms = PlanTerms(additional_tools=False, flat_tools=True)
    provider = in_use(plan)
    await provider.complete(asking())
    sim.sharing.terms = PlanTerms()
    for _ in range(2):
        await provider.complete(asking())
    assert shapes(sim) == [FIRST, FLAT, FLAT, FIRST, FIRST]


async def test_all_points_together_cost_one_request_each(sim, plan, in_use):
    sim.sharing.terms = PlanTerms(
        additional_tools=False,
        flat_tools=True,
        named_choice=False,
        refused_fields=frozenset({"prompt_cache_key", "service_tier"}),
    )
    provider = in_use(plan)
    last = {"in input": [], "flat": ["get_date"], "choice": "required", "key": False, "tier": None}
    for _ in range(2):
        answer = await provider.complete(asking(model=f"{MODEL}-fast", tool_choice="get_date"))
        assert answer.tool_calls[0].name == "get_date"
    assert len(shapes(sim)) == 5 + 1
    assert shapes(sim)[-2:] == [last, last]


@pytest.mark.parametrize(
    "fault",
    [
        refused(message="Unsupported: prompt_cache_key, tool_choice."),
        Fault(
            status=422,
            body={
                "detail": [
                    {"loc": ["body", "prompt_cache_key"], "msg": "extra fields not permitted"},
                    {"loc": ["body", "tool_choice"], "msg": "value is not a valid enumeration member"},
                ]
            },
        ),
        Fault(
            pieces=(
                encode(
                    {
                        "type": "response.failed",
                        "response": {
                            "error": {
                                "code": CAPABILITY,
                                "message": "Unsupported: prompt_cache_key, tool_choice.",
                            }
                        },
                    }
                ),
            )
        ),
    ],
    ids=["error", "detail as a list", "in the stream"],
)
async def test_a_refusal_that_names_two_fields_changes_both(sim, plan, in_use, fault):
    sim.misbehave(RESPONSES, fault)
    await in_use(plan).complete(asking(tool_choice="get_date"))
    assert shapes(sim) == [NAMED, {**FIRST, "in input": ["get_date"], "choice": "required", "key": False}]


async def test_a_hosted_search_stays_in_the_body_in_both_forms(sim, plan, in_use):
    search = ToolSpec(name="web_search", description="", parameters={}, type="web_search")
    sim.sharing.terms = PlanTerms(additional_tools=False, flat_tools=True)
    await in_use(plan).complete(ask(tools=[*TOOLS, search], model=MODEL))
    kinds = [[tool["type"] for tool in request.json["tools"]] for request in sim.requests_to(RESPONSES)]
    assert kinds == [["web_search"], ["function", "function", "web_search"]]


@pytest.mark.parametrize("param", ["tools", "input[0].tools", "tools[0].type"])
async def test_two_forms_that_are_both_refused_end_in_the_first_refusal(sim, plan, in_use, param):
    for message in ("First.", "Second."):
        sim.misbehave(RESPONSES, refused(param, message))
    with pytest.raises(InvalidRequestError, match=r"The server says: First\."):
        await in_use(plan).complete(asking())
    assert shapes(sim) == [FIRST, FLAT]


async def test_a_refusal_of_something_else_after_it_is_the_one_that_is_reported(sim, plan, in_use):
    for fault in (refused("tools"), refused("text.format", "Second.")):
        sim.misbehave(RESPONSES, fault)
    with pytest.raises(InvalidRequestError, match=r"does not support text\.format.*Second\."):
        await in_use(plan).complete(asking())


async def test_endless_refusals_of_changing_fields_end(sim, plan, in_use):
    """Each field is changed once, however often and in whatever order it is refused."""
    words = ["input[0].tools", "prompt_cache_key", "tool_choice", "service_tier", "reasoning.effort"]
    recorder = EventRecorder()
    for number in range(40):
        sim.misbehave(RESPONSES, refused(words[number % len(words)], code="invalid_value"))
    with pytest.raises(LLMError):
        await in_use({**plan, "max_retries": 3}, recorder.coordinator).complete(
            asking(tool_choice="get_date"), model="gpt-6-sol-fast", reasoning_effort="high"
        )
    assert len(shapes(sim)) <= 6
    assert recorder.of("provider:retry") == []


async def test_the_same_refusal_every_time_costs_two_requests(sim, plan, in_use):
    sim.misbehave(RESPONSES, refused("prompt_cache_key"), times=None)
    provider = in_use(plan)
    for _ in range(2):
        with pytest.raises(InvalidRequestError, match="does not support prompt_cache_key"):
            await provider.complete(asking())
    assert [shape["key"] for shape in shapes(sim)] == [True, False, True, False], "nothing was learnt"


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (
            refused("tools[0].parameters", "Invalid schema for function 'get_time'.", None),
            InvalidRequestError,
        ),
        (refused("input[0].content", "Invalid.", None), InvalidRequestError),
        (refused("tools", status=403, code=None), LLMError),
        (refused("prompt_cache_key", status=500, code=None), LLMError),
    ],
    ids=["a schema", "a message", "a policy", "a failure"],
)
async def test_refusals_of_other_things_change_no_form(sim, plan, in_use, fault, error):
    sim.misbehave(RESPONSES, fault)
    with pytest.raises(error):
        await in_use(plan).complete(asking())
    assert shapes(sim) == [FIRST]


async def test_a_field_that_the_user_added_is_not_left_out(sim, plan, in_use):
    sim.sharing.terms = PlanTerms(refused_fields=frozenset({"prompt_cache_key"}))
    own = {**plan, "extra_request_params": {"prompt_cache_key": "mine"}}
    with pytest.raises(InvalidRequestError, match="extra_request_params"):
        await in_use(own).complete(asking())
    assert len(shapes(sim)) == 1


@pytest.mark.world("november-2026")
async def test_the_codex_service_contests_nothing(sim, config, in_use):
    sim.misbehave(RESPONSES, refused("prompt_cache_key"))
    with pytest.raises(InvalidRequestError):
        await in_use(config).complete(asking())
    assert len(sim.requests_to(RESPONSES)) == 1


async def test_leading_developer_messages_are_the_instructions(sim, plan, in_use):
    request = asking()
    before = [
        replace_role(one, role) for role in ("system", "developer") for one in ask(f"As {role}.").messages
    ]
    await in_use(plan).complete(request.model_copy(update={"messages": [*before, *request.messages]}))
    [body] = [one.json for one in sim.requests_to(RESPONSES)]
    assert body["instructions"] == "As system.\nAs developer."
    assert [item.get("role") for item in body["input"]] == ["developer", "user"]
    assert json.dumps(body["input"]).count("As ") == 0


def replace_role(message, role):
    return message.model_copy(update={"role": role})


# Trouble at the edge


@pytest.mark.parametrize("status", [520, 502, 503])
@pytest.mark.parametrize(
    "body",
    [
        {"retry_after": 0},
        {"error": {"message": "Bad gateway."}, "retry_after": 0},
        {"detail": "No.", "retry_after": "0"},
    ],
    ids=["alone", "beside an error", "as text"],
)
async def test_a_wait_that_the_edge_names_is_kept_and_followed_by_one_retry(sim, plan, in_use, status, body):
    recorder = EventRecorder()
    sim.misbehave(RESPONSES, Fault(status=status, body=body), times=None)
    provider = in_use({**plan, "max_retries": 3}, recorder.coordinator)
    with pytest.raises(LLMError) as raised:
        await provider.complete(asking())
    assert raised.value.retryable
    assert raised.value.retry_after == 0
    assert len(shapes(sim)) == 2


async def test_the_wait_that_the_edge_names_is_as_long_as_it_says(sim, plan, in_use):
    recorder = EventRecorder()
    sim.misbehave(RESPONSES, Fault(status=520, body={"error": {"message": "No."}, "retry_after": 60}))
    call = asyncio.create_task(in_use({**plan, "max_retries": 3}, recorder.coordinator).complete(asking()))
    await recorder.heard("provider:retry")
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert [data["delay"] for data in recorder.of("provider:retry")] == [60]


async def test_a_longer_wait_than_the_settings_allow_is_reported(sim, plan, in_use):
    sim.misbehave(RESPONSES, Fault(status=520, body={"retry_after": 60}))
    with pytest.raises(LLMError) as raised:
        await in_use({**plan, "max_retries": 3, "max_retry_delay": 5}).complete(asking())
    assert raised.value.retry_after == 60
    assert len(shapes(sim)) == 1


async def test_without_a_named_wait_the_settings_decide(sim, plan, in_use):
    sim.misbehave(RESPONSES, Fault(status=520, body="no json"), times=2)
    assert await in_use({**plan, "max_retries": 2}).complete(asking())
    assert len(shapes(sim)) == 3


@pytest.mark.parametrize(
    ("hint", "read"),
    [
        (-5, None),
        (1e300, 366 * 86_400.0),
        ("soon", None),
        ("12.5", 12.5),
        ([60], None),
        (True, None),
        ("-1", None),
    ],
    ids=str,
)
async def test_odd_waits(sim, plan, in_use, hint, read):
    sim.misbehave(RESPONSES, Fault(status=520, body={"retry_after": hint}))
    with pytest.raises(LLMError) as raised:
        await in_use(plan).complete(asking())
    assert raised.value.retry_after == read


@pytest.mark.parametrize(
    "raw", ['{"retry_after": NaN}', '{"retry_after": 1e999}', '{"retry_after": -Infinity}']
)
async def test_a_wait_that_is_not_a_number_is_none(sim, plan, in_use, raw):
    sim.misbehave(RESPONSES, Fault(status=520, body=raw))
    with pytest.raises(LLMError) as raised:
        await in_use(plan).complete(asking())
    assert raised.value.retry_after is None
