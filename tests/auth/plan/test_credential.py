"""The credential's file has the keys that other programs read, and times in either spelling."""

import pytest

from amplifier_module_provider_openai_chatgpt.auth.plan.credential import (
    Grant,
    PlanCredential,
    is_client_id,
)
from amplifier_module_provider_openai_chatgpt.secret import Secret
from amplifier_module_provider_openai_chatgpt.services import CHATGPT_PLAN_SIGN_IN, Origin

NOW = 1_796_000_000.0
SCOPES = tuple(CHATGPT_PLAN_SIGN_IN.scope.split())
STORED = {
    "auth_mode": "chatgpt_plan",
    "client_id": "oaiapp_1",
    "ext_agent_host_id": "urn:uuid:1",
    "issuer": "https://auth.openai.com",
    "subject": "user-1",
    "email": "ada@example.com",
    "access_token": "at_1",
    "refresh_token": "rt_1",
    "id_token": "a.b.c",
    "token_type": "Bearer",
    "scopes": list(SCOPES),
    "expires_at": NOW + 3600,
    "saved_at": NOW,
}
CREDENTIAL = PlanCredential.from_dict(STORED)


def test_a_file_of_upstreams_plugin_is_read():
    assert CREDENTIAL.is_connected
    assert CREDENTIAL.uses_plan
    assert CREDENTIAL.is_valid(NOW)
    assert CREDENTIAL.origin == CHATGPT_PLAN_SIGN_IN.origin
    assert (CREDENTIAL.host_id, CREDENTIAL.subject) == (Secret("urn:uuid:1"), Secret("user-1"))


def test_what_is_written_is_read_again_with_keys_that_are_not_known():
    given = PlanCredential.from_dict({**STORED, "note": {"a": 1}})
    pending = given.with_pending(
        Grant(access_token=Secret("at_2"), id_token=Secret("d.e.f"), scopes=("openid",), expires_at=NOW)
    )
    for credential in (given, pending, given.without_tokens()):
        assert PlanCredential.from_dict(credential.to_dict()) == credential
    assert pending.pending is not None
    assert pending.pending.refresh_token == "rt_1"
    assert set(STORED) <= set(given.to_dict())


def test_a_sign_out_keeps_registration_host_and_person():
    kept = CREDENTIAL.without_tokens().to_dict()
    assert {key: kept[key] for key in ("client_id", "ext_agent_host_id", "subject", "email")}
    assert not {"access_token", "refresh_token", "id_token", "expires_at", "saved_at"} & set(kept)
    assert not CREDENTIAL.without_tokens().is_connected


def test_nothing_that_names_the_person_is_in_its_repr():
    for value in ("oaiapp_1", "urn:uuid:1", "user-1", "ada@", "at_1", "rt_1", "a.b.c"):
        assert value not in repr(CREDENTIAL)


@pytest.mark.parametrize(
    ("more", "at", "due"),
    [
        ({}, NOW, False),
        ({}, NOW + 3600 - 180, True),
        ({}, NOW + 3600, True),
        ({"earliest_refresh_at": NOW + 3500}, NOW + 3450, False),
        ({"earliest_refresh_at": NOW + 3500}, NOW + 3501, True),
        ({"earliest_refresh_at": NOW + 9000}, NOW + 3601, True),
        ({"expires_at": None}, NOW, True),
        ({"access_token": ""}, NOW, True),
    ],
)
def test_a_token_is_due_before_it_expires_and_not_before_the_issuer_allows_it(more, at, due):
    assert PlanCredential.from_dict({**STORED, **more}).is_due(at) == due


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (1_796_000_000, NOW),
        ("2026-11-30T00:53:20Z", NOW),
        ("2026-11-30T00:53:20", NOW),
        ("soon", None),
        (True, None),
        (1e300, None),
        (float("nan"), None),
        (None, None),
    ],
)
def test_times_come_in_seconds_or_as_text(value, expected):
    reply = {"access_token": "at_1", "earliest_refresh_at": value}
    assert Grant.from_reply(reply, NOW).earliest_refresh_at == expected


@pytest.mark.parametrize(
    ("lifetime", "seconds"),
    [(3600, 3600), (60.5, 60.5), (None, 3600), ("3600", 3600), (-1, 3600), (1e12, 3600), (True, 3600)],
)
def test_a_lifetime_that_is_missing_or_absurd_is_an_hour(lifetime, seconds):
    assert Grant.from_reply({"access_token": "at_1", "expires_in": lifetime}, NOW).expires_at == NOW + seconds


def test_a_renewal_that_says_nothing_of_its_scope_keeps_it():
    settled = CREDENTIAL.settled(Grant.from_reply({"access_token": "at_2"}, NOW))
    assert (settled.scopes, settled.refresh_token, settled.id_token) == (
        SCOPES,
        Secret("rt_1"),
        Secret("a.b.c"),
    )
    reduced = CREDENTIAL.settled(Grant.from_reply({"access_token": "at_2", "scope": "openid"}, NOW))
    assert not reduced.uses_plan


@pytest.mark.parametrize(
    "changes",
    [
        {"access_token": "a b", "refresh_token": 7},
        {"access_token": None, "refresh_token": ""},
        {"client_id": "dynamic_agent_client"},
        {"subject": None},
    ],
)
def test_a_file_without_what_is_needed_is_not_connected(changes):
    assert not PlanCredential.from_dict({**STORED, **changes}).is_connected


@pytest.mark.parametrize(
    ("changes", "origin"),
    [
        ({"backend": "https://api.openai.com"}, CHATGPT_PLAN_SIGN_IN.origin),
        ({"issuer": "https://example.com"}, None),
        ({"backend": "https://example.com"}, Origin("https://auth.openai.com", "https://example.com")),
        ({"issuer": 7}, None),
    ],
)
def test_a_credential_says_where_it_was_obtained(changes, origin):
    found = PlanCredential.from_dict({**STORED, **changes}).origin
    assert found == origin if origin else found != CHATGPT_PLAN_SIGN_IN.origin


def test_a_client_id_is_an_issued_one():
    assert is_client_id("oaiapp_A-1")
    assert not [
        text for text in ("", "dynamic_agent_client", "a b", "a" * 201, "ü", "a\n") if is_client_id(text)
    ]
