"""What tokens say: account, plan, expiry; and how an answer is merged over what is stored."""

import base64
import copy
import dataclasses
import pickle
from datetime import UTC, datetime, timedelta

import pytest
from rich.pretty import pretty_repr

from amplifier_module_provider_openai_chatgpt.auth.tokens import Tokens, decode
from tests.auth.jwt import jwt

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)


def account(name):
    return {"chatgpt_account_id": name}


@pytest.mark.parametrize(
    ("identity", "access", "stored", "expected"),
    [
        ({"auth": account("id")}, {"auth": account("access")}, "file", "id"),
        ({}, {"auth": account("access")}, "file", "access"),
        ({"profile": {"account_id": "profile"}}, {}, "file", "file"),
        ({"profile": {"account_id": "profile"}, "sub": "sub"}, {}, "", "profile"),
        ({"sub": "sub"}, {"profile": {"account_id": "profile"}}, "", "profile"),
        ({"chatgpt_account_id": "root"}, {"auth": account("access")}, "file", "access"),
        ({}, {"chatgpt_account_id": "root"}, "file", "root"),
        ({"organizations": [{"id": "org-1"}, {"id": "org-2"}]}, {}, "file", "org-1"),
        ({"organizations": []}, {"organizations": ["x", {"id": "y"}]}, "file", "file"),
        ({"sub": "sub"}, {"sub": "other"}, "", ""),
        ({"auth": "text", "profile": 7, "sub": 9}, {}, "", ""),
        ({"auth": {"chatgpt_account_id": None}}, {}, "file", "file"),
    ],
)
def test_the_account_is_looked_for_in_a_fixed_order(identity, access, stored, expected):
    found = Tokens.from_dict(
        {"id_token": jwt(**identity), "access_token": jwt(**access), "account_id": stored}
    )
    assert found.account_id == expected


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        ({}, "old"),
        ({"id_token": jwt(auth=account("new"))}, "new"),
        ({"id_token": jwt(profile={"account_id": "new"})}, "new"),
        ({"id_token": jwt(sub="user-1")}, "old"),
        ({"id_token": jwt(sub="user-1"), "access_token": jwt(auth=account("new"))}, "new"),
        ({"access_token": jwt(sub="user-1")}, "old"),
    ],
)
def test_only_a_new_id_token_changes_the_account_of_a_renewed_sign_in(reply, expected):
    old = Tokens.from_dict({"access_token": "a", "refresh_token": "r", "account_id": "old"})
    assert Tokens.from_reply(reply, now=NOW, previous=old).account_id == expected


def test_what_a_reply_lacks_is_kept_from_before():
    stored = {"access_token": "a", "refresh_token": "r", "id_token": "i", "account_id": "acc"}
    old = Tokens.from_dict({**stored, "plan_type": "plus", "expires_at": NOW.isoformat(), "theirs": 1})
    assert Tokens.from_reply({}, now=NOW + timedelta(hours=9), previous=old) == old


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        (
            {"access_token": jwt(exp=1_800_000_000), "expires_in": 5},
            datetime.fromtimestamp(1_800_000_000, UTC),
        ),
        ({"access_token": "opaque", "expires_in": 600}, NOW + timedelta(seconds=600)),
        ({"access_token": "opaque"}, NOW + timedelta(hours=1)),
        ({"access_token": "opaque", "expires_in": "soon"}, NOW + timedelta(hours=1)),
        ({"access_token": "opaque", "expires_in": True}, NOW + timedelta(hours=1)),
        ({"access_token": "opaque", "expires_in": -3}, NOW + timedelta(hours=1)),
        ({"access_token": "opaque", "expires_in": 10**400}, NOW + timedelta(hours=1)),
        (
            {"access_token": "opaque", "expires_at": "2026-11-25T00:00:00Z", "expires_in": 5},
            datetime(2026, 11, 25, tzinfo=UTC),
        ),
        ({"access_token": jwt(exp=10**30), "expires_in": 600}, NOW + timedelta(seconds=600)),
    ],
)
def test_an_answer_always_gets_an_expiry(reply, expected):
    assert Tokens.from_reply(reply, now=NOW).expires_at == expected


@pytest.mark.parametrize(
    ("stored", "valid", "due"),
    [
        ({"access_token": "a", "expires_at": "2026-11-24T13:00:00+00:00"}, True, False),
        ({"access_token": "a", "expires_at": "2026-11-24T12:05:01+00:00"}, True, False),
        ({"access_token": "a", "expires_at": "2026-11-24T12:05:00+00:00"}, True, True),
        ({"access_token": "a", "expires_at": "2026-11-24T13:00:00"}, True, False),
        ({"access_token": "a", "expires_at": "2026-11-24T13:30:00+02:00"}, False, True),
        ({"access_token": "a", "expires_at": "2026-11-24T12:00:00+00:00"}, False, True),
        ({"access_token": "a", "expires_at": NOW.timestamp() + 3600}, True, False),
        ({"access_token": "a", "expires_at": "tomorrow"}, False, True),
        ({"access_token": "a", "expires_at": None}, False, True),
        ({"access_token": "a", "expires_at": ["2026"]}, False, True),
        ({"access_token": "", "expires_at": "2026-11-24T13:00:00+00:00"}, False, True),
        ({"access_token": jwt(exp=NOW.timestamp() + 3600), "expires_at": "2020-01-01"}, True, False),
        ({"access_token": jwt(exp=NOW.timestamp() - 1), "expires_at": "2030-01-01"}, False, True),
        ({"access_token": jwt(exp=True), "expires_at": "2030-01-01"}, True, False),
        ({}, False, True),
    ],
)
def test_a_token_is_valid_until_its_expiry_and_due_five_minutes_before(stored, valid, due):
    tokens = Tokens.from_dict(stored)
    assert (tokens.is_valid(NOW), tokens.is_due(NOW)) == (valid, due)


def test_an_expiry_without_an_offset_is_utc_whatever_the_local_time_zone(time_zone):
    noon = datetime(2026, 11, 24, 12, tzinfo=UTC)
    assert Tokens.from_dict({"expires_at": "2026-11-24T12:00:00"}).expires_at == noon
    reply = {"access_token": "opaque", "expires_at": "2026-11-24T12:00:00"}
    assert Tokens.from_reply(reply, now=NOW).expires_at == noon


@pytest.mark.parametrize(
    "token",
    [
        "",
        "a",
        "a.b",
        "a.b.c.d",
        ".e30.",
        "a..c",
        "a.e30.",
        "a.%%%.c",
        "a.ÿþ.c",
        "a." + base64.urlsafe_b64encode(b"[1]").decode() + ".c",
        "a." + base64.urlsafe_b64encode(b"{not json").decode() + ".c",
        "a." + base64.urlsafe_b64encode(b"\xff\xfe{}").decode() + ".c",
    ],
)
def test_what_is_not_a_jwt_has_no_claims(token):
    assert decode(token) == {}


def test_plan_email_and_fedramp_are_read_from_the_claims():
    auth = {"chatgpt_plan_type": "pro", "chatgpt_account_is_fedramp": True}
    tokens = Tokens.from_dict({"id_token": jwt(auth=auth, profile={"email": "ada@example.com"})})
    assert (tokens.plan_type, tokens.email, tokens.is_fedramp) == ("pro", "ada@example.com", True)
    assert Tokens.from_dict({"id_token": jwt(email="first@example.com")}).email == "first@example.com"
    assert not Tokens.from_dict({"id_token": jwt(auth={"chatgpt_account_is_fedramp": "yes"})}).is_fedramp


def test_unknown_keys_and_odd_values_survive_the_round_trip():
    stored = {"access_token": "a", "plan_type": None, "refresh_token": 5, "future": {"x": [1]}, "note": None}
    written = Tokens.from_dict(stored).to_dict()
    assert written["future"] == {"x": [1]}
    assert written["note"] is None
    assert (written["plan_type"], written["refresh_token"], written["auth_mode"]) == ("", "", "oauth")
    assert Tokens.from_dict(written).to_dict() == written


def test_no_way_to_show_or_copy_a_sign_in_shows_a_secret():
    names = ("access_token", "refresh_token", "id_token", "account_id", "OPENAI_API_KEY")
    stored = {name: f"SECRET-{name}" for name in names}
    tokens = Tokens.from_dict({**stored, "id_token": jwt(email="SECRET@example.com", sub="SECRET-person")})
    assert tokens.email == "SECRET@example.com"
    for shown in (repr(tokens), f"{tokens}", str(dataclasses.asdict(tokens)), pretty_repr(tokens)):
        assert "SECRET" not in shown
    assert copy.deepcopy(tokens) == dataclasses.replace(tokens) == tokens
    with pytest.raises(TypeError, match="a secret cannot be pickled"):
        pickle.dumps(tokens)


def test_text_given_as_a_secret_becomes_one():
    tokens = Tokens("SECRET-a", account_id="SECRET-b", extra={"key": "SECRET-c"})  # type: ignore[arg-type]
    assert "SECRET" not in str(dataclasses.asdict(tokens))
