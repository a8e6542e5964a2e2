"""Processes that kill themselves while they sign in or renew: ``AUTH_URL BASE_URL [ORDER MOMENTS NTH FILE]``.

ORDER is ``login``, ``renew``, which renews in a thread, ``call``, which renews as calls do, or ``leave``,
which ends as soon as a renewal has begun. The process dies before the NTH audit event with a name in MOMENTS
that is about the folder of FILE or a connection to the issuer, at a sign-in after the callback; with NTH 0 it
never does. Without an order on the command line, orders are read, one a line; a forked process carries out
each, and its exit code and the number of such events are the answer.
"""

import asyncio
import os
import signal
import sys
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

from amplifier_module_provider_openai_chatgpt.auth.plan.connection import PlanConnection
from amplifier_module_provider_openai_chatgpt.auth.plan.credentials import PlanCredentials
from amplifier_module_provider_openai_chatgpt.auth.plan.file import PlanFile
from amplifier_module_provider_openai_chatgpt.auth.plan.renewal import PlanRenewal
from amplifier_module_provider_openai_chatgpt.auth.plan.sign_in import Screen, sign_in
from amplifier_module_provider_openai_chatgpt.auth.single_flight import InThread
from amplifier_module_provider_openai_chatgpt.http import new_client
from amplifier_module_provider_openai_chatgpt.services import CHATGPT_PLAN, CHATGPT_PLAN_SIGN_IN
from tests.auth.child import ending, fork, warm_up
from tests.browser import browse


class Killer:
    """Counts the events from ``armed`` on, and kills at one of them."""

    def __init__(self, moments, nth, folder, issuer):
        self.armed, self.count = False, 0
        self._moments, self._nth, self._folder, self._issuer = moments, nth, folder, issuer

    def __call__(self, event, details):
        if self.armed and event in self._moments and self._concerns(event, details):
            self.count += 1
            if self.count == self._nth:
                os.kill(os.getpid(), signal.SIGKILL)

    def _concerns(self, event, details):
        if event == "socket.connect":
            return details[1][1] == self._issuer
        return str(details[0]).startswith(self._folder)


async def login(file, service, killer):
    def consent(url):
        page = browse(url, follow=False)
        killer.armed = True
        browse(page.headers["location"])

    async with new_client(connect=5, silence=5) as client:
        await sign_in(client, service, file, Screen(show=len, open_url=consent))


async def renew(file, service, killer):
    killer.armed = True
    await PlanConnection(file, service).current()


async def call(file, service, killer):
    killer.armed = True
    await PlanCredentials(file.path, CHATGPT_PLAN.at(service.base_url, service.url)).current()


async def leave(file, service, _):
    """End as soon as the renewal has begun, whatever the event loop still waits for."""
    began = asyncio.Event()
    loop = asyncio.get_running_loop()

    def renew(order):
        loop.call_soon_threadsafe(began.set)
        return PlanRenewal(file, service)(order)

    task = asyncio.create_task(PlanConnection(file, service, renew=InThread(renew)).current())
    await began.wait()
    task.cancel()


def carry_out(given, auth_url, base_url):
    """Do what is ordered in this process; returns how many of the events there were."""
    order, moments, nth, path = given
    service = replace(CHATGPT_PLAN_SIGN_IN.at(base_url, auth_url), redirect_port=0)
    file = PlanFile(Path(path), service.origin)
    killer = Killer(moments.split(","), int(nth), str(file.path.parent), urlsplit(auth_url).port)
    sys.addaudithook(killer)
    orders = {"login": login, "renew": renew, "call": call, "leave": leave}
    asyncio.run(orders[order](file, service, killer))
    return killer.count


def obey(order, *where):
    """Do what is ordered in a process of its own; returns its exit code, and the number of events."""
    results, report = os.pipe()
    child = fork(lambda: os.write(report, b"%d" % carry_out(order, *where)))
    os.close(report)
    with os.fdopen(results) as count:
        return f"{ending(child)} {count.read()}"


def main(auth_url, base_url, *order):
    if order:
        carry_out(order, auth_url, base_url)
        return
    asyncio.run(warm_up(auth_url))
    for line in sys.stdin:
        sys.stdout.write(f"{obey(line.split(), auth_url, base_url)}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
