"""Memory grows with the answer and not with the stream."""

import asyncio
import json
import sys
from pathlib import Path

import pytest

from .raw_backend import OPENING, closing, delta, frame, raw_backend

MB = 2**20
CHILD = Path(__file__).with_name("memory_child.py")
WORD = "word"
WORDS_PER_READ = 16


@pytest.mark.long
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="only Linux reports a process's own peak")
async def test_a_stream_of_60_mb_with_an_answer_of_1_mb_needs_three_times_the_answer_plus_4_mb(token_file):
    padded = frame({**delta(WORD), "obfuscation": "x" * 64, "logprobs": [], "sequence_number": 123456})
    read = padded * WORDS_PER_READ
    reads = MB // len(WORD) // WORDS_PER_READ
    lengths = iter([1, reads])

    async def answer(connection):
        count = next(lengths)
        connection.send(OPENING)
        for _ in range(count):
            connection.send_bytes(read)
            await connection.writer.drain()
        connection.send(*closing(WORD * WORDS_PER_READ * count))
        connection.end()

    async with raw_backend(answer) as backend:
        child = await asyncio.create_subprocess_exec(
            sys.executable, str(CHILD), backend.url, str(token_file), stdout=asyncio.subprocess.PIPE
        )
        characters, grown = json.loads((await child.communicate())[0])

    assert len(read) * reads > 60 * MB
    assert characters == MB
    assert grown < 3 * MB + 4 * MB
