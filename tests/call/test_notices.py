"""What a person sees on the host's screen: limits, waits and a replaced model, each once."""

import asyncio
from types import SimpleNamespace
from unittest.mock import AsyncMock, MagicMock

import pytest
from amplifier_core.llm_errors import ProviderUnavailableError

from amplifier_module_provider_openai_chatgpt import ChatGPTProvider
from amplifier_module_provider_openai_chatgpt.call import notices
from amplifier_module_provider_openai_chatgpt.call.notices import Notices, limit_notice, wait_notice
from amplifier_module_provider_openai_chatgpt.call.steps import Retrying
from amplifier_module_provider_openai_chatgpt.quota.values import Credits, Quota, Window
from amplifier_module_provider_openai_chatgpt.simulator import Fault
from tests.conftest import MODEL
from tests.event_recorder import RESPONSES, EventRecorder, ask

NOW = 1_790_000_000.0
WEEKLY = Window("weekly", 93.7, 10_080, NOW + 90_000)


class Display:
    """The display of the command line; its session's sub-agents use it too."""

    def __init__(self):
        self.shown = []

    def show_message(self, message, level, source="hook"):
        self.shown.append((level, message, source))

    @property
    def texts(self):
        return [message for _, message, _ in self.shown]


class AsyncDisplay(Display):
    """A display that sends its messages over a connection."""

    async def show_message(self, message, level, source="hook"):
        await asyncio.sleep(0)
        super().show_message(message, level, source)


def coordinator_with(display):
    recorder = EventRecorder()
    recorder.coordinator.display_system = display
    return recorder.coordinator


@pytest.fixture
async def call(config, in_use):
    """Call a new provider, as each sub-agent has its own, on this display."""

    async def call(display, request=None, **settings):
        provider = in_use({**config, **settings}, coordinator_with(display))
        return await provider.complete(request or ask())

    return call


@pytest.mark.parametrize("make", [Display, AsyncDisplay])
async def test_a_window_past_ninety_percent_is_shown_once_with_its_reset_time(sim, call, make):
    display = make()
    sim.use_quota(93, 40)
    for _ in range(3):
        await call(display)
    [(level, message, source)] = display.shown
    assert (level, source) == ("warning", "openai-chatgpt")
    assert message.startswith("93 % of the ChatGPT usage limit is used on the Plus plan (5-hour window): ")
    assert "it resets at " in message or "it resets on " in message
    other = make()
    await call(other)
    assert len(other.shown) == 1, "another session has another screen"


async def test_a_used_up_limit_is_in_the_error_only(sim, call):
    display = Display()
    sim.exhaust()
    with pytest.raises(Exception, match="usage limit reached"):
        await call(display)
    assert display.shown == []


async def test_a_wait_between_attempts_is_shown(sim, call):
    display = Display()
    sim.misbehave(RESPONSES, Fault(status=503, headers={"retry-after-ms": "1"}))
    await call(display)
    assert display.texts == ["The ChatGPT backend failed (HTTP 503). Retrying in 1 s (1 of 3)."]
    assert display.shown[0][0] == "info"


async def test_a_retry_without_a_wait_and_a_call_in_the_background_show_nothing(sim, call):
    display = Display()
    sim.misbehave(RESPONSES, Fault(status=503))
    await call(display)
    sim.misbehave(RESPONSES, Fault(status=503, headers={"retry-after-ms": "1"}))
    await call(display, ask(metadata={"stream": False}))
    assert display.shown == []


async def test_a_replaced_model_is_shown_once(call):
    display = Display()
    for _ in range(3):
        await call(display, default_model="gpt-5.5")
    assert display.texts == [f"The model gpt-5.5 is no longer available; using {MODEL}."]
    other = Display()
    await call(other, default_model="gpt-5.5")
    assert len(other.shown) == 1


async def test_a_replaced_default_is_not_shown_because_the_user_did_not_choose_it(config, in_use):
    display = Display()
    del config["default_model"]
    await in_use(config, coordinator_with(display)).complete(ask())
    assert display.shown == []


class _Raising:
    def show_message(self, *_, **__):
        raise RuntimeError("[/red] is no open tag")


class _Hanging:
    async def show_message(self, *_, **__):
        await asyncio.Event().wait()


class _Slotted:
    __slots__ = ()

    def show_message(self, *_, **__):
        return None


DISPLAYS = {
    "none": None,
    "without the method": object(),
    "raises": _Raising(),
    "a mock": MagicMock(),
    "an awaitable mock": AsyncMock(),
    "not hashable": SimpleNamespace(show_message=lambda *_, **__: None),
    "cannot be watched": _Slotted(),
}


@pytest.mark.parametrize("display", DISPLAYS.values(), ids=DISPLAYS)
async def test_no_display_can_break_a_call(sim, call, display):
    sim.use_quota(95, 95)
    sim.misbehave(RESPONSES, Fault(status=503, headers={"retry-after-ms": "1"}))
    assert (await call(display, default_model="gpt-5.5")).text


async def test_a_display_that_hangs_delays_a_call_by_a_bounded_time():
    assert notices.DISPLAY_LIMIT <= 1
    hanging = SimpleNamespace(display_system=_Hanging())
    async with asyncio.timeout(10):
        await Notices(hanging, patience=0.01).once("Replaced.")


async def test_a_display_that_is_gone_is_forgotten():
    display = Display()
    await Notices(SimpleNamespace(display_system=display)).once("Replaced.")
    key = id(display)
    assert key in notices._shown
    del display
    assert key not in notices._shown


async def test_a_message_is_one_plain_line():
    """Displays read brackets as markup, and a server's words may contain anything."""
    display = Display()
    error = ProviderUnavailableError("A [bold]server[/bold]\n\x1b[31mfailed: try again.")
    await Notices(SimpleNamespace(display_system=display)).waiting(Retrying(1, 3, 2.2, error))
    assert display.texts == ["A (bold)server(/bold) (31mfailed. Retrying in 3 s (1 of 3)."]


@pytest.mark.parametrize(
    ("window", "plan", "text"),
    [
        (
            WEEKLY,
            "plus",
            "93 % of the ChatGPT usage limit is used on the Plus plan (weekly window): it resets",
        ),
        (WEEKLY._replace(resets_at=None), None, "93 % of the ChatGPT usage limit is used (weekly window)."),
        (WEEKLY._replace(used_percent=99.9), None, "99 % of "),
        (WEEKLY._replace(used_percent=130.0), None, "100 % of "),
        (WEEKLY._replace(limit="Spark"), None, "93 % of the ChatGPT usage limit for Spark is used"),
    ],
)
def test_a_limit_is_named_with_plan_window_and_reset(window, plan, text):
    assert limit_notice(window, plan, NOW).startswith(text)


async def test_a_used_up_window_is_shown_if_credits_let_calls_continue():
    display = Display()
    window = WEEKLY._replace(used_percent=100.0)
    quota = Quota(windows=(window,), credits=Credits(has_credits=True, unlimited=False))
    await Notices(SimpleNamespace(display_system=display)).limits(quota)
    assert len(display.shown) == 1


def test_an_error_without_advice_is_quoted_whole():
    step = Retrying(2, 3, 61.0, ProviderUnavailableError("It failed."))
    assert wait_notice(step) == "It failed. Retrying in 2 min (2 of 3)."


def test_a_provider_without_a_coordinator_has_no_screen(config):
    assert ChatGPTProvider(config)._call_context.notices._display is None
