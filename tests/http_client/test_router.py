"""Which way a request goes, what a proxy sees of it, and that a proxy cannot hold it up."""

import asyncio

import httpx
import pytest

from amplifier_module_provider_openai_chatgpt.http import new_client
from amplifier_module_provider_openai_chatgpt.http.failures import ProxyFailure
from tests.transport.raw_backend import listening

TOKEN = "token-of-someone"
CONSENT = {
    "http": [b"HTTP/1.1 200 OK\r\n\r\n"],
    "socks5": [b"\x05\x00", b"\x05\x00\x00\x01\x7f\x00\x00\x01\x00\x01"],
}


@pytest.fixture
def proxied(monkeypatch):
    """Name a proxy for everything, and nothing else."""

    def name(scheme, port):
        for variable in ("HTTPS_PROXY", "NO_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR"):
            monkeypatch.delenv(variable, raising=False)
            monkeypatch.delenv(variable.lower(), raising=False)
        monkeypatch.setenv("ALL_PROXY", f"{scheme}://127.0.0.1:{port}")

    return name


async def get(url, *, connect=5.0):
    async with new_client(connect=connect, silence=5) as client:
        return await client.get(url, headers={"Authorization": f"Bearer {TOKEN}"})


@pytest.mark.parametrize("scheme", CONSENT)
async def test_a_proxy_sees_the_server_and_then_only_tls(proxied, scheme):
    seen = []

    async def serve(reader, writer):
        for answer in CONSENT[scheme]:
            seen.append(await reader.read(65536))
            writer.write(answer)
        seen.append(await reader.read(65536))

    async with listening(serve) as port:
        proxied(scheme, port)
        with pytest.raises((ProxyFailure, httpx.ConnectError)):
            await get("https://chatgpt.com/secret")
    assert any(b"chatgpt.com" in one for one in seen[:-1])
    assert seen[-1].startswith(b"\x16\x03")  # a TLS handshake
    assert TOKEN.encode() not in b"".join(seen)
    assert b"/secret" not in b"".join(seen)


@pytest.mark.parametrize("scheme", CONSENT)
@pytest.mark.parametrize("answers", [0, 1])
async def test_a_proxy_that_falls_silent_is_given_up(proxied, scheme, answers):
    async def serve(reader, writer):
        for answer in CONSENT[scheme][:answers]:
            await reader.read(65536)
            writer.write(answer)
        while await reader.read(65536):
            pass

    async with listening(serve) as port:
        proxied(scheme, port)
        async with asyncio.timeout(10):
            with pytest.raises((ProxyFailure, httpx.ConnectTimeout)):
                await get("https://chatgpt.com/", connect=0.05)


@pytest.mark.parametrize("scheme", CONSENT)
async def test_this_machine_is_reached_directly(proxied, scheme):
    async def serve(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")

    async with listening(serve) as port:
        proxied(scheme, 9)
        for host in ("127.0.0.1", "localhost"):
            assert (await get(f"http://{host}:{port}/")).status_code == 200


@pytest.mark.parametrize("url", ["http://chatgpt.com/", "ftp://127.0.0.1/"])
async def test_only_https_leaves_this_machine(proxied, url):
    proxied("http", 9)
    with pytest.raises(httpx.UnsupportedProtocol):
        await get(url)
