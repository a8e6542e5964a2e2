"""What the tests of the probe share: a run against a simulator, changed or not."""

import pytest

from amplifier_module_provider_openai_chatgpt import ChatGPTProvider
from amplifier_module_provider_openai_chatgpt.probe.claim import Run
from amplifier_module_provider_openai_chatgpt.probe.rows import claims_of, estimate
from amplifier_module_provider_openai_chatgpt.probe.runner import run_claims
from amplifier_module_provider_openai_chatgpt.probe.session import Session
from tests.conftest import write_tokens


def signed_in(sim, path):
    """The settings of a provider that is signed in at ``sim``."""
    is_plan = sim.world.kind == "plan"
    return {
        "auth_mode": "chatgpt_plan" if is_plan else "chatgpt_codex",
        "base_url": sim.base_url,
        "auth_url": sim.auth_url,
        "token_file_path": str(write_tokens(path, sim.connect() if is_plan else sim.sign_in())),
        "max_retries": 0,
    }


@pytest.fixture
def probe(sim, tmp_path):
    """A function that runs claims and returns the run."""

    async def probe(only=(), bounds=None, tokens=None):
        provider = ChatGPTProvider(signed_in(sim, tmp_path / "tokens.json"))
        claims = claims_of(provider.settings.service.name, only)
        expected = estimate(claims)[1] if tokens is None else tokens
        session, run = Session(provider, bounds, expected), Run(provider.settings.service.name)
        try:
            await run_claims(session, claims, run, lambda _: None)
        finally:
            await session.close()
            await provider.close()
        return run

    return probe


def ids(run, *verdicts):
    """The ids of the rows with one of these verdicts; rows that are never checked do not count."""
    return {
        result.claim.id
        for result in run.results
        if result.finding.verdict in verdicts and not result.claim.why_not
    }
