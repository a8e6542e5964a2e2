"""The file of an account is private, whole, and only of its own kind and service."""

import json
import os
from dataclasses import replace

import pytest

from amplifier_module_provider_openai_chatgpt.auth.failures import Reason, SignInError
from amplifier_module_provider_openai_chatgpt.auth.plan.credential import PlanCredential
from amplifier_module_provider_openai_chatgpt.auth.plan.file import PlanFile
from amplifier_module_provider_openai_chatgpt.auth.store import StoreError, Unusable
from amplifier_module_provider_openai_chatgpt.secret import Secret
from amplifier_module_provider_openai_chatgpt.services import CHATGPT_CODEX

CREDENTIAL = PlanCredential(
    client_id=Secret("oaiapp_1"),
    host_id=Secret("urn:uuid:1"),
    subject=Secret("user-1"),
    access_token=Secret("at_1"),
    scopes=("openid",),
)


@pytest.fixture
def file(tmp_path):
    return PlanFile(tmp_path / "plan" / "default.json")


def test_what_is_saved_is_read_and_private(file):
    assert file.read() is None
    file.rehearse()
    file.save(CREDENTIAL)
    assert file.read() == CREDENTIAL
    assert file.path.stat().st_mode & 0o777 == 0o600
    assert file.path.parent.stat().st_mode & 0o777 == 0o700
    assert [path.name for path in file.path.parent.iterdir()] == ["default.json"]
    assert file.default_host_file.name == "host.json"


@pytest.mark.parametrize(
    ("content", "is_ours"),
    [
        ("", True),
        ('{"auth_mode": "chatgpt_plan"', True),
        ("notes", False),
        ("[1]", False),
        ('{"auth_mode": "oauth", "access_token": "a"}', False),
        ('{"access_token": "a"}', False),
    ],
)
def test_what_is_not_such_a_sign_in_is_not_used_and_only_a_damaged_one_is_replaced(file, content, is_ours):
    file.path.parent.mkdir()
    file.path.write_text(content)
    file.path.chmod(0o600)
    found = file.read()
    assert isinstance(found, Unusable)
    assert found.is_ours == is_ours
    if is_ours:
        assert "login --plan" in found.text
        file.save(CREDENTIAL)
        assert file.read() == CREDENTIAL
    else:
        for write in (file.rehearse, lambda: file.save(CREDENTIAL)):
            with pytest.raises(StoreError):
                write()
        assert file.path.read_text() == content


def test_a_link_is_neither_followed_nor_replaced(file, tmp_path):
    target = tmp_path / "target.json"
    target.write_text(json.dumps(CREDENTIAL.to_dict()))
    file.path.parent.mkdir()
    file.path.symlink_to(target)
    assert isinstance(file.read(), Unusable)
    with pytest.raises(StoreError):
        file.save(CREDENTIAL)
    assert file.path.is_symlink()


def test_a_sign_in_of_another_service_is_not_used(file):
    file.save(replace(CREDENTIAL, origin=CHATGPT_CODEX.origin))
    found = file.read()
    assert isinstance(found, Unusable)
    assert found.foreign
    with pytest.raises(StoreError):
        file.save(CREDENTIAL)


def test_a_complete_new_file_of_a_killed_process_is_used_and_a_half_one_is_not(file):
    file.save(CREDENTIAL)
    left = file.path.with_name(f".{file.path.name}.new")
    renewed = replace(CREDENTIAL, access_token=Secret("at_2"))
    left.write_text(json.dumps(renewed.to_dict()))
    left.chmod(0o600)
    assert file.read() == renewed
    left.write_text(json.dumps(renewed.to_dict())[:-9])
    assert file.read() == CREDENTIAL
    file.save(renewed)
    assert not left.exists()
    assert file.read() == renewed


def test_a_new_file_that_is_older_is_not_used(file):
    left = file.path.with_name(f".{file.path.name}.new")
    file.save(CREDENTIAL)
    left.write_text(json.dumps(replace(CREDENTIAL, access_token=Secret("at_0")).to_dict()))
    os.utime(left, (1, 1))
    assert file.read() == CREDENTIAL


def test_a_wait_for_another_process_is_announced(file, caplog):
    impatient = PlanFile(file.path, announce_after=0)
    with file.lock(), pytest.raises(SignInError), impatient.lock(0.2):
        pass
    assert "Waiting for another process" in caplog.text


def test_a_registration_is_kept_next_to_the_file(file):
    assert file.registration() is None
    registration = PlanCredential(client_id=Secret("oaiapp_1"), host_id=Secret("urn:uuid:1"))
    file.save_registration(registration)
    assert file.registration() == registration
    assert file.read() is None
    file.drop_registration()
    file.drop_registration()
    assert file.registration() is None


def test_a_lock_that_another_holds_is_a_transient_failure(file):
    with file.lock(), pytest.raises(SignInError) as raised, PlanFile(file.path).lock(0):
        pass
    assert raised.value.reason is Reason.LOCKED
    assert raised.value.rule.retryable
