"""Makes docs/demo.svg, the README's picture: what the command ``demo`` shows in a terminal.

Run it after a change to what a conversation looks like: ``uv run python docs/screenshot.py``
"""

from __future__ import annotations

import asyncio
import inspect
import io
import os
import re
import sys
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import MONOKAI

from amplifier_module_provider_openai_chatgpt.cli.demo import run_demo

PICTURE = Path(__file__).with_name("demo.svg")
COMMAND = "amplifier-openai-chatgpt demo"
PROMPT = "What time is it in Tokyo?"
WIDTH = 84
_WITH_FONTS = inspect.signature(Console.export_svg).parameters["code_format"].default
# Without the fonts that rich would load from another server.
_FORMAT = re.sub(r"@font-face \{\{.*?\}\}\s*", "", _WITH_FONTS, flags=re.DOTALL)


def _screen() -> Console:
    return Console(
        record=True,
        width=WIDTH,
        file=io.StringIO(),
        force_terminal=True,
        force_interactive=False,
        color_system="truecolor",
        highlight=False,
        legacy_windows=False,
    )


async def picture() -> str:
    """Run the demo and return its screen as SVG; the sign-in is left out."""
    screen = _screen()
    screen.print(f'[bold]$[/] {COMMAND} "{PROMPT}"')
    screen.print("SIMULATED: a local server plays ChatGPT. Nothing leaves this machine.", style="dim")
    await run_demo(PROMPT, screen, Console(quiet=True))
    return screen.export_svg(
        title="amplifier-openai-chatgpt", theme=MONOKAI, code_format=_FORMAT, unique_id="demo"
    )


if __name__ == "__main__":
    PICTURE.write_text(asyncio.run(picture()), encoding="utf-8")
    sys.stdout.flush()
    os._exit(0)  # like the command itself: amplifier-core's threads may crash a short program at its end
