"""What mounting costs a session, and what a person waits for ``--help``."""

from __future__ import annotations

import subprocess
import sys
import time

from ..bench import ROOT, Bench
from ..rows import Report, Row

PACKAGE = "amplifier_module_provider_openai_chatgpt"
# Prints the seconds that import and mount take once amplifier_core is there, as it is in a session.
MOUNT = f"""
import asyncio, os, time
import amplifier_core

class Coordinator:
    hooks = None
    async def mount(self, *_, **__): pass

async def main():
    from {PACKAGE} import mount
    await mount(Coordinator(), {{"login_on_mount": False}})

began = time.perf_counter()
asyncio.run(main())
print(time.perf_counter() - began, flush=True)
os._exit(0)  # amplifier-core's native threads may crash an interpreter that finalizes
"""
# What an empty event loop costs, which a session has already.
LOOP = """
import asyncio, time
import amplifier_core

async def main(): pass

began = time.perf_counter()
asyncio.run(main())
print(time.perf_counter() - began)
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
            began = time.perf_counter()
            _run(bench, *command)
            outside[name].append(time.perf_counter() - began)
    mount = (min(inside["mount"]) - min(inside["loop"])) * 1000
    bare, core, shown = (min(outside[name]) * 1000 for name in COMMANDS)
    return Report(
        [
            Row("import and mount", mount, "over import amplifier_core", "ms", goal=20),
            Row("import amplifier_core, to compare", core - bare, "over Python's start", "ms"),
            Row("the command's --help", shown - bare, "over Python's start", "ms", goal=100),
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
