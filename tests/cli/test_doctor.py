"""The command ``doctor``: what it says when a check fails, and which checks it skips."""

import json
import subprocess
import sys
import time
from email.utils import formatdate

import pytest
from click.testing import CliRunner

from amplifier_module_provider_openai_chatgpt.cli import cli
from amplifier_module_provider_openai_chatgpt.simulator import Fault
from tests.conftest import DEAD, write_tokens
from tests.event_recorder import RESPONSES

CHECKS = [
    *("versions", "settings", "proxy", "certificates", "token file", "file mode", "sign-in"),
    *("backend", "sign-in server", "clock", "token", "model list", "test request"),
]
LOGIN = "→ Run: amplifier-openai-chatgpt login"


@pytest.fixture
def environment(sim, token_file, monkeypatch):
    """The environment of a user signed in to ``sim``; returns a function that changes it."""

    def change(**variables):
        for name, value in variables.items():
            monkeypatch.setenv(f"OPENAI_CHATGPT_{name}", str(value))

    change(BASE_URL=sim.base_url, AUTH_URL=sim.auth_url, TOKEN_FILE=token_file)
    return change


@pytest.fixture
def examine(sim, environment):
    """A function that runs the command and returns its exit code and output."""

    def run(*arguments):
        done = CliRunner().invoke(cli, ["doctor", *arguments])
        assert done.exception is None or isinstance(done.exception, SystemExit)
        assert not [secret for secret in sim.secrets if secret in done.output]
        return done.exit_code, done.stdout

    return run


def marks(report):
    """Return the names of the checks by mark, in order."""
    found: dict[str, list[str]] = {"✓": [], "✗": [], "–": []}
    for line in report.splitlines():
        if line[:1] in found:
            found[line[0]].append(line[2:].partition(":")[0])
    return found


def failing(*checks, skipped=()):
    passed = [name for name in CHECKS if name not in {*checks, *skipped}]
    return {"✓": passed, "✗": [*checks], "–": [*skipped]}


def after(check):
    return CHECKS[CHECKS.index(check) + 1 :]


def test_all_checks_pass_in_a_process_of_its_own(sim, environment):
    command = [sys.executable, "-m", "amplifier_module_provider_openai_chatgpt", "doctor"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert marks(done.stdout) == failing()
    assert done.stdout.splitlines()[-1] == "All checks passed."
    assert "→" not in done.stdout
    assert not done.stderr.strip()
    assert not [secret for secret in sim.secrets if secret in done.stdout]
    assert len(sim.requests_to(RESPONSES)) == 1


def test_a_bad_setting_is_named_and_skips_all_other_checks(sim, environment, examine):
    environment(BASE_URL="http://example.com")
    code, report = examine()
    assert code == 1
    local = {"proxy", "certificates"}
    skipped = [check for check in after("settings") if check not in local]
    assert marks(report) == failing("settings", skipped=skipped)
    assert "OPENAI_CHATGPT_BASE_URL: it must be an https:// address" in report
    assert "→ Fix or unset the variable it names." in report
    assert "– test request: skipped (depends on: settings)" in report
    assert report.splitlines()[-1] == "1 of 13 checks failed, 9 skipped."
    assert sim.requests == []


NEEDS_A_SIGN_IN = ("token", "model list", "test request")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "does not exist: not signed in"),
        ("", "is not used: it is empty"),
        ('{"access_token": "", "refresh_token": ""}', "is not used: it is empty"),
        ('["access_token"]', "is not used: it does not contain a JSON object"),
    ],
)
def test_a_token_file_that_is_missing_or_unusable(sim, environment, examine, tmp_path, content, reason):
    path = tmp_path / "other.json"
    environment(TOKEN_FILE=path)
    if content is not None:
        path.write_text(content)
    code, report = examine()
    assert code == 1
    assert marks(report) == failing("token file", skipped=("file mode", "sign-in", *NEEDS_A_SIGN_IN))
    assert f"✗ token file: {path} {reason}" in report
    assert "run amplifier-openai-chatgpt login" in report.lower().replace("run:", "run")
    assert sim.requests_to(RESPONSES) == []


def test_a_token_file_that_is_a_link_is_reported(environment, examine, token_file, tmp_path):
    link = tmp_path / "link.json"
    link.symlink_to(token_file)
    environment(TOKEN_FILE=link)
    _, report = examine()
    assert f"✗ token file: {link} is not used: it is a symbolic link" in report


def test_a_file_others_could_read_is_reported_once_and_skips_nothing(examine, token_file):
    token_file.chmod(0o644)
    code, report = examine()
    assert code == 1
    assert marks(report) == failing("file mode")
    assert "other users could read the token file (mode 0644); its mode is corrected where possible" in report
    assert "→ If you do not trust them, run: amplifier-openai-chatgpt logout" in report
    assert token_file.stat().st_mode & 0o777 == 0o600
    assert marks(examine()[1]) == failing()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (
            {"refresh_token": "", "expires_at": "2020-01-01T00:00:00Z"},
            "the sign-in has expired and cannot be renewed",
        ),
    ],
)
def test_a_token_file_without_a_valid_sign_in(sim, examine, token_file, change, reason):
    write_tokens(token_file, {**sim.sign_in(expires_in=-60), **change})
    code, report = examine()
    assert code == 1
    assert marks(report) == failing("sign-in", skipped=NEEDS_A_SIGN_IN)
    assert f"✗ sign-in: {reason}\n  {LOGIN}\n" in report


def test_a_revoked_sign_in_is_found_when_it_is_renewed(sim, examine, token_file):
    tokens = sim.sign_in(expires_in=-60)
    sim.accounts.revoke(tokens["refresh_token"])
    write_tokens(token_file, tokens)
    code, report = examine()
    assert code == 1
    assert marks(report) == failing("token", skipped=("model list", "test request"))
    assert "Run amplifier-openai-chatgpt login: you are not signed in." in report
    assert "→" not in report


def test_a_token_that_is_due_is_renewed(sim, examine, token_file):
    write_tokens(token_file, sim.sign_in(expires_in=-60))
    code, report = examine()
    assert (code, marks(report)) == (0, failing())
    assert "renewed automatically" in report
    assert len(sim.requests_to("/oauth/token")) == 1


def test_a_backend_that_is_down(environment, examine):
    environment(BASE_URL=f"{DEAD}/backend-api")
    code, report = examine()
    assert code == 1
    assert marks(report) == failing("backend", skipped=("model list", "test request"))
    assert f"✗ backend: {DEAD}/backend-api does not answer\n  → The server refuses connections" in report
    assert "check base_url" in report
    assert "– test request: skipped (depends on: backend)" in report


def test_a_sign_in_server_that_is_down_matters_only_if_the_token_is_due(
    sim, environment, examine, token_file
):
    environment(AUTH_URL=DEAD)
    _, report = examine()
    assert marks(report) == failing("sign-in server")
    assert "check auth_url" in report
    write_tokens(token_file, sim.sign_in(expires_in=-60))
    _, report = examine()
    assert marks(report) == failing("sign-in server", skipped=NEEDS_A_SIGN_IN)
    assert "– token: skipped (depends on: sign-in server)" in report


def test_the_clock_check_needs_a_server_that_answers(environment, examine):
    environment(BASE_URL=DEAD, AUTH_URL=DEAD)
    _, report = examine()
    assert marks(report) == failing(
        "backend", "sign-in server", skipped=("clock", "model list", "test request")
    )
    assert "– clock: skipped (no server sent the time)" in report


def test_a_cloudflare_challenge_is_recognized(sim, examine):
    challenge = Fault(status=403, headers={"cf-mitigated": "challenge"}, body="<html>Just a moment...</html>")
    sim.misbehave("/backend-api", challenge)
    _, report = examine()
    assert marks(report) == failing("backend", skipped=("model list", "test request"))
    assert f"✗ backend: Cloudflare blocks this network from {sim.base_url}\n  → Try without VPN" in report


@pytest.mark.parametrize(("seconds", "skew"), [(-7000, "1 h 57 min ahead"), (7000, "1 h 57 min behind")])
def test_a_wrong_clock(sim, examine, seconds, skew):
    date = formatdate(time.time() + seconds, usegmt=True)
    for path in ("/backend-api", "/"):
        sim.misbehave(path, Fault(headers={"Date": date}))
    code, report = examine()
    assert code == 1
    assert marks(report) == failing("clock")
    assert f"✗ clock: this machine's clock is {skew}\n" in report
    assert "→ Set the clock: otherwise tokens and certificates look expired, or not yet valid." in report


def test_one_server_with_a_wrong_clock_is_ignored(sim, examine):
    sim.misbehave("/backend-api", Fault(headers={"Date": formatdate(0, usegmt=True)}))
    assert marks(examine()[1]) == failing()


def test_a_model_list_that_fails_says_why_and_the_request_is_sent_anyway(sim, examine):
    sim.misbehave("/codex/models", Fault(status=500, body={"detail": "The list is lost."}), times=None)
    code, report = examine()
    assert code == 1
    assert marks(report) == failing("model list")
    assert "✗ model list: The ChatGPT backend failed (HTTP 500)" in report
    assert "The list is lost." in report


def test_an_empty_model_list_is_reported(sim, examine):
    sim.models = []
    _, report = examine()
    assert "✗ model list: The backend's list contains no models to choose from: try again later" in report


def test_a_failed_test_request_is_reported_after_one_attempt(sim, examine):
    sim.exhaust()
    code, report = examine()
    assert code == 1
    assert marks(report) == failing("test request")
    assert "✗ test request: ChatGPT usage limit reached on the Plus plan (5-hour window): resets" in report
    sim.use_quota()
    sim.forget()
    sim.misbehave(RESPONSES, Fault(status=503), times=None)
    assert "✗ test request: The ChatGPT backend failed (HTTP 503)" in examine()[1]
    assert len(sim.requests_to(RESPONSES)) == 1


def test_a_refused_country_does_not_advise_a_new_sign_in(sim, examine):
    refusal = {"error": {"code": "unsupported_country_region_territory", "message": "Not here."}}
    sim.misbehave(RESPONSES, Fault(status=403, body=refusal))
    _, report = examine()
    assert marks(report) == failing("test request")
    assert "→" not in report


def test_the_json_has_the_same_findings(sim, environment, examine):
    environment(BASE_URL=DEAD)
    code, report = examine("--json")
    assert code == 1
    findings = json.loads(report)
    assert [finding["check"] for finding in findings] == CHECKS
    assert {finding["check"]: finding["ok"] for finding in findings if finding["ok"] is not True} == {
        "backend": False,
        "model list": None,
        "test request": None,
    }
    assert all(set(finding) == {"check", "ok", "found", "advice"} for finding in findings)


def test_proxy_variables_are_shown_without_a_password(examine, monkeypatch):
    monkeypatch.setenv("HTTPS_PROXY", "http://ada:sesame@proxy.example:3128")
    monkeypatch.setenv("NO_PROXY", "intranet.example")
    for arguments in ([], ["--json"], ["--report"]):
        _, report = examine(*arguments)
        assert "HTTPS_PROXY=http://***@proxy.example:3128, NO_PROXY=intranet.example" in report
        assert "sesame" not in report
        assert "ada:" not in report


@pytest.mark.parametrize(
    ("name", "value", "check", "found"),
    [
        ("https_proxy", "ftp://ada:sesame@proxy", "proxy", "https_proxy names a proxy whose address"),
        ("SSL_CERT_FILE", "/no/such/file", "certificates", "SSL_CERT_FILE names /no/such/file: No such file"),
    ],
)
def test_a_bad_network_variable_is_named_and_fails_only_if_it_is_used(
    examine, environment, monkeypatch, name, value, check, found
):
    monkeypatch.setenv(name, value)
    code, report = examine()
    assert code == 0
    assert marks(report)["–"] == [check]
    assert f"– {check}: skipped ({found}" in report
    environment(AUTH_URL="https://sign-in.invalid")
    code, report = examine()
    assert code == 1
    assert f"✗ {check}: {found}" in report
    assert f"– sign-in server: skipped (depends on: {check})" in report
    assert "sesame" not in report


def test_the_settings_are_shown_with_their_sources(sim, examine):
    _, report = examine()
    settings = next(line for line in report.splitlines() if line.startswith("✓ settings"))
    assert f"base_url={sim.base_url} (OPENAI_CHATGPT_BASE_URL)" in settings
    assert "all others: defaults" in settings


def test_the_report_has_all_settings_and_nothing_private(sim, examine, token_file, monkeypatch):
    monkeypatch.setenv("HOME", str(token_file.parent))
    tokens = sim.sign_in()
    code, report = examine("--report")
    assert code == 0
    assert report.startswith("```text\nok      versions: ")
    assert "  token_file_path = ~/tokens.json (OPENAI_CHATGPT_TOKEN_FILE)\n" in report
    assert "  max_retries = 3 (default)\n" in report
    private = ("ada@example.com", tokens["account_id"], tokens["account_id"][-4:], str(token_file.parent))
    assert not [text for text in private if text in report]


def test_the_report_hides_what_a_server_repeats(sim, examine):
    tokens = sim.sign_in()
    body = {"detail": f"ada@example.com on {tokens['account_id']} with {tokens['access_token']}"}
    sim.misbehave("/codex/models", Fault(status=500, body=body), times=None)
    code, report = examine("--report")
    assert code == 1
    assert "FAILED  model list" in report
    assert tokens["account_id"] not in report
    assert "ada@example.com" not in report


def test_with_ascii_the_output_has_only_ascii(examine):
    code, report = examine("--ascii")
    assert code == 0
    assert report.isascii()
    assert "+ clock: in sync" in report


def test_only_exit_code_0_says_that_all_checks_passed(examine, token_file):
    assert examine()[1].endswith("All checks passed.\n")
    token_file.chmod(0o644)
    assert "All checks passed" not in examine()[1]
