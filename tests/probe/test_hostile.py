"""A service that does anything: every row gets a verdict, nothing leaks, and little is sent."""

import asyncio
import base64
import time

import pytest

from amplifier_module_provider_openai_chatgpt.cli.probe import Probe
from amplifier_module_provider_openai_chatgpt.probe.claim import Run
from amplifier_module_provider_openai_chatgpt.probe.reading import Bounds
from amplifier_module_provider_openai_chatgpt.probe.report import as_json, markdown
from amplifier_module_provider_openai_chatgpt.probe.shape import safe, shape_of
from amplifier_module_provider_openai_chatgpt.provider import ChatGPTProvider
from amplifier_module_provider_openai_chatgpt.simulator import Fault
from amplifier_module_provider_openai_chatgpt.simulator.tokens import text_tokens
from tests.conftest import DEAD
from tests.event_recorder import stalled
from tests.secret_leaks import PERSONAL, watch

from .conftest import ids, signed_in

RESPONSES, MODELS, USAGE = "/codex/responses", "/codex/models", "/wham/usage"
LITTLE = Bounds(size=64 * 1024, events=500, seconds=0.2)
DELTA = b'data: {"type": "response.output_text.delta", "delta": "x"}\n\n'
# Groups whose rows look at the plain call, at the list and at the document of limits.
LOOKING = ("list", "stream", "limits", "reasoning", "model.plain")

ODD: dict[str, tuple[str, dict]] = {
    "endless stream": (RESPONSES, {"pieces": (DELTA * 200,) * 40}),
    "endless event": (RESPONSES, {"pieces": (b"data: " + b"x" * 10_000,) * 40}),
    "large document": (MODELS, {"body": {"models": [{"slug": "x" * 1000}] * 1000}}),
    "not JSON": (MODELS, {"body": b"{", "headers": {"content-type": "application/json"}}),
    "a web page": (RESPONSES, {"status": 200, "body": "<html><head></head>hello</html>"}),
    "nothing": (RESPONSES, {"status": 200, "body": b""}),
    "never an answer": (RESPONSES, {"stall_before_headers": True}),
    "never an end": (RESPONSES, {"stall_after_event": 3}),
    "closed": (RESPONSES, {"drop_connection": True}),
    "cut": (RESPONSES, {"cut_after_event": 5}),
    "a list of numbers": (MODELS, {"body": [1, 2, None]}),
    "odd entries": (MODELS, {"body": {"models": [None, 7, {"slug": []}, {"visibility": "list"}]}}),
    "odd limits": (USAGE, {"body": {"rate_limit": 7, "credits": [], "spend_control": "x"}}),
    "limits as text": (USAGE, {"body": "none", "headers": {"content-type": "application/json"}}),
    "odd events": (
        RESPONSES,
        {"body": b'data: {"type": "response.completed", "response": {"usage": 7, "output": 1}}\n\n'},
    ),
    "odd items": (
        RESPONSES,
        {
            "body": b'data: {"type": "response.output_item.done", "item": {"type": ["x"], "content": {}}}\n\n'
            b'data: {"type": "response.completed", "response": {"id": 1, "usage": {"total_tokens": -5}}}\n\n'
        },
    ),
    "deep": (MODELS, {"body": b"[" * 100_000, "headers": {"content-type": "application/json"}}),
    "server errors": (RESPONSES, {"status": 502, "body": "<html>bad gateway</html>"}),
}


@pytest.mark.parametrize("name", ODD)
async def test_every_row_gets_a_verdict(sim, probe, name):
    path, fault = ODD[name]
    sim.misbehave(path, Fault(**fault), times=None)
    started = time.monotonic()
    run = await probe(LOOKING, LITTLE)
    assert time.monotonic() - started < 20
    assert len(run.results) == len({result.claim.id for result in run.results}) > 20
    assert ids(run, "unclear", "refuted", "not checked")
    assert run.requests < 40
    sim.release()


async def test_text_of_a_server_is_harmless_in_terminal_and_issue(sim, probe, tmp_path):
    """The refusal contains the person's tokens, markup, a picture, a mention and control characters."""
    stored = sim.sign_in()
    text = (
        f"\x1b]0;x\x07 {PERSONAL[0]} {PERSONAL[1]} user-simulated {stored['access_token']} "
        f"@everyone ``` | </details> ![p](http://example.com/p.png) {'A1' * 30}"
    )
    sim.misbehave(RESPONSES, Fault(status=400, body={"detail": text}), times=None)
    run = await probe(("model", "stream", "refusal"))
    for shown in (markdown(run, "2026-11-28"), as_json(run, "2026-11-28")):
        watch.search("output", shown)
        assert not [name for name in PERSONAL if name in shown]
        assert "\x1b" not in shown
        assert "@everyone" not in shown
        assert "A1A1A1" not in shown
    report = markdown(run, "2026-11-28")
    assert "](http" not in report.partition("<details>")[0]
    assert report.count("```") == 2
    assert report.count("</details>") == 1
    assert "Unclear" not in report
    assert "unclear" in report


@pytest.mark.parametrize(
    "world", [pytest.param(w, marks=pytest.mark.world(w)) for w in ("november-2026", "plan")]
)
async def test_a_report_has_no_secret_and_nothing_of_the_person(sim, probe, world):
    for name in PERSONAL:
        watch.learn_name(name)
    try:
        run = await probe()
        report = markdown(run, "2026-11-28") + as_json(run, "2026-11-28")
        before = len(watch.found)
        watch.search("output", report)
        assert len(watch.found) == before
        assert not [secret for secret in sim.secrets if secret in report]
    finally:
        watch._names.difference_update(PERSONAL)
    assert "127.0.0.1" not in report
    assert len(markdown(run, "2026-11-28")) < 50_000, "an issue has room for 65,536 characters"


async def test_nothing_but_the_claims_own_texts_is_sent(sim, probe):
    await probe()
    sent = b"".join(one.content for one in sim.requests_to(RESPONSES)).decode("utf-8", "replace")
    assert text_tokens(sent) < 100_000
    assert not [name for name in PERSONAL if name in sent]
    assert {one.headers["originator"] for one in sim.requests_to(RESPONSES)} == {"amplifier"}


async def test_a_reached_limit_ends_the_run(sim, probe):
    sim.exhaust()
    run = await probe(("list", "model", "fields"))
    assert run.stopped == "the usage limit is reached"
    assert len(sim.requests_to(RESPONSES)) == 1
    assert "list.version-required" in ids(run, "confirmed")
    assert ids(run, "not checked") >= {"model.plain", "fields.temperature"}


async def test_a_nearly_used_window_ends_the_run(sim, probe):
    sim.use_quota(98)
    run = await probe(("model", "fields"))
    assert run.stopped == "more than 97 % of a limit window is used"
    assert len(sim.requests_to(RESPONSES)) == 1


@pytest.mark.parametrize(
    ("status", "body", "why"),
    [
        (401, {"detail": "Unauthorized"}, "the service does not accept the sign-in"),
        (429, {"error": {"code": "rate_limit_exceeded"}}, "the service asks for fewer requests"),
        (403, "<title>Just a moment...</title><head>", "Cloudflare blocks this network"),
        (403, {"error": {"type": "usage_limit_reached"}}, "the usage limit is reached"),
    ],
)
async def test_refusals_that_concern_every_request_end_the_run(sim, probe, status, body, why):
    sim.misbehave(RESPONSES, Fault(status=status, body=body), times=None)
    run = await probe(("model", "fields"))
    assert run.stopped == why
    assert len(sim.requests_to(RESPONSES)) == 1
    assert ids(run, "confirmed", "refuted", "unclear") == set()


async def test_far_more_tokens_than_estimated_end_the_run(sim, probe):
    sim.misbehave(
        RESPONSES,
        Fault(
            body=b'data: {"type": "response.completed", "response": {"usage": {"total_tokens": 900000}}}\n\n'
        ),
        times=None,
    )
    run = await probe(("model", "fields"))
    assert run.stopped == "far more tokens were used than estimated"
    assert len(sim.requests_to(RESPONSES)) == 1


async def test_a_service_that_cannot_be_reached_ends_the_run(sim, tmp_path):
    config = {**signed_in(sim, tmp_path / "t.json"), "base_url": f"{DEAD}/backend-api"}
    config["token_file_path"] = str(tmp_path / "t.json")
    provider = ChatGPTProvider(config, tokens=sim.sign_in())
    job = Probe(provider, ["list"], str(tmp_path / "r.md"))
    await job.run(None)
    report = (tmp_path / "r.md").read_text()
    assert "Stopped early: the service cannot be reached." in report
    assert not job.is_clean


async def test_an_interrupted_run_keeps_its_report(sim, tmp_path):
    sim.misbehave(RESPONSES, Fault(stall_before_headers=True), times=None)
    job = Probe(
        ChatGPTProvider(signed_in(sim, tmp_path / "t.json")), ["list", "model"], str(tmp_path / "r.md")
    )
    task = asyncio.create_task(job.run(None))
    await stalled(sim)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    report = (tmp_path / "r.md").read_text()
    assert "Stopped early: you interrupted it." in report
    assert "| confirmed | `list.version-required`" in report
    assert "| not checked | `model.retired`" in report
    sim.release()


def test_shapes_have_names_and_types_only():
    token = base64.b64encode(b"secret" * 10).decode()
    value = {
        "type": "message",
        "text": "Hi",
        "n": 1.5,
        "ok": True,
        "no": None,
        "l": [1, 2, "x", {"a": 1}],
        token: 1,
    }
    assert shape_of(value) == {
        "type": "message",
        "text": "text",
        "n": "number",
        "ok": True,
        "no": None,
        "l": ["number", "text", {"a": "number"}],
        "[id]": "number",
    }
    assert shape_of({"type": "ada@example.com"}) == {"type": "text"}
    deep: object = 1
    for _ in range(100):
        deep = [deep]
    assert "number" not in str(shape_of(deep))
    assert safe("org-abc123 7a2c2a10-0000-4000-8000-00000000000f a@b.example") == "[id] [id] [e-mail]"


def test_an_empty_run_has_a_report():
    assert "nothing checked" in markdown(Run("chatgpt_codex"), "2026-11-28")
