"""A machine gets one host id, whatever runs at the same time, and keeps it."""

import json
import os
import re
import threading
from pathlib import Path

import pytest

from amplifier_module_provider_openai_chatgpt.auth.plan.host import host_id
from amplifier_module_provider_openai_chatgpt.auth.store import StoreError

FORM = re.compile(r"urn:uuid:[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")


def test_it_is_made_once_and_private(tmp_path):
    path = tmp_path / "new" / "host.json"
    first = host_id(path)
    assert FORM.fullmatch(first.reveal())
    assert host_id(path) == first
    assert json.loads(path.read_text()) == {"ext_agent_host_id": first}
    assert path.stat().st_mode & 0o777 == 0o600


def test_eight_threads_that_make_it_at_the_same_time_get_the_same(tmp_path):
    found, barrier = [], threading.Barrier(8)

    def make():
        barrier.wait()
        found.append(host_id(tmp_path / "host.json"))

    threads = [threading.Thread(target=make) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert len(set(found)) == 1


def test_another_form_is_kept_and_needs_no_permission_to_write(tmp_path):
    path = tmp_path / "host.json"
    path.write_text('{"ext_agent_host_id": "did:key:z6Mk", "note": 1}')
    tmp_path.chmod(0o500)
    try:
        assert host_id(path) == "did:key:z6Mk"
    finally:
        tmp_path.chmod(0o700)
    assert [found.name for found in tmp_path.iterdir()] == ["host.json"]


OTHERS = [
    "",
    "[]",
    "{",
    "{}",
    '{"note": 1}',
    '{"ext_agent_host_id": 7}',
    '{"ext_agent_host_id": ""}',
    "[" * 9_999,
]


@pytest.mark.parametrize("content", OTHERS)
def test_any_other_file_is_left_alone(tmp_path, content):
    """A project's settings can name any file of the person."""
    path = tmp_path / "host.json"
    path.write_text(content)
    with pytest.raises(StoreError, match=r"host\.json"):
        host_id(path)
    assert path.read_text() == content


def test_a_pipe_and_a_device_are_not_read(tmp_path):
    os.mkfifo(tmp_path / "host.json")
    for path in (tmp_path / "host.json", tmp_path, Path("/dev/zero")):
        with pytest.raises(StoreError, match="cannot be used"):
            host_id(path)


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="cannot be used"):
        host_id(tmp_path / "file" / "host.json")
