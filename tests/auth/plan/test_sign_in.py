"""A sign-in registers the app once, verifies the person, and stores all or nothing."""

import asyncio
import json
import queue
import re

import pytest
from amplifier_core.llm_errors import (
    AuthenticationError,
    ConfigurationError,
    LLMError,
    ProviderUnavailableError,
)

from amplifier_module_provider_openai_chatgpt.auth.plan.connection import PlanConnection
from amplifier_module_provider_openai_chatgpt.auth.plan.file import PlanFile
from amplifier_module_provider_openai_chatgpt.auth.plan.sign_in import Screen, sign_in
from amplifier_module_provider_openai_chatgpt.http import new_client
from amplifier_module_provider_openai_chatgpt.simulator import Fault
from tests.browser import Page, browse

pytestmark = pytest.mark.world("plan")
TOKEN, KEYS = "/oauth/token", "/jwks.json"


class Person:
    """Consents in a browser; remembers what was shown, opened and seen there."""

    def __init__(self):
        self.shown, self.opened = [], []
        self._pages: queue.SimpleQueue[Page] = queue.SimpleQueue()

    def open(self, url):
        self.opened.append(url)
        self._pages.put(browse(url))

    async def page(self):
        """Wait for the last page of a sign-in; the browser may show it a little later than that ends."""
        return await asyncio.to_thread(self._pages.get, timeout=5)

    @property
    def screen(self):
        return Screen(show=self.shown.append, open_url=self.open)

    @property
    def address(self):
        [address] = re.findall(r"http\S+/authorize\S+", "".join(self.shown))
        return address


@pytest.fixture
def person():
    return Person()


@pytest.fixture
def attempt(client, service, file, person):
    """Sign in once, as this person."""

    def attempt(screen=None, **options):
        return sign_in(client, service, file, screen or person.screen, **options)

    return attempt


def asked(sim):
    return [request.query for request in sim.requests_to("/authorize")]


async def test_a_first_sign_in_is_stored_and_says_whose_plan_is_used(sim, attempt, person, file, service):
    credential = await attempt()
    assert file.read() == credential
    assert credential.uses_plan
    assert (credential.subject, credential.email) == ("user-simulated", "ada@example.com")
    assert list(sim.sharing.clients) == [credential.client_id]
    host = json.loads(file.default_host_file.read_text())["ext_agent_host_id"]
    assert sim.sharing.clients[credential.client_id].host_id == credential.host_id == host
    assert file.registration() is None
    assert "ada@example.com" in person.shown[-1]
    assert service.usage_page in person.shown[-1]
    page = await person.page()
    assert page.url.endswith("/finished")
    assert "Signed in" in page.text
    assert sim.strays == []


async def test_a_return_uses_the_registration_and_names_the_account_to_the_browser_only(sim, attempt, person):
    first = await attempt()
    person.shown.clear()
    again = await attempt()
    assert again.client_id == first.client_id
    assert again.access_token != first.access_token
    assert asked(sim)[1]["id_token_hint"] == first.id_token
    assert "id_token_hint" not in person.opened[1]
    assert person.opened[1].startswith("http://127.0.0.1:")
    assert "id_token_hint" not in person.address
    assert len(sim.sharing.clients) == 1


@pytest.mark.parametrize("when", ["new", "never"])
async def test_the_browser_may_leave_the_registration_out_at_a_return(sim, attempt, when):
    first = await attempt()
    sim.sharing.client_id_in_callback = when
    assert (await attempt()).client_id == first.client_id


async def test_a_first_sign_in_without_a_registration_fails(sim, attempt, file):
    sim.sharing.client_id_in_callback = "never"
    with pytest.raises(AuthenticationError, match="registration"):
        await attempt()
    assert file.read() is None


async def test_without_consent_to_plan_use_it_says_how_to_allow_it(sim, attempt, person):
    sim.sharing.consent = "sign_in"
    assert not (await attempt()).uses_plan
    assert "--enable-plan" in person.shown[-1]
    sim.sharing.consent = "plan"
    assert not (await attempt()).uses_plan
    assert (await attempt(enable_plan=True)).uses_plan
    assert [query.get("prompt") for query in asked(sim)] == [None, None, "consent"]


async def test_a_person_who_refuses_changes_nothing(sim, attempt, person, file, stored):
    before = stored()
    sim.sharing.consent = "denied"
    with pytest.raises(AuthenticationError, match="refused in the browser"):
        await attempt(enable_plan=True)
    assert file.read() == before
    assert "refused in the browser" in (await person.page()).text


FORGED = {
    "signed with the public key": {"signature": "HS256"},
    "signed with the public key, as RS256": {"signature": "HS256", "token_header": {"alg": "RS256"}},
    "not signed": {"signature": "none"},
    "signed with another key": {"signature": "other-key"},
    "issuer": {"claims": {"iss": "https://example.com"}},
    "nonce": {"claims": {"nonce": "m" * 43}},
    "audience": {"claims": {"aud": "oaiapp_other"}},
    "party": {"claims": {"azp": "oaiapp_other"}},
    "no person": {"claims": {"sub": None}},
    "no kid": {"token_header": {"kid": None}},
}


@pytest.mark.parametrize("switches", FORGED.values(), ids=list(FORGED))
async def test_a_forged_id_token_is_refused_and_the_registration_kept(sim, attempt, file, switches):
    for name, value in switches.items():
        setattr(sim.sharing, name, value)
    with pytest.raises(AuthenticationError, match="cannot be trusted") as raised:
        await attempt()
    assert not raised.value.retryable
    assert file.read() is None
    [client_id] = sim.sharing.clients
    assert file.registration().client_id == client_id


@pytest.mark.parametrize("claims", [{"exp": 1}, {"iat": 4_000_000_000}])
async def test_with_a_wrong_clock_nothing_is_stored_but_the_registration(sim, attempt, file, claims):
    sim.sharing.claims = claims
    with pytest.raises(ConfigurationError, match="machine's clock"):
        await attempt()
    assert file.read() is None
    assert file.registration() is not None


async def test_keys_that_are_not_available_fail_it_and_the_next_one_registers_nothing(sim, attempt, file):
    sim.sharing.keys.published = "none"
    with pytest.raises(ProviderUnavailableError, match="keys are not available") as raised:
        await attempt()
    assert raised.value.retryable
    assert file.read() is None
    sim.sharing.keys.published = "all"
    assert (await attempt()).client_id in sim.sharing.clients
    assert len(sim.sharing.clients) == 1
    assert file.registration() is None


@pytest.mark.parametrize(
    ("path", "fault"),
    [
        (TOKEN, Fault(status=500, body="down")),
        (TOKEN, Fault(cut_after_bytes=9)),
        (TOKEN, Fault(status=400, body={"error": "invalid_grant"})),
        (TOKEN, Fault(status=200, body={"access_token": "at_1"})),
        (KEYS, Fault(status=500)),
        (KEYS, Fault(drop_connection=True)),
    ],
)
async def test_what_fails_after_the_callback_loses_no_registration(sim, attempt, file, path, fault):
    sim.misbehave(path, fault)
    with pytest.raises(LLMError):
        await attempt()
    assert file.read() is None
    assert file.registration() is not None
    await attempt()
    assert len(sim.sharing.clients) == 1


async def test_an_approval_survives_a_lost_connection(sim, attempt):
    sim.misbehave(TOKEN, Fault(drop_connection=True), times=2)
    assert (await attempt()).uses_plan
    assert len(sim.requests_to("/authorize")) == 1


async def test_another_account_is_refused_at_a_return(sim, attempt, file):
    first = await attempt()
    sim.sharing.claims = {"sub": "user-other"}
    with pytest.raises(AuthenticationError, match="another ChatGPT account"):
        await attempt()
    assert file.read() == first


async def test_a_sign_out_during_the_sign_in_is_not_undone(attempt, service, file, stored, person):
    stored()

    def sign_out_then_consent(url):
        file.save(file.read().without_tokens())
        person.open(url)

    with pytest.raises(AuthenticationError, match="changed while"):
        await attempt(Screen(show=person.shown.append, open_url=sign_out_then_consent))
    assert not file.read().is_connected


async def test_a_renewal_during_the_sign_in_does_not_disturb_it(sim, service, file, stored, attempt, person):
    stored(expires_in=60)

    def renew_then_consent(url):
        asyncio.run(PlanConnection(file, service).current())
        person.open(url)

    credential = await attempt(Screen(show=person.shown.append, open_url=renew_then_consent))
    assert file.read() == credential


async def test_the_address_of_the_last_page_can_be_pasted(sim, attempt, person, service):
    lines: list[str] = []

    async def read_line():
        if not lines:
            page = await asyncio.to_thread(browse, person.address, follow=False)
            lines.extend(["ac_1", "http://127.0.0.1:1/auth/callback?x", page.headers["location"]])
        return lines.pop(0)

    credential = await attempt(Screen(show=person.shown.append, read_line=read_line))
    assert credential.uses_plan
    assert sum("Paste the whole address" in text for text in person.shown) == 2
    assert person.shown[0].startswith(f"This is not ChatGPT: it signs you in at {service.url},")
    assert "Forward the port" in person.shown[0]
    assert person.shown[0].endswith("\n\nYou have 5 minutes.")


async def test_a_damaged_file_does_not_make_another_registration(sim, attempt, file):
    first = await attempt()
    content = file.path.read_bytes()
    file.path.write_bytes(content[: content.index(b'"expires_at"')])
    again = await attempt()
    assert (again.client_id, again.subject) == (first.client_id, first.subject)
    assert file.read() == again
    assert len(sim.sharing.clients) == 1


async def test_two_sign_ins_at_a_time_register_the_app_once(sim, service, file, attempt, person):
    shown: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    first = asyncio.create_task(attempt(Screen(show=len, show_address=shown.set_result)))
    address = await shown
    again = PlanFile(file.path, service.origin)
    with pytest.raises(AuthenticationError, match="under way"):
        async with new_client(connect=5, silence=5) as other:
            await sign_in(other, service, again, person.screen)
    await asyncio.to_thread(browse, address)
    assert (await first).uses_plan
    assert len(sim.sharing.clients) == 1
    await attempt()


async def test_a_person_who_does_not_decide_ends_it(attempt, person, file):
    with pytest.raises(AuthenticationError, match="not completed in time"):
        await attempt(Screen(show=person.shown.append), limit=0)
    assert file.read() is None


async def test_a_place_that_cannot_be_written_fails_before_anyone_is_asked(sim, attempt, person, file):
    file.path.parent.mkdir()
    file.path.write_text("notes")
    file.path.chmod(0o600)
    with pytest.raises(LLMError, match="cannot be written"):
        await attempt()
    assert person.shown == []
    assert sim.requests == []


async def test_a_cancelled_sign_in_leaves_no_port_open(attempt):
    shown: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    task = asyncio.create_task(attempt(Screen(show=shown.set_result)))
    [port] = re.findall(r"ssh -L (\d+):", await shown)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    with pytest.raises(OSError):
        await asyncio.open_connection("127.0.0.1", int(port))
