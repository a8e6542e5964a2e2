"""The list of models as hosts get it: ``ChatGPTProvider.list_models()`` with the simulator."""

import asyncio
import json
import threading
import time

import pytest
from amplifier_core.capabilities import ALL_WELL_KNOWN_CAPABILITIES
from amplifier_core.llm_errors import AccessDeniedError, AuthenticationError, LLMError, NotFoundError
from amplifier_core.message_models import ChatRequest, Message
from amplifier_core.testing import MockCoordinator

from amplifier_module_provider_openai_chatgpt import ChatGPTProvider
from amplifier_module_provider_openai_chatgpt.simulator import Fault

pytestmark = pytest.mark.world("august-2026")

LISTED = ["gpt-5.6-sol", "gpt-5.6-terra", "gpt-5.6-luna", "gpt-5.5", "gpt-5.2"]
BUILT_IN = [
    *("gpt-6-sol", "gpt-6.1-sol", "gpt-6-astra", "gpt-6-luna"),
    *("gpt-5.6-sol", "gpt-5.6-terra", "gpt-5.6-luna"),
]
HELLO = ChatRequest(messages=[Message(role="user", content="Say hello.")])


@pytest.fixture
async def build(config):
    """Make providers for the simulator, in a session or not, and close them after the test."""
    providers = []

    def make(*, in_session=False, **more):
        providers.append(ChatGPTProvider({**config, **more}, MockCoordinator() if in_session else None))
        return providers[-1]

    yield make
    for provider in providers:
        await provider.close()


async def slugs(provider):
    return [info.id for info in await provider.list_models() if not info.id.endswith("-fast")]


async def slugs_then_close(provider):
    try:
        return await slugs(provider)
    finally:
        await provider.close()


def fetch_count(sim):
    return len(sim.requests_to("/codex/models"))


async def test_the_list_is_the_one_of_the_subscription(sim, build):
    infos = {info.id: info for info in await build().list_models()}
    assert [model for model in infos if not model.endswith("-fast")] == LISTED
    sol = infos["gpt-5.6-sol"]
    assert (sol.display_name, sol.context_window, sol.max_output_tokens) == ("GPT-5.6-Sol", 272_000, 128_000)
    assert {"tools", "streaming", "thinking", "vision", "json_mode", "long_context"} <= set(sol.capabilities)
    assert all(set(info.capabilities) <= set(ALL_WELL_KNOWN_CAPABILITIES) for info in infos.values())
    assert sol.defaults["reasoning_effort"] == "low"
    assert sol.defaults["reasoning_efforts"][-1] == "ultra"
    assert "plus" in sol.defaults["plans"]
    assert "fast" in infos["gpt-5.6-sol-fast"].capabilities
    assert sim.requests_to("/codex/models")[0].query == {"client_version": "0.0.0"}


async def test_the_list_is_requested_with_the_configured_version(sim, build):
    """The lists of two versions are not mixed up."""
    await slugs(build())
    await slugs(build(models_client_version="0.201.0"))
    versions = [request.query["client_version"] for request in sim.requests_to("/codex/models")]
    assert versions == ["0.0.0", "0.201.0"]
    sim.misbehave("/codex/models", Fault(status=200, body={"models": []}))
    assert await slugs(build(models_client_version="0.202.0")) == LISTED
    assert sim.requests_to("/codex/models")[-1].query == {"client_version": "99.99.99"}


async def test_five_providers_share_one_fetch_within_the_ttl(sim, build):
    found = await asyncio.gather(*(slugs(build()) for _ in range(5)))
    assert found == [LISTED] * 5
    assert fetch_count(sim) == 1
    await slugs(build())
    assert fetch_count(sim) == 1
    await slugs(build(models_cache_ttl="0"))
    assert fetch_count(sim) == 2


@pytest.mark.parametrize(
    "fault",
    [
        Fault(status=503),
        Fault(status=429, body={"error": {"message": "slow down"}}),
        Fault(status=404),
        Fault(drop_connection=True),
        Fault(cut_after_bytes=100),
        Fault(status=200, body="<html>hello</html>"),
        Fault(status=200, body={"models": []}),
        Fault(status=200, body=[1, 2]),
    ],
    ids=repr,
)
async def test_a_session_uses_an_older_list_while_the_backend_fails(sim, build, fault):
    """First the built-in list; after a successful fetch the fetched one, also from disk.

    A program that only tests the provider gets the error.
    """
    sim.misbehave("/codex/models", fault, times=None)
    provider = build(in_session=True, models_cache_ttl=0)
    assert await slugs(provider) == BUILT_IN
    with pytest.raises(LLMError):
        await slugs(build(models_cache_ttl=0))
    sim.behave("/codex/models")
    assert await slugs(provider) == LISTED
    sim.misbehave("/codex/models", fault, times=None)
    assert await slugs(provider) == LISTED


async def test_bad_entries_do_not_affect_the_others(sim, build):
    sim.models[:0] = [{"slug": None}, {"slug": ["x"]}, {"slug": "gpt-odd", "context_window": "many"}]
    sim.models.append({"slug": "gpt-odd", "visibility": "list", "service_tiers": {"a": 1}})
    assert set(await slugs(build())) == {*LISTED, "gpt-odd"}


async def test_signed_out_the_error_names_the_command_where_hosts_cut_it_off(sim, build, tmp_path):
    provider = build(token_file_path=str(tmp_path / "none.json"))
    with pytest.raises(AuthenticationError) as caught:
        await provider.list_models()
    assert "amplifier-openai-chatgpt login" in f"AuthenticationError: {caught.value}"[:57]
    assert fetch_count(sim) == 0


async def test_signed_out_a_session_gets_the_built_in_list_and_one_warning(sim, build, tmp_path, caplog):
    path = str(tmp_path / "none.json")
    for provider in (build(in_session=True, token_file_path=path) for _ in range(3)):
        assert await slugs(provider) == BUILT_IN
    [warning] = caplog.messages
    assert warning == (
        "The models listed are those last known. Run amplifier-openai-chatgpt login: you are not signed in."
    )
    assert fetch_count(sim) == 0


@pytest.mark.parametrize(("status", "kind"), [(401, AuthenticationError), (403, AccessDeniedError)])
async def test_a_refused_account_loses_its_list(sim, build, token_file, status, kind):
    provider = build(models_cache_ttl=0)
    sim.models.append({"slug": "gpt-secret", "visibility": "list", "context_window": 5000})
    await provider.list_models()
    assert list(token_file.parent.glob("openai-chatgpt-models-*.json"))
    sim.misbehave("/codex/models", Fault(status=status, body={"detail": "no"}), times=None)
    with pytest.raises(kind) as refused:
        await provider.list_models()
    assert not list(token_file.parent.glob("openai-chatgpt-models-*.json"))
    assert await slugs(build(in_session=True, models_cache_ttl=0)) == BUILT_IN
    if status == 401:
        assert "amplifier-openai-chatgpt login" in f"AuthenticationError: {refused.value}"[:57]
    provider.default_model = "gpt-secret"
    assert provider.get_model_info().context_window == 272_000


async def test_another_account_in_the_same_file_gets_its_own_list(sim, build, token_file):
    provider = build()
    await provider.list_models()
    token_file.write_text(json.dumps(sim.sign_in(account_id="another-account")))
    sim.models = [{"slug": "gpt-other", "visibility": "list"}]
    assert await slugs(provider) == ["gpt-other"]
    assert fetch_count(sim) == 2


async def test_a_corrupt_copy_is_replaced(sim, build, token_file):
    await build().list_models()
    (copy,) = token_file.parent.glob("openai-chatgpt-models-*.json")
    copy.write_bytes(b'{"version": 1, "models": [')
    assert await slugs(build(models_cache_ttl=0)) == LISTED
    assert json.loads(copy.read_text())["models"]


async def test_an_answer_with_another_etag_expires_the_list(sim, build):
    provider = build()
    await provider.list_models()
    await provider.complete(HELLO)
    await provider.list_models()
    assert fetch_count(sim) == 1
    sim.models_etag = 'W/"simulated-2"'
    sim.models = sim.models[1:]
    await provider.complete(HELLO)
    assert await slugs(provider) == LISTED[1:]
    assert fetch_count(sim) == 2


@pytest.mark.parametrize("model", ["gpt-5.4", "gpt-nix"], ids=["retired", "never offered"])
async def test_an_unknown_model_is_not_found_and_others_are_named(sim, build, model):
    provider = build()
    await provider.list_models()
    with pytest.raises(NotFoundError) as caught:
        await provider.complete(HELLO, model=model)
    assert model in str(caught.value)
    assert "choose another, such as gpt-5.6-sol, gpt-5.6-terra" in str(caught.value)
    assert caught.value.model == model


async def test_a_model_that_requires_a_newer_client_is_not_found_and_others_are_named(sim, build):
    """The version from the list is tried once."""
    provider = build()
    text = "The 'gpt-5.5' model requires a newer version of Codex. Please upgrade to the latest app or CLI."
    sim.misbehave("/codex/responses", Fault(status=400, body={"detail": text}), times=2)
    with pytest.raises(NotFoundError) as caught:
        await provider.complete(HELLO)
    first, second = sim.requests_to("/codex/responses")
    assert "version" not in first.headers
    assert second.headers["version"] == "0.124.0"
    assert "such as gpt-5.6-sol" in str(caught.value)


@pytest.mark.long
async def test_a_silent_backend_delays_a_session_by_ten_seconds_at_most(sim, build):
    """Hosts have no timeout of their own at the start of a session."""
    sim.misbehave("/codex/models", Fault(stall_before_headers=True), times=None)
    began = time.monotonic()
    assert await slugs(build(in_session=True)) == BUILT_IN
    assert 9 < time.monotonic() - began < 15


def test_one_instance_lists_models_in_several_loops_in_turn(sim, config):
    provider = ChatGPTProvider({**config, "models_cache_ttl": 0})
    for _ in range(3):
        assert asyncio.run(slugs_then_close(provider)) == LISTED
    assert fetch_count(sim) == 3


def test_one_instance_lists_models_in_two_loops_in_parallel(sim, config):
    provider = ChatGPTProvider({**config, "models_cache_ttl": 0})
    found = []
    threads = [
        threading.Thread(target=lambda: found.append(asyncio.run(slugs_then_close(provider))))
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert found == [LISTED, LISTED]
