"""A call that was refused is sent in another form; only a form that worked is kept for the next call."""

import pytest
from amplifier_core.llm_errors import LLMError

from amplifier_module_provider_openai_chatgpt.simulator import Fault
from amplifier_module_provider_openai_chatgpt.simulator.stream import encode
from tests.event_recorder import RESPONSES, ask

REFUSAL = {"code": "invalid_prompt", "message": "No."}
FAILURES = {
    "refused": Fault(status=400, body={"error": REFUSAL}),
    "failed in its stream": Fault(
        pieces=(encode({"type": "response.failed", "response": {"error": REFUSAL}}),)
    ),
}
# The form that the backend asks for: model, status and words of its refusal.
FORMS = {
    "without the fast tier": ("gpt-5.6-terra-fast", 400, "Unsupported value for service_tier"),
    "in the lite shape": ("gpt-5.6-luna", 404, "Model not found gpt-5.6-luna"),
    "with a version": ("gpt-5.6-sol", 400, "The model requires a newer version of Codex."),
}


def form(request):
    """What distinguishes the forms of a call on the wire."""
    headers = ("version", "x-openai-internal-codex-responses-lite")
    return request.json.get("service_tier"), *map(request.headers.get, headers)


@pytest.mark.parametrize("failure", FAILURES)
@pytest.mark.parametrize("case", FORMS)
async def test_a_form_whose_call_failed_is_not_kept(sim, config, in_use, caplog, case, failure):
    model, status, detail = FORMS[case]
    provider = in_use(config)
    for fault in (Fault(status=status, body={"detail": detail}), FAILURES[failure]):
        sim.misbehave(RESPONSES, fault)
    with pytest.raises(LLMError, match=detail):
        await provider.complete(ask(), model=model)
    await provider.complete(ask(), model=model)
    first, corrected, next_call = map(form, sim.requests_to(RESPONSES))
    assert corrected != first
    assert next_call == first
    assert "fast tier" not in caplog.text
