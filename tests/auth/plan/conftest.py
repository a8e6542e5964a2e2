"""What the tests of the documented sign-in share: the service at a simulator, and a file."""

from dataclasses import replace

import pytest

from amplifier_module_provider_openai_chatgpt.auth.plan.connection import PlanConnection
from amplifier_module_provider_openai_chatgpt.auth.plan.credential import PlanCredential
from amplifier_module_provider_openai_chatgpt.auth.plan.file import PlanFile
from amplifier_module_provider_openai_chatgpt.http import new_client
from amplifier_module_provider_openai_chatgpt.services import CHATGPT_PLAN_SIGN_IN

TOKEN, KEYS, REVOKE, DISCOVERY = "/oauth/token", "/jwks.json", "/oauth/revoke", "/openid-configuration"
DUE, EXPIRED = 60, -60


@pytest.fixture
def service(sim):
    """The plan service at this test's simulator; any free port serves the callback."""
    return replace(CHATGPT_PLAN_SIGN_IN.at(sim.base_url, sim.auth_url), redirect_port=0)


@pytest.fixture
def file(service, tmp_path):
    return PlanFile(tmp_path / "plan" / "default.json", service.origin)


@pytest.fixture
def stored(sim, file):
    """Store a new sign-in, and return it as it is read back; more names the simulator's options."""

    def stored(*given, **more):
        file.save(PlanCredential.from_dict(sim.connect(*given, **more)))
        return file.read()

    return stored


@pytest.fixture
async def client():
    async with new_client(connect=5, silence=5) as client:
        yield client


@pytest.fixture
def connection(file, service):
    return PlanConnection(file, service)


def renewals(sim):
    return len(sim.requests_to(TOKEN))


def is_signed_out(file):
    """True if the tokens are gone, and registration, host and person are not."""
    found = file.read()
    kept = found.client_id and found.host_id and found.subject
    return bool(kept) and not (found.access_token or found.refresh_token or found.id_token or found.pending)
