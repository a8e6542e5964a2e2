"""Mounting and ``--help`` do not import what is slow to import and not needed."""

import json
import subprocess
import sys

import pytest

PACKAGE = "amplifier_module_provider_openai_chatgpt"
COSTLY = {"click", "filelock", "httpcore", "httpx", "rich", "ssl", "starlette", "uvicorn"}
MOUNT = f"""
import asyncio, json, os, sys
import amplifier_core
from amplifier_core.testing import MockCoordinator
before = set(sys.modules)
from {PACKAGE} import mount

async def main():
    await mount(MockCoordinator(), {{"login_on_mount": LOGIN}})

asyncio.run(main())
print(json.dumps(sorted(set(sys.modules) - before)), flush=True)
os._exit(0)  # amplifier-core's native threads may crash an interpreter that finalizes
"""
HELP = f"""
import json, sys
sys.argv = ["amplifier-openai-chatgpt", "--help"]
from {PACKAGE}.cli import main

try:
    main()
finally:
    print(json.dumps(sorted(sys.modules)))
"""


def modules_of(script):
    """Run a script in a new interpreter and return the modules in its last line of output."""
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    return set(json.loads(done.stdout.splitlines()[-1]))


@pytest.mark.parametrize("login_on_mount", [True, False])
def test_mounting_imports_no_http_no_terminal_and_nothing_that_only_a_call_needs(login_on_mount):
    imported = modules_of(MOUNT.replace("LOGIN", str(login_on_mount)))

    assert f"{PACKAGE}.provider" in imported
    assert not imported & COSTLY
    rooms = ("call", "request", "response", "transport", "errors", "simulator")
    assert not [name for name in imported if name.startswith(tuple(f"{PACKAGE}.{room}" for room in rooms))]


def test_help_imports_click_and_nothing_else_that_is_costly():
    imported = modules_of(HELP)

    assert "click" in imported
    assert not imported & (COSTLY - {"click"} | {"amplifier_core", "asyncio", "pydantic_core"})
