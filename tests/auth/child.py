"""A process that uses a sign-in, or forks others that do: ``child.py AUTH_URL BASE_URL [FILE]``.

With a file it gets one token from it. Without one it reads orders, one a line, and answers each with one
line:

* ``eight FILE`` forks eight processes, each of which makes eight calls in parallel; ``plan FILE`` does the
  same with the plan service
* ``silent FILE`` forks five that renew with short limits, and another one after them
* ``kill SECONDS FILE`` forks one that gets a token and kills it after that time
* ``MOMENT FILE`` forks one that kills itself at the first audit event of this name: ``socket.connect`` to the
  issuer, ``open`` of the new file when the renewed tokens are about to be written, ``os.rename`` of it,
  ``os.truncate`` in the rehearsal, ``rehearsed`` when its file is renamed, ``renamed`` when the renewed
  tokens have been, too; at the moment ``done`` it has its token

Forking saves the
imports, which take far longer than what is tested here.
"""

import asyncio
import os
import signal
import sys
import time
import traceback
from importlib import import_module
from pathlib import Path
from urllib.parse import urlsplit

from amplifier_core.llm_errors import LLMError

from amplifier_module_provider_openai_chatgpt.auth.credentials import Credentials
from amplifier_module_provider_openai_chatgpt.auth.plan.credentials import shared_plan_credentials
from amplifier_module_provider_openai_chatgpt.auth.renewal import Renewal
from amplifier_module_provider_openai_chatgpt.auth.shared import shared_credentials
from amplifier_module_provider_openai_chatgpt.auth.token_file import TokenFile
from amplifier_module_provider_openai_chatgpt.http import new_client
from amplifier_module_provider_openai_chatgpt.services import CHATGPT_CODEX, CHATGPT_PLAN


async def token(path, auth_url, base_url):
    return await shared_credentials(Path(path), CHATGPT_CODEX.at(base_url, auth_url)).current()


async def call(path, auth_url, base_url):
    tokens = await token(path, auth_url, base_url)
    headers = {"Authorization": f"Bearer {tokens.access_token.reveal()}"}
    headers["ChatGPT-Account-ID"] = tokens.account_id.reveal()
    headers["originator"] = "amplifier"
    url = f"{base_url}/codex/models?client_version=0.0.0"
    async with (
        new_client(connect=10, silence=30) as client,
        client.stream("GET", url, headers=headers) as response,
    ):
        return response.status_code


async def plan_call(path, auth_url, base_url):
    """Do what ``call`` does in plan mode; the eight calls of a process share its credentials."""
    service = CHATGPT_PLAN.at(base_url, auth_url)
    tokens = await shared_plan_credentials(Path(path), service).current()
    headers = {"Authorization": f"Bearer {tokens.access_token.reveal()}"}
    async with new_client(connect=10, silence=30) as client:
        response = await client.get(f"{base_url}/models", headers=headers)
    return response.status_code


async def eight_calls(one_call, *where):
    return await asyncio.gather(*(one_call(*where) for _ in range(8)))


async def warm_up(auth_url):
    """Import everything that a first request and a first lock import."""
    async with new_client(connect=10, silence=30) as client:
        await client.get(f"{auth_url}/codex/device")
    import_module("filelock")


def fork(work):
    """Do something in a process of its own; returns the id of the process."""
    child = os.fork()
    if child:
        return child
    try:
        work()
    except BaseException:  # noqa: BLE001 - it must not continue as a copy of the parent
        traceback.print_exc()
        os._exit(1)
    os._exit(0)


def ending(child):
    return str(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))


def eight_processes(one_call, *where):
    """Let eight processes start at the same moment; returns their status codes."""
    gate, opener = os.pipe()
    results, report = os.pipe()

    def work():
        os.close(opener)
        os.read(gate, 1)
        codes = asyncio.run(eight_calls(one_call, *where))
        os.write(report, b"".join(b"%d " % code for code in codes))

    children = [fork(work) for _ in range(8)]
    for end in (opener, report):
        os.close(end)
    for child in children:
        ending(child)
    with os.fdopen(results) as all_codes:
        os.close(gate)
        return all_codes.read()


def kill_later(seconds, path, auth_url, base_url):
    child = fork(lambda: asyncio.run(token(path, auth_url, base_url)))
    time.sleep(seconds)
    os.kill(child, signal.SIGKILL)
    return ending(child)


def die_at(moment, path, auth_url, base_url):
    """Get a token, and kill this process at an audit event of Python."""
    port = urlsplit(auth_url).port
    is_it = {
        "socket.connect": lambda _, address: address[1] == port,
        "open": lambda name, *_: str(name).endswith(".new"),
        "os.rename": lambda source, *_: str(source).endswith(".new"),
        "os.truncate": lambda *_: True,
    }

    folder = str(Path(path).parent)
    renames = []

    def is_it_later(event, first):
        """The rename of the rehearsal, or the first look at the folder after that of the renewed tokens."""
        if event == "os.rename":
            renames.append(str(first))
            return moment == "rehearsed"
        is_folder = event == "open" and str(first) == folder
        return moment == "renamed" and is_folder and renames[-1:] != [] and renames[-1].endswith(".new")

    def watch(event, arguments):
        named = event == moment and is_it[event](*arguments)
        if named or (event in {"os.rename", "open"} and is_it_later(event, arguments[0])):
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(watch)
    asyncio.run(token(path, auth_url, base_url))
    if moment == "done":
        os.kill(os.getpid(), signal.SIGKILL)


async def impatient(path, auth_url, base_url):
    """Return the kind of error that a call gets, and its first words."""
    service = CHATGPT_CODEX.at(base_url, auth_url)
    renewal = Renewal(TokenFile(Path(path)), service, limit=0.5, slow=0.1)
    try:
        await Credentials(TokenFile(Path(path)), service, renew=renewal).current()
    except LLMError as error:
        return f"{type(error).__name__}: {str(error).split(',')[0]}"
    return "renewed"


def five_and_one(*where):
    """Let five processes call at the same moment, then one more; returns what each was answered."""
    results, report = os.pipe()

    def work():
        os.write(report, asyncio.run(impatient(*where)).encode() + b";")

    for child in [fork(work) for _ in range(5)]:
        ending(child)
    ending(fork(work))
    os.close(report)
    with os.fdopen(results) as answers:
        return answers.read()


def obey(order, auth_url, base_url):
    match order.split():
        case ["eight", path]:
            return eight_processes(call, path, auth_url, base_url)
        case ["plan", path]:
            return eight_processes(plan_call, path, auth_url, base_url)
        case ["silent", path]:
            return five_and_one(path, auth_url, base_url)
        case ["kill", seconds, path]:
            return kill_later(float(seconds), path, auth_url, base_url)
        case [moment, path]:
            return ending(fork(lambda: die_at(moment, path, auth_url, base_url)))


def main(auth_url, base_url, path=None):
    if path is not None:
        asyncio.run(token(path, auth_url, base_url))
        return
    asyncio.run(warm_up(auth_url))
    for order in sys.stdin:
        sys.stdout.write(f"{obey(order, auth_url, base_url)}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
