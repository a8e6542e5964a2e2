"""Each claim is confirmed by the simulators, and refuted, alone, by one that differs in that point."""

import re
from pathlib import Path

import pytest

from amplifier_module_provider_openai_chatgpt.http.zstd import compressor
from amplifier_module_provider_openai_chatgpt.probe.claim import NEVER
from amplifier_module_provider_openai_chatgpt.probe.report import DOCUMENTS, claims_table
from amplifier_module_provider_openai_chatgpt.probe.rows import CLAIMS, claims_of, unknown_names
from amplifier_module_provider_openai_chatgpt.services import CHATGPT_CODEX, CHATGPT_PLAN

from .changes import CODEX, PLAN
from .conftest import ids

ROOT = Path(__file__).parents[2]
NO_ZSTD = set() if compressor() else {"encoding.zstd"}
# Claims of November that do not hold in August, and those that cannot be checked there.
AUGUST = ({"model.retired"}, {"effort.none"})
# With these changes all claims of the service are checked, with the others those of the same group.
WHOLE = {
    "codex": {
        *("sign-in.account-header", "list.whole", "list.fields", "list.etag-of-calls", "model.plain"),
        *("model.unknown", "model.old-client", "effort.accepted", "stream.events", "stream.empty-output"),
        *("limits.headers", "limits.usage", "reasoning.family", "reasoning.changed", "refusal.parameter"),
        *("tier.echo", "encoding.gzip", "schema.items", "tools.strict", "images.link"),
    },
    "plan": {"capability.temperature", "tools.flat", "model.plan-plain", "reasoning.sealed"},
}
# Run always; the others are a long proof.
ALWAYS = {"model.plain", "effort.accepted", "tools.flat"}


@pytest.mark.parametrize(
    ("world", "refuted", "unchecked"),
    [
        pytest.param("november-2026", set(), NO_ZSTD, marks=pytest.mark.world("november-2026")),
        pytest.param("august-2026", *AUGUST, marks=pytest.mark.world("august-2026")),
        pytest.param("plan", set(), set(), marks=pytest.mark.world("plan")),
    ],
)
async def test_every_claim_is_confirmed_by_the_simulator(probe, world, refuted, unchecked):
    run = await probe()
    assert ids(run, "refuted") == refuted
    assert ids(run, "unclear") == set()
    assert ids(run, "not checked") - NO_ZSTD == unchecked - NO_ZSTD
    assert not run.stopped
    assert run.requests <= 70
    assert run.tokens < 12_000


def changes(service, table):
    for change in table:
        marks = [] if set(change.refutes.split()) & ALWAYS else [pytest.mark.long]
        if change.refutes in NO_ZSTD:
            marks.append(pytest.mark.skip("no zstd here"))
        marks.append(pytest.mark.world("plan" if service == "plan" else "november-2026"))
        is_whole = bool(set(change.refutes.split()) & WHOLE[service])
        yield pytest.param(change, is_whole, marks=marks, id=f"{service}-{change.name}")


@pytest.mark.parametrize(("change", "is_whole"), [*changes("codex", CODEX), *changes("plan", PLAN)])
async def test_a_changed_rule_refutes_exactly_its_claim(sim, probe, change, is_whole):
    change.change(sim)
    refuted = set(change.refutes.split())
    run = await probe(() if is_whole else {claim.partition(".")[0] for claim in refuted})
    assert ids(run, "refuted") == refuted
    assert ids(run, "unclear", "not checked") - NO_ZSTD <= change.follows
    assert not run.stopped


@pytest.mark.parametrize(
    ("service", "table"), [(CHATGPT_CODEX, CODEX), (CHATGPT_PLAN, PLAN)], ids=["codex", "plan"]
)
def test_every_claim_that_is_checked_has_a_change_that_refutes_it(service, table):
    changed = {claim for change in table for claim in change.refutes.split()}
    checked = {claim.id for claim in claims_of(service.name) if claim.check is not None}
    assert checked == changed


def test_twenty_changes_are_tried_with_all_claims():
    assert sum(len(claims) for claims in WHOLE.values()) > 20


def test_ids_are_unique_and_every_row_is_complete():
    assert len({claim.id for claim in CLAIMS}) == len(CLAIMS)
    for claim in CLAIMS:
        assert claim.text.endswith("."), claim.id
        assert claim.text.count(". ") == 0, claim.id
        assert claim.sections.keys() <= {"chatgpt_codex", "chatgpt_plan"}
        assert bool(claim.why_not) == (claim.check is None), claim.id
        assert claim.confirmed == NEVER or len(claim.confirmed) == len("2026-11-28")


def test_rows_are_chosen_by_id_or_group():
    assert [claim.id for claim in claims_of("chatgpt_plan", ["tools.flat"])] == ["tools.flat"]
    assert {claim.group for claim in claims_of("chatgpt_codex", ["tools", "list"])} == {"tools", "list"}
    assert unknown_names("chatgpt_codex", ["tools", "tools.flat", "nix"]) == ["tools.flat", "nix"]


@pytest.mark.parametrize("service", [CHATGPT_CODEX.name, CHATGPT_PLAN.name])
def test_the_documents_have_the_table_of_the_claims(service):
    """After a change: uv run python docs/claims.py."""
    document = (ROOT / DOCUMENTS[service]).read_text(encoding="utf-8")
    assert claims_table(claims_of(service), service) in document
    headings = set(re.findall(r"^#+ (.+)$", document, re.MULTILINE))
    assert {claim.sections[service] for claim in claims_of(service)} <= headings
