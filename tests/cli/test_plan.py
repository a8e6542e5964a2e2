"""The commands in the plan mode, against the simulator's plan service: every command in every state."""

import json
import os
import re
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from rich.console import Console

from amplifier_module_provider_openai_chatgpt.cli import cli
from amplifier_module_provider_openai_chatgpt.cli.accounts import Profile, path_of, show_profiles
from amplifier_module_provider_openai_chatgpt.cli.console import print_paragraphs
from amplifier_module_provider_openai_chatgpt.simulator import Fault
from amplifier_module_provider_openai_chatgpt.simulator.plan.issuer import REVOKE
from tests.browser import browse, callback_ports
from tests.conftest import write_tokens
from tests.pty_terminal import Terminal
from tests.secret_leaks import watch

from .terminal import COMMAND, at_terminal

pytestmark = pytest.mark.world("plan")
ROOT = Path(__file__).parents[2]
LOGIN = "amplifier-openai-chatgpt login --plan"
ENABLE = f"{LOGIN} --enable-plan"
USAGE = "https://chatgpt.com/settings/usage"
# What belongs to the other mode.
FOREIGN = re.compile(r"(?i)(?<!chatgpt_)codex|device code|window of|resets|traceback")
CHECKS = [
    *("versions", "settings", "proxy", "certificates", "cryptography", "host id", "token file", "file mode"),
    *("sign-in", "plan use", "backend", "sign-in server", "discovery", "clock", "token"),
    *("model list", "test request"),
]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "plan" / "default.json"


@pytest.fixture
def env(sim, path):
    path.parent.mkdir(mode=0o700)
    return {
        "OPENAI_CHATGPT_BASE_URL": sim.base_url,
        "OPENAI_CHATGPT_AUTH_URL": sim.auth_url,
        "OPENAI_CHATGPT_TOKEN_FILE": str(path),
        "OPENAI_CHATGPT_AUTH_MODE": "chatgpt_plan",
        "HOME": str(path.parent.parent),
        "BROWSER": "",
        "SSH_TTY": "/dev/pts/0",
    }


@pytest.fixture
def run(env):
    """Run a command with its output in pipes."""

    def run(*words, **more):
        out = CliRunner().invoke(cli, words, env={**env, **more})
        watch.search("output", out.output)
        assert out.exception is None or isinstance(out.exception, SystemExit), out.exception
        return out

    return run


def without(stored, *names):
    return {name: value for name, value in stored.items() if name not in names}


STATES = {
    "signed out": lambda _: None,
    "signed in": lambda sim: sim.connect(),
    "due": lambda sim: sim.connect(-60),
    "not permitted": lambda sim: sim.connect(uses_plan=False),
    "expired": lambda sim: without(sim.connect(-60), "refresh_token"),
    "damaged": lambda _: '{"auth_mode": "chatgpt_plan", "access_to',
    "other mode": lambda _: {"auth_mode": "oauth", "access_token": "a", "refresh_token": "b"},
    "elsewhere": lambda sim: without(sim.connect(), "issuer", "backend"),
}
OTHER_MODE = "it contains a sign-in of another kind, auth_mode 'oauth'"
ELSEWHERE = "it belongs to https://api.openai.com (sign-in at https://auth.openai.com)"
DAMAGED = "it does not contain a JSON object. To replace it, run " + LOGIN
NO_FIGURES = f"Error: Sign-ins with --plan have no figures for limits: see {USAGE}\n"
# For each state: the exit codes of status, models, ask, doctor and logout, and what the first three say.
OUTCOMES = {
    "signed out": ((1, 4, 4, 1, 0), LOGIN),
    "signed in": ((0, 0, 0, 0, 0), ""),
    "due": ((0, 0, 0, 0, 0), ""),
    "not permitted": ((1, 4, 4, 1, 0), ENABLE),
    "expired": ((1, 4, 4, 1, 0), LOGIN),
    "damaged": ((1, 4, 4, 1, 0), DAMAGED),
    "other mode": ((1, 1, 1, 1, 0), OTHER_MODE),
    "elsewhere": ((1, 1, 1, 1, 0), ELSEWHERE),
}


@pytest.fixture
def store(sim, path, env):
    """Put the sign-in of a state into the token file; returns what is there."""

    def store(state):
        content = STATES[state](sim)
        if content is not None:
            write_tokens(path, {})
            path.write_text(content if isinstance(content, str) else json.dumps(content))
        return content

    return store


@pytest.mark.parametrize("state", STATES)
def test_every_command_in_every_state_is_a_result_or_one_sentence(store, run, path, state):
    stored = store(state)
    (*codes, _), sentence = OUTCOMES[state]
    commands = (["status"], ["models"], ["ask", "hi"], ["doctor"])
    done = [run(*command) for command in commands]
    assert [one.exit_code for one in done] == codes
    for one in done[:3]:
        assert sentence in one.output
        assert len(one.stderr.splitlines()) <= 1
    usage = [run("usage", *words) for words in ((), ("--short",), ("--json",), ("--watch",))]
    assert {(one.exit_code, one.stdout, one.stderr) for one in usage} == {(1, "", NO_FIGURES)}
    assert not [one.output for one in (*done, *usage) if FOREIGN.search(one.output)]
    if state in {"damaged", "other mode", "elsewhere"}:
        assert path.read_text() == (stored if isinstance(stored, str) else json.dumps(stored))


@pytest.mark.parametrize("command", [["status"], ["models"], ["doctor"], ["ask", "hi"]])
@pytest.mark.parametrize("state", ["signed in", "not permitted"])
def test_with_json_stdout_is_json_or_empty(store, run, command, state):
    store(state)
    out = run(*command, "--json").stdout
    assert json.loads(out) if out else state == "not permitted"


def test_status_shows_mode_account_permission_and_where_usage_is_managed(store, run, path):
    stored = store("signed in")
    assert run("status").stdout.splitlines() == [
        "Signed in",
        "Mode         chatgpt_plan",
        "Account      ada@example.com (user…ated)",
        "Plan use     allowed",
        "Token        valid for 1 h; renewed automatically",
        f"Manage usage {USAGE}",
        f"Token file   {path}",
    ]
    found = json.loads(run("status", "--json").stdout)
    assert found.pop("expires_at").startswith("20")
    assert found == {
        "auth_mode": "chatgpt_plan",
        "status": "authenticated",
        "token_file": str(path),
        "email": "ada@example.com",
        "account": "user…ated",
        "plan": None,
        "plan_enabled": True,
        "can_refresh": True,
    }
    for name in ("client_id", "ext_agent_host_id", "subject", "access_token"):
        assert stored[name] not in run("status").stdout + run("doctor", "--report").stdout


def test_status_without_permission_says_how_to_get_it(store, run):
    store("not permitted")
    assert f"may not use your ChatGPT plan. Run: {ENABLE}\n" in run("status").stdout
    assert json.loads(run("status", "--json").stdout)["plan_enabled"] is False


def test_models_are_in_the_servers_order(sim, store, run):
    store("signed in")
    sim.sharing.lists_details = True
    listed = json.loads(run("models", "--json").stdout)
    assert [model["id"] for model in listed["models"]][:3] == ["gpt-6.1-sol", "gpt-6-astra", "gpt-6-sol"]
    assert {model["fast_id"] for model in listed["models"]} == {None}
    assert listed["default"] == "gpt-6.1-sol"
    assert run("models", "--roles").exit_code == 0


@pytest.mark.parametrize("width", [80, 60])
@pytest.mark.parametrize("command", [["status"], ["models"], ["doctor"], ["logout"]])
def test_only_paths_and_addresses_are_longer_than_the_screen_is_wide(store, env, monkeypatch, width, command):
    store("signed in")
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    screen = at_terminal(monkeypatch, width, *command)
    assert screen.code == 0
    long = [line for line in screen.lines if len(line) > width]
    assert not [line for line in long if "/" not in line]


def test_a_narrow_screen_shows_all_that_is_known_of_the_models(store, env, monkeypatch):
    store("signed in")
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    lines = at_terminal(monkeypatch, 40, "models").lines
    assert lines[0].split() == ["id", "window", "input"]
    assert lines[1].split() == ["gpt-6.1-sol", "←", "272,000", "text", "image"]


def test_paragraphs_are_wrapped_between_words_and_addresses_stay_whole(capsys):
    text = "One sentence that\nis too long.\n\n    an indented line that is too long\nhttps://example.com/a b"
    print_paragraphs(f"{text}\nEnd.", Console(width=20))
    assert capsys.readouterr().out.splitlines() == [
        *("One sentence that is", "too long.", "", "    an indented line that is too long"),
        *("https://example.com/a b", "End."),
    ]


# Signing in


@pytest.fixture
def terminal(env):
    """Run a command in a terminal of its own; its callback takes a port that other tests need."""
    with callback_ports():
        yield lambda *words, **more: Terminal([*COMMAND, *words], env={**env, **more})


def paste(login, sim, text=""):
    """Do what the person does in a browser on another machine, and paste the address of its final page."""
    login.show("paste it here and press Enter")
    (url,) = re.findall(rf"{sim.auth_url}/api/accounts/authorize\?\S+", login.raw)
    page = browse(url, follow=False)
    login.press(text + page.headers["location"] + "\n")


def test_login_takes_the_pasted_address_and_says_how_to_use_the_sign_in(sim, env, path, terminal, run):
    with terminal("login", "--plan", OPENAI_CHATGPT_AUTH_MODE="") as login:
        paste(login, sim, "what?\n")
        assert login.end() == 0
    shown = login.screen.text.replace("\n", " ")
    for part in (
        "Continue with ChatGPT: open this address in your browser:",
        "ssh -L ",
        "Paste the whole address of the page that failed to load.",
        "You are signed in as ada@example.com. This app uses your ChatGPT plan from now on.",
        f"Manage usage: {USAGE}",
        "set auth_mode: chatgpt_plan in the settings of sessions, add --plan to commands, or set",
    ):
        assert part in shown
    assert "code=" not in login.raw.replace("response_type=code", "")
    assert not FOREIGN.search(login.screen.text)
    assert json.loads(path.read_text())["auth_mode"] == "chatgpt_plan"
    assert run("ask", "hi").exit_code == 0
    assert run("status", "--plan", OPENAI_CHATGPT_AUTH_MODE="").exit_code == 0
    without = run("status", OPENAI_CHATGPT_AUTH_MODE="").stdout
    assert "another kind, auth_mode 'chatgpt_plan'. To use it, add --plan, or set auth_mode" in without


@pytest.mark.long
def test_in_the_plan_mode_login_needs_no_option_and_names_the_account(sim, store, path, terminal):
    before = store("signed in")
    with terminal("login") as login:
        login.show("You are signed in as ada@example.com.")
        paste(login, sim)
        assert login.end() == 0
    assert "To use this sign-in" not in login.screen.text
    assert before["id_token"] not in login.raw
    stored = json.loads(path.read_text())
    assert stored["client_id"] == before["client_id"]
    assert stored["access_token"] != before["access_token"]


@pytest.mark.long
def test_a_desktop_opens_the_browser(path, tmp_path, terminal):
    browser = tmp_path / "browser"
    browser.write_text(
        f"#!{sys.executable}\nimport sys\nfrom tests.browser import browse\nbrowse(sys.argv[1])\n"
    )
    browser.chmod(0o700)
    desktop = {"BROWSER": str(browser), "PYTHONPATH": str(ROOT), "DISPLAY": ":0", "SSH_TTY": ""}
    with terminal("login", **desktop) as login:
        assert login.end() == 0
    assert "If it does not open, open this address" in login.screen.text
    assert path.exists()


@pytest.mark.long
def test_a_refusal_in_the_browser_leaves_what_was_stored(sim, store, path, terminal):
    store("not permitted")
    before = path.read_bytes()
    sim.sharing.consent = "denied"
    with terminal("login", "--enable-plan") as login:
        paste(login, sim)
        assert login.end() == 1
    assert "The sign-in was refused in the browser." in login.screen.text
    assert path.read_bytes() == before


@pytest.mark.long
def test_permission_that_was_not_given_can_be_given_later(sim, path, terminal, run):
    sim.sharing.consent = "sign_in"
    with terminal("login") as login:
        paste(login, sim)
        assert login.end() == 0
    assert f"To allow it, run {ENABLE}." in login.screen.text.replace("\n", " ")
    assert run("ask", "hi").exit_code == 4
    sim.sharing.consent = "plan"
    with terminal("login", "--enable-plan") as login:
        paste(login, sim)
        assert login.end() == 0
    assert run("ask", "hi").exit_code == 0


@pytest.mark.long
def test_ctrl_c_ends_a_sign_in_and_restores_the_terminal(path, terminal):
    with terminal("login") as login:
        before = login.modes()
        login.show("paste it here and press Enter")
        login.press("\x03")
        assert login.end() == 130
        assert login.modes() == before
    assert not path.exists()


@pytest.mark.parametrize(
    ("words", "mode", "said"),
    [
        (
            ["login", "--plan", "--device"],
            "",
            f"“Sign in with ChatGPT” (--plan) has no device codes. Run {LOGIN}, then open ",
        ),
        (
            ["login", "--device"],
            "chatgpt_plan",
            f"“Sign in with ChatGPT” (--plan) has no device codes. Run {LOGIN}, then open ",
        ),
        (["login", "--enable-plan"], "", "are for Sign in with ChatGPT: add --plan."),
        (["login", "--host-file", "x"], "", "are for Sign in with ChatGPT: add --plan."),
        (["login", "--plan", "--app-name", ""], "", "Bad value '' for setting 'app_name'"),
        (["models"], "nonsense", "environment variable OPENAI_CHATGPT_AUTH_MODE: it must be one of "),
        (["status", "--plan", "--profile", "host"], "", "and not 'host' with --plan."),
    ],
)
def test_wrong_usage_is_one_sentence(sim, run, words, mode, said):
    out = run(*words, OPENAI_CHATGPT_AUTH_MODE=mode)
    assert (out.exit_code, said in out.stderr) == (2, True), out.stderr
    assert sim.requests == []


@pytest.mark.parametrize(
    ("state", "advice"),
    [
        ("other mode", "To use it, leave out --plan, or set auth_mode: chatgpt_codex. Otherwise set token_f"),
        ("elsewhere", "Use --profile NAME or another token_file_path, or delete that file."),
    ],
)
def test_login_does_not_start_over_what_is_not_its_own(sim, store, run, path, state, advice):
    store(state)
    before = path.read_bytes()
    out = run("login")
    assert out.exit_code == 1
    assert out.stderr.startswith(f"Error: The file {path} cannot be written: it ")
    assert advice in out.stderr
    assert path.read_bytes() == before


# Signing out


def test_logout_says_whether_openai_confirmed_it(sim, store, run, path):
    stored = store("signed in")
    said = run("logout").stderr
    assert said.startswith(
        "Signed out. OpenAI confirmed that the sign-in is revoked. The app stays listed in"
    )
    kept = json.loads(path.read_text())
    assert kept["client_id"] == stored["client_id"]
    assert "access_token" not in kept
    assert run("logout").stderr == "Not signed in.\n"
    store("signed in")
    sim.misbehave(REVOKE, Fault(status=503), times=None)
    out = run("logout")
    assert out.exit_code == 0
    assert "OpenAI did not confirm that the sign-in is revoked." in out.stderr


@pytest.mark.parametrize("state", ["other mode", "elsewhere"])
def test_logout_leaves_what_is_not_its_own(store, run, path, state):
    store(state)
    before = path.read_bytes()
    assert run("logout").stderr.startswith("Not signed in. ")
    assert path.read_bytes() == before


def test_logout_removes_a_damaged_sign_in_and_keeps_the_registration(sim, store, run, path):
    stored = sim.connect()
    path.touch(mode=0o600)
    path.write_text(json.dumps(stored, indent=2)[:-2] + ",")
    said = run("logout").stderr
    assert said.startswith(f"Removed {path}, which was not used: it does not contain a JSON object.")
    assert said.endswith(" The sign-in in it was revoked.\n")
    assert not path.exists()
    assert [one.form["token"] for one in sim.requests_to(REVOKE)] == [stored["refresh_token"]]
    assert run("logout").stderr == "Not signed in.\n"


# A server


def test_import_takes_over_a_sign_in_and_keeps_the_id_of_this_machine(sim, run, path, tmp_path):
    carried = write_tokens(tmp_path / "carried.json", sim.connect())
    own = run("host-id").stdout.strip()
    out = run("import", str(carried))
    assert out.exit_code == 0
    assert out.stderr.startswith(
        f"Signed in as ada@example.com.\nStored in {path}\nOnly one machine can renew"
    )
    assert json.loads(path.read_text())["ext_agent_host_id"] == own
    assert run("host-id", OPENAI_CHATGPT_AUTH_MODE="").stdout.strip() == own
    assert run("ask", "hi").exit_code == 0


@pytest.mark.parametrize(
    ("state", "why"),
    [
        ("signed out", "there is no such file"),
        ("damaged", "it does not contain a JSON object"),
        ("other mode", OTHER_MODE),
        ("elsewhere", "it belongs to https://api.openai.com"),
    ],
)
def test_import_says_why_a_file_cannot_be_imported(sim, run, path, tmp_path, state, why):
    content = STATES[state](sim)
    source = tmp_path / "carried.json"
    if content is not None:
        write_tokens(source, {})
        source.write_text(content if isinstance(content, str) else json.dumps(content))
    out = run("import", str(source))
    assert out.exit_code == 1
    assert out.stderr.startswith(f"Error: Nothing was imported from {source}: {why}")
    assert not path.exists()


def test_the_file_in_use_is_not_imported_over_itself(sim, store, run, path, tmp_path):
    store("signed in")
    before = path.read_bytes()
    linked = tmp_path / "linked.json"
    linked.hardlink_to(path)
    for source in (path, linked):
        out = run("import", str(source))
        assert (out.exit_code, "it is the file that this command uses" in out.stderr) == (1, True)
        assert "remove" not in out.stderr
    assert path.read_bytes() == before
    assert not sim.requests


def test_import_without_permission_and_of_another_account(sim, run, path, tmp_path):
    carried = write_tokens(tmp_path / "carried.json", sim.connect(uses_plan=False))
    assert f"may not use the ChatGPT plan yet: run {ENABLE}" in run("import", str(carried)).stderr
    before = path.read_bytes()
    sim.sharing.subject = "user-of-another-account"
    write_tokens(carried, sim.connect())
    out = run("import", str(carried))
    assert out.exit_code == 1
    assert "another ChatGPT account" in out.stderr
    assert path.read_bytes() == before


def test_host_id_is_made_once_and_a_damaged_file_is_reported(run, path, tmp_path):
    first = run("host-id").stdout
    assert first.startswith("urn:uuid:")
    assert run("host-id").stdout == first
    assert json.loads((path.parent / "host.json").read_text())["ext_agent_host_id"] == first.strip()
    other = tmp_path / "other" / "host.json"
    assert run("host-id", "--host-file", str(other)).stdout != first
    other.write_text("notes")
    out = run("host-id", "--host-file", str(other))
    assert (out.exit_code, out.stdout) == (1, "")
    assert "does not name this machine" in out.stderr


# Profiles


def test_profiles_are_files_next_to_the_default_one(sim, run, env, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", env["HOME"])
    monkeypatch.setenv("OPENAI_CHATGPT_AUTH_MODE", "chatgpt_plan")
    folder = tmp_path / ".amplifier" / "chatgpt-plan"
    folder.mkdir(parents=True)
    assert path_of("default") == folder / "default.json"
    assert path_of("work") == folder / "work.json"
    with pytest.raises(ValueError, match=r"^host$"):
        path_of("host")
    write_tokens(path_of("default"), sim.connect())
    write_tokens(path_of("work"), {**without(sim.connect(), "access_token", "refresh_token", "id_token")})
    write_tokens(folder / "host.json", {"ext_agent_host_id": "urn:uuid:1"})
    out = run("status", "--profile", "default")
    assert out.stdout.endswith(
        "\nProfiles\n* default  ada@example.com\n  work     not used: it is signed out\n"
    )
    assert os.environ["OPENAI_CHATGPT_AUTH_MODE"] == "chatgpt_plan"


# The checks


def marks(out):
    """Return the names of the checks by mark, in order."""
    found: dict[str, list[str]] = {"✓": [], "✗": [], "–": []}
    for line in out.stdout.splitlines():
        if line[:1] in found:
            found[line[0]].append(line[2:].partition(":")[0])
    return found


def failing(*checks, skipped=()):
    return {"✓": [one for one in CHECKS if one not in {*checks, *skipped}], "✗": [*checks], "–": [*skipped]}


NEEDS_A_SIGN_IN = ("token", "model list", "test request")


def test_doctor_checks_what_only_this_mode_needs(sim, store, run, path):
    store("signed in")
    out = run("doctor")
    assert marks(out) == failing()
    for part in (
        "✓ cryptography: ",
        "✓ host id: not made yet; the first sign-in makes it\n",
        f"✓ plan use: allowed; manage it at {USAGE}\n",
        "✓ discovery: all addresses are at the sign-in server\n",
    ):
        assert part in out.stdout
    run("host-id")
    assert f"✓ host id: {path.parent / 'host.json'}\n" in run("doctor").stdout


@pytest.mark.parametrize(
    ("state", "check", "advice"),
    [
        ("signed out", "token file", f"Run: {LOGIN}\n"),
        ("damaged", "token file", f"To replace it, run {LOGIN}."),
        ("expired", "sign-in", f"Run: {LOGIN}\n"),
        ("not permitted", "plan use", f"Run: {ENABLE}\n"),
    ],
)
def test_doctor_names_the_command_of_this_mode(store, run, state, check, advice):
    store(state)
    out = run("doctor")
    order = ("token file", "file mode", "sign-in", "plan use")
    skipped = (*order[order.index(check) + 1 :], *NEEDS_A_SIGN_IN)
    assert marks(out) == failing(check, skipped=skipped)
    assert f"  → {advice}" in out.stdout


def test_doctor_finds_an_address_elsewhere_and_a_damaged_host_file(sim, store, run, path):
    store("signed in")
    (path.parent / "host.json").write_text("notes")
    sim.sharing.discovery = {"token_endpoint": "https://example.com/token"}
    out = run("doctor")
    assert marks(out) == failing("host id", "discovery")
    assert "names an address that is not its own (token_endpoint)" in out.stdout
    assert "does not name this machine: restore it" in out.stdout


def test_the_report_of_doctor_has_nothing_private(store, run):
    stored = store("signed in")
    out = run("doctor", "--report").stdout
    assert "auth_mode = chatgpt_plan (OPENAI_CHATGPT_AUTH_MODE)" in out
    private = ("email", "subject", "client_id", "ext_agent_host_id", "access_token", "refresh_token")
    assert not [name for name in private if stored[name] in out]


def test_doctor_names_the_options_that_set_something_and_its_advice_keeps_them(run):
    unset = {"OPENAI_CHATGPT_AUTH_MODE": "", "OPENAI_CHATGPT_TOKEN_FILE": ""}
    out = run("doctor", "--plan", "--profile", "np", **unset).stdout
    for part in (
        "auth_mode=chatgpt_plan (--plan)",
        "np.json (--profile)",
        "base_url=http://127.0.0.1",
        "(OPENAI_CHATGPT_BASE_URL)",
        f"  → Run: {LOGIN} --profile np\n",
    ):
        assert part in out
    assert "OPENAI_CHATGPT_TOKEN_FILE" not in out


@pytest.mark.parametrize(
    ("state", "words", "said"),
    [
        ("not permitted", ["ask", "hi"], "Error: Run {login} --enable-plan: this app may not use"),
        ("signed out", ["ask", "hi"], "Error: Run {login}: you are not signed in."),
        ("signed out", ["status"], "Not signed in. Run: {login}\n"),
        ("not permitted", ["status"], "may not use your ChatGPT plan. Run: {login} --enable-plan\n"),
        ("damaged", ["models"], "To replace it, run {login}.\n"),
    ],
)
def test_advice_names_the_account_that_the_command_used(store, run, path, state, words, said):
    store(state)
    out = run(*words, "--token-file", str(path))
    assert said.format(login=f"{LOGIN} --token-file {path}") in out.output


@pytest.mark.parametrize(
    ("state", "words"),
    [
        ("signed out", ["status", "--plan", "--profile", "host"]),
        ("elsewhere", ["status"]),
        ("signed out", ["simulate", "--port", "99999", "--world", "plan"]),
    ],
)
def test_a_narrow_screen_splits_no_word(store, run, env, monkeypatch, state, words):
    store(state)
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    lines = at_terminal(monkeypatch, 60, *words).lines
    long = [line for line in lines if len(line) > 60 and " " in line.strip()]
    assert not [line for line in long if not line.startswith("Token file ")]
    assert len(lines) > 3


def test_why_a_profile_is_not_used_is_wrapped_under_itself(capsys):
    show_profiles([Profile("work", Path("work.json"), "", "it contains a sign-in")], "", Console(width=24))
    assert capsys.readouterr().out.splitlines()[2:] == [
        "  work  not used: it",
        "        contains a",
        "        sign-in",
    ]
