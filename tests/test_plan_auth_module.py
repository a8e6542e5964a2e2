"""Hosts that import ``plan_auth`` of the upstream plugin and use the same sign-in as calls in plan mode."""

import asyncio
import inspect
import json
import threading
import time
from typing import Any

import pytest
from amplifier_core.llm_errors import AccessDeniedError, AuthenticationError, ConfigurationError, LLMError

from amplifier_module_provider_openai_chatgpt import ChatGPTProvider, plan_auth
from amplifier_module_provider_openai_chatgpt.simulator import Fault
from tests.browser import browse, callback_ports
from tests.conftest import write_tokens
from tests.event_recorder import ask
from tests.test_library import CONNECT

pytestmark = pytest.mark.world("plan")
TOKEN = "/oauth/token"


@pytest.fixture(autouse=True)
def ports():
    with callback_ports():
        yield


def without_time(credentials):
    """Return credentials without the time at which they were stored."""
    return {name: value for name, value in credentials.items() if name != "saved_at"}


class Host:
    """A host's calls, with its files in one folder and a browser that follows each address it shows."""

    def __init__(self, sim, folder):
        self.shown = []
        self.file, self.source = folder / "plan" / "personal.json", folder / "active.json"
        self.host_file, self.registration = folder / "host.json", folder / "connection.registration"
        self._at = {"base_url": sim.base_url, "auth_url": sim.auth_url}

    def show(self, address):
        self.shown.append(address)
        threading.Thread(target=browse, args=(address,), daemon=True).start()

    async def login(self, **options):
        given = {"token_file_path": self.file, "host_file_path": self.host_file, "print_fn": self.show}
        return await plan_auth.login(**self._at, **{**given, **options})

    def status(self, path=None):
        return plan_auth.auth_status(self.file if path is None else path, **self._at)

    async def ensure(self, path=None):
        return await plan_auth.ensure_tokens(self.file if path is None else path, **self._at)

    async def logout(self, path=None):
        return await plan_auth.logout(self.file if path is None else path, **self._at)

    async def take_over(self, source, **options):
        given = {"token_file_path": self.file, "host_file_path": self.host_file}
        return await plan_auth.import_credentials(source, **self._at, **{**given, **options})

    def read(self, path=None):
        return without_time(json.loads((path or self.file).read_text()))


@pytest.fixture
def host(sim, tmp_path, monkeypatch):
    for name in ("BASE_URL", "AUTH_URL", "TOKEN_FILE"):
        monkeypatch.delenv(f"OPENAI_CHATGPT_{name}")
    return Host(sim, tmp_path)


@pytest.fixture
def stored(sim):
    """Store a sign-in at a path."""

    def stored(path, *given, **more):
        path.parent.mkdir(exist_ok=True)
        return write_tokens(path, sim.connect(*given, **more))

    return stored


def test_the_names_and_arguments_are_those_of_the_upstream_plugin():
    arguments = {
        "login": (
            *("token_file_path", "host_file_path", "app_name", "print_fn", "timeout"),
            *("request_plan_permission", "source_token_file_path", "registration_file_path"),
        ),
        "import_credentials": ("source_file", "token_file_path", "host_file_path"),
        **dict.fromkeys(("auth_status", "ensure_tokens", "logout"), ("token_file_path",)),
    }
    for name, expected in arguments.items():
        function = getattr(plan_auth, name)
        found = inspect.signature(function).parameters
        assert list(found) == [*expected, "base_url", "auth_url"]
        assert inspect.iscoroutinefunction(function) is (name != "auth_status")
    assert inspect.signature(plan_auth.login).parameters["timeout"].default == 180


async def test_a_host_signs_in_calls_and_signs_out(sim, host, in_use):
    credentials = await host.login(app_name="Amplifier Unified")
    assert credentials == host.read()
    [address] = host.shown
    assert address.startswith(f"{sim.auth_url}/api/accounts/authorize?")
    assert "agent_name_hint=Amplifier%20Unified" in address
    assert host.status() == {
        "auth_mode": "chatgpt_plan",
        "authenticated": True,
        "plan_enabled": True,
        "plan_permission_granted": True,
        "email": "ada@example.com",
        "client_id": credentials["client_id"],
        "subject": "user-simulated",
    }
    assert without_time(await host.ensure()) == credentials
    config = {"auth_mode": "chatgpt_plan", "token_file_path": str(host.file)}
    provider = in_use({**config, "base_url": sim.base_url, "auth_url": sim.auth_url})
    assert (await provider.complete(ask())).text
    assert await host.logout() == {"revocation_confirmed": True}
    after = host.status()
    assert (after["authenticated"], after["plan_enabled"]) == (False, False)
    assert after["client_id"] == credentials["client_id"]
    with pytest.raises(AuthenticationError):
        await host.ensure()


async def test_the_example_of_the_documents_connects_a_person(sim, host, monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("OPENAI_CHATGPT_BASE_URL", sim.base_url)
    monkeypatch.setenv("OPENAI_CHATGPT_AUTH_URL", sim.auth_url)
    example: dict[str, Any] = {}
    exec(compile(CONNECT, "library.md", "exec"), example)
    assert await example["connect"](host.show)
    assert (tmp_path / ".amplifier" / "chatgpt-plan" / "personal.json").exists()


async def test_a_due_token_is_renewed_once_for_all_who_ask(sim, host, stored):
    stored(host.file, expires_in=-60)
    found = await asyncio.gather(*(host.ensure() for _ in range(8)))
    assert len(sim.requests_to(TOKEN)) == 1
    assert all(without_time(one) == host.read() for one in found)
    assert found[0]["expires_at"] > time.time()


async def test_a_permission_that_is_missing_is_visible_and_asked_for_again(sim, host):
    sim.sharing.consent = "sign_in"
    await host.login()
    status = host.status()
    assert (status["authenticated"], status["plan_enabled"], status["plan_permission_granted"]) == (
        *(True, False, False),
    )
    with pytest.raises(AccessDeniedError):
        await host.ensure()
    sim.sharing.consent = "plan"
    await host.login(request_plan_permission=True)
    assert host.status()["plan_enabled"]
    assert "prompt=consent" in host.shown[-1]
    assert not [address for address in host.shown if "id_token_hint" in address]


async def test_a_sign_in_that_expired_and_cannot_be_renewed_is_not_authenticated(host, stored):
    content = {**json.loads(stored(host.file, expires_in=-60).read_text()), "refresh_token": ""}
    write_tokens(host.file, content)
    status = host.status()
    assert (status["authenticated"], status["plan_permission_granted"]) == (False, True)


async def test_without_confirmation_the_person_is_signed_out_here(sim, host, stored):
    stored(host.file)
    sim.misbehave("/oauth/revoke", Fault(status=500), times=None)
    assert await host.logout() == {"revocation_confirmed": False}
    assert not host.status()["authenticated"]
    assert host.read()["client_id"]
    assert await host.logout(host.file.with_name("none.json")) == {"revocation_confirmed": True}


async def test_a_damaged_sign_in_is_not_authenticated_and_a_sign_out_removes_it(sim, host, stored):
    path = stored(host.file)
    path.write_text(json.dumps(host.read(), indent=2)[:-40])
    assert not host.status()["authenticated"]
    assert await host.logout() == {"revocation_confirmed": True}
    assert not path.exists()
    await host.login()
    assert len(sim.sharing.clients) == 1


async def test_a_sign_in_from_another_machine_is_imported(sim, host, stored):
    carried = stored(host.source)
    status = await host.take_over(carried)
    assert (status["authenticated"], status["subject"]) == (True, "user-simulated")
    own, theirs = host.read(), host.read(carried)
    assert own["refresh_token"] == theirs["refresh_token"]
    assert own["ext_agent_host_id"] == host.read(host.host_file)["ext_agent_host_id"]
    assert own["ext_agent_host_id"] != theirs["ext_agent_host_id"]


# Staged sign-ins


async def test_a_staged_sign_in_leaves_its_source_as_it_is(sim, host, stored):
    before = stored(host.source).read_bytes()
    await host.login(source_token_file_path=host.source, registration_file_path=host.registration)
    assert host.source.read_bytes() == before
    source, candidate = host.read(host.source), host.read()
    assert candidate["client_id"] == source["client_id"]
    assert candidate["access_token"] != source["access_token"]
    assert len(sim.sharing.clients) == 1
    assert host.status()["plan_enabled"]
    registration = host.read(host.registration)
    assert registration["client_id"] == source["client_id"]
    assert not {"access_token", "refresh_token", "id_token"} & set(registration)


async def test_attempts_with_different_files_share_a_registration(sim, host, tmp_path):
    sim.misbehave(TOKEN, Fault(status=500))
    with pytest.raises(LLMError):
        await host.login(registration_file_path=host.registration)
    assert not host.file.exists()
    assert "access_token" not in host.read(host.registration)
    for number in range(2):
        await host.login(
            token_file_path=tmp_path / f"{number}.json", registration_file_path=host.registration
        )
    assert list(sim.sharing.clients) == [host.read(host.registration)["client_id"]]


async def test_a_staged_sign_in_of_another_account_or_over_another_file_is_refused(sim, host, stored):
    stored(host.source)
    stored(host.file)
    before = host.read()
    with pytest.raises(ConfigurationError, match="already a sign-in"):
        await host.login(source_token_file_path=host.source)
    assert host.read() == before
    host.file.unlink()
    sim.sharing.claims = {"sub": "user-other"}
    with pytest.raises(AuthenticationError, match="another ChatGPT account"):
        await host.login(source_token_file_path=host.source)
    assert not host.file.exists()


@pytest.mark.parametrize("name", ["source_token_file_path", "registration_file_path", "host_file_path"])
async def test_no_file_has_two_purposes(sim, host, name):
    link = host.file.parent / ".." / host.file.parent.name / host.file.name
    with pytest.raises(ConfigurationError, match="named twice"):
        await host.login(**{name: link})
    assert sim.requests == []


async def test_a_cancelled_sign_in_changes_nothing_but_the_registration(sim, host, stored):
    before = stored(host.file).read_bytes()
    shown = asyncio.Event()
    task = asyncio.create_task(host.login(print_fn=lambda _: shown.set()))
    await shown.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert host.file.read_bytes() == before
    assert sim.requests_to("/oauth/revoke") == []
    await host.login()


async def test_a_second_sign_in_at_the_same_time_does_not_register_the_app_again(sim, host):
    shown = asyncio.Event()

    def show(address):
        host.shown.append(address)
        shown.set()

    first = asyncio.create_task(host.login(print_fn=show))
    await shown.wait()
    with pytest.raises(AuthenticationError, match="under way"):
        await host.login()
    await asyncio.to_thread(browse, host.shown[0])
    assert (await first)["client_id"] in sim.sharing.clients
    assert len(sim.sharing.clients) == 1


async def test_a_person_who_does_not_decide_in_time_ends_it(host):
    with pytest.raises(AuthenticationError, match="not completed in time"):
        await host.login(print_fn=len, timeout=0.01)


# Wrong arguments and files

NO_PATHS = ("", " ", "a\0b", 7)


@pytest.mark.parametrize(
    "argument",
    ["token_file_path", "host_file_path", "source_token_file_path", "registration_file_path"],
)
async def test_what_is_not_a_path_is_refused_by_its_name(sim, host, argument):
    for value in NO_PATHS:
        with pytest.raises(ConfigurationError, match=argument):
            await host.login(**{argument: value})
    assert sim.requests == []


async def test_every_function_refuses_what_is_not_a_path(sim, host):
    for value in NO_PATHS:
        with pytest.raises(ConfigurationError, match="source_file"):
            await host.take_over(value)
        for call in (host.ensure, host.logout):
            with pytest.raises(ConfigurationError, match="token_file_path"):
                await call(value)
        with pytest.raises(ConfigurationError, match="token_file_path"):
            host.status(value)
    assert sim.requests == []


async def test_what_is_not_a_time_limit_is_refused(host):
    for seconds in (0, -1, float("nan"), "180", True, None):
        with pytest.raises(ConfigurationError, match="timeout"):
            await host.login(timeout=seconds)


@pytest.mark.parametrize(
    "content", ['{"auth_mode": "oauth", "access_token": "a", "refresh_token": "r"}', "notes"]
)
async def test_a_file_that_is_not_of_this_mode_is_refused_and_stays(sim, host, content):
    host.file.parent.mkdir()
    host.file.write_text(content)
    host.file.chmod(0o600)
    with pytest.raises(ConfigurationError, match="not used"):
        host.status()
    for work in (host.ensure(), host.logout(), host.login(), host.take_over(host.file)):
        with pytest.raises(LLMError):
            await work
    assert host.file.read_text() == content
    assert sim.requests == []


async def test_a_sign_in_of_another_service_is_refused(sim, host, stored):
    stored(host.file)
    with pytest.raises(ConfigurationError, match="belongs to"):
        await plan_auth.ensure_tokens(host.file)
    assert sim.requests == []


async def test_the_environment_and_the_settings_name_the_same_file(sim, host, stored, monkeypatch):
    monkeypatch.setenv("OPENAI_CHATGPT_BASE_URL", sim.base_url)
    monkeypatch.setenv("OPENAI_CHATGPT_AUTH_URL", sim.auth_url)
    monkeypatch.setenv("OPENAI_CHATGPT_TOKEN_FILE", str(stored(host.file)))
    assert plan_auth.auth_status()["authenticated"]
    assert without_time(await plan_auth.ensure_tokens()) == host.read()
    assert ChatGPTProvider({"auth_mode": "chatgpt_plan"}).auth_status() == "authenticated"
    assert await plan_auth.logout() == {"revocation_confirmed": True}


async def test_by_default_the_address_is_written_to_stderr(host, capsys):
    with pytest.raises(AuthenticationError):
        await host.login(print_fn=None, timeout=0.01)
    shown = capsys.readouterr()
    assert shown.err.startswith("http")
    assert shown.out == ""


async def test_without_a_stderr_it_asks_for_a_print_fn(host, monkeypatch):
    monkeypatch.setattr("sys.stderr", None)
    with pytest.raises(ConfigurationError, match="print_fn"):
        await host.login(print_fn=None)
