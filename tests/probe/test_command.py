"""The command ``probe``: what it asks, sends, prints and writes, and its exit codes."""

import json
import re

import pytest
from click.testing import CliRunner

from amplifier_module_provider_openai_chatgpt.cli import cli
from amplifier_module_provider_openai_chatgpt.probe.rows import claims_of
from amplifier_module_provider_openai_chatgpt.simulator import Changes
from tests.conftest import write_tokens

from .conftest import signed_in

FEW = ("--only", "list", "--only", "refusal.store")


@pytest.fixture
def probe(sim, tmp_path, monkeypatch):
    """A function that runs the command, signed in; returns exit code, stdout and stderr."""
    settings = signed_in(sim, tmp_path / "tokens.json")
    for name, key in (("BASE_URL", "base_url"), ("AUTH_URL", "auth_url"), ("TOKEN_FILE", "token_file_path")):
        monkeypatch.setenv(f"OPENAI_CHATGPT_{name}", settings[key])

    def run(*arguments):
        done = CliRunner().invoke(cli, ["probe", *arguments])
        assert done.exception is None or isinstance(done.exception, SystemExit)
        assert not [secret for secret in sim.secrets if secret in done.output]
        return done.exit_code, done.stdout, done.stderr

    return run


def test_the_list_names_every_claim_and_sends_nothing(sim, probe):
    code, out, _ = probe("--list")
    assert code == 0
    for claim in claims_of("chatgpt_codex"):
        assert f"{claim.id}  docs/backend.md, {claim.sections['chatgpt_codex']}\n" in out
    assert "Never checked: it would use up your limit." in out
    assert sim.requests == []


def test_a_dry_run_shows_the_cost_and_sends_nothing(sim, probe):
    code, out, _ = probe("--dry-run", *FEW)
    assert code == 0
    assert "refusal.store" in out
    assert "About 6 requests and 0 tokens in all; nothing was sent." in out
    out = probe("--dry-run", "--only", "model")[1]
    assert re.search(r"^model\.\S+ +a shared request +\d+ tokens$", out, re.MULTILINE)
    assert "0 requests" not in out
    assert "About 1 request and 0 tokens" in probe("--dry-run", "--only", "sign-in.device-code")[1]
    assert sim.requests == []


def test_without_a_terminal_it_sends_nothing_unless_it_may(sim, probe):
    code, out, err = probe(*FEW)
    assert (code, out) == (2, "")
    assert "This sends about 6 small requests to http://127.0.0.1" in err
    assert "Add --yes to agree." in err
    assert sim.requests == []


def test_confirmed_claims_are_one_line_each_and_exit_code_0(probe):
    code, out, _ = probe("--yes", *FEW)
    assert code == 0
    lines = out.splitlines()
    assert len([line for line in lines if line.startswith("✓ list.")]) == 10
    assert "✓ refusal.store          HTTP 400: Store must be set to false" in lines
    assert "11 confirmed; 6 requests, " in out


def test_a_refuted_claim_is_explained_and_exit_code_1(sim, probe, tmp_path):
    sim.changes = Changes(lifted=frozenset({"body.store"}))
    path = tmp_path / "report.md"
    code, out, _ = probe("--yes", "--report", str(path), *FEW)
    assert code == 1
    assert (
        "✗ refusal.store          refuted\n    A call with store true is refused.\n    Found: the call was"
        in out
    )
    assert f"Report: {path}" in out
    report = path.read_text()
    assert "| refuted | `refusal.store` A call with store true is refused. |" in report
    shapes = json.loads(report.partition("```json\n")[2].partition("\n```")[0])
    assert shapes.pop("run")["service"] == "chatgpt_codex"
    assert [name for name, row in shapes.items() if row["verdict"] == "refuted"] == ["refusal.store"]


def test_an_older_report_stays_if_nothing_is_sent(sim, probe, tmp_path):
    path = tmp_path / "report.md"
    path.write_text("the last one")
    assert probe("--report", str(path), *FEW)[0] == 2
    assert path.read_text() == "the last one"
    assert [one.name for one in tmp_path.iterdir() if "report" in one.name] == ["report.md"]


def test_json_for_programs(probe):
    code, out, _ = probe("--yes", "--json", "--only", "list.etag")
    assert code == 0
    [row] = json.loads(out)["results"]
    assert (row["id"], row["verdict"]) == ("list.etag", "confirmed")


@pytest.mark.world("plan")
def test_the_plan_service_has_claims_of_its_own(probe):
    code, out, _ = probe("--plan", "--yes", "--only", "route", "--only", "list")
    assert code == 0
    assert "✓ route.other" in out
    assert "✓ list.no-parameters" in out


def test_an_unknown_claim_is_wrong_usage(sim, probe):
    code, _, err = probe("--only", "nix")
    assert code == 2
    assert "There is no claim 'nix' about chatgpt_codex" in err
    assert sim.requests == []


def test_signed_out_it_names_the_command_and_sends_nothing(sim, probe, monkeypatch, tmp_path):
    monkeypatch.setenv("OPENAI_CHATGPT_TOKEN_FILE", str(tmp_path / "none.json"))
    code, _, err = probe("--yes", *FEW)
    assert code == 4
    assert "amplifier-openai-chatgpt login" in err
    assert sim.requests == []


def test_an_expired_sign_in_that_cannot_be_renewed(sim, probe, monkeypatch, tmp_path):
    tokens = {**sim.sign_in(expires_in=-60), "refresh_token": ""}
    monkeypatch.setenv("OPENAI_CHATGPT_TOKEN_FILE", str(write_tokens(tmp_path / "old.json", tokens)))
    code, _, err = probe("--yes", *FEW)
    assert code == 4
    assert "login" in err
    assert sim.requests == []


def test_a_report_that_cannot_be_written_is_found_before_anything_is_sent(sim, probe, tmp_path):
    (tmp_path / "file").touch()
    code, _, err = probe("--yes", "--report", str(tmp_path / "file" / "report.md"), *FEW)
    assert code == 1
    assert "Error: " in err
    assert sim.requests == []


def test_a_limit_ends_the_run_with_exit_code_1(sim, probe):
    sim.exhaust()
    code, out, _ = probe("--yes", *FEW)
    assert code == 1
    assert "The run was stopped: the usage limit is reached." in out
    assert "✓ list.version-required" in out
