"""What tests of the plan service share: settings, requests, and what the simulator was sent."""

import pytest

from tests.conftest import write_tokens


@pytest.fixture
def plan(sim, tmp_path):
    """The provider's settings for the plan service at ``sim``."""
    return {
        "auth_mode": "chatgpt_plan",
        "base_url": sim.base_url,
        "auth_url": sim.auth_url,
        "token_file_path": str(write_tokens(tmp_path / "plan.json", sim.connect())),
        "max_retries": 0,
        "min_retry_delay": 0,
    }
