"""The command ``demo``: a real Amplifier session with the provider and the simulator, offline.

The orchestrator, the context and the one tool are here and as small as Amplifier allows; the session
finds the provider by its entry point, like any session.
"""

from __future__ import annotations

import sys
import tempfile
import types
import zoneinfo
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime
from http.client import HTTPConnection
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from amplifier_core import AmplifierSession
from amplifier_core.message_models import ChatRequest, Message, ToolSpec
from amplifier_core.models import HookResult, ToolResult

from ..call.events import EVENTS
from ..provider import ChatGPTProvider
from ..services import CHATGPT_CODEX, CHATGPT_PLAN
from ..settings import PROVIDER
from ..simulator import Simulator
from ..simulator.worlds import DEFAULT_WORLD, PLAN
from .console import print_paragraphs, printable
from .transcript import Transcript, usage_line

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from amplifier_core.message_models import ChatResponse, ToolCall
    from rich.console import Console


@dataclass
class Context:
    """The messages of one session, in memory."""

    messages: list[dict[str, Any]] = field(default_factory=list)

    async def add_message(self, message: dict[str, Any]) -> None:
        """Append a message."""
        self.messages.append(message)

    async def get_messages_for_request(self, **_: Any) -> list[dict[str, Any]]:
        """Return all messages; this context never compacts them."""
        return list(self.messages)

    async def get_messages(self) -> list[dict[str, Any]]:
        """Return all messages."""
        return list(self.messages)

    async def set_messages(self, messages: list[dict[str, Any]]) -> None:
        """Replace all messages."""
        self.messages = list(messages)

    async def clear(self) -> None:
        """Remove all messages."""
        self.messages.clear()


class Loop:
    """The orchestrator: calls the provider until it requests no more tools."""

    async def execute(
        self,
        prompt: str,
        context: Context,
        providers: Mapping[str, ChatGPTProvider],
        tools: Mapping[str, Clock],
        hooks: Any,  # noqa: ARG002 - the kernel passes it by name
        **_: Any,
    ) -> str:
        """Run one prompt to its final answer."""
        provider = next(iter(providers.values()))
        specs = [
            ToolSpec(name=tool.name, description=tool.description, parameters=tool.input_schema)
            for tool in tools.values()
        ]
        await context.add_message({"role": "user", "content": prompt})
        while True:
            messages = [Message(**message) for message in await context.get_messages_for_request()]
            response = await provider.complete(ChatRequest(messages=messages, tools=specs or None))
            calls = provider.parse_tool_calls(response)
            await context.add_message(_assistant_message(response, calls))
            if not calls:
                return str(response.text)
            for call in calls:
                result = await tools[call.name].execute(call.arguments)
                await context.add_message(_tool_message(call, result))


def _assistant_message(response: ChatResponse, calls: list[ToolCall]) -> dict[str, Any]:
    message: dict[str, Any] = {
        "role": "assistant",
        "content": [block.model_dump() for block in response.content],
        "metadata": response.metadata,
    }
    if calls:
        message["tool_calls"] = [
            {"id": call.id, "tool": call.name, "arguments": call.arguments} for call in calls
        ]
    return message


def _tool_message(call: ToolCall, result: ToolResult) -> dict[str, Any]:
    return {
        "role": "tool",
        "name": call.name,
        "tool_call_id": call.id,
        "content": result.get_serialized_output(),
    }


class Clock:
    """The demo's tool: the time in a city, from the machine's time zone tables."""

    name = "get_time"
    description = "Returns the local time in a city."

    @property
    def input_schema(self) -> dict[str, Any]:
        """JSON schema of the arguments."""
        city = {"type": "string", "description": "Name of a city, for example Tokyo"}
        return {"type": "object", "properties": {"city": city}, "required": ["city"]}

    async def execute(self, arguments: dict[str, Any]) -> ToolResult:
        """Return the time, or an error if no time zone has the city's name."""
        city = str(arguments.get("city", "")).strip()
        suffix = "/" + city.replace(" ", "_").lower()
        zone = next((name for name in zoneinfo.available_timezones() if name.lower().endswith(suffix)), None)
        if zone is None:
            return ToolResult(success=False, error={"message": f"No time zone is named after {city!r}."})
        now = datetime.now(zoneinfo.ZoneInfo(zone))
        return ToolResult(output=f"{now:%H:%M on %A} in {city}")


def new_session(provider: Mapping[str, Any], *, session_id: str | None = None) -> AmplifierSession:
    """Build a session around a provider entry of a mount plan (``module``, ``config``, ``source``)."""
    _offer_module("loop-demo", "orchestrator", Loop)
    _offer_module("context-demo", "context", Context)
    _offer_module("tool-demo", "tools", Clock, Clock.name)
    plan = {
        "session": {"orchestrator": "loop-demo", "context": "context-demo"},
        "providers": [dict(provider)],
        "tools": [{"module": "tool-demo"}],
    }
    return AmplifierSession(plan, session_id=session_id)


def _offer_module(module_id: str, point: str, make: Callable[[], Any], name: str | None = None) -> None:
    """Make a module importable for the kernel's loader; it has no package of its own."""

    async def mount(coordinator: Any, config: Mapping[str, Any] | None = None) -> None:  # noqa: ARG001
        await coordinator.mount(point, make(), name=name)

    module = types.ModuleType("amplifier_module_" + module_id.replace("-", "_"))
    vars(module)["mount"] = mount
    sys.modules[module.__name__] = module


async def converse(
    prompt: str, config: Mapping[str, Any], listen: Callable[[str, dict[str, Any]], None]
) -> str:
    """Run one prompt through a session; ``listen`` gets every event of the provider."""
    session = new_session({"module": f"provider-{PROVIDER}", "config": dict(config)})

    async def forward(event: str, data: dict[str, Any]) -> HookResult:
        listen(event, data)
        return HookResult()

    async with session:
        for event in EVENTS:
            session.coordinator.hooks.register(event, forward, name=f"demo:{event}")
        return str(await session.execute(prompt))


async def run_demo(prompt: str, out: Console, notes: Console, *, plan: bool = False) -> None:
    """Run the demo: the conversation goes to ``out``, remarks about it to ``notes``.

    ``plan``: with the documented sign-in and its service.
    """
    service = CHATGPT_PLAN if plan else CHATGPT_CODEX
    world = PLAN if plan else DEFAULT_WORLD
    with Simulator(world=world) as simulator, tempfile.TemporaryDirectory() as folder:
        simulator.device.pending = 0
        config = {
            "auth_mode": service.name,
            "base_url": simulator.base_url,
            "auth_url": simulator.auth_url,
            "token_file_path": str(Path(folder, "tokens.json")),
            "login_on_mount": False,
            "reasoning_effort": "medium",
        }
        notes.print("SIMULATED: a local server plays ChatGPT. Nothing leaves this machine.")
        await (_sign_in_to_plan if plan else _sign_in)(config, notes)
        out.print(f"\n> {printable(prompt)}\n", markup=False)
        transcript = Transcript(out)
        await converse(prompt, config, transcript.handle)
        if transcript.usage:
            out.print(f"\n{usage_line(transcript.usage)}", style="dim")
        notes.print(f"That was simulated. For the real service: {service.login}")


async def _sign_in(config: Mapping[str, object], notes: Console) -> None:
    notes.print("Signing in with a device code, which the simulator approves.")
    await ChatGPTProvider(config).login(notes.print)


async def _sign_in_to_plan(config: Mapping[str, object], notes: Console) -> None:
    """Sign in as ``login --plan`` does, with a browser that only follows redirects."""
    from ..auth.plan.configured import sign_in_as_configured
    from ..auth.plan.sign_in import Screen

    shown: list[str] = []
    notes.print("Continue with ChatGPT: the simulator consents to the use of its plan.")
    settings = ChatGPTProvider(config).settings
    await sign_in_as_configured(settings, Screen(shown.append, open_url=_consent))
    print_paragraphs(shown[-1], notes)


def _consent(url: str) -> None:
    """Follow an address to its end as a browser does; unlike an HTTP client, without a log of the codes."""
    while url:
        parts = urlsplit(url)
        with closing(HTTPConnection(parts.hostname or "", parts.port, timeout=30)) as connection:
            connection.request("GET", f"{parts.path}?{parts.query}", headers={"User-Agent": "Mozilla/5.0"})
            url = connection.getresponse().headers.get("location", "")
