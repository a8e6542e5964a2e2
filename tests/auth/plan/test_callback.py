"""The loopback server answers the browser of this sign-in, and no one else."""

import asyncio
import contextlib
import re
import socket
from dataclasses import replace

import pytest

from amplifier_module_provider_openai_chatgpt.auth.failures import SignInError
from amplifier_module_provider_openai_chatgpt.auth.plan.authorization import Attempt
from amplifier_module_provider_openai_chatgpt.auth.plan.callback import listening
from amplifier_module_provider_openai_chatgpt.secret import Secret
from amplifier_module_provider_openai_chatgpt.services import CHATGPT_PLAN_SIGN_IN

SERVICE = replace(CHATGPT_PLAN_SIGN_IN, redirect_port=0)


@pytest.fixture
def attempt():
    return Attempt(host_id=Secret("urn:uuid:1"), app_name="Amplifier")


async def ask(callback, target, *, method="GET", hosts=None):
    reader, writer = await asyncio.open_connection("127.0.0.1", callback.port)
    named = [callback.authority] if hosts is None else hosts
    head = [f"{method} {target} HTTP/1.1", *(f"Host: {host}" for host in named), "", ""]
    writer.write("\r\n".join(head).encode())
    page = (await reader.read()).decode()
    writer.close()
    await writer.wait_closed()
    return page


def target(attempt, **changes):
    fields = {"code": "ac_1", "state": attempt.state, "client_id": "oaiapp_1", **changes}
    return "/auth/callback?" + "&".join(f"{name}={value}" for name, value in fields.items())


async def end(callback, attempt):
    """Bring what is expected, and fetch the last page."""
    await ask(callback, target(attempt))
    assert callback.brought.done()
    callback.farewell("Signed in", "Done.")
    assert "Done." in await ask(callback, "/finished")


async def test_a_callback_leads_to_a_page_without_the_code(attempt):
    async with listening(attempt, SERVICE) as callback:
        page = await ask(callback, target(attempt))
        assert page.startswith("HTTP/1.1 302 ")
        assert f"Location: http://127.0.0.1:{callback.port}/finished\r\n" in page
        assert "Cache-Control: no-store\r\n" in page
        assert "Referrer-Policy: no-referrer\r\n" in page
        assert "ac_1" not in page
        assert (await callback.brought).code == "ac_1"
        callback.farewell("Signed in", "Done <&>.")
        assert "Done &lt;&amp;&gt;." in await ask(callback, "/finished")


@pytest.mark.parametrize(
    ("how", "status"),
    [
        ({"hosts": []}, 400),
        ({"hosts": ["localhost:{port}"]}, 400),
        ({"hosts": ["127.0.0.1"]}, 400),
        ({"hosts": ["example.com"]}, 400),
        ({"hosts": ["127.0.0.1:{port}", "example.com"]}, 400),
        ({"method": "POST"}, 405),
        ({"method": "HEAD"}, 405),
    ],
)
async def test_a_foreign_host_or_method_is_refused_and_the_sign_in_goes_on(attempt, how, status):
    async with listening(attempt, SERVICE) as callback:
        named = dict(how)
        if "hosts" in how:
            named["hosts"] = [host.format(port=callback.port) for host in how["hosts"]]
        assert (await ask(callback, target(attempt), **named)).startswith(f"HTTP/1.1 {status} ")
        assert not callback.brought.done()
        await end(callback, attempt)


async def test_other_paths_and_other_states_are_refused_and_the_sign_in_goes_on(attempt):
    other = Attempt(host_id=Secret("urn:uuid:1"), app_name="Amplifier")
    async with listening(attempt, SERVICE) as callback:
        assert " 404 " in await ask(callback, "/finished")
        assert " 404 " in await ask(callback, target(attempt).replace("/auth/callback", "/callback"))
        assert " 400 " in await ask(callback, target(other))
        assert " 400 " in await ask(callback, target(other, error="access_denied"))
        assert not callback.brought.done()


async def test_a_replayed_callback_changes_nothing(attempt):
    async with listening(attempt, SERVICE) as callback:
        await ask(callback, target(attempt))
        await ask(callback, target(attempt, code="ac_2"))
        await ask(callback, target(attempt, error="access_denied"))
        assert (await callback.brought).code == "ac_1"
        callback.farewell("Signed in", "Done.")
        await ask(callback, "/finished")


async def test_a_refusal_is_shown_on_the_last_page(attempt):
    async with listening(attempt, SERVICE) as callback:
        await ask(callback, target(attempt, error="access_denied"))
        assert "refused in the browser" in await ask(callback, "/finished")
        with pytest.raises(SignInError):
            await callback.brought


async def test_the_start_page_leads_to_the_address_with_a_token_once(attempt):
    once, later = Secret("https://example.com/?id_token_hint=a.b.c"), Secret("https://example.com/")
    async with listening(attempt, SERVICE) as callback:
        assert " 404 " in await ask(callback, "/start/")
        path = callback.start_page(once, later).reveal().removeprefix(f"http://{callback.authority}")
        assert " 404 " in await ask(callback, path + "x")
        assert " 400 " in await ask(callback, path, hosts=["example.com"])
        assert " 405 " in await ask(callback, path, method="HEAD")
        pages = [await ask(callback, path) for _ in range(3)]
    found = [re.findall("Location: (.*)\r\n", page) for page in pages]
    assert found == [[once.reveal()], [later.reveal()], [later.reveal()]]
    assert all("Cache-Control: no-store\r\n" in page for page in pages)


async def test_junk_ends_its_connection_only(attempt):
    async with listening(attempt, SERVICE) as callback:
        for junk in (b"\r\n\r\n", b"GET http://[ HTTP/1.1\r\nHost: x\r\n\r\n", b"\xff" * 70_000):
            reader, writer = await asyncio.open_connection("127.0.0.1", callback.port)
            writer.write(junk)
            writer.write_eof()
            with contextlib.suppress(ConnectionError):  # unread bytes reset a connection
                await reader.read()
            writer.close()
        await end(callback, attempt)


async def test_a_port_in_use_is_replaced_by_a_free_one(attempt):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        async with listening(attempt, replace(SERVICE, redirect_port=port)) as callback:
            assert callback.port not in (0, port)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    async with listening(attempt, replace(SERVICE, redirect_port=port)) as callback:
        assert callback.redirect_uri == f"http://127.0.0.1:{port}/auth/callback"
    with pytest.raises(OSError):
        await asyncio.open_connection("127.0.0.1", port)
