"""The token file: private, whole at every moment, and never an exception for what is in it."""

import logging
import os
import stat
import subprocess
import sys
import threading

import pytest

from amplifier_module_provider_openai_chatgpt.auth.store import StoreError, Unusable
from amplifier_module_provider_openai_chatgpt.auth.token_file import LARGEST, TokenFile
from amplifier_module_provider_openai_chatgpt.auth.tokens import Tokens
from amplifier_module_provider_openai_chatgpt.secret import Secret

TOKENS = Tokens(Secret("access"), Secret("refresh"), account_id=Secret("acc"), extra=Secret({"theirs": [1]}))

WATCH = """
import os, select, sys
folder, modes = sys.argv[1], set()
print("watching", flush=True)
while not select.select([sys.stdin], [], [], 0)[0]:
    for name in os.listdir(folder):
        try:
            modes.add((name.startswith("."), os.lstat(os.path.join(folder, name)).st_mode & 0o777))
        except OSError:
            pass
print(sorted(modes))
"""


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def test_what_is_saved_is_loaded_again(tmp_path):
    path = tmp_path / "new" / "folder" / "tokens.json"
    TokenFile(path).save(TOKENS)
    assert TokenFile(path).read() == TOKENS
    assert mode(path) == 0o600
    assert mode(path.parent) == 0o700
    assert list(path.parent.iterdir()) == [path]


def test_a_missing_file_means_signed_out_and_nothing_is_logged(tmp_path, caplog):
    assert TokenFile(tmp_path / "none.json").read() is None
    assert not caplog.records


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty"),
        (b" \n", "empty"),
        (b"{}", "empty"),
        (b"\0" * 100, "empty"),
        (b'{"access_token": "', "JSON object"),
        (b"null", "JSON object"),
        (b'"text"', "JSON object"),
        (b'{"access_token": "\\ud800"}', "JSON object"),
        (b"[" * 100_000, "JSON object"),
        (b"\xff\xfe{\0", "UTF-16"),
        (b'{"theme": "dark"}', "no tokens"),
        (b'{"auth_mode": "chatgpt_plan", "access_token": "a"}', "'chatgpt_plan'"),
        (b" " * (LARGEST + 1), "too large"),
    ],
    ids=range(13),
)
def test_unusable_content_is_named_and_logged_once_for_each_change(tmp_path, caplog, content, reason):
    path = tmp_path / "tokens.json"
    path.write_bytes(content)
    path.chmod(0o600)
    found = [TokenFile(path).read() for _ in range(3)]
    assert isinstance(found[0], Unusable)
    assert reason in found[0].why
    assert found[0] == found[2]
    assert len(caplog.records) == (not found[0].foreign)


@pytest.mark.parametrize(
    "content",
    [
        b"theme: dark\n",
        b'{"theme": "dark"}',
        b"[1]",
        b'{"auth_mode": "chatgpt", "tokens": {"access_token": "a"}}',
        b'{"auth_mode": "chatgpt_plan", "access_token": "a"}',
        b" " * (LARGEST + 1),
    ],
    ids=range(6),
)
def test_what_is_not_a_sign_in_of_ours_is_never_changed(tmp_path, content):
    path = tmp_path / "settings.yaml"
    path.write_bytes(content)
    path.chmod(0o644)
    store = TokenFile(path)
    assert isinstance(store.read(), Unusable)
    for change in (store.rehearse, lambda: store.save(TOKENS)):
        with pytest.raises(StoreError, match="cannot be written"):
            change()
    store.delete()
    assert path.read_bytes() == content
    assert mode(path) == 0o644


def test_a_byte_order_mark_is_ignored(tmp_path):
    path = tmp_path / "tokens.json"
    TokenFile(path).save(TOKENS)
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert TokenFile(path).read() == TOKENS


def test_a_damaged_sign_in_may_be_replaced(tmp_path):
    path = tmp_path / "tokens.json"
    path.write_bytes(b'{"access_token": "ab')
    TokenFile(path).save(TOKENS)
    assert TokenFile(path).read() == TOKENS


def test_a_directory_a_pipe_and_a_link_are_refused(tmp_path):
    (tmp_path / "directory").mkdir()
    os.mkfifo(tmp_path / "pipe")
    TokenFile(tmp_path / "real.json").save(TOKENS)
    (tmp_path / "link").symlink_to(tmp_path / "real.json")
    for name, reason in (
        ("directory", "not a regular"),
        ("pipe", "not a regular"),
        ("link", "symbolic link"),
    ):
        found = TokenFile(tmp_path / name).read()
        assert isinstance(found, Unusable)
        assert reason in found.why
        with pytest.raises(StoreError, match=reason):
            TokenFile(tmp_path / name).save(TOKENS)
    assert (tmp_path / "link").is_symlink()
    assert TokenFile(tmp_path / "real.json").read() == TOKENS


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_another_users_file_is_neither_read_nor_replaced(tmp_path):
    path = tmp_path / "tokens.json"
    TokenFile(path).save(TOKENS)
    os.chown(path, 12345, -1)
    found = TokenFile(path).read()
    assert isinstance(found, Unusable)
    assert "another user" in found.why
    with pytest.raises(StoreError):
        TokenFile(path).save(TOKENS)
    assert path.stat().st_uid == 12345


def test_the_mode_of_a_file_that_others_can_read_is_corrected_with_a_warning(tmp_path, caplog):
    path = tmp_path / "tokens.json"
    TokenFile(path).save(TOKENS)
    path.chmod(0o664)
    assert TokenFile(path).read() == TOKENS
    assert mode(path) == 0o600
    assert [record.levelno for record in caplog.records] == [logging.WARNING]


def test_the_mode_is_never_wider_than_private_while_the_file_is_written(tmp_path):
    folder = tmp_path / "watched"
    folder.mkdir()
    watcher = subprocess.Popen(
        [sys.executable, "-c", WATCH, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert watcher.stdout is not None
    assert watcher.stdout.readline() == "watching\n"
    before = os.umask(0)
    try:
        for _ in range(200):
            with TokenFile(folder / "tokens.json").lock(1):
                TokenFile(folder / "tokens.json").save(TOKENS)
    finally:
        os.umask(before)
    seen, _ = watcher.communicate("stop")
    assert eval(seen) == [(False, 0o600), (True, 0o600)]


def test_what_a_killed_process_left_next_to_the_file_is_replaced_and_deleted(tmp_path):
    path, left = tmp_path / "tokens.json", tmp_path / ".tokens.json.new"
    left.symlink_to(tmp_path / "elsewhere")
    TokenFile(path).save(TOKENS)
    assert list(tmp_path.iterdir()) == [path]
    left.write_text("half a cred")
    TokenFile(path).delete()
    assert not list(tmp_path.iterdir())


def test_a_write_that_fails_leaves_the_old_file_and_nothing_next_to_it(tmp_path):
    path = tmp_path / "tokens.json"
    TokenFile(path).save(TOKENS)
    unwritable = Tokens(Secret("new"), extra=Secret({"odd": object()}))
    with pytest.raises(Exception, match="serialize"):
        TokenFile(path).save(unwritable)
    assert TokenFile(path).read() == TOKENS
    assert list(tmp_path.iterdir()) == [path]


def test_the_stamp_changes_with_content_and_mode(tmp_path):
    path = tmp_path / "tokens.json"
    assert TokenFile(path).stamp() is None
    TokenFile(path).save(TOKENS)
    first = TokenFile(path).stamp()
    assert TokenFile(path).stamp() == first
    path.chmod(0o400)
    second = TokenFile(path).stamp()
    TokenFile(path).save(TOKENS)
    assert len({first, second, TokenFile(path).stamp()}) == 3


def test_the_lock_excludes_other_threads_which_give_up_after_their_timeout(tmp_path):
    path = tmp_path / "tokens.json"
    refused = []

    def knock():
        try:
            with TokenFile(path).lock(0.05):
                refused.append(False)
        except TimeoutError:
            refused.append(True)

    with TokenFile(path).lock(1):
        thread = threading.Thread(target=knock)
        thread.start()
        thread.join()
    knock()
    assert refused == [True, False]
    assert mode(tmp_path / "tokens.json.lock") == 0o600
