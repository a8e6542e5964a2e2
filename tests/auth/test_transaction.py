"""A renewal finishes and its result is kept: slow issuers, mount points, denied renames, full disks."""

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager

import pytest
from amplifier_core.llm_errors import ConfigurationError, LLMError, ProviderUnavailableError

from amplifier_module_provider_openai_chatgpt.auth.credentials import Credentials
from amplifier_module_provider_openai_chatgpt.auth.renewal import Renewal
from amplifier_module_provider_openai_chatgpt.auth.single_flight import InThread
from amplifier_module_provider_openai_chatgpt.auth.token_file import TokenFile
from amplifier_module_provider_openai_chatgpt.auth.tokens import Tokens
from amplifier_module_provider_openai_chatgpt.secret import Secret
from amplifier_module_provider_openai_chatgpt.simulator import Fault
from tests.conftest import recorded, write_tokens

TOKEN = "/oauth/token"
HOLDER = """
import sys
from filelock import FileLock
with FileLock(sys.argv[1], mode=0o600):
    print("held", flush=True)
    sys.stdin.read()
"""


@contextmanager
def mounted(*words):
    """Mount something for the block; skips the test where that is not allowed."""
    if (
        sys.platform != "linux"
        or subprocess.run(["mount", *words], capture_output=True, check=False).returncode
    ):
        pytest.skip("needs the right to mount")
    try:
        yield
    finally:
        subprocess.run(["umount", words[-1]], check=True)


def expired(sim, path, **changed):
    return write_tokens(path, recorded(sim, {**sim.sign_in(expires_in=-10), **changed}))


def refreshes(sim):
    return len(sim.requests_to(TOKEN))


def is_kept(sim, path, service):
    """Return whether another process could go on with what is stored."""
    stored = TokenFile(path).read()
    assert isinstance(stored, Tokens)
    asyncio.run(Credentials(TokenFile(path), service).renew(stored))
    return True


def names(folder):
    return sorted(name.name for name in folder.iterdir())


def test_a_file_that_is_a_mount_point_is_written_in_place(sim, path, tmp_path, service):
    outside = tmp_path / "outside"
    outside.mkdir()
    expired(sim, outside / "host.json", note="theirs")
    path.touch(mode=0o600)
    with mounted("--bind", str(outside / "host.json"), str(path)):
        renewed = asyncio.run(Credentials(TokenFile(path), service).current())
        assert TokenFile(path).read() == renewed
        assert renewed.extra == {"note": "theirs"}
        assert is_kept(sim, path, service)
        assert names(tmp_path) == ["outside", "tokens.json", "tokens.json.lock"]
    assert TokenFile(outside / "host.json").read() != renewed


def test_a_mount_point_that_cannot_be_written_is_found_out_before_the_token_is_spent(
    sim, path, tmp_path, service
):
    expired(sim, tmp_path / "host.json")
    path.touch(mode=0o600)
    with mounted("--bind", str(tmp_path / "host.json"), str(path)):
        subprocess.run(["mount", "-o", "remount,ro,bind", str(path)], check=True)
        with pytest.raises(ConfigurationError, match="cannot be written"):
            asyncio.run(Credentials(TokenFile(path), service).current())
    assert not sim.requests


def test_a_file_on_a_read_only_mount_is_used_whatever_its_mode(sim, tmp_path, service, caplog):
    folder = tmp_path / "folder"
    folder.mkdir()
    path = write_tokens(folder / "tokens.json", recorded(sim, sim.sign_in()))
    path.chmod(0o644)
    with mounted("--bind", str(folder), str(folder)):
        subprocess.run(["mount", "-o", "remount,ro,bind", str(folder)], check=True)
        for _ in range(2):
            assert asyncio.run(Credentials(TokenFile(path), service).current()).access_token in sim.secrets
    assert caplog.text.count("cannot be corrected") == 1
    assert "Read-only file system" in caplog.text


def test_a_full_disk_is_found_out_before_the_token_is_spent(sim, tmp_path, service):
    folder = tmp_path / "small"
    folder.mkdir()
    with mounted("-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)):
        path = expired(sim, folder / "tokens.json")
        before = path.read_bytes()
        (folder / "filler").write_bytes(b"x" * 40 * 1024)
        with pytest.raises(ConfigurationError, match="No space left"):
            asyncio.run(Credentials(TokenFile(path), service).current())
        assert not sim.requests
        assert path.read_bytes() == before
        (folder / "filler").unlink()
        assert asyncio.run(Credentials(TokenFile(path), service).current()).access_token in sim.secrets


@pytest.mark.parametrize("times", [1, 5, 10**6])
def test_a_denied_replacement_is_retried_and_then_written_in_place(sim, path, tmp_path, service, times):
    denied = [0]
    waits: list[float] = []

    def replace(source, target):
        if denied[0] < times:
            denied[0] += 1
            raise PermissionError(13, "Access is denied")
        source.replace(target)

    expired(sim, path)
    store = TokenFile(path, replace=replace, sleep=waits.append)
    renewed = asyncio.run(Credentials(store, service).current())
    assert TokenFile(path).read() == renewed
    assert names(tmp_path) == ["tokens.json", "tokens.json.lock"]
    assert is_kept(sim, path, service)
    assert sum(waits) <= 2.1


def test_what_was_written_next_to_the_file_is_read_and_put_in_its_place(sim, path, service):
    """A process was killed before the last step, or every last step was denied."""
    expired(sim, path)
    renewed = Tokens.from_dict(recorded(sim, sim.sign_in()))
    left = path.with_name(".tokens.json.new")
    TokenFile(left).save(renewed)
    assert TokenFile(path).read() == renewed
    with TokenFile(path).lock(1):
        assert not left.exists()
    assert TokenFile(path).read() == renewed
    assert not sim.requests


@pytest.mark.parametrize("content", [b"", b"{", b" " * 1000])
def test_what_is_not_complete_next_to_the_file_is_ignored_and_removed(sim, path, content):
    expired(sim, path)
    before = TokenFile(path).read()
    left = path.with_name(".tokens.json.new")
    left.write_bytes(content)
    assert TokenFile(path).read() == before
    with TokenFile(path).lock(1):
        assert not left.exists()


def test_a_file_written_later_by_another_program_wins_over_a_leftover(sim, path):
    left = path.with_name(".tokens.json.new")
    expired(sim, left)
    os.utime(left, (1, 1))
    expired(sim, path)
    later = TokenFile(path).read()
    with TokenFile(path).lock(1):
        assert TokenFile(path).read() == later
        assert not left.exists()


def test_a_torn_file_is_repaired_from_what_was_written_next_to_it(sim, path):
    expired(sim, path.with_name(".tokens.json.new"))
    whole = TokenFile(path.with_name(".tokens.json.new")).read()
    path.write_bytes(b'{"access_token": "half')
    assert TokenFile(path).read() == whole
    with TokenFile(path).lock(1):
        assert TokenFile(path).read() == whole


def test_what_could_not_be_read_again_is_not_saved(path):
    with pytest.raises(Exception, match="could not be read again"):
        TokenFile(path).save(Tokens(Secret("a"), extra=Secret({"much": "x" * 2**20})))
    assert not path.exists()


@pytest.mark.long
@pytest.mark.parametrize(
    ("delay", "patience", "first"),
    [(5, 30, Tokens), (35, -0.5, ProviderUnavailableError), (120, -0.5, ProviderUnavailableError)],
)
async def test_an_issuer_that_answers_late_does_not_lose_the_sign_in(
    sim, path, service, delay, patience, first
):
    """The issuer is forty times faster; a call waits for one second more than its patience."""
    expired(sim, path)
    sim.misbehave(TOKEN, Fault(stall_before_headers=True))
    renew = InThread(Renewal(TokenFile(path), service, limit=300 / 40))
    credentials = Credentials(TokenFile(path), service, patience=patience, renew=renew)
    threading.Timer(delay / 40, sim.release).start()
    assert isinstance(await outcome(credentials), first)
    assert credentials.status() == "authenticated"
    assert (await Credentials(TokenFile(path), service).current()).access_token in sim.secrets
    assert refreshes(sim) == 1


@pytest.mark.parametrize(("seconds", "requests"), [(0, 1), (10, 0), (3600, 1)])
async def test_a_slow_failure_is_remembered_for_seconds_and_never_for_longer(
    sim, path, service, seconds, requests
):
    """A note from a time that is far away was left by a clock that was wrong."""
    expired(sim, path)
    TokenFile(path).note_failure(seconds)
    assert path.with_name(".tokens.json.failed").read_bytes() == b""
    found = await outcome(Credentials(TokenFile(path), service))
    assert isinstance(found, Tokens) == bool(requests)
    assert refreshes(sim) == requests


@pytest.mark.parametrize(("slow", "requests"), [(0, 1), (60, 2)])
async def test_only_a_failure_after_a_long_wait_is_remembered(sim, path, service, slow, requests):
    expired(sim, path)
    sim.misbehave(TOKEN, Fault(status=503), times=2)
    for _ in range(2):
        renew = Renewal(TokenFile(path), service, slow=slow)
        assert isinstance(await outcome(Credentials(TokenFile(path), service, renew=renew)), LLMError)
    assert refreshes(sim) == requests


async def test_who_waits_for_a_slow_issuer_gets_a_retryable_error_and_the_result_is_kept(sim, path, service):
    expired(sim, path)
    sim.misbehave(TOKEN, Fault(stall_before_headers=True))
    credentials = Credentials(TokenFile(path), service, patience=-0.9)
    waiters = [credentials.current() for _ in range(64)]
    found = await asyncio.gather(*waiters, return_exceptions=True)
    assert {type(error) for error in found} == {ProviderUnavailableError}
    assert all(isinstance(error, LLMError) and error.retryable for error in found)
    assert all("still signed in" in str(error) for error in found)
    assert credentials.status() == "authenticated"
    await asyncio.to_thread(sim.wait_until, lambda: sim.stalled)
    sim.release()
    patient = Credentials(TokenFile(path), service)
    assert (await patient.current()).access_token in sim.secrets
    assert refreshes(sim) == 1


def test_while_the_process_with_the_lock_is_stopped_calls_end_in_time_and_the_sign_in_is_kept(
    sim, path, service
):
    expired(sim, path)
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, f"{path}.lock"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == b"held\n"
    holder.send_signal(signal.SIGSTOP)
    credentials = Credentials(TokenFile(path), service, patience=0.2)

    async def race():
        return await asyncio.gather(*(credentials.current() for _ in range(64)), return_exceptions=True)

    began = time.monotonic()
    found = asyncio.run(race())
    assert time.monotonic() - began < 5
    assert {type(error) for error in found} == {ProviderUnavailableError}
    assert all(isinstance(error, LLMError) and error.retryable for error in found)
    assert credentials.status() == "authenticated"
    assert not sim.requests
    holder.send_signal(signal.SIGCONT)
    holder.communicate()
    patient = Credentials(TokenFile(path), service)

    async def again():
        return await asyncio.gather(*(patient.current() for _ in range(64)))

    assert len({tokens.access_token for tokens in asyncio.run(again())}) == 1
    assert refreshes(sim) == 1


def wait_until_nine_wait_for_the_lock():
    def is_waiting(frame):
        while frame is not None and "filelock" not in frame.f_code.co_filename:
            frame = frame.f_back
        return frame is not None

    while sum(is_waiting(frame) for frame in sys._current_frames().values()) < 9:
        threading.Event().wait(0.001)


async def test_who_waited_for_a_renewal_that_failed_does_not_try_again(sim, path, service):
    """Ten processes would otherwise ask a silent issuer one after the other, for minutes each."""
    expired(sim, path)
    sim.misbehave(TOKEN, Fault(stall_before_headers=True, status=503))
    first = asyncio.create_task(Credentials(TokenFile(path), service).current())
    await asyncio.to_thread(sim.wait_until, lambda: sim.stalled)
    others = [asyncio.create_task(Credentials(TokenFile(path), service).current()) for _ in range(9)]
    await asyncio.to_thread(wait_until_nine_wait_for_the_lock)
    sim.release()
    found = await asyncio.gather(first, *others, return_exceptions=True)
    assert {type(error) for error in found} == {ProviderUnavailableError}
    assert refreshes(sim) == 1
    assert (await Credentials(TokenFile(path), service).current()).access_token in sim.secrets


def test_a_fork_in_the_middle_of_a_renewal_does_not_wait_for_its_parents_threads(sim, path, service):
    expired(sim, path)
    sim.misbehave(TOKEN, Fault(stall_before_headers=True))
    credentials = Credentials(TokenFile(path), service, patience=0.1)

    first = threading.Thread(target=lambda: asyncio.run(outcome(credentials)))
    first.start()
    sim.wait_until(lambda: sim.stalled)
    child = os.fork()
    if not child:
        error = asyncio.run(outcome(credentials))
        os._exit(0 if "Another process" in str(error) else 1)
    _, status = os.waitpid(child, 0)
    sim.release()
    first.join()
    assert os.waitstatus_to_exitcode(status) == 0


async def outcome(credentials):
    try:
        return await credentials.current()
    except LLMError as error:
        return error


@pytest.mark.parametrize("hold", ["lock", "queue"])
@pytest.mark.parametrize("work", ["current", "sign_out", "ensure_writable"])
def test_a_long_wait_for_another_process_is_announced_however_many_wait(
    sim, path, service, caplog, hold, work
):
    expired(sim, path)
    credentials = Credentials(TokenFile(path), service, patience=0.1, announce_after=0.01)

    async def all_ask():
        calls = [getattr(credentials, work)() for _ in range(8 if work == "current" else 1)]
        await asyncio.gather(*calls, return_exceptions=True)

    with getattr(TokenFile(path), hold)(1):
        asyncio.run(all_ask())
    lines = [message for message in caplog.messages if message.startswith("Waiting")]
    assert set(lines) == {"Waiting for another process that is renewing the sign-in …"}
    assert len(lines) <= 2  # a busy machine may take long for the queue, too
