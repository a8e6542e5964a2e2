"""What a browser brings is judged in a fixed order; only an answer to this attempt counts."""

from urllib.parse import parse_qsl, urlencode, urlsplit

import pytest

from amplifier_module_provider_openai_chatgpt.auth.failures import Reason, SignInError
from amplifier_module_provider_openai_chatgpt.auth.plan.authorization import Attempt, Brought, pasted_query
from amplifier_module_provider_openai_chatgpt.auth.plan.failures import PlanError, Problem
from amplifier_module_provider_openai_chatgpt.secret import Secret
from amplifier_module_provider_openai_chatgpt.services import CHATGPT_PLAN_SIGN_IN

HOST = Secret("urn:uuid:1")
NEW = Attempt(host_id=HOST, app_name="Amplifier", state="n" * 43)
AGAIN = Attempt(
    host_id=HOST, app_name="Amplifier", client_id=Secret("oaiapp_1"), hint=Secret("a.b.c"), state="a" * 43
)
REDIRECT = "http://127.0.0.1:1455/auth/callback"


def query(attempt, **changes):
    fields = {"code": "ac_1", "state": attempt.state, "client_id": "oaiapp_1", **changes}
    return urlencode({name: value for name, value in fields.items() if value is not None})


def asked(attempt, **how):
    url = attempt.url("https://auth.openai.com/authorize", CHATGPT_PLAN_SIGN_IN, REDIRECT, **how)
    return dict(parse_qsl(urlsplit(url.reveal()).query))


def test_a_first_request_registers_the_app_by_its_name():
    fields = asked(NEW, hinted=True)
    assert (fields["client_id"], fields["agent_name_hint"]) == ("dynamic_agent_client", "Amplifier")
    assert fields["redirect_uri"] == REDIRECT
    assert not {"id_token_hint", "prompt"} & set(fields)


def test_a_later_request_uses_the_registration_and_shows_no_token():
    assert "agent_name_hint" not in asked(AGAIN)
    assert asked(AGAIN)["client_id"] == "oaiapp_1"
    assert "id_token_hint" not in asked(AGAIN)
    assert asked(AGAIN, hinted=True)["id_token_hint"] == "a.b.c"
    assert asked(Attempt(HOST, "A", client_id=Secret("oaiapp_1"), enable_plan=True))["prompt"] == "consent"


def test_the_secrets_of_an_attempt_are_new_and_are_not_shown():
    one, other = (Attempt(host_id=HOST, app_name="Amplifier") for _ in range(2))
    secrets = [one.state, one.nonce, one.verifier.reveal(), other.state, other.nonce, other.verifier.reveal()]
    assert len(set(secrets)) == 6
    assert not [secret for secret in secrets if secret in repr(one)]


@pytest.mark.parametrize(
    ("attempt", "changes"),
    [(NEW, {}), (NEW, {"scope": "openid"}), (AGAIN, {}), (AGAIN, {"client_id": None})],
)
def test_an_answer_to_this_attempt_is_taken(attempt, changes):
    assert attempt.outcome(query(attempt, **changes)) == Brought(Secret("ac_1"), Secret("oaiapp_1"))


@pytest.mark.parametrize(
    "text",
    [
        "",
        query(NEW, state=None),
        query(NEW, state=""),
        query(NEW, state=NEW.state[:-1]),
        query(NEW, state="ü"),
        query(AGAIN),
        query(NEW) + "&state=" + NEW.state,
        query(NEW, state="x", error="access_denied"),
        "&".join(["a=1"] * 100),
    ],
)
def test_anything_else_leaves_the_attempt_waiting(text):
    assert NEW.outcome(text) is None


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (query(NEW, error="access_denied"), Reason.DENIED),
        (query(NEW, error="server_error", code=None), Reason.BROWSER_ERROR),
        (query(NEW, code=None), Reason.CODE_MISSING),
        (query(NEW, code=""), Reason.CODE_MISSING),
        (query(NEW) + "&code=ac_2", Reason.CODE_MISSING),
    ],
)
def test_an_error_or_no_single_code_ends_the_attempt(text, reason):
    found = NEW.outcome(text)
    assert isinstance(found, SignInError)
    assert found.reason is reason


@pytest.mark.parametrize(
    ("attempt", "text", "problem"),
    [
        (NEW, query(NEW, client_id=None), Problem.UNREGISTERED),
        (NEW, query(NEW, client_id=""), Problem.UNREGISTERED),
        (NEW, query(NEW, client_id="dynamic_agent_client"), Problem.UNREGISTERED),
        (NEW, query(NEW, client_id="a b"), Problem.UNREGISTERED),
        (NEW, query(NEW, client_id="a" * 201), Problem.UNREGISTERED),
        (NEW, query(NEW) + "&client_id=oaiapp_1", Problem.OTHER_CLIENT),
        (AGAIN, query(AGAIN, client_id="oaiapp_2"), Problem.OTHER_CLIENT),
        (AGAIN, query(AGAIN, client_id=""), Problem.OTHER_CLIENT),
    ],
)
def test_a_registration_is_new_once_and_never_changes(attempt, text, problem):
    found = attempt.outcome(text)
    assert isinstance(found, PlanError)
    assert found.problem is problem


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (f" {REDIRECT}?a=b\n", "a=b"),
        ("ac_1", None),
        ("http://localhost:1455/auth/callback?a=b", None),
        ("http://127.0.0.1:1456/auth/callback?a=b", None),
        ("http://[::1", None),
        ("", None),
    ],
)
def test_only_the_whole_address_of_the_last_page_is_taken(line, expected):
    assert pasted_query(line, REDIRECT) == expected
