"""A program in a terminal that runs one prompt in a session of the provider: ``mount_child.py CONFIG``."""

import asyncio
import json
import os
import sys

from amplifier_module_provider_openai_chatgpt.cli.demo import new_session


async def main(config):
    async with new_session({"module": "provider-openai-chatgpt", "config": config}) as session:
        return await session.execute("Say hello.")


if __name__ == "__main__":
    sys.stdout.write(f"The answer: {asyncio.run(main(json.loads(sys.argv[1])))}\n")
    sys.stdout.flush()
    os._exit(0)
