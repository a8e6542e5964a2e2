"""A separate process that reads one answer: ``memory_child.py BASE_URL TOKEN_FILE``.

Writes the number of characters and how much its peak memory grew during the call, in bytes.
"""

import asyncio
import json
import os
import sys
from pathlib import Path

from amplifier_core.message_models import ChatRequest
from amplifier_core.testing import MockCoordinator

from amplifier_module_provider_openai_chatgpt import ChatGPTProvider


def peak():
    """Return this process's peak memory; ru_maxrss would include its parent's."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024


async def main(base_url, token_file):
    config = {"base_url": base_url, "token_file_path": token_file, "login_on_mount": False}
    provider = ChatGPTProvider(config, MockCoordinator())
    request = ChatRequest(messages=[{"role": "user", "content": "Hi"}])
    await provider.complete(request)  # a short answer first, so everything is imported
    before = peak()
    response = await provider.complete(request)
    grown = peak() - before
    await provider.close()
    sys.stdout.write(json.dumps([len(response.text), grown]))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
    sys.stdout.flush()
    os._exit(0)  # amplifier-core's native threads may crash an interpreter that finalizes
