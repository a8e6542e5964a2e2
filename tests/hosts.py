"""A small host: a real Amplifier session with a loop that works like the real ones.

It stores turns as they do, sends what hooks inject, keeps images in messages and in results, and can be
interrupted between a tool call and its result.
"""

import sys
import types

from amplifier_core import AmplifierSession
from amplifier_core.message_models import ChatRequest, Message, ToolSpec
from amplifier_core.models import HookResult

from amplifier_module_provider_openai_chatgpt.call.events import EVENTS
from amplifier_module_provider_openai_chatgpt.cli.demo import Context

MODULE = "provider-openai-chatgpt"
ASKING = "provider:request"


class Loop:
    """Calls the provider until there are no more tool calls. ``interrupted``: tools that never return.

    ``options`` are passed with every call.
    """

    def __init__(self, interrupted=()):
        self.interrupted = set(interrupted)
        self.options = {"extended_thinking": True}

    async def execute(self, prompt, context, providers, tools, hooks, coordinator=None, **_):
        await context.add_message({"role": "user", "content": prompt})
        [provider] = providers.values()
        specs = [
            ToolSpec(name=t.name, description=t.description, parameters=t.input_schema)
            for t in tools.values()
        ]
        while True:
            ephemeral = await self._inject(hooks, coordinator)
            stored = await context.get_messages_for_request()
            request = ChatRequest(messages=[Message(**one) for one in [*stored, *ephemeral]], tools=specs)
            response = await provider.complete(request, **self.options)
            calls = provider.parse_tool_calls(response)
            await context.add_message(assistant_turn(response, calls))
            if not calls or not await self._run(calls, tools, context):
                return response.text

    async def _inject(self, hooks, coordinator):
        """Store what hooks inject; return it instead if it is only for this request."""
        result = await hooks.emit(ASKING, {"provider": "openai-chatgpt"})
        if result.action != "inject_context":
            return []
        if result.ephemeral:
            return [{"role": result.context_injection_role, "content": result.context_injection}]
        await coordinator.process_hook_result(result, ASKING, "reminder")
        return []

    async def _run(self, calls, tools, context):
        """Run the tool calls; False if the turn was interrupted."""
        for call in calls:
            if call.name in self.interrupted:
                self.interrupted.remove(call.name)
                return False
            result = await tools[call.name].execute(call.arguments)
            content = [block.model_dump() for block in result.content or ()]
            turn = {"role": "tool", "name": call.name, "tool_call_id": call.id}
            await context.add_message({**turn, "content": content or result.get_serialized_output()})
        return True


def assistant_turn(response, calls=()):
    """Return an answer as loops store it."""
    turn = {"role": "assistant", "content": [block.model_dump() for block in response.content]}
    if calls:
        turn["tool_calls"] = [{"id": one.id, "tool": one.name, "arguments": one.arguments} for one in calls]
    return {**turn, "metadata": response.metadata}


def saved(value):
    """Return a transcript as it is loaded from a file: without None values."""
    if isinstance(value, dict):
        return {key: saved(inner) for key, inner in value.items() if inner is not None}
    return [saved(inner) for inner in value] if isinstance(value, list) else value


class Host:
    """One session; ``heard`` are the provider's events, ``inject`` what hooks return at the next requests."""

    def __init__(self, config, tools=(), *, loop=None, session_id=None, messages=()):
        self.heard = []
        self.inject = []
        self._messages = list(messages)
        _register("loop-of-tests", "orchestrator", loop or Loop())
        _register("context-of-tests", "context", Context())
        for tool in tools:
            _register(f"tool-{tool.name}", "tools", tool, tool.name)
        self.session = AmplifierSession(
            {
                "session": {"orchestrator": "loop-of-tests", "context": "context-of-tests"},
                "providers": [{"module": MODULE, "config": config}],
                "tools": [{"module": f"tool-{tool.name}"} for tool in tools],
            },
            session_id=session_id,
        )

    async def __aenter__(self):
        await self.session.initialize()
        hooks = self.session.coordinator.hooks
        for event in EVENTS:
            hooks.register(event, self._hear, name=f"test:{event}")
        hooks.register(ASKING, self._remind, name="test:reminder")
        await self.context.set_messages(self._messages)
        return self

    async def __aexit__(self, *_):
        await self.session.cleanup()

    @property
    def context(self):
        return self.session.coordinator.get("context")

    async def say(self, prompt):
        return await self.session.execute(prompt)

    async def _hear(self, event, data):
        self.heard.append((event, data))
        return HookResult()

    async def _remind(self, _event, _data):
        return self.inject.pop(0) if self.inject else HookResult()


def remind(text, *, role="system", ephemeral=False):
    """Return what a hook returns to inject text for the model."""
    return HookResult(
        action="inject_context",
        context_injection=text,
        context_injection_role=role,
        ephemeral=ephemeral,
    )


def _register(module_id, point, thing, name=None):
    """Register a module without a package, so the kernel's loader finds it."""

    async def mount(coordinator, config=None):
        await coordinator.mount(point, thing, name=name)

    module = types.ModuleType("amplifier_module_" + module_id.replace("-", "_"))
    vars(module)["mount"] = mount
    sys.modules[module.__name__] = module
