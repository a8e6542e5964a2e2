"""No failure shows a secret: in a traceback with local variables, its causes, and all their attributes."""

import asyncio
import errno
import json
import logging
from pathlib import Path

import pytest
from amplifier_core.message_models import ChatRequest, Message

from amplifier_module_provider_openai_chatgpt.auth.oauth import exchange_code
from amplifier_module_provider_openai_chatgpt.auth.token_file import TokenFile
from amplifier_module_provider_openai_chatgpt.auth.tokens import Tokens
from amplifier_module_provider_openai_chatgpt.http import new_client
from amplifier_module_provider_openai_chatgpt.oauth import refresh_tokens
from amplifier_module_provider_openai_chatgpt.provider import ChatGPTProvider
from amplifier_module_provider_openai_chatgpt.secret import Secret
from amplifier_module_provider_openai_chatgpt.simulator import Fault, accounts
from tests.conftest import recorded, write_tokens
from tests.event_recorder import EventRecorder
from tests.secret_leaks import PERSONAL, Watch

RESPONSES = "/codex/responses"
HELLO = ChatRequest(messages=[Message(role="user", content="Say hello.")])


class Case:
    """A sign-in at a simulator that echoes, and the ways to make one of its requests fail."""

    def __init__(self, sim, config):
        self.sim, self.config = sim, config
        self.provider = ChatGPTProvider(
            {**config, "raw": True, "max_retries": 0, "timeout": 5}, EventRecorder().coordinator
        )

    def echo(self):
        names = [*PERSONAL, self.sim.accounts.secret("rt_")]
        text = f"Refused: {' '.join(sorted(self.sim.secrets))} {' '.join(names)}"
        return {"error": {"message": text, "code": "bad_request", "param": text}}

    def expired(self, **fault):
        """Let the token expire, so the next call renews it and meets this fault."""
        write_tokens(self.config["token_file_path"], recorded(self.sim, self.sim.sign_in(expires_in=-10)))
        self.sim.misbehave("/oauth/token", Fault(**fault), times=None)
        return self.ask()

    def answered(self, **fault):
        self.sim.misbehave(RESPONSES, Fault(**fault), times=None)
        return self.ask()

    def listed(self, **fault):
        self.sim.misbehave("/wham/usage", Fault(**fault), times=None)
        return self.provider.usage()

    async def ask(self, text="Say hello."):
        await self.provider.complete(ChatRequest(messages=[Message(role="user", content=text)]))

    async def cancelled(self, path, work):
        self.sim.misbehave(path, Fault(stall_before_headers=True))
        task = asyncio.create_task(work)
        await asyncio.to_thread(self.sim.wait_until, lambda: self.sim.stalled)
        task.cancel()
        try:
            await task
        finally:
            self.sim.release()

    async def unsaved(self):
        """Renew a token and find the disk full where the new one is written."""
        path = Path(self.config["token_file_path"])
        write_tokens(path, recorded(self.sim, self.sim.sign_in(expires_in=-10)))

        def full(*_):
            raise OSError(errno.ENOSPC, "No space left on device")

        TokenFile(path, replace=full).save(Tokens.from_dict(self.sim.sign_in()))

    def device(self, *, path, **fault):
        self.sim.misbehave(path, Fault(**fault), times=None)
        return self.provider.login(lambda _: None)

    async def large(self):
        """Send a request whose body the server does not read before it hangs up."""
        server = await asyncio.start_server(lambda _, writer: writer.transport.abort(), "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        tokens = self.sim.sign_in()
        base_url = f"http://127.0.0.1:{port}/backend-api"
        given = {**tokens, "issuer": base_url, "backend": base_url.removesuffix("/backend-api")}
        write_tokens(self.config["token_file_path"], given)
        self.provider = ChatGPTProvider(
            {**self.config, "max_retries": 0, "base_url": base_url, "auth_url": base_url}
        )
        del tokens, given
        try:
            await self.ask("x" * 1_000_000)
        finally:
            server.close()

    async def exchanged(self, **fault):
        """Exchange an authorization code in a form."""
        self.sim.misbehave("/oauth/token", Fault(**fault), times=None)
        code, verifier = Secret(self.sim.accounts.secret("ac_")), Secret(self.sim.accounts.secret("", 64))
        async with new_client(connect=5, silence=5) as client:
            service = self.provider.credentials.service
            await exchange_code(client, service, code, verifier, "http://localhost:1455/auth/callback")

    async def built(self):
        given = self.sim.sign_in()
        build_badly({**self.config, "timeout": "never"}, given)


def build_badly(config, given):
    ChatGPTProvider(config, tokens=given)


FAILURES = {
    "refused with an echo": lambda case: case.answered(status=400, body=case.echo()),
    "refused in the stream": lambda case: case.answered(
        body=f"data: {json.dumps({'type': 'response.failed', 'response': case.echo()})}\n\n"
    ),
    "hung up": lambda case: case.answered(drop_connection=True),
    "cut before it begins": lambda case: case.answered(body=case.echo(), cut_after_bytes=900),
    "cut in the stream": lambda case: case.answered(
        body=f"data: {json.dumps(case.echo())}\n\n: {'x' * 99}", cut_after_bytes=2700
    ),
    "an illegal header": lambda case: case.answered(
        headers={"set-cookie": f"__cf_bm={case.echo()}"}, status=503
    ),
    "a request that is too large": lambda case: case.large(),
    "a request of a wrong shape": lambda case: case.provider.complete(HELLO, reasoning_effort="extreme"),
    "a document that is an echo": lambda case: case.listed(body=json.dumps(case.echo())[:-1], status=200),
    "a document that is cut": lambda case: case.listed(body=case.echo(), cut_after_bytes=300),
    "cancelled while it is asked": lambda case: case.cancelled(RESPONSES, case.ask()),
    "a renewal refused with an echo": lambda case: case.expired(status=400, body=case.echo()),
    "a renewal in trouble": lambda case: case.expired(status=500, body=case.echo()),
    "a renewal hung up": lambda case: case.expired(drop_connection=True),
    "a renewal whose answer is cut": lambda case: case.expired(cut_after_bytes=700),
    "a renewal without tokens": lambda case: case.expired(status=200, body=case.echo()),
    "a renewal that cannot be saved": lambda case: case.unsaved(),
    "a provider with a wrong setting and given tokens": lambda case: case.built(),
    "a code whose exchange hung up": lambda case: case.exchanged(drop_connection=True),
    "a code whose answer is cut": lambda case: case.exchanged(
        status=200, body=case.sim.sign_in(), cut_after_bytes=700
    ),
    "a code refused with an echo": lambda case: case.exchanged(status=400, body=case.echo()),
    "a renewal by another program with a bad path": lambda case: refresh_tokens(
        case.sim.accounts.secret("rt_"), "a\0b"
    ),
    "a sign-in without a code": lambda case: case.device(path="/usercode", status=400, body=case.echo()),
    "a sign-in cancelled": lambda case: case.cancelled(
        "/deviceauth/token", case.provider.login(lambda _: None)
    ),
}


@pytest.mark.parametrize("row", FAILURES)
async def test_no_traceback_with_local_variables_shows_a_secret(sim, config, row):
    own = Watch()
    logging.getLogger().addHandler(own)
    for secret in sim.secrets:
        own.learn(secret)
    accounts.secret_listeners.append(own.learn)
    for name in PERSONAL:
        own.learn_name(name)
    case = Case(sim, config)
    try:
        error = await raised_by(FAILURES[row], case)
    finally:
        await case.provider.close()
        accounts.secret_listeners.remove(own.learn)
        logging.getLogger().removeHandler(own)
    own.search_failure(error)
    assert not own.found
    assert own.searched["log"] > 0


async def raised_by(work, case):
    """Return what a failing case raises, without the frames of the tests, which hold secrets."""
    try:
        await work(case)
    except BaseException as error:  # noqa: BLE001 - also a cancellation
        frames = error.__traceback__
        while frames and "/tests/" in frames.tb_frame.f_code.co_filename:
            frames = frames.tb_next
        return error.with_traceback(frames)
    pytest.fail("nothing was raised")
