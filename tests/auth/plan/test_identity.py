"""An id token is trusted only if everything about it is right."""

import base64

import pytest
from pydantic_core import to_json

from amplifier_module_provider_openai_chatgpt.auth.plan.failures import PlanError, Problem
from amplifier_module_provider_openai_chatgpt.auth.plan.identity import Expected, verified
from amplifier_module_provider_openai_chatgpt.secret import Secret
from amplifier_module_provider_openai_chatgpt.simulator.plan.keys import Keys

NOW = 1_796_000_000
ISSUER, CLIENT, NONCE = "https://auth.openai.com", "oaiapp_1", "n" * 43
APP = Secret(CLIENT)
EXPECTED = Expected(issuer=ISSUER, client_id=APP, nonce=NONCE, subject=Secret("user-1"))
CLAIMS = {
    "iss": ISSUER,
    "aud": CLIENT,
    "sub": "user-1",
    "email": "ada@example.com",
    "nonce": NONCE,
    "iat": NOW,
    "exp": NOW + 3600,
}
KEYS = Keys()


def token(signature="RS256", header=None, **claims):
    merged = {**CLAIMS, **claims}
    present = {name: value for name, value in merged.items() if value is not None}
    return KEYS.token(present, signature, header)


def check(text, keys=None, expected=EXPECTED, now=NOW):
    return verified(Secret(text), KEYS.document() if keys is None else keys, expected, now)


def problem_of(text, **how):
    with pytest.raises(PlanError) as raised:
        check(text, **how)
    assert CLIENT not in str(raised.value)
    return raised.value.problem


def encoded(value):
    return base64.urlsafe_b64encode(to_json(value)).decode().rstrip("=")


def test_a_right_token_names_the_person():
    identity = check(token())
    assert (identity.subject, identity.email) == ("user-1", "ada@example.com")
    assert check(token(email="åda@example.com")).email == "åda@example.com"
    for odd in (None, 7, "a\x1b[31m@example.com", "a" * 321):
        assert check(token(email=odd)).email == ""


@pytest.mark.parametrize(
    "claims",
    [
        {"aud": [CLIENT]},
        {"aud": [CLIENT, "other"], "azp": CLIENT},
        {"azp": CLIENT},
        {"exp": NOW - 4},
        {"iat": NOW + 4},
        {"nonce": NONCE, "extra": {"a": 1}},
    ],
)
def test_what_the_rules_allow_is_accepted(claims):
    assert check(token(**claims)).subject == "user-1"


UNTRUSTED = {
    "no signature": token("none"),
    "no signature, but named": token("none", {"alg": "RS256"}),
    "signed with the public key as a secret": token("HS256"),
    "the same under the right name": token("HS256", {"alg": "RS256"}),
    "a random signature": token("broken"),
    "another key": token("other-key"),
    "another algorithm": token(header={"alg": "PS256"}),
    "an algorithm in other letters": token(header={"alg": "rs256"}),
    "no algorithm": token(header={"alg": None}),
    "no kid": token(header={"kid": None}),
    "a kid that is not text": token(header={"kid": 1}),
    "critical extensions": token(header={"crit": ["b64"], "b64": False}),
    "another issuer": token(iss="https://example.com"),
    "the issuer with a slash": token(iss=f"{ISSUER}/"),
    "no issuer": token(iss=None),
    "another audience": token(aud="oaiapp_2"),
    "an audience that begins with ours": token(aud=f"{CLIENT}2"),
    "no audience": token(aud=None),
    "several audiences without a party": token(aud=[CLIENT, "other"]),
    "another party": token(azp="other"),
    "several audiences and another party": token(aud=[CLIENT, "other"], azp="other"),
    "no expiry": token(exp=None),
    "expiry as text": token(exp=str(NOW + 3600)),
    "expiry as true": token(exp=True),
    "issued at infinity": token(iat=1e999),
    "no time of issue": token(iat=None),
    "another nonce": token(nonce="m" * 43),
    "no nonce": token(nonce=None),
    "no person": token(sub=None),
    "an empty person": token(sub=""),
    "a person with a line break": token(sub="user\n1"),
    "a very long person": token(sub="u" * 256),
    "a person that is not text": token(sub=["user-1"]),
    "empty": "",
    "two parts": ".".join(token().split(".")[:2]),
    "claims that are a list": f"{token().split('.')[0]}.{encoded([1])}.{token().split('.')[2]}",
    "a header that is not JSON": "eyJ.e30.e30",
    "characters outside the alphabet": token() + "\n",
    "claims of another token": ".".join([*token().split(".")[:1], encoded(CLAIMS | {"sub": "x"}), "AAAA"]),
}


@pytest.mark.parametrize("text", UNTRUSTED.values(), ids=list(UNTRUSTED))
def test_a_token_with_anything_wrong_is_not_trusted(text):
    assert problem_of(text) is Problem.UNTRUSTED


@pytest.mark.parametrize("claims", [{"exp": NOW - 5}, {"exp": 0}, {"iat": NOW + 6}])
def test_only_a_token_with_nothing_wrong_but_its_times_is_a_matter_of_the_clock(claims):
    assert problem_of(token(**claims)) is Problem.CLOCK
    assert problem_of(token(**claims, nonce="m" * 43)) is Problem.UNTRUSTED
    assert problem_of(token(**claims, sub="user-2")) is Problem.OTHER_ACCOUNT


def test_another_person_is_refused_as_such():
    assert problem_of(token(sub="user-2")) is Problem.OTHER_ACCOUNT


def with_key(**fields):
    [key] = KEYS.document()["keys"]
    return {"keys": [{**key, **fields}]}


@pytest.mark.parametrize(
    "keys",
    [{}, {"keys": []}, {"keys": None}, {"keys": [None, "x"]}, with_key(kid="other"), with_key(kty="EC")],
)
def test_a_key_that_is_not_published_is_a_transient_failure(keys):
    assert problem_of(token(), keys=keys) is Problem.KEYS_UNAVAILABLE
    assert problem_of(token(), keys=with_key(use="enc")) is Problem.KEYS_UNAVAILABLE


@pytest.mark.parametrize(
    "fields", [{"n": "AQAB"}, {"n": "!"}, {"e": "AA"}, {"e": "_" * 8_000}, {"n": ""}, {"n": None}]
)
def test_a_key_that_is_not_an_rsa_key_is_not_used(fields):
    assert problem_of(token(), keys=with_key(**fields)) is Problem.UNTRUSTED


def test_a_token_that_was_verified_once_may_have_expired():
    carried = Expected(issuer=ISSUER, client_id=APP, subject=Secret("user-1"), may_be_expired=True)
    assert check(token(exp=1, iat=0), expected=carried).subject == "user-1"
    assert problem_of(token("broken", exp=1), expected=carried) is Problem.UNTRUSTED


def test_at_a_renewal_the_nonce_is_not_checked():
    renewal = Expected(issuer=ISSUER, client_id=APP, subject=Secret("user-1"))
    assert check(token(nonce=None), expected=renewal).subject == "user-1"
