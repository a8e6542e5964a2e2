"""What both sign-ins in a browser say to a person, and what they take from one."""

import asyncio
import queue
import threading

import pytest

from amplifier_module_provider_openai_chatgpt.auth.failures import Reason, SignInError
from amplifier_module_provider_openai_chatgpt.auth.prompting import (
    instructions,
    open_in_browser,
    pasting,
    reported,
)
from amplifier_module_provider_openai_chatgpt.secret import Secret


def test_the_instructions_name_the_address_and_the_port_to_forward():
    text = instructions("Open this:", "https://example.com/?a=b", "1455:127.0.0.1:1455", pasting=False)
    assert text.startswith("Open this:\n\nhttps://example.com/?a=b\n\n")
    assert text.endswith("    ssh -L 1455:127.0.0.1:1455 <this machine>")
    assert "paste it here" in instructions("Open this:", "x", "y", pasting=True)


def test_a_browser_that_cannot_be_opened_disturbs_nothing():
    opened: queue.SimpleQueue[tuple[threading.Thread, str]] = queue.SimpleQueue()

    def fail(url):
        opened.put((threading.current_thread(), url))
        raise OSError("no browser")

    open_in_browser(fail, Secret("https://example.com"))
    thread, url = opened.get(timeout=5)
    thread.join(5)
    assert url == "https://example.com"
    assert thread is not threading.current_thread()


async def paste(lines, take):
    """Paste lines, and then nothing more; returns what was shown."""
    shown: list[str] = []
    waiting = [*lines, ""]
    brought, read_all = asyncio.get_running_loop().create_future(), asyncio.Event()

    async def read_line():
        if len(waiting) == 1:
            read_all.set()
        return waiting.pop(0)

    async with pasting(lambda line: take(line, brought), brought, read_line, shown.append):
        await asyncio.wait({asyncio.create_task(read_all.wait()), brought}, return_when="FIRST_COMPLETED")
    return shown


async def test_lines_are_taken_until_one_fits():
    taken = []

    def take(line, brought):
        taken.append(line)
        if line == "right":
            brought.set_result("code")
        return "" if line == "right" else "This is wrong."

    shown = await paste([" wrong \n", "\n", "right", "late"], take)
    assert taken == ["wrong", "right"]
    assert shown == ["\nThis is wrong.\nPaste the whole address of the page that failed to load."]


async def test_the_end_of_input_ends_only_the_pasting():
    assert await paste([], lambda *_: "never asked") == []


async def test_without_a_terminal_nothing_is_read():
    future = asyncio.get_running_loop().create_future()
    async with pasting(lambda _: "", future, None, print):
        assert len(asyncio.all_tasks()) == 1


def test_the_browser_shows_how_the_exchange_ended():
    pages: list[tuple[str, str]] = []
    with reported(lambda *page: pages.append(page)):
        pass
    with pytest.raises(SignInError), reported(lambda *page: pages.append(page)):
        raise SignInError(Reason.DENIED)
    assert [title for title, _ in pages] == ["Signed in", "Sign-in failed"]
    assert "refused in the browser" in pages[1][1]
