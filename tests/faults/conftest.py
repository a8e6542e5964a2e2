"""One simulator for all rows of a module; each row leaves it as it was."""

import json

import pytest

from amplifier_module_provider_openai_chatgpt.simulator import Simulator
from tests.conftest import model_setting, world_of


@pytest.fixture(scope="module")
def service(request):
    with Simulator(world=world_of(request.node)) as simulator:
        yield simulator


@pytest.fixture
def settings(service, tmp_path):
    """The provider's settings for ``service``, signed in."""
    service.use_quota()
    path = tmp_path / "tokens.json"
    path.touch(mode=0o600)
    path.write_text(json.dumps(service.sign_in()))
    return {
        "base_url": service.base_url,
        "auth_url": service.auth_url,
        "token_file_path": str(path),
        **model_setting(service),
    }
