"""How long mounting and ``--help`` take."""

from __future__ import annotations

import subprocess
import sys
import time

from ..bench import ROOT, Bench
from ..rows import Report, Row

PACKAGE = "amplifier_module_provider_openai_chatgpt"
# Prints the seconds to import and mount after amplifier_core is imported, as in a session.
MOUNT = f"""
import asyncio, os, time
import amplifier_core

class Coordinator:
    hooks = None
    async def mount(self, *_, **__): pass

async def main():
    from {PACKAGE} import mount
    await mount(Coordinator(), {{"login_on_mount": False}})

started = time.perf_counter()
asyncio.run(main())
print(time.perf_counter() - started, flush=True)
os._exit(0)  # amplifier-core's native threads may crash an interpreter that finalizes
"""
# The cost of an empty event loop, which a session has already.
LOOP = """
import asyncio, time
import amplifier_core

async def main(): pass

started = time.perf_counter()
asyncio.run(main())
print(time.perf_counter() - started)
"""
COMMANDS = {
    "python": ("-c", "pass"),
    "amplifier_core": ("-c", "import amplifier_core"),
    "help": ("-m", PACKAGE, "--help"),
}


def measure(bench: Bench) -> Report:
    rounds = 3 if bench.quick else 20
    scripts = {"mount": MOUNT, "loop": LOOP}
    inside: dict[str, list[float]] = {name: [] for name in scripts}
    outside: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for _ in range(rounds + 1):
        for name, script in scripts.items():
            inside[name].append(float(_run(bench, "-c", script)))
        for name, command in COMMANDS.items():
            started = time.perf_counter()
            _run(bench, *command)
            outside[name].append(time.perf_counter() - started)
    mount = (min(inside["mount"]) - min(inside["loop"])) * 1000
    bare, core, shown = (min(outside[name]) * 1000 for name in COMMANDS)
    return Report(
        [
            Row("import and mount the provider", mount, "after import amplifier_core", "ms", goal=20),
            Row("import amplifier_core, for comparison", core - bare, "after Python's start", "ms"),
            Row("amplifier-openai-chatgpt --help", shown - bare, "after Python's start", "ms", goal=100),
        ]
    )


def _run(bench: Bench, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env=bench.environment(),
        check=True,
        capture_output=True,
        text=True,
    )
    return done.stdout
