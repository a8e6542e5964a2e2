"""A failed renewal is known to those who wait, for a short time, and a wrong clock makes it meaningless."""

import os
import time

from amplifier_module_provider_openai_chatgpt.auth.failure_note import FailureNote


def test_a_failure_is_known_to_those_who_asked_before_it(tmp_path):
    note, before = FailureNote(tmp_path / "tokens.json"), time.time() - 1
    assert not note.is_newer_than(before)
    note.leave(0)
    assert note.is_newer_than(before)
    assert not note.is_newer_than(time.time() + 1)
    assert [path.name for path in tmp_path.iterdir()] == [".tokens.json.failed"]


def test_a_remembered_failure_is_known_to_those_who_ask_later(tmp_path):
    note = FailureNote(tmp_path / "tokens.json")
    note.leave(10)
    assert note.is_newer_than(time.time() + 5)
    note.remove()
    note.remove()
    assert not note.is_newer_than(0)


def test_a_note_from_the_future_says_nothing(tmp_path):
    note = FailureNote(tmp_path / "tokens.json")
    note.leave(0)
    os.utime(tmp_path / ".tokens.json.failed", (time.time() + 3_600,) * 2)
    assert not note.is_newer_than(0)


def test_without_a_folder_nothing_is_left_or_known(tmp_path):
    note = FailureNote(tmp_path / "none" / "tokens.json")
    note.leave(10)
    note.remove()
    assert not note.is_newer_than(0)
