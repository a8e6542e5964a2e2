"""Whole conversations in real sessions: at the plan service, and from one service to the other and back."""

import json
from itertools import pairwise

import pytest

from amplifier_module_provider_openai_chatgpt.simulator import Simulator
from amplifier_module_provider_openai_chatgpt.simulator.rules import PlanTerms
from tests.conftest import write_tokens
from tests.event_recorder import ask
from tests.hosts import Host, Loop, saved
from tests.protocol.test_conversation_session import SYSTEM, TOOLS, first_half, second_half

pytestmark = pytest.mark.world("plan")

MODEL = "gpt-6-sol"
PERSON = "user-simulated"
SESSION = "one-and-the-same"
SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "hour": {"type": "integer"}},
    "required": ["city", "hour"],
    "additionalProperties": False,
}
SHAPED = {"type": "json_schema", "json_schema": {"name": "time", "schema": SCHEMA}}


async def structured(host, loop):
    """One turn whose answer has the form of a schema."""
    loop.options["response_format"] = SHAPED
    answer = await host.say("Give the hour and the city.")
    del loop.options["response_format"]
    return json.loads(answer)


async def part(config, script, messages=None):
    """Run a part of the conversation in its own session; returns the stored transcript and the events."""
    loop = Loop(interrupted=["read_file"])
    async with Host(config, TOOLS, loop=loop, session_id=SESSION, messages=messages or [SYSTEM]) as host:
        await script(host)
        assert isinstance((await structured(host, loop))["hour"], int)
        stored = json.loads(json.dumps(saved(await host.context.get_messages())))
    return stored, host.heard


def calls(sim):
    return sim.requests_to("/responses")


def statuses(heard):
    return [data["status"] for event, data in heard if event == "llm:response"]


def inputs(requests):
    """The bytes of the input as sent, without its end."""
    bodies = [request.body.split(b'"input":[')[1].split(b'],"tool_choice":')[0] for request in requests]
    return [body.split(b'],"tools":[')[0] for body in bodies]


DOCUMENTED = PlanTerms()
# As one client found the service.
OTHERWISE = PlanTerms(
    additional_tools=False,
    flat_tools=True,
    named_choice=False,
    refused_fields=frozenset({"prompt_cache_key", "service_tier"}),
)


TERMS = {"documented": (DOCUMENTED, 0), "otherwise": (OTHERWISE, 2)}


@pytest.mark.parametrize(("terms", "refused"), TERMS.values(), ids=TERMS)
async def test_a_long_conversation_is_accepted_and_each_request_starts_like_the_one_before(
    sim, plan, terms, refused
):
    sim.sharing.terms = terms
    config = {**plan, "default_model": MODEL, "reasoning_effort": "medium"}
    stored, first = await part(config, first_half)
    _, second = await part(config, second_half, stored)
    answered = calls(sim)[refused:]
    assert statuses(first + second) == ["ok"] * len(answered)
    assert len(answered) == 14 + 4, "four turns called a tool and continued with its result"
    assert not [event for event, _ in first + second if event == "provider:retry"]

    once = [body for body in inputs(answered) if b"Only for now." in body]
    assert len(once) == 1, "an ephemeral message is in one request only"
    for earlier, later in pairwise(inputs(answered)):
        assert later.startswith(earlier + b",") or earlier in once
    last = answered[-1].json
    kinds = [item["type"] for item in last["input"]]
    assert kinds.count("reasoning") == len(answered) - 1, "all reasoning so far is replayed"
    assert last["text"]["format"]["name"] == "time"
    assert last["instructions"] == SYSTEM["content"]
    pictures = ("image/png;base64", "image/gif;base64")
    assert all(words in str(last) for words in (*pictures, "midnight"))
    assert len({one.json.get("prompt_cache_key") for one in answered}) == 1
    if terms is DOCUMENTED:
        usage = [data["usage"] for event, data in first + second if event == "llm:response"]
        assert all(one["cache_read_tokens"] > 0 for one in usage[1:])
    assert sim.strays == []


async def test_an_answer_that_is_cut_at_the_limit_is_continued(sim, plan, in_use):
    sim.max_output_cut = 2
    answer = await in_use(plan).complete(ask("Say hello."), model=MODEL, reasoning_effort="high")
    assert answer.finish_reason == "stop"
    assert answer.text.endswith("about hello.")
    assert [one.json["input"][-1]["role"] for one in calls(sim)] == ["user", "assistant", "assistant"]


@pytest.fixture
def codex(tmp_path):
    """A simulator of the other service, and the settings for the same person there."""
    with Simulator() as simulator:
        simulator.rotate_encryption()
        tokens = write_tokens(tmp_path / "codex.json", simulator.sign_in(account_id=PERSON))
        yield (
            simulator,
            {
                "base_url": simulator.base_url,
                "auth_url": simulator.auth_url,
                "token_file_path": str(tokens),
                "max_retries": 0,
            },
        )


OTHER = {"plan": "codex", "codex": "plan"}


@pytest.mark.parametrize("starts_with", OTHER)
async def test_a_transcript_goes_on_at_the_other_service_and_back(sim, plan, codex, starts_with):
    """The same person, session and model: only the service differs, and no reasoning crosses."""
    simulator, codex_config = codex
    own = {"default_model": MODEL, "reasoning_effort": "medium"}
    both = {"plan": (sim, {**plan, **own}), "codex": (simulator, {**codex_config, **own})}
    (here, at_home), (there, elsewhere) = both[starts_with], both[OTHER[starts_with]]
    assert sim.sharing.subject == PERSON

    stored, first = await part(at_home, first_half)
    stored, second = await part(elsewhere, second_half, stored)
    before = len(calls(here))
    _, third = await part(at_home, lambda host: host.say("Why?"), stored)
    assert statuses(first + second + third) == ["ok"] * (len(calls(here)) + len(calls(there)))

    crossed = [one for one in calls(there) if any(blob.encode() in one.body for blob in here.sealed)]
    returned = [one for one in calls(here) if any(blob.encode() in one.body for blob in there.sealed)]
    assert (crossed, returned) == ([], [])
    back = calls(here)[before].json["input"]
    assert [item["type"] for item in back].count("reasoning") == before, "its own reasoning is replayed again"
    assert (here.strays, there.strays) == ([], [])
