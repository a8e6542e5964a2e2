"""What tests share: a simulator, a signed-in token file, and the search for leaked secrets.

No test uses the developer's own account.
"""

import contextlib
import json
import os
import signal
from pathlib import Path

import pytest
from hypothesis import settings

from amplifier_module_provider_openai_chatgpt import ChatGPTProvider, provider
from amplifier_module_provider_openai_chatgpt.auth import shared
from amplifier_module_provider_openai_chatgpt.drift import drift
from amplifier_module_provider_openai_chatgpt.simulator import Simulator
from amplifier_module_provider_openai_chatgpt.simulator.worlds import DEFAULT_WORLD
from tests.secret_leaks import surround, watch

DEAD = "http://127.0.0.1:9"
LONG_PROOF = 300  # seconds
# A proxy is not for the servers that tests run on this machine; the rest decides how a terminal is used.
UNSET = {"http_proxy", "https_proxy", "all_proxy", "no_proxy", "columns", "lines", "no_color", "force_color"}
# A model of the default world, for tests whose subject is something else.
MODEL = "gpt-6-sol"

# The same examples in every run: a check must not fail by chance.
settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.load_profile("repeatable")


def pytest_configure(config):
    """Log everything, so the watch can search it; tests see warnings unless they ask ``caplog`` for more.

    Tests and their child processes get the same environment on every machine.
    """
    for name in [name for name in os.environ if name.lower() in UNSET]:
        del os.environ[name]
    os.environ["TERM"] = "xterm-256color"
    # A process of its own for each renewal costs a second; tests of such processes ask for them.
    os.environ["OPENAI_CHATGPT_RENEW_IN_PROCESS"] = "1"
    # A run in the background ignores Ctrl-C and the end of its terminal, and so would the programs of tests.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if hasattr(signal, "SIGHUP"):
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
    config.option.log_level = config.option.log_level or "WARNING"
    surround(watch)


def pytest_collection_modifyitems(items):
    """A long proof gets a longer time limit than the one in pyproject.toml."""
    for item in items:
        if item.get_closest_marker("long") and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(LONG_PROOF))


def pytest_runtest_logreport(report):
    if report.when == "teardown" and not hasattr(report, "node"):  # else a worker process has searched it
        for name, printed in report.sections:
            watch.search(
                next(kind for kind in ("log", "stdout", "stderr") if kind in name), printed, report.nodeid
            )


def pytest_runtest_teardown(item):
    if folder := getattr(item, "funcargs", {}).get("tmp_path"):
        watch.search_files(folder, item.nodeid)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session):
    if found_by_worker := getattr(session.config, "workeroutput", None):
        found_by_worker["leaks"] = {"searched": watch.searched, "found": watch.found}
    if watch.found:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node):
    """Take over what a worker process has searched and found."""
    leaks = getattr(node, "workeroutput", {}).get("leaks", {"searched": {}, "found": []})
    watch.found += leaks["found"]
    for where, count in leaks["searched"].items():
        watch.searched[where] += count


def pytest_terminal_summary(terminalreporter):
    searched = ", ".join(f"{count:,} of kind {where}" for where, count in watch.searched.items())
    terminalreporter.write_line(f"Searched for leaked secrets: {searched}; found {len(watch.found)}.")
    for leak in watch.found:
        terminalreporter.write_line(leak, red=True)


def world_of(node):
    """The service that a test meets: the default one, or that of ``pytest.mark.world("august-2026")``."""
    marker = node.get_closest_marker("world")
    return marker.args[0] if marker else DEFAULT_WORLD


@pytest.fixture
def sim(request):
    """A simulator for this test alone."""
    with Simulator(world=world_of(request.node)) as simulator:
        yield simulator


def write_tokens(path, tokens):
    path = Path(path)
    path.touch(mode=0o600)
    path.write_text(json.dumps(tokens))
    return path


def recorded(sim, tokens):
    """Return a token file's content as a sign-in at ``sim`` writes it."""
    return {**tokens, "issuer": sim.auth_url, "backend": sim.base_url.removesuffix("/backend-api")}


@pytest.fixture
def token_file(sim, tmp_path):
    """A token file signed in at ``sim``."""
    return write_tokens(tmp_path / "tokens.json", sim.sign_in())


def model_setting(sim):
    """The model of a call that names none; older worlds still serve the provider's own default."""
    return {"default_model": MODEL} if sim.world is DEFAULT_WORLD else {}


@pytest.fixture
def config(sim, token_file):
    """The provider's settings for ``sim``, with a model that its world serves."""
    return {
        **model_setting(sim),
        "base_url": sim.base_url,
        "auth_url": sim.auth_url,
        "token_file_path": str(token_file),
        "login_on_mount": False,
        "min_retry_delay": 0,
    }


@pytest.fixture
async def in_use():
    """Build providers whose connections are closed at the end of the test, on its loop."""
    async with contextlib.AsyncExitStack() as stack:

        def in_use(*given):
            built = ChatGPTProvider(*given)
            stack.push_async_callback(built.close)
            return built

        yield in_use


@pytest.fixture(autouse=True)
def _nothing_learnt():
    """Forget what earlier tests learnt about a backend, which is kept by address, and their sign-ins."""
    provider._shapes.clear()
    drift.forget()
    shared._shared.clear()


@pytest.fixture(autouse=True)
def _own_environment(request, monkeypatch, tmp_path_factory):
    """Keep tests away from the developer's account; amplifier-core's own tests use a simulator."""
    folder = tmp_path_factory.mktemp("account")
    base_url, auth_url, tokens = f"{DEAD}/backend-api", DEAD, folder / "none.json"
    if "provider_module" in request.fixturenames:
        simulator = request.getfixturevalue("sim")
        base_url, auth_url = simulator.base_url, simulator.auth_url
        tokens = write_tokens(folder / "tokens.json", simulator.sign_in())
    monkeypatch.setenv("OPENAI_CHATGPT_BASE_URL", base_url)
    monkeypatch.setenv("OPENAI_CHATGPT_AUTH_URL", auth_url)
    monkeypatch.setenv("OPENAI_CHATGPT_TOKEN_FILE", str(tokens))
