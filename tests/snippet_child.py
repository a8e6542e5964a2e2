"""A host in its own process that knows this provider only by its source: ``snippet_child.py PROVIDERS``.

It prints the file of each provider's class, and the answer to one prompt.
"""

import asyncio
import json
import os
import sys
import types
from pathlib import Path

from amplifier_core import AmplifierSession, ChatRequest, Message
from amplifier_core.module_sources import ModuleNotFoundError as SourceNotFoundError
from amplifier_core.testing import MockContextManager


class Loop:
    async def execute(self, prompt, context, providers, tools, hooks, **_):
        first = min(providers.values(), key=lambda provider: provider.priority)
        response = await first.complete(ChatRequest(messages=[Message(role="user", content=prompt)]))
        return response.text


class Resolver:
    """Finds a module by its source, like the resolver of bundles: there is one source for each module."""

    def __init__(self, entries):
        self._sources = {entry["module"]: Path(entry["source"]) for entry in entries if "source" in entry}

    def resolve(self, module_id, source_hint=None, profile_hint=None):
        if module_id not in self._sources:
            raise SourceNotFoundError(module_id)
        return self._sources[module_id]


def offer(module_id, point, make):
    async def mount(coordinator, config=None):
        await coordinator.mount(point, make())

    module = types.ModuleType("amplifier_module_" + module_id.replace("-", "_"))
    vars(module)["mount"] = mount
    sys.modules[module.__name__] = module


async def main(providers):
    offer("loop-child", "orchestrator", Loop)
    offer("context-child", "context", MockContextManager)
    plan = {"session": {"orchestrator": "loop-child", "context": "context-child"}, "providers": providers}
    session = AmplifierSession(plan)
    await session.coordinator.mount("module-source-resolver", Resolver(providers))
    async with session:
        mounted = session.coordinator.get("providers")
        files = [sys.modules[type(one).__module__].__file__ for one in mounted.values()]
        return {"files": files, "answer": await session.execute("Say hello.")}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(asyncio.run(main(json.loads(sys.argv[1])))))
    sys.stdout.flush()
    os._exit(0)
