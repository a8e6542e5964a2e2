"""No failure of this sign-in shows a token or who signed in, not even with local variables."""

import pytest

from amplifier_module_provider_openai_chatgpt.auth.plan.connection import PlanConnection
from amplifier_module_provider_openai_chatgpt.auth.plan.sign_in import Screen, sign_in
from amplifier_module_provider_openai_chatgpt.simulator import Fault, accounts
from tests.browser import browse
from tests.secret_leaks import PERSONAL, Watch
from tests.test_tracebacks import raised_by

pytestmark = pytest.mark.world("plan")
RENEWALS = {
    "refused": ("/oauth/token", Fault(status=400, body={"error": "invalid_grant"})),
    "cut": ("/oauth/token", Fault(status=200, body={"access_token": "at_1"}, cut_after_bytes=9)),
    "hung up": ("/oauth/token", Fault(drop_connection=True)),
    "without keys": ("/jwks.json", Fault(body={"keys": []})),
    "another server": ("/openid-configuration", Fault(body={"issuer": "https://example.com"})),
}


def learnt(credential):
    """Return a search for the secrets of a credential and for what names its owner."""
    own = Watch()
    tokens = (credential.access_token, credential.refresh_token, credential.id_token)
    for secret in (*tokens, credential.client_id, credential.host_id):
        own.learn(secret.reveal())
    for name in PERSONAL:
        own.learn_name(name)
    return own


@pytest.mark.parametrize("row", RENEWALS)
async def test_a_failed_renewal_shows_no_secret(sim, service, file, stored, row):
    own = learnt(stored(expires_in=-60))
    sim.misbehave(*RENEWALS[row], times=None)
    own.search_failure(await raised_by(lambda _: PlanConnection(file, service).current(), None))
    assert not own.found


@pytest.mark.parametrize("claims", [{"aud": "other"}, {"sub": "user-other"}])
async def test_a_renewal_with_a_wrong_id_token_shows_no_secret(sim, service, file, stored, claims):
    own = learnt(stored(expires_in=-60))
    own.learn_name("user-other")
    sim.sharing.claims = claims
    own.search_failure(await raised_by(lambda _: PlanConnection(file, service).current(), None))
    assert not own.found


SIGN_INS = {
    "code refused": ("/oauth/token", Fault(status=400, body={"error": "invalid_grant"})),
    "hung up": ("/oauth/token", Fault(drop_connection=True)),
    "without keys": ("/jwks.json", Fault(status=503)),
    "another person": ("/nothing", Fault()),
    "no answer in time": ("/authorize", Fault(status=500)),
}


@pytest.mark.parametrize("row", SIGN_INS)
async def test_a_failed_sign_in_shows_no_secret(sim, service, client, file, stored, row):
    """``stored`` gives it a token to hint at the person."""
    own = learnt(stored())

    sim.misbehave(*SIGN_INS[row], times=None)
    if row == "another person":
        sim.sharing.claims = {"sub": "user-other"}
        own.learn_name("user-other")
    accounts.secret_listeners.append(own.learn)
    try:
        screen, limit = Screen(show=len, open_url=browse), 0.1 if row == "no answer in time" else 30
        error = await raised_by(lambda _: sign_in(client, service, file, screen, limit=limit), None)
    finally:
        accounts.secret_listeners.remove(own.learn)
    own.search_failure(error)
    assert not own.found
