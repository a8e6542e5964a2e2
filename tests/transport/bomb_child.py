"""A separate process that requests bombs from every endpoint: ``bomb_child.py BASE_URL [STATUS/BOMB ...]``.

Writes a line for each: bomb, endpoint, what was raised, and how much the peak memory has grown, in bytes.
"""

import asyncio
import json
import os
import sys
from dataclasses import dataclass
from typing import Any, cast

from amplifier_module_provider_openai_chatgpt import ChatGPTProvider
from amplifier_module_provider_openai_chatgpt.auth import oauth
from amplifier_module_provider_openai_chatgpt.auth.device import request_device_code
from amplifier_module_provider_openai_chatgpt.auth.tokens import Tokens
from amplifier_module_provider_openai_chatgpt.cli import checks, examination
from amplifier_module_provider_openai_chatgpt.http import new_client
from amplifier_module_provider_openai_chatgpt.response.accumulator import ResponseAccumulator
from amplifier_module_provider_openai_chatgpt.secret import Secret
from amplifier_module_provider_openai_chatgpt.services import CHATGPT_CODEX
from amplifier_module_provider_openai_chatgpt.settings import read_settings
from amplifier_module_provider_openai_chatgpt.transport.http_sse import HttpSseTransport
from tests.transport.memory_child import peak


@dataclass
class SignedIn:
    """A sign-in that never changes."""

    access_token = Secret("token")
    account_id = Secret("account")
    is_fedramp = False

    async def current(self):
        return self

    async def renew(self, *_refused):
        return self


class MinimalCall:
    """The parts of a call that a transport needs."""

    timeout = None
    conversation_id = "conversation"
    version = None
    lite = False

    def body(self):
        return b"{}"


class Client:
    """Sends a request to each endpoint of a service at ``url``."""

    def __init__(self, url):
        self.url = url
        settings = read_settings({"base_url": url, "auth_url": url}, {})
        self.issuer = CHATGPT_CODEX.at(url, url).issuer
        self.transport = HttpSseTransport(settings, SignedIn())

    async def call(self):
        answer = ResponseAccumulator()
        async with self.transport.open(cast("Any", MinimalCall())) as stream:
            async for events in stream.reads():
                answer.feed(events)

    async def models(self):
        await self.transport.models("0.0.0")

    async def usage(self):
        await self.transport.usage()

    async def device_code(self):
        async with new_client(connect=5, silence=5) as client:
            await request_device_code(client, self.issuer)

    async def refresh(self):
        await oauth.refresh_alone(self.issuer, Secret("refresh"))

    async def revoke(self):
        await oauth.revoke_alone(self.issuer, Tokens(refresh_token=Secret("refresh")))

    async def doctor(self):
        provider = ChatGPTProvider({"base_url": self.url})
        await checks._backend(examination.Examination(provider, {}))


ENDPOINTS = ("call", "models", "usage", "device_code", "refresh", "revoke", "doctor")


async def outcome(work: Any) -> str:
    try:
        await work
    except Exception as error:  # noqa: BLE001 - the test decides which are expected
        return type(error).__name__ + ": " + str(error)
    return ""


async def main(base_url, *bombs):
    before = 0
    for bomb in ("200/nothing", *bombs):  # the first imports everything
        client = Client(f"{base_url}/{bomb}")
        for endpoint in ENDPOINTS:
            raised = await outcome(getattr(client, endpoint)())
            sys.stdout.write(json.dumps([bomb, endpoint, raised, peak() - before if before else 0]) + "\n")
        await client.transport.close()
        before = before or peak()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
    sys.stdout.flush()
    os._exit(0)  # amplifier-core's native threads may crash an interpreter that finalizes
