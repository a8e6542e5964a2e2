"""A sign-in that was carried here from another machine is taken over, if it is the issuer's."""

import time
from dataclasses import replace

import pytest
from amplifier_core.llm_errors import AuthenticationError, ConfigurationError

from amplifier_module_provider_openai_chatgpt.auth.plan.connection import PlanConnection
from amplifier_module_provider_openai_chatgpt.auth.plan.credential import PlanCredential
from amplifier_module_provider_openai_chatgpt.auth.plan.file import PlanFile
from amplifier_module_provider_openai_chatgpt.auth.plan.transfer import imported

pytestmark = pytest.mark.world("plan")


@pytest.fixture
def carried(service, stored, file, tmp_path):
    """A file that was carried here from another machine, and where it should go."""
    stored()
    return file, PlanFile(tmp_path / "server" / "default.json", service.origin)


async def test_a_carried_sign_in_is_stored_with_the_host_id_of_this_machine(sim, service, carried):
    source, target = carried
    sim.sharing.claims = {}
    own = await imported(service, source, target)
    assert target.read() == own
    assert own.host_id != source.read().host_id
    assert replace(own, host_id=source.read().host_id) == source.read()
    target.save(replace(own, expires_at=time.time() - 1))
    assert (await PlanConnection(target, service).current()).is_valid(time.time())


async def test_an_old_id_token_is_accepted(sim, service, file, stored, tmp_path):
    sim.sharing.claims = {"exp": int(time.time()) - 86_400}
    stored()
    assert (await imported(service, file, PlanFile(tmp_path / "server.json", service.origin))).uses_plan


@pytest.mark.parametrize("switches", [{"signature": "broken"}, {"claims": {"sub": "user-other"}}])
async def test_a_carried_sign_in_that_is_not_the_issuers_is_refused(
    sim, service, file, stored, tmp_path, switches
):
    for name, value in switches.items():
        setattr(sim.sharing, name, value)
    stored()
    target = PlanFile(tmp_path / "server.json", service.origin)
    with pytest.raises(AuthenticationError):
        await imported(service, file, target)
    assert target.read() is None


async def test_another_account_is_not_replaced(sim, service, carried):
    source, target = carried
    sim.sharing.subject = "user-other"
    target.save(PlanCredential.from_dict(sim.connect()))
    before = target.read()
    with pytest.raises(AuthenticationError):
        await imported(service, source, target)
    assert target.read() == before


async def test_a_sign_in_takes_the_place_of_one_of_the_same_person_that_is_signed_out(sim, service, carried):
    source, target = carried
    target.save(PlanCredential.from_dict(sim.connect()).without_tokens())
    own = await imported(service, source, target)
    assert target.read() == own
    assert own.client_id == source.read().client_id


@pytest.mark.parametrize("subject", ["user-simulated", ""])
async def test_a_registration_of_this_machine_that_is_in_use_is_not_replaced(sim, service, carried, subject):
    source, target = carried
    target.save(replace(PlanCredential.from_dict(sim.connect()), subject=subject))
    before = target.read()
    with pytest.raises(ConfigurationError, match=r"another registration.*--profile NAME"):
        await imported(service, source, target)
    assert target.read() == before


async def test_a_file_without_a_sign_in_is_not_imported(service, file, tmp_path):
    with pytest.raises(AuthenticationError, match=r"(?i)not signed in"):
        await imported(service, file, PlanFile(tmp_path / "server.json", service.origin))
