"""Proxies and certificates: whatever the environment says, a command works or names the variable at fault.

Nothing leaves this machine: proxies are here, and no host name can be looked up.
"""

import os
import re
import socket
import threading
from contextlib import suppress

import certifi
import pytest

from tests.cli.terminal import in_pipe
from tests.conftest import write_tokens
from tests.secret_leaks import watch

PASSWORD = "pass-of-the-proxy"
VARIABLES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR")
NEEDS_SIGN_IN = b"HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 0\r\n\r\n"
FORBIDS = b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n"

UNREACHABLE = "The proxy cannot be reached: check or unset {}."
UNUSABLE = "Correct or unset the variable."
DIRECT = "looked up|cannot be reached: check the network"

# What the environment says ({dead} is a port without a server, {folder} holds odd files, the others are
# proxies that answer badly), and what is reported of a server that is not on this machine.
SETTINGS: dict[str, tuple[dict[str, str], str]] = {
    "nothing": ({}, DIRECT),
    "a dead proxy": ({"HTTPS_PROXY": "http://127.0.0.1:{dead}"}, UNREACHABLE.format("HTTPS_PROXY")),
    "lower case": ({"https_proxy": "http://127.0.0.1:{dead}"}, UNREACHABLE.format("https_proxy")),
    "no scheme": ({"HTTPS_PROXY": "127.0.0.1:{dead}"}, UNREACHABLE.format("HTTPS_PROXY")),
    "a dead https proxy": ({"HTTPS_PROXY": "https://127.0.0.1:{dead}"}, UNREACHABLE.format("HTTPS_PROXY")),
    "a dead SOCKS proxy": ({"ALL_PROXY": "socks5://127.0.0.1:{dead}"}, UNREACHABLE.format("ALL_PROXY")),
    "a dead SOCKS proxy, socks5h": ({"ALL_PROXY": "socks5h://[::1]:{dead}"}, UNREACHABLE.format("ALL_PROXY")),
    "a proxy whose name is unknown": (
        {"HTTPS_PROXY": "http://proxy.example:8080"},
        UNREACHABLE.format("HTTPS_PROXY"),
    ),
    "for all, where https has its own": (
        {"HTTPS_PROXY": "http://127.0.0.1:{dead}", "ALL_PROXY": "socks://x"},
        UNREACHABLE.format("HTTPS_PROXY"),
    ),
    "socks": ({"ALL_PROXY": "socks://127.0.0.1:{dead}"}, "ALL_PROXY .* socks5://. " + UNUSABLE),
    "socks4": ({"ALL_PROXY": "socks4://127.0.0.1:{dead}"}, "ALL_PROXY .* socks5://. " + UNUSABLE),
    "another scheme": ({"HTTPS_PROXY": "ftp://127.0.0.1:{dead}"}, "HTTPS_PROXY .* https://.* " + UNUSABLE),
    "quotes": ({"HTTPS_PROXY": '"http://127.0.0.1:{dead}"'}, "HTTPS_PROXY .*" + UNUSABLE),
    "a port in words": ({"HTTPS_PROXY": "http://127.0.0.1:web"}, "HTTPS_PROXY .*" + UNUSABLE),
    "a port too high": ({"HTTPS_PROXY": "http://127.0.0.1:99999"}, "HTTPS_PROXY .* 65535. " + UNUSABLE),
    "port 0": ({"HTTPS_PROXY": "http://127.0.0.1:0"}, "HTTPS_PROXY .* 65535. " + UNUSABLE),
    "no host": ({"HTTPS_PROXY": "http://"}, "HTTPS_PROXY .* without a host. " + UNUSABLE),
    "a password for a bad address": (
        {"HTTPS_PROXY": f"http://user:{PASSWORD}@:{PASSWORD}"},
        "HTTPS_PROXY .*" + UNUSABLE,
    ),
    "a password for a dead proxy": (
        {"HTTPS_PROXY": f"http://user:{PASSWORD}@127.0.0.1:{{dead}}"},
        UNREACHABLE.format("HTTPS_PROXY"),
    ),
    "a password for a proxy without SOCKS": (
        {"ALL_PROXY": f"socks5://user:{PASSWORD}@127.0.0.1:{{needs_sign_in}}"},
        UNREACHABLE.format("ALL_PROXY"),
    ),
    "only for http": ({"HTTP_PROXY": "nonsense://"}, DIRECT),
    "an IPv6 network": (
        {"HTTPS_PROXY": "http://127.0.0.1:{dead}", "NO_PROXY": "localhost,fd07:b51a:cc66:f0::/64"},
        UNREACHABLE.format("HTTPS_PROXY"),
    ),
    "a list of nonsense": (
        {"HTTPS_PROXY": "http://127.0.0.1:{dead}", "NO_PROXY": "[::1,:::,http://,1.2.3.4/99,[]:x,,*.,é"},
        UNREACHABLE.format("HTTPS_PROXY"),
    ),
    "exempt by a star": ({"HTTPS_PROXY": "socks://x", "NO_PROXY": "*"}, DIRECT),
    "exempt by name": ({"HTTPS_PROXY": "socks://x", "NO_PROXY": ".chatgpt.com, openai.com:443"}, DIRECT),
    "407": ({"HTTPS_PROXY": "http://127.0.0.1:{needs_sign_in}"}, "HTTP 407.* into HTTPS_PROXY"),
    "403": ({"ALL_PROXY": "http://127.0.0.1:{forbids}"}, "did not let the request through: check ALL_PROXY"),
    "not a proxy": ({"HTTPS_PROXY": "http://127.0.0.1:{ssh}"}, UNREACHABLE.format("HTTPS_PROXY")),
    "hangs up": ({"HTTPS_PROXY": "http://127.0.0.1:{silent}"}, UNREACHABLE.format("HTTPS_PROXY")),
    "not a SOCKS proxy": ({"ALL_PROXY": "socks5://127.0.0.1:{ssh}"}, UNREACHABLE.format("ALL_PROXY")),
    "a SOCKS proxy hangs up": ({"ALL_PROXY": "socks5://127.0.0.1:{silent}"}, UNREACHABLE.format("ALL_PROXY")),
    "a SOCKS proxy needs a sign-in": ({"ALL_PROXY": "socks5://127.0.0.1:{socks}"}, "check ALL_PROXY"),
    "a missing file": ({"SSL_CERT_FILE": "{folder}/none.pem"}, "SSL_CERT_FILE .*" + UNUSABLE),
    "a folder as file": ({"SSL_CERT_FILE": "{folder}"}, "SSL_CERT_FILE .*" + UNUSABLE),
    "a file without certificates": ({"SSL_CERT_FILE": "{folder}/text.pem"}, "SSL_CERT_FILE .*" + UNUSABLE),
    "an empty file": ({"SSL_CERT_FILE": "{folder}/empty.pem"}, "SSL_CERT_FILE .*" + UNUSABLE),
    "a damaged certificate": ({"SSL_CERT_FILE": "{folder}/damaged.pem"}, "SSL_CERT_FILE .*" + UNUSABLE),
    "a missing folder": ({"SSL_CERT_DIR": "{folder}/none"}, "SSL_CERT_DIR .*" + UNUSABLE),
    "a file as folder": ({"SSL_CERT_DIR": "{folder}/text.pem"}, "SSL_CERT_DIR .*" + UNUSABLE),
    "a folder of two": ({"SSL_CERT_DIR": "{folder}/none:{folder}"}, DIRECT),
    "a good file and a missing folder": (
        {"SSL_CERT_FILE": certifi.where(), "SSL_CERT_DIR": "{folder}/none"},
        "SSL_CERT_DIR .*" + UNUSABLE,
    ),
    "a dead proxy and a missing file": (
        {"HTTPS_PROXY": "http://127.0.0.1:{dead}", "SSL_CERT_FILE": "{folder}/none.pem"},
        "SSL_CERT_FILE .*" + UNUSABLE,
    ),
}
# A proxy that cannot be reached is tried again, with a wait before each attempt: a few show it.
ASKED = {"nothing", "a dead proxy", "a SOCKS proxy hangs up"}
COMMANDS = (("login",), ("models",), ("ask", "Hi"), ("doctor",), ("logout",))


class BadProxy(threading.Thread):
    """Answers every connection with the same bytes and closes it."""

    def __init__(self, answer):
        super().__init__(daemon=True)
        self._answer = answer
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.start()

    def run(self):
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with connection, suppress(OSError):
                connection.recv(65536)
                connection.sendall(self._answer)

    def close(self):
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    """Values for the names in braces in SETTINGS."""
    folder = tmp_path_factory.mktemp("certificates")
    (folder / "text.pem").write_text("no certificate")
    (folder / "empty.pem").touch()
    (folder / "damaged.pem").write_text("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
    answers = {
        "needs_sign_in": NEEDS_SIGN_IN,
        "forbids": FORBIDS,
        "ssh": b"SSH-2.0-OpenSSH_9.9\r\n",
        "silent": b"",
        "socks": b"\x05\xff",
    }
    proxies = {name: BadProxy(answer) for name, answer in answers.items()}
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # without listening: every connection is refused
        dead = taken.getsockname()[1]
        yield {"folder": folder, "dead": dead, **{name: proxy.port for name, proxy in proxies.items()}}
    for proxy in proxies.values():
        proxy.close()


@pytest.fixture
def environment(monkeypatch, places):
    """Set what a row of SETTINGS says, and nothing else, and let no name be looked up."""

    def choose(name):
        for variable in VARIABLES:
            monkeypatch.delenv(variable, raising=False)
            monkeypatch.delenv(variable.lower(), raising=False)
        for variable, value in SETTINGS[name][0].items():
            monkeypatch.setenv(variable, value.format(**places))

    known = socket.getaddrinfo

    def only_addresses(host, *args, **options):
        if host is not None and not re.fullmatch(r"[\d.]+|[\da-f:]+", os.fsdecode(host)):
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return known(host, *args, **options)

    monkeypatch.setattr(socket, "getaddrinfo", only_addresses)
    return choose


def run(command):
    """Run a command; what it printed shows neither a traceback nor a password."""
    result = in_pipe(*command)
    said = result.stdout + result.stderr
    watch.search("output", said)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    assert "Traceback" not in said
    assert PASSWORD not in said
    return result.exit_code, " ".join(said.split())


@pytest.fixture
def elsewhere(sim, tmp_path, monkeypatch):
    """Be signed in to the real service, as far as a file says."""
    known = {
        "auth_mode",
        "access_token",
        "refresh_token",
        "id_token",
        "account_id",
        "plan_type",
        "expires_at",
    }
    tokens = {key: value for key, value in sim.sign_in().items() if key in known}
    monkeypatch.setenv("OPENAI_CHATGPT_TOKEN_FILE", str(write_tokens(tmp_path / "tokens.json", tokens)))
    monkeypatch.delenv("OPENAI_CHATGPT_BASE_URL")
    monkeypatch.delenv("OPENAI_CHATGPT_AUTH_URL")


@pytest.fixture
def here(sim, token_file, monkeypatch):
    """Be signed in to a simulator."""
    monkeypatch.setenv("OPENAI_CHATGPT_BASE_URL", sim.base_url)
    monkeypatch.setenv("OPENAI_CHATGPT_AUTH_URL", sim.auth_url)
    monkeypatch.setenv("OPENAI_CHATGPT_TOKEN_FILE", str(token_file))
    return sim


@pytest.mark.usefixtures("elsewhere")
@pytest.mark.parametrize("name", SETTINGS)
def test_a_sign_in_reports_what_the_environment_says_wrongly(environment, name):
    environment(name)
    code, said = run(("login",))
    assert code == 1
    assert re.search(SETTINGS[name][1], said), said


@pytest.mark.usefixtures("elsewhere")
@pytest.mark.parametrize("name", ["socks", "a port in words", "407", "a missing file", "a missing folder"])
def test_every_command_reports_it(environment, caplog, name):
    everything(environment, caplog, name)


@pytest.mark.long
@pytest.mark.usefixtures("elsewhere")
@pytest.mark.parametrize("name", SETTINGS)
def test_every_command_reports_whatever_the_environment_says_wrongly(environment, caplog, name):
    everything(environment, caplog, name)


def everything(environment, caplog, name):
    environment(name)
    is_retried = SETTINGS[name][1] == DIRECT or "cannot be reached" in SETTINGS[name][1]
    asks = [("ask", "Hi")] if name in ASKED or not is_retried else []
    for command in *asks, ("models",), ("doctor",):
        _, said = run(command)
        assert re.search(SETTINGS[name][1], said), (command, said)
    with caplog.at_level("WARNING"):
        code, said = run(("logout",))
    assert code == 0
    assert "expire" in said
    assert re.search(SETTINGS[name][1], caplog.text), caplog.text


@pytest.mark.world("plan")
@pytest.mark.parametrize("name", ["socks", "a port in words", "407", "a missing file"])
def test_the_commands_of_the_plan_mode_report_it(sim, tmp_path, environment, monkeypatch, name):
    stored = {key: value for key, value in sim.connect().items() if key not in {"issuer", "backend"}}
    monkeypatch.setenv("OPENAI_CHATGPT_TOKEN_FILE", str(write_tokens(tmp_path / "plan.json", stored)))
    monkeypatch.delenv("OPENAI_CHATGPT_BASE_URL")
    monkeypatch.delenv("OPENAI_CHATGPT_AUTH_URL")
    environment(name)
    for command in "login", "models", "ask", "doctor":
        code, said = run((command, "--plan", *(["Hi"] if command == "ask" else [])))
        assert code == 1
        assert re.search(SETTINGS[name][1], said), (command, said)
    code, said = run(("logout", "--plan"))
    assert code == 0
    assert "did not confirm" in said


@pytest.mark.parametrize("name", ["a dead proxy", "socks", "a missing file"])
def test_this_machine_is_reached_directly(environment, here, name):
    assert_reached(environment, here, name)


@pytest.mark.long
@pytest.mark.parametrize("name", SETTINGS)
def test_this_machine_is_reached_directly_whatever_the_environment_says(environment, here, name):
    assert_reached(environment, here, name)


def assert_reached(environment, sim, name):
    environment(name)
    sim.device.pending = 0
    for command in COMMANDS:
        code, said = run(command)
        assert code == 0, (command, said)
    assert len(sim.requests) > len(COMMANDS)
