"""Signing in through a browser, at the simulator: callback, paste, ports, everything that can fail."""

import asyncio
import contextlib
import socket
import threading
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from amplifier_core.llm_errors import AuthenticationError, ConfigurationError, ProviderUnavailableError

from amplifier_module_provider_openai_chatgpt.auth.browser import Attempt, sign_in_by_browser
from amplifier_module_provider_openai_chatgpt.http import new_client
from amplifier_module_provider_openai_chatgpt.services import CHATGPT_CODEX
from amplifier_module_provider_openai_chatgpt.simulator import Fault
from tests.browser import Page, browse, callback_ports

PORTS = CHATGPT_CODEX.issuer.redirect_ports


@pytest.fixture(autouse=True)
def ports():
    with callback_ports():
        yield
    for port in PORTS:
        taken(port).close()


def taken(port):
    """Take a port; fails where something still listens on it."""
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", port))
    listener.listen()
    return listener


class Person:
    """Signs in with ``browse`` as the browser, and notes what is shown."""

    def __init__(self, service, client):
        self.service, self.client = service, client
        self.shown: list[str] = []
        self.naps: list[float] = []
        self.url: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def sign_in(self, browse=None, read_line=None, **more):
        loop = asyncio.get_running_loop()

        def open_url(url):
            loop.call_soon_threadsafe(self.url.set_result, url)
            if browse is not None:
                browse(url)

        return await sign_in_by_browser(
            self.client,
            self.service,
            "amplifier",
            open_url=open_url,
            show=self.shown.append,
            read_line=read_line,
            sleep=self.nap,
            **more,
        )

    async def nap(self, seconds):
        self.naps.append(seconds)
        await asyncio.sleep(0)

    async def visit(self, path="/auth/callback", **fields):
        """Go to the callback server as a browser would; ``state=None`` means the right one."""
        query = parse_qs(urlsplit(await self.url).query)
        if "state" in fields and fields["state"] is None:
            fields["state"] = query["state"][0]
        origin = query["redirect_uri"][0].removesuffix("/auth/callback")
        return await self.client.get(f"{origin}{path}?{urlencode(fields)}")


@pytest.fixture
async def person(service):
    async with new_client(connect=5, silence=5) as client:
        yield Person(service, client)


class Browser:
    """Follows the authorize page back to the callback, in the thread it is opened in."""

    def __init__(self):
        self.pages: list[Page] = []
        self.done = threading.Event()

    def __call__(self, url):
        self.pages.append(browse(url))
        self.done.set()


@contextlib.asynccontextmanager
async def running(coroutine):
    task = asyncio.create_task(coroutine)
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_a_browser_on_this_machine_signs_in_and_shows_it(sim, person):
    browser = Browser()
    tokens = await person.sign_in(browser)
    assert tokens.access_token in sim.secrets
    assert await asyncio.to_thread(browser.done.wait, 5)
    (page,) = browser.pages
    assert page.status == 200
    assert "Signed in" in page.text
    assert page.headers["connection"] == "close"
    assert urlsplit(page.url).port == PORTS[0]


async def test_the_authorize_url_has_every_parameter_in_order(sim, person):
    async with running(person.sign_in()):
        url = urlsplit(await person.url)
    fields = parse_qs(url.query)
    assert list(fields) == [
        "response_type",
        "client_id",
        "redirect_uri",
        "scope",
        "code_challenge",
        "code_challenge_method",
        "id_token_add_organizations",
        "codex_cli_simplified_flow",
        "state",
        "originator",
    ]
    assert "openid%20profile%20email%20offline_access" in url.query
    assert fields["redirect_uri"] == ["http://localhost:1455/auth/callback"]
    assert url.geturl() in person.shown[0]
    assert "ssh -L 1455:localhost:1455" in person.shown[0]
    assert "paste" not in person.shown[0]


def test_every_attempt_has_secrets_of_its_own_that_no_repr_shows():
    first, second = Attempt(), Attempt()
    assert (len(first.verifier.reveal()), len(first.state)) == (86, 43)
    assert first.verifier != second.verifier
    assert first.state != second.state
    assert first.verifier.reveal() not in repr(first)
    assert first.state not in repr(first)


async def test_a_wrong_state_is_rejected_and_the_right_one_still_works(sim, person):
    async with running(person.sign_in()) as task:
        for state in ("wrong", ""):
            page = await person.visit(state=state, code="ac_stolen")
            assert page.status_code == 400
            assert "does not belong" in page.text
        assert not task.done()
        browser = Browser()
        await asyncio.to_thread(browser, await person.url)
        assert (await task).access_token in sim.secrets
    assert len(sim.requests_to("/oauth/token")) == 1


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"error": "access_denied"}, "failed in the browser: access_denied"),
        ({"error": "access_denied", "error_description": "No <b>way</b>"}, "failed in the browser: No way"),
        (
            {"error": "access_denied", "error_description": "x missing_codex_entitlement"},
            "Codex is not enabled for your workspace",
        ),
        ({"error": "server_error", "code": "ac_1"}, "failed in the browser: server_error"),
        ({}, "brought no authorization code"),
        ({"code": ""}, "brought no authorization code"),
    ],
)
async def test_an_error_is_shown_on_the_page_and_raised(sim, person, fields, text):
    async with running(person.sign_in()) as task:
        page = await person.visit(state=None, **fields)
        with pytest.raises(AuthenticationError, match=text):
            await task
    assert "Sign-in failed" in page.text
    assert "<b>" not in page.text
    assert not sim.requests_to("/oauth/token")


async def test_a_failed_exchange_is_shown_too(sim, person):
    sim.misbehave("/oauth/token", Fault(status=502, body="<html>"))
    browser = Browser()
    with pytest.raises(ProviderUnavailableError, match="HTTP 502"):
        await person.sign_in(browser)
    assert await asyncio.to_thread(browser.done.wait, 5)
    assert "Sign-in failed" in browser.pages[0].text
    assert "HTTP 502" in browser.pages[0].text


async def test_other_addresses_are_not_found_and_cancel_ends_the_sign_in(person):
    async with running(person.sign_in()) as task:
        assert (await person.visit("/favicon.ico")).status_code == 404
        assert (await person.client.post("http://127.0.0.1:1455/auth/callback")).status_code == 404
        assert not task.done()
        assert "cancelled" in (await person.visit("/cancel")).text
        with pytest.raises(AuthenticationError, match="cancelled"):
            await task


@pytest.mark.parametrize(
    "header",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Origin": "https://example.com"},
        {"Referer": "https://example.com/"},
        {"User-Agent": "Mozilla/5.0 (X11; Linux x86_64)"},
    ],
    ids=lambda header: next(iter(header)),
)
async def test_a_web_page_cannot_end_a_sign_in(person, header):
    async with running(person.sign_in()) as task:
        await person.url
        asked = await person.client.get("http://127.0.0.1:1455/cancel", headers=header)
        assert asked.status_code == 403
        assert not task.done()


async def test_a_sign_in_that_is_never_finished_in_the_browser_ends(person):
    with pytest.raises(AuthenticationError, match="not finished in the browser within 0 minutes"):
        await person.sign_in(lifetime=0.01)


async def test_garbage_and_silent_connections_do_no_harm(sim, person, caplog):
    async with running(person.sign_in()) as task:
        await person.url
        silent = socket.create_connection(("127.0.0.1", 1455))
        for garbage in (
            b"\r\n\r\n",
            b"\xff\x00\r\n\r\n",
            b"GET\r\n\r\n",
            b"x" * 100_000,
            b"GET //[ HTTP/1.1\r\n\r\n",
        ):
            _, writer = await asyncio.open_connection("127.0.0.1", 1455)
            writer.write(garbage)
            writer.close()
        await asyncio.to_thread(Browser(), await person.url)
        assert (await task).access_token in sim.secrets
        silent.close()
    assert not [record for record in caplog.records if record.name == "asyncio" and record.levelno > 20]


async def test_another_sign_in_on_the_port_is_cancelled(sim, person):
    other = Person(person.service, person.client)
    async with running(other.sign_in()) as task:
        await other.url
        assert (await person.sign_in(Browser())).access_token in sim.secrets
        with pytest.raises(AuthenticationError, match="cancelled"):
            await task
    assert "localhost:1455" in person.shown[0]


@pytest.mark.long
async def test_the_second_port_is_used_when_the_first_stays_in_use(sim, person):
    with taken(PORTS[0]) as listener:
        tokens = await person.sign_in(Browser())
        listener.settimeout(1)
        visitor, _ = listener.accept()
        assert visitor.recv(100).startswith(b"GET /cancel HTTP/1.1\r\n")
        visitor.close()
    assert tokens.access_token in sim.secrets
    assert "localhost:1457" in person.shown[0]
    assert person.naps == [0.2] * 10


async def test_with_both_ports_in_use_the_error_recommends_the_device_code(person):
    with taken(PORTS[0]), taken(PORTS[1]), pytest.raises(ConfigurationError, match="1455 and 1457"):
        await person.sign_in()


async def test_a_pasted_address_signs_in_where_no_browser_reaches_this_machine(sim, person):
    lines: asyncio.Queue[str] = asyncio.Queue()
    async with running(person.sign_in(read_line=lines.get)) as task:
        reply = await asyncio.to_thread(browse, await person.url, follow=False)
        address = reply.headers["location"]
        lines.put_nowait("\n")
        lines.put_nowait("what?\n")
        lines.put_nowait("http://[::1\n")
        lines.put_nowait(address.replace("state=", "state=x") + "\n")
        lines.put_nowait(f"  {address} \n")
        assert (await task).access_token in sim.secrets
    assert "paste" in person.shown[0]
    assert ["does not belong" in text for text in person.shown[1:]] == [True, True, True]


async def test_the_callback_still_works_after_the_end_of_input(sim, person):
    async def no_more():
        return ""

    assert (await person.sign_in(Browser(), read_line=no_more)).access_token in sim.secrets


async def test_a_browser_that_cannot_be_opened_is_not_an_error(sim, person):
    def broken(url):
        raise OSError("no display")

    async with running(person.sign_in(broken)) as task:
        await asyncio.to_thread(Browser(), await person.url)
        assert (await task).access_token in sim.secrets


async def test_cancelling_closes_the_port_immediately_and_stops_reading(person):
    stopped = asyncio.Event()

    async def read_line():
        try:
            await asyncio.Event().wait()
        finally:
            stopped.set()
        return ""

    async with running(person.sign_in(read_line=read_line)) as task:
        await person.url
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert stopped.is_set()
    taken(PORTS[0]).close()


async def test_cancelling_during_the_exchange_is_shown_in_the_browser(sim, person):
    sim.misbehave("/oauth/token", Fault(stall_before_headers=True))
    browser = Browser()
    async with running(person.sign_in(browser)) as task:
        await asyncio.to_thread(sim.wait_until, lambda: sim.stalled)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert await asyncio.to_thread(browser.done.wait, 5)
    assert "Sign-in ended" in browser.pages[0].text


async def test_nothing_secret_is_shown_or_logged(sim, person, caplog):
    caplog.set_level("DEBUG")
    await person.sign_in(Browser())
    assert not [secret for secret in sim.secrets if secret in caplog.text + "".join(person.shown)]
