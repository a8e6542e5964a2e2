"""The commands ``login``, ``status`` and ``logout`` in a real terminal, against the simulator."""

import base64
import contextlib
import json
import re
import signal
import socket
import sys
from itertools import pairwise

import pytest
from click.testing import CliRunner

from amplifier_module_provider_openai_chatgpt.cli import cli
from amplifier_module_provider_openai_chatgpt.services import CHATGPT_CODEX
from amplifier_module_provider_openai_chatgpt.simulator import Fault
from tests.browser import browse, callback_ports
from tests.conftest import recorded, write_tokens
from tests.pty_terminal import CTRL_C, CTRL_D, WIDTH, Terminal
from tests.secret_leaks import watch

DESKTOP = {"SSH_TTY": "", "DISPLAY": ":0"}
COMMAND = [sys.executable, "-m", "amplifier_module_provider_openai_chatgpt"]
LEFT = re.compile(r"Waiting for approval: ( ?\d+):(\d\d) left")


@pytest.fixture
def path(tmp_path):
    return tmp_path / "tokens.json"


@pytest.fixture
def env(sim, path):
    return {
        "OPENAI_CHATGPT_BASE_URL": sim.base_url,
        "OPENAI_CHATGPT_AUTH_URL": sim.auth_url,
        "OPENAI_CHATGPT_TOKEN_FILE": str(path),
        "NO_PROXY": "127.0.0.1",
        "SSH_TTY": "/dev/pts/0",
        "BROWSER": "",
        "HOME": str(path.parent),
    }


@pytest.fixture
def terminal(env):
    """Run a command in a terminal of its own."""
    return lambda *words, **more: Terminal([*COMMAND, *words], env={**env, **more})


@pytest.fixture
def run(env):
    """Run a command with its output in a pipe."""

    def run(*words):
        out = CliRunner().invoke(cli, words, env=env)
        watch.search("output", out.output)
        return out

    return run


def assert_calm(frames):
    """Only the last line changes, and no line is longer than the screen is wide."""
    for before, after in pairwise(frames):
        *fixed, last = before.split("\n")
        assert after.startswith("\n".join(fixed if LEFT.search(last) else [*fixed, last]).rstrip())
        assert max(map(len, after.split("\n"))) <= WIDTH


def test_login_status_and_logout_in_a_terminal(sim, path, terminal):
    sim.device.approve_manually = True
    with terminal("login") as login:
        login.show(re.compile(r"14:\d\d left"))
        sim.device.approve()
        assert login.end() == 0
    (code,) = sim.user_codes
    assert_calm(login.frames)
    assert f"Signed in as ada@example.com.Stored in {path}" in login.screen.text.replace("\n", "")
    assert login.raw.count(code) == 1
    assert f"\n    {code}\n" in login.screen.text
    assert f"\n    {sim.auth_url}/codex/device\n" in login.screen.text
    assert "Waiting" not in login.screen.text
    seconds = [int(found[1]) * 60 + int(found[2]) for frame in login.frames if (found := LEFT.search(frame))]
    assert seconds == sorted(seconds, reverse=True)
    assert 900 >= seconds[0] >= seconds[-1]

    with terminal("status") as status:
        assert status.end() == 0
    shown = status.screen.text.replace("\n", " ")
    for part in (
        "ada@example.com (6f1c…0001)",
        "Plan        Plus",
        "valid for 10 days; renewed automatically",
    ):
        assert part in shown
    assert str(path) in status.screen.text.replace("\n", "")

    with terminal("logout") as logout:
        assert logout.end() == 0
    assert logout.screen.text == "Signed out."
    assert not path.exists()
    assert len(sim.requests_to("/oauth/revoke")) == 1

    for secret in sim.secrets - sim.user_codes:
        assert secret not in login.raw + status.raw + logout.raw


def test_ctrl_c_cancels_a_sign_in_immediately(sim, path, terminal):
    sim.device.approve_manually = True
    with terminal("login") as login:
        login.show("left. Ctrl-C cancels.")
        login.press(CTRL_C)
        assert login.end() == 130
    assert "Aborted" not in login.screen.text
    assert "Traceback" not in login.raw
    assert "Waiting" not in login.screen.text
    assert login.raw.endswith("\x1b[?25h") or login.raw.rindex("\x1b[?25h") > login.raw.rindex("\x1b[?25l")
    assert not path.exists()


@pytest.mark.long
@pytest.mark.parametrize(
    ("number", "way", "shown"),
    [
        (signal.SIGHUP, "--device", "left. Ctrl-C cancels."),
        (signal.SIGTERM, "--browser", "paste it here and press Enter"),
    ],
)
def test_a_signal_restores_echo_and_cursor_and_ends_the_program(sim, path, terminal, number, way, shown):
    sim.device.approve_manually = True
    ports = callback_ports() if way == "--browser" else contextlib.nullcontext()
    with ports, terminal("login", way, BROWSER="true") as login:
        before = login.modes()
        login.show(shown)
        login.process.send_signal(number)
        assert login.end() == -number
        assert login.modes() == before
    assert login.raw.count("\x1b[?25l") == login.raw.count("\x1b[?25h")
    assert "Traceback" not in login.raw
    assert not path.exists()


def test_a_refused_sign_in_is_one_sentence_and_exit_code_1(sim, run):
    sim.device.refuse()
    out = run("login")
    assert (out.exit_code, out.stdout) == (1, "")
    assert out.stderr.endswith("\nError: The sign-in was refused in the browser.\n")


@pytest.mark.long
def test_on_a_desktop_login_opens_the_browser(sim, path, tmp_path, terminal):
    browser = tmp_path / "browser"
    browser.write_text(
        f"#!{sys.executable}\nimport sys\nfrom urllib.request import Request, urlopen\n"
        "urlopen(Request(sys.argv[1], headers={'User-Agent': 'Mozilla/5.0'}))\n"
    )
    browser.chmod(0o700)
    with callback_ports(), terminal("login", BROWSER=str(browser), **DESKTOP) as login:
        assert login.end() == 0
    assert "Signed in as ada@example.com." in login.screen.text
    assert "Traceback" not in login.raw
    assert path.exists()


@pytest.mark.long
def test_with_all_ports_in_use_login_continues_with_a_code(sim, path, terminal):
    sim.device.pending = 0
    with contextlib.ExitStack() as stack:
        stack.enter_context(callback_ports())
        for port in CHATGPT_CODEX.issuer.redirect_ports:
            stack.enter_context(socket.create_server(("127.0.0.1", port)))
        with terminal("login", BROWSER="true", **DESKTOP) as login:
            assert login.end() == 0
    assert "Continuing with a code." in login.screen.text
    assert path.exists()


@pytest.mark.long
def test_enter_opens_the_page_and_the_code_is_bold_and_copied(sim, path, tmp_path, terminal):
    sim.device.approve_manually = True
    browser = tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\necho "$1" > {tmp_path / "opened"}\n')
    browser.chmod(0o700)
    with terminal("login", "--device", BROWSER=str(browser)) as login:
        login.show("Press Enter to open the page in your browser.")
        login.show("left. Ctrl-C cancels.")
        login.press("\n")
        sim.wait_until((tmp_path / "opened").exists, timeout=10)
        sim.device.approve()
        assert login.end() == 0
    (code,) = sim.user_codes
    assert (tmp_path / "opened").read_text() == f"{sim.auth_url}/codex/device\n"
    assert f"\x1b[1m{code}\x1b[0m" in login.raw
    assert f"\x1b]52;c;{base64.b64encode(code.encode()).decode()}\x07" in login.raw
    assert "amplifier-openai-chatgpt login --browser" in login.screen.text
    assert_calm(login.frames)


def test_login_says_who_is_replaced_before_it_begins(sim, path, run):
    write_tokens(path, recorded(sim, sim.sign_in()))
    sim.device.refuse()
    assert run("login").stderr.startswith(
        "You are signed in as ada@example.com (Plus). A new sign-in replaces this one.\n"
    )


@pytest.mark.long
def test_a_silent_sign_in_server_is_shown_after_two_seconds(sim, terminal):
    sim.device.pending = 0
    sim.misbehave("/deviceauth/usercode", Fault(stall_before_headers=True))
    with terminal("login") as login:
        login.show("Waiting for an answer of 127.0.0.1")
        sim.release()
        assert login.end() == 0
    assert login.screen.text.count("Waiting") == 1


@pytest.mark.long
def test_a_pasted_address_signs_in_and_no_browser_takes_over_the_terminal(sim, path, tmp_path, terminal):
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "w3m").write_text(f"#!/bin/sh\n: > {tmp_path / 'opened'}\n")
    (folder / "w3m").chmod(0o700)
    unseen = {"PATH": str(folder), "BROWSER": "", "DISPLAY": "", "WAYLAND_DISPLAY": ""}
    with callback_ports(), terminal("login", "--browser", **unseen) as login:
        login.show("paste it here and press Enter")
        (url,) = re.findall(r"http://127\.0\.0\.1:\d+/oauth/authorize\?\S+", login.raw)
        login.press("what?\n")
        login.show("does not belong to the sign-in under way")
        login.press(browse(url, follow=False).headers["location"] + "\n")
        assert login.end() == 0
    assert "Signed in as ada@example.com." in login.screen.text
    assert path.exists()
    assert not (tmp_path / "opened").exists()
    assert "code=" not in login.raw.replace(url, "")


@pytest.mark.long
def test_end_of_input_and_ctrl_c_work_while_login_waits_for_the_browser(terminal):
    with callback_ports(), terminal("login", "--browser", BROWSER="true") as login:
        before = login.modes()
        login.show("paste it here and press Enter")
        login.press(CTRL_D)
        login.press(CTRL_C)
        assert login.end() == 130
        assert login.modes() == before
    assert "Aborted" not in login.screen.text
    assert "Traceback" not in login.raw


def test_status_signed_out_and_signed_in_as_text_and_json(sim, path, run):
    out = run("status")
    assert out.exit_code == 1
    assert out.stdout.startswith("Not signed in. Run: amplifier-openai-chatgpt login\n")
    out = run("status", "--json")
    assert (out.exit_code, json.loads(out.stdout)) == (
        1,
        {"auth_mode": "chatgpt_codex", "status": "unauthenticated", "token_file": str(path)},
    )
    tokens = sim.sign_in(plan="pro")
    write_tokens(path, {**tokens, "refresh_token": ""})
    out = run("status", "--json")
    found = json.loads(out.stdout)
    assert out.exit_code == 0
    assert found.pop("expires_at").startswith("20")
    assert found == {
        "auth_mode": "chatgpt_codex",
        "status": "authenticated",
        "token_file": str(path),
        "email": "ada@example.com",
        "account": "6f1c…0001",
        "plan": "pro",
        "can_refresh": False,
    }
    assert tokens["account_id"] not in out.stdout


@pytest.mark.long
def test_without_a_terminal_login_shows_no_countdown_and_no_colour(sim, run):
    sim.device.pending = 0
    out = run("login")
    assert (out.exit_code, out.stdout) == (0, "")
    (code,) = sim.user_codes
    assert out.stderr.count(code) == 1
    assert "left" not in out.stderr
    assert "\x1b" not in out.stderr


def test_login_does_not_start_if_the_sign_in_cannot_be_stored(sim, path, run):
    path.mkdir()
    out = run("login")
    assert out.exit_code == 1
    assert out.stderr.startswith("Error: The token file ")
    assert "not a regular file" in out.stderr
    assert not sim.requests


@pytest.mark.parametrize(
    ("content", "said", "stays"),
    [
        (
            b'{"access_token": "ab',
            "Removed {path}, which was not used: it does not contain a JSON object.",
            False,
        ),
        (b"", "Removed {path}, which was not used: it is empty.", False),
        (
            b"theme: dark\n",
            "Not signed in. {path} was left as it is: it does not contain a JSON object",
            True,
        ),
    ],
)
def test_logout_names_and_removes_a_damaged_sign_in_and_nothing_else(path, run, content, said, stays):
    path.write_bytes(content)
    out = run("logout")
    assert out.exit_code == 0
    assert said.format(path=path) in out.stderr
    assert path.exists() == stays


@pytest.mark.parametrize("how", ["oversized", "damaged"])
def test_logout_revokes_what_can_still_be_read(sim, path, run, how):
    tokens = recorded(sim, sim.sign_in())
    text = json.dumps({"theirs": {"refresh_token": "not-ours"}, **tokens}, indent=2)
    path.write_text(text + (" " * 2**20 if how == "oversized" else "}"))
    why = "it is far too large" if how == "oversized" else "it does not contain a JSON object"
    said = f"Removed {path}, which was not used: {why}. The sign-in in it was revoked.\n"
    assert run("logout").stderr == said
    (revoked,) = sim.requests_to("/oauth/revoke")
    assert revoked.json["token"] == tokens["refresh_token"]
    assert not path.exists()


def test_logout_leaves_another_programs_damaged_sign_in(path, run):
    content = b'{"auth_mode": "chatgpt_plan", "refresh_token": "theirs"'
    path.write_bytes(content)
    assert "was left as it is" in run("logout").stderr
    assert path.read_bytes() == content


def test_logout_removes_a_link_and_leaves_what_it_points_to(sim, path, tmp_path, run):
    target = write_tokens(tmp_path / "target.json", sim.sign_in())
    path.symlink_to(target)
    assert "it is a symbolic link" in run("logout").stderr
    assert not path.is_symlink()
    assert target.exists()


def test_logout_removes_and_revokes_what_a_killed_process_left(sim, path, run):
    write_tokens(path, sim.sign_in(expires_in=-10))
    left = sim.sign_in()
    write_tokens(path.with_name(".tokens.json.new"), left)
    assert run("logout").stderr == "Signed out.\n"
    assert sim.requests_to("/oauth/revoke")[0].json["token"] == left["refresh_token"]
    assert [name.name for name in path.parent.iterdir()] == ["tokens.json.lock"]


@pytest.mark.parametrize("content", [b'{"auth_mode": "chatgpt_plan", "access_token": "a"}', b"theme: dark\n"])
def test_status_says_why_a_file_is_not_used(path, run, content):
    path.write_bytes(content)
    out = run("status")
    assert out.exit_code == 1
    assert f"Not signed in. The token file {path} is not used: " in out.stdout
    assert json.loads(run("status", "--json").stdout)["why"] in out.stdout
    assert path.read_bytes() == content
