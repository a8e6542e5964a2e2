"""Full disks, read-only places, mount points and what killed processes leave: no token is lost or spent."""

import os
import subprocess
import time

import pytest
from amplifier_core.llm_errors import ConfigurationError

from amplifier_module_provider_openai_chatgpt.auth.plan.connection import PlanConnection
from amplifier_module_provider_openai_chatgpt.auth.plan.credential import PlanCredential
from amplifier_module_provider_openai_chatgpt.auth.plan.file import PlanFile
from amplifier_module_provider_openai_chatgpt.auth.plan.sign_in import Screen, sign_in
from tests.auth.test_transaction import mounted

pytestmark = pytest.mark.world("plan")
EXPIRED = -60


@pytest.fixture
def small(tmp_path):
    """A folder on a small disk."""
    folder = tmp_path / "small"
    folder.mkdir()
    with mounted("-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)):
        yield folder


def make_read_only(mount_point):
    subprocess.run(["mount", "-o", "remount,ro,bind", str(mount_point)], check=True)


def expired(sim, file):
    file.save(PlanCredential.from_dict(sim.connect(EXPIRED)))
    return file.path.read_bytes()


async def test_a_full_disk_is_found_out_before_the_token_is_spent(sim, service, small):
    file = PlanFile(small / "default.json", service.origin)
    before = expired(sim, file)
    filler = small / "filler"
    filler.write_bytes(b"x" * 40 * 1024)
    with pytest.raises(ConfigurationError, match="No space left"):
        await PlanConnection(file, service).current()
    assert sim.requests_to("/oauth/token") == []
    assert file.path.read_bytes() == before
    filler.unlink()
    assert (await PlanConnection(file, service).current()).is_valid(time.time())


async def test_a_full_disk_is_found_out_before_a_person_is_asked(sim, service, client, small):
    (small / "filler").write_bytes(b"x" * 50 * 1024)
    shown: list[str] = []
    with pytest.raises(ConfigurationError, match="No space left"):
        await sign_in(client, service, PlanFile(small / "default.json", service.origin), Screen(shown.append))
    assert (shown, sim.requests) == ([], [])


async def test_on_a_read_only_mount_the_token_is_used_but_not_spent(sim, service, tmp_path):
    folder = tmp_path / "folder"
    file = PlanFile(folder / "default.json", service.origin)
    file.save(PlanCredential.from_dict(sim.connect()))
    with mounted("--bind", str(folder), str(folder)):
        make_read_only(folder)
        found = await PlanConnection(file, service).current()
        with pytest.raises(ConfigurationError, match="Read-only file system"):
            await PlanConnection(file, service).current(found.access_token)
    assert sim.requests == []


async def test_a_file_that_is_a_mount_point_is_written_in_place(sim, service, tmp_path):
    file = PlanFile(tmp_path / "default.json", service.origin)
    expired(sim, file)
    target = tmp_path / "target.json"
    target.write_bytes(file.path.read_bytes())
    target.chmod(0o600)
    with mounted("--bind", str(target), str(file.path)):
        renewed = await PlanConnection(file, service).current()
        assert file.read() == renewed
    assert PlanFile(target, service.origin).read() == renewed


async def test_a_read_only_mount_point_is_found_out_before_the_token_is_spent(sim, service, tmp_path):
    file = PlanFile(tmp_path / "default.json", service.origin)
    expired(sim, file)
    target = tmp_path / "target.json"
    target.write_bytes(file.path.read_bytes())
    target.chmod(0o600)
    with mounted("--bind", str(target), str(file.path)):
        make_read_only(file.path)
        with pytest.raises(ConfigurationError, match="cannot be written"):
            await PlanConnection(file, service).current()
    assert sim.requests_to("/oauth/token") == []


def new_of(path):
    return path.with_name(f".{path.name}.new")


def test_a_complete_new_file_is_put_in_its_place_under_the_lock(file, stored):
    old = stored()
    content = file.path.read_bytes()
    newer = stored()
    file.path.rename(new_of(file.path))
    file.path.write_bytes(content)
    file.path.chmod(0o600)
    os.utime(file.path, (1, 1))
    assert file.read() == newer != old
    with file.lock():
        assert not new_of(file.path).exists()
    assert file.read() == newer


@pytest.mark.parametrize("content", [b"", b"{", b"notes"])
def test_an_incomplete_new_file_is_removed_under_the_lock(file, stored, content):
    before = stored()
    new_of(file.path).write_bytes(content)
    assert file.read() == before
    with file.lock():
        assert not new_of(file.path).exists()
    assert file.read() == before


def test_a_new_file_alone_does_not_undo_a_removal(file, stored):
    """Without the file a person signed out by hand."""
    stored()
    file.path.rename(new_of(file.path))
    with file.lock():
        assert file.read() is None
    assert not new_of(file.path).exists()


def test_a_registration_that_a_killed_process_had_written_is_found(file, stored):
    registration = stored().without_tokens()
    file.save_registration(registration)
    file.registration_path.rename(new_of(file.registration_path))
    assert file.registration() == registration
    file.drop_registration()
    assert file.registration() is None
