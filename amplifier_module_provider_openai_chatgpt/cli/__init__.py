"""What a person types: the console script ``amplifier-openai-chatgpt`` and what its commands do."""

from .commands import cli, main

__all__ = ["cli", "main"]
