"""docs/simulator.md lists every rule of the simulator, with its code and the test that breaks it."""

import ast
import re
from pathlib import Path

import pytest

from amplifier_module_provider_openai_chatgpt import simulator
from amplifier_module_provider_openai_chatgpt.simulator.validation.plan import OWN_RULES
from amplifier_module_provider_openai_chatgpt.simulator.validation.request import PENDING, RULES

from . import test_sim_plan_rules, test_sim_rules

ROOT = Path(__file__).parents[2]
CODE = Path(simulator.__file__).parent
DOCUMENT = (ROOT / "docs/simulator.md").read_text(encoding="utf-8")
FACTS = ("docs/backend.md", "docs/backend-plan.md")
HEADINGS = {
    heading
    for document in FACTS
    for heading in re.findall(r"^#+ (.+)$", (ROOT / document).read_text(encoding="utf-8"), re.MULTILINE)
}
SOURCES = {path.relative_to(CODE).as_posix(): path.read_text(encoding="utf-8") for path in CODE.rglob("*.py")}
SECTIONS = {rule.id: rule.section for rule in (*RULES, *OWN_RULES.values())}
BROKEN = {
    **dict.fromkeys(test_sim_rules.BROKEN, "`test_sim_rules.py`"),
    **dict.fromkeys(test_sim_plan_rules.BROKEN, "`test_sim_plan_rules.py`"),
}
NAMED = re.compile(r"[Rr]ule\s+([a-z]+\.[a-z-]+)")


def table(heading):
    """The cells of the rows under a heading, without its titles."""
    text = DOCUMENT.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    rows = [line.strip("|").split(" | ") for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in row] for row in rows[2:]]


ENFORCED = {row[0].strip("`"): row[1:] for row in table("Rules")}
ACCEPTED = table("Accepted")


def rules_in_code():
    """The ids of the rules outside the registry: refused bodies, and those that a docstring names."""
    everything = "\n".join(SOURCES.values())
    bodies = set(re.findall(r'UnreadableError\("(json\.[a-z-]+)"', everything))
    return bodies | set(NAMED.findall(everything))


def function(reference):
    """The source of a test, given as file::function."""
    file, _, name = reference.strip("`").partition("::")
    text = (Path(__file__).parent / file).read_text(encoding="utf-8")
    found = [node for node in ast.walk(ast.parse(text)) if getattr(node, "name", None) == name]
    assert len(found) == 1, reference
    return ast.get_source_segment(text, found[0]) or ""


def test_the_document_lists_every_rule_once():
    assert len(ENFORCED) == len(table("Rules"))
    assert set(ENFORCED) == set(SECTIONS) | rules_in_code()
    assert not set(SECTIONS) & rules_in_code()


@pytest.mark.parametrize("rule", ENFORCED)
def test_a_rule_has_a_source_its_code_and_a_test(rule):
    source, refused, code, test = ENFORCED[rule]
    section = re.sub(r"\[(.+)\]\(.*\)", r"\1", source)
    assert section in HEADINGS or (rule.startswith("agent.") and section == "–")
    assert re.search(r"\[(source|seen|unsure|doc)", refused) or rule.startswith("agent.")
    text = SOURCES[code.strip("`")]
    if rule in SECTIONS:
        assert section == SECTIONS[rule]
        assert rule in text or rule.startswith("schemas.")
        assert test == BROKEN[rule]
    else:
        assert rule in text
        assert rule in function(test) or rule in BROKEN or rule.startswith("json.")


def test_a_marked_rule_says_so_in_its_code_too():
    """Where the document says that an answer is not known, the code of the rule says it as well."""
    unsure = {code for _, refused, code, _ in ENFORCED.values() if "[unsure" in refused}
    silent = {code for code in unsure if "[unsure]" not in SOURCES[code.strip("`")]}
    assert silent == set()


@pytest.mark.parametrize("row", ACCEPTED, ids=[row[0] for row in ACCEPTED])
def test_what_is_accepted_has_a_reason_and_a_test(row):
    _, source, reason, test = row
    assert re.sub(r"\[(.+)\]\(.*\)", r"\1", source) in HEADINGS
    assert re.search(r"\[(source|seen|unsure)\]", reason)
    assert function(test)


def test_a_pending_rule_is_listed():
    assert set(ENFORCED) >= PENDING
