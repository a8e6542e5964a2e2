"""The issuer's addresses are its own, or nothing is sent to them."""

import pytest

from amplifier_module_provider_openai_chatgpt.auth.failures import SignInError
from amplifier_module_provider_openai_chatgpt.auth.plan.discovery import discover, endpoints
from amplifier_module_provider_openai_chatgpt.auth.plan.failures import PlanError, Problem
from amplifier_module_provider_openai_chatgpt.simulator import Fault

pytestmark = pytest.mark.world("plan")
URL = "https://auth.openai.com"
PATHS = {
    "authorization_endpoint": "/authorize",
    "token_endpoint": "/token",
    "revocation_endpoint": "/revoke",
    "jwks_uri": "/keys",
}
DOCUMENT = {"issuer": URL, **{name: URL + path for name, path in PATHS.items()}}
FOREIGN = (
    None,
    7,
    "",
    "/token",
    "https://example.com/token",
    "http://auth.openai.com/token",
    "https://auth.openai.com:444/token",
    "https://auth.openai.com.example.com/token",
    "https://auth.openai.com@example.com/token",
    "https://user@auth.openai.com/token",
    "https://auth.openai.com/token#part",
    "https://auth.openai.com\\.example.com/token",
    "https://auth.openai.com:x/token",
    "https://auth.openai.com/tok\nen",
)


def test_the_addresses_of_the_issuer_are_taken():
    found = endpoints({**DOCUMENT, "jwks_uri": "https://AUTH.openai.com:443/keys"}, URL)
    assert (found.issuer, found.token, found.revoke) == (URL, f"{URL}/token", f"{URL}/revoke")
    assert found.keys == "https://AUTH.openai.com:443/keys"


@pytest.mark.parametrize("name", PATHS)
@pytest.mark.parametrize("address", FOREIGN)
def test_an_address_elsewhere_is_refused(name, address):
    with pytest.raises(PlanError) as raised:
        endpoints({**DOCUMENT, name: address}, URL)
    assert raised.value.problem is Problem.FOREIGN_ENDPOINT
    assert name in str(raised.value)


@pytest.mark.parametrize("issuer", [None, "", f"{URL}/", "https://example.com"])
def test_another_issuer_is_refused(issuer):
    with pytest.raises(PlanError):
        endpoints({**DOCUMENT, "issuer": issuer}, URL)


async def test_the_simulators_document_is_read(client, service):
    found = await discover(client, service)
    assert found.token == f"{service.url}/api/accounts/oauth/token"


@pytest.mark.parametrize(
    ("fault", "retryable"),
    [
        (Fault(status=503, body="down"), True),
        (Fault(status=200, body="<html>"), True),
        (Fault(drop_connection=True), True),
        (Fault(status=302, headers={"location": "https://example.com"}), False),
        (Fault(status=404), False),
    ],
)
async def test_a_document_that_cannot_be_had_is_a_failure(sim, client, service, fault, retryable):
    sim.misbehave("/openid-configuration", fault)
    with pytest.raises(SignInError) as raised:
        await discover(client, service)
    assert raised.value.rule.retryable == retryable
    assert ("check auth_url" in str(raised.value)) == (fault.status in {302, 404})
    assert len(sim.requests) == 1
