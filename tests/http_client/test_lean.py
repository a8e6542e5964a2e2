"""httpx is imported without its command line, and works for other programs as before."""

import subprocess
import sys

CHECK = """
import sys
from amplifier_module_provider_openai_chatgpt.http.lean import httpx
assert not {"click", "rich", "pygments"} & sys.modules.keys(), "imported for nothing"
assert httpx.AsyncClient
import httpx._main
assert httpx._main.main.name == "main"
"""
AFTER_OTHERS = """
import httpx
from amplifier_module_provider_openai_chatgpt.http import lean
assert lean.httpx is httpx
assert httpx.main.name == "main"
"""


def run(code):
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_its_command_line_is_not_imported_but_can_be():
    run(CHECK)


def test_httpx_that_another_program_has_imported_is_used_as_it_is():
    run(AFTER_OTHERS)
