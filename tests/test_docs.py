"""The documents are true: what they name exists, what exists is documented, and their commands run."""

import ast
import importlib.metadata
import importlib.util
import os
import re
import subprocess
import sys
import tomllib
from datetime import date
from pathlib import Path

import amplifier_core.llm_errors
import pytest
import yaml
from amplifier_core.message_models import ChatRequest, Message, ToolCallBlock
from amplifier_core.testing import MockCoordinator

import amplifier_module_provider_openai_chatgpt as package
from amplifier_module_provider_openai_chatgpt import ChatGPTProvider
from amplifier_module_provider_openai_chatgpt.call.events import EVENTS
from amplifier_module_provider_openai_chatgpt.cli import cli
from amplifier_module_provider_openai_chatgpt.cli.demo import new_session
from amplifier_module_provider_openai_chatgpt.settings import Settings
from amplifier_module_provider_openai_chatgpt.simulator import Fault, Reply
from tests.conftest import write_tokens

ROOT = Path(__file__).parents[1]
FILES = sorted(
    [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("examples/*"), *ROOT.glob("bench*/*.md")]
)
TEXTS = {path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8") for path in FILES}
README = TEXTS["README.md"]
SOURCE = Path(package.__file__).parent

# Lines of the README that no test runs, and why.
INSTALL = 'uv tool install "amplifier-module-provider-openai-chatgpt[simulator] @ git+ADDRESS"'
NOT_RUN = {
    "pip install uv": "it changes the machine; .ci/run does so in a folder of its own",
    INSTALL: "it changes the machine; .ci/first-answer does so in an empty home",
    "amplifier module add provider-openai-chatgpt --source git+ADDRESS": "needs the Amplifier CLI",
    "amplifier provider install openai-chatgpt": "needs the Amplifier CLI",
    "amplifier provider install openai-chatgpt --force": "needs the Amplifier CLI",
    "amplifier provider add openai-chatgpt": "needs the Amplifier CLI",
    "amplifier routing use openai-chatgpt": "needs the Amplifier CLI",
}


def fenced(text, language):
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def shell_lines():
    return [line for block in fenced(README, "sh") for line in block.splitlines()]


# Shell lines


def test_every_excluded_shell_line_is_still_in_the_readme():
    assert set(NOT_RUN) <= set(shell_lines())


def test_the_first_answer_takes_four_commands_and_three_without_an_account():
    first, demo, *_ = fenced(README, "sh")
    assert len(first.splitlines()) == 4
    assert first.splitlines()[-1].startswith("amplifier-openai-chatgpt ask ")
    assert len(demo.splitlines()) == 1
    acted_out = (ROOT / ".ci/first-answer").read_text(encoding="utf-8")
    assert INSTALL.removeprefix("uv tool install ").removesuffix('git+ADDRESS"') in acted_out
    assert demo.strip() in acted_out


def test_the_readme_is_one_page_that_starts_with_a_picture():
    lines = README.splitlines()
    assert len(lines) <= 150
    assert lines[2].startswith('<img src="docs/demo.svg"')
    assert "Nothing here was ever tried there" in "\n".join(lines[:30])


@pytest.mark.long
def test_the_shell_lines_of_the_readme_work(sim, tmp_path):
    """In order, as a new user types them, with the simulator instead of ChatGPT."""
    sim.device.pending = 0
    script = "\n".join(line for line in shell_lines() if line not in NOT_RUN)
    assert "login" in script
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=ROOT,
        env={
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "HOME": str(tmp_path),
            "OPENAI_CHATGPT_BASE_URL": sim.base_url,
            "OPENAI_CHATGPT_AUTH_URL": sim.auth_url,
            "OPENAI_CHATGPT_TOKEN_FILE": str(tmp_path / "tokens.json"),
        },
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "sky" in done.stdout
    assert not (tmp_path / "tokens.json").exists(), "the last line signs out"


def test_named_commands_and_options_exist():
    for name, text in TEXTS.items():
        for command, rest in re.findall(r"amplifier-openai-chatgpt ([a-z][a-z-]*)([^\n`|]*)", text):
            if name.endswith("backend.md"):
                continue
            assert command in cli.commands, (name, command)
            known = {option for param in cli.commands[command].params for option in param.opts}
            assert set(re.findall(r"(?<!\S)--[a-z-]+", rest)) <= known, (name, command, rest)


def test_every_command_is_named_in_the_readme():
    unnamed = {name for name in cli.commands if not re.search(rf"(openai-chatgpt |`){name}\b", README)}
    assert unnamed == set()


# The picture


def without_numbers(picture):
    """Times and weekdays change from run to run, and with them the widths of a text."""
    return re.sub(r"[\d.]+|\b\w+day\b", "#", picture)


async def test_the_picture_shows_what_the_demo_shows():
    """After a change: uv run python docs/screenshot.py."""
    spec = importlib.util.spec_from_file_location("screenshot", ROOT / "docs/screenshot.py")
    assert spec is not None
    assert spec.loader is not None
    screenshot = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(screenshot)
    committed = (ROOT / "docs/demo.svg").read_text(encoding="utf-8")
    assert without_numbers(committed) == without_numbers(await screenshot.picture())
    assert len(committed) < 40_000
    assert "url(http" not in committed


# Links


def anchors(text):
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("name", TEXTS)
def test_relative_links_work(name):
    for target in re.findall(r"\]\((?!https?:)([^)\s]+)\)", TEXTS[name]):
        path, _, anchor = target.partition("#")
        linked = (ROOT / name).parent / path if path else ROOT / name
        assert linked.exists(), target
        if anchor:
            assert anchor in anchors(linked.read_text(encoding="utf-8")), target


def test_the_files_named_in_contributing_exist():
    named = re.findall(r"`([\w./-]+(?:\.py|\.yaml|\.md|/))`", TEXTS["CONTRIBUTING.md"])
    assert len(named) > 60
    assert [path for path in named if not (ROOT / path).exists() and not (SOURCE / path).exists()] == []


# Settings


def test_named_settings_and_variables_exist():
    sources = [SOURCE / "settings.py", SOURCE / "cli" / "usage_history.py"]
    code = "".join(path.read_text(encoding="utf-8") for path in sources)
    for name, text in TEXTS.items():
        for setting in re.findall(r"\bsettings? `(\w+)`", text):
            assert setting in Settings.__dataclass_fields__, (name, setting)
        for variable in re.findall(r"\bOPENAI_CHATGPT_[A-Z_]+", text):
            assert variable in code, (name, variable)


# Events


def test_every_event_is_documented_and_every_documented_event_exists():
    assert re.findall(r"^## `(.+)`$", TEXTS["docs/events.md"], re.MULTILINE) == list(EVENTS)
    for name, text in TEXTS.items():
        for event in re.findall(r"`((?:llm|provider):[a-z_]+)`", text):
            assert event in EVENTS, (name, event)


def documented_keys():
    """Return the keys in the table of each event."""
    _, *sections = re.split(r"^## ", TEXTS["docs/events.md"], flags=re.MULTILINE)
    return {
        section.split("`")[1]: set(re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE))
        for section in sections
        if section.startswith("`")
    }


async def test_payloads_have_the_documented_keys_and_no_others(sim, config):
    """Four calls that cause every event, and an answer with a field that is not known."""
    emitted: dict[str, set[str]] = {event: set() for event in EVENTS}

    async def record(event, data):
        emitted[event] |= set(data)

    coordinator = MockCoordinator()
    for event in EVENTS:
        coordinator.hooks.register(event, record, name=event)
    provider = ChatGPTProvider({**config, "raw": True, "max_retries": 2}, coordinator)
    hello = Message(role="user", content="Say hello.")
    lost = Message(role="assistant", content=[ToolCallBlock(id="call_1", name="now", input={})])
    call = {"type": "function_call", "id": "fc_1", "call_id": "call_1", "name": "now", "arguments": "{}"}
    call["sent_since_tomorrow"] = "a field that is not known"

    sim.use_quota(95, 10)
    busy = Fault(status=503, headers={"retry-after": "0"}, body={"error": {"message": "busy"}})
    sim.misbehave("/codex/responses", busy)
    sim.misbehave("/codex/responses", Fault(cut_after_event=12))
    sim.reply_with(Reply(), Reply(items=[{**call, "status": "completed"}]))
    await provider.complete(ChatRequest(messages=[hello, lost, hello]))
    sim.max_output_cut = 1
    await provider.complete(ChatRequest(messages=[hello]))
    with pytest.raises(amplifier_core.llm_errors.NotFoundError):
        await provider.complete(ChatRequest(messages=[hello]), model="gpt-nix")
    await provider.close()

    common = {"provider", "model", "request_id", "timestamp", "session_id", "parent_id"}
    assert {event: keys - common for event, keys in emitted.items()} == documented_keys()
    assert all({"provider", "model", "request_id"} <= keys for keys in emitted.values())


# Errors


def raised_classes():
    """Return the kernel error classes the package imports."""
    names = set()
    for path in SOURCE.rglob("*.py"):
        if "simulator" not in path.parts:
            tree = ast.parse(path.read_text(encoding="utf-8"))
            for node in ast.walk(tree):
                if isinstance(node, ast.ImportFrom) and node.module == "amplifier_core.llm_errors":
                    names |= {alias.name for alias in node.names}
    return names


def test_every_error_class_is_documented_and_every_documented_one_is_raised():
    documented = re.findall(r"^\| `(\w+)` \|", TEXTS["docs/errors.md"], re.MULTILINE)
    assert len(documented) == len(set(documented))
    assert set(documented) == raised_classes()
    for name, text in TEXTS.items():
        for error in re.findall(r"`([A-Z]\w+Error)`", text):
            assert hasattr(amplifier_core.llm_errors, error), (name, error)


def test_the_documented_relations_between_error_classes_hold():
    pairs = re.findall(r"`(\w+)`(?: is)?,? an? `(\w+)`", TEXTS["docs/errors.md"])
    assert len(pairs) == 3
    for name, base in pairs:
        assert issubclass(getattr(amplifier_core.llm_errors, name), getattr(amplifier_core.llm_errors, base))


# Examples


def entries(text):
    """Return the provider entries of a bundle or settings file, in the form of a mount plan."""
    document = next(yaml.safe_load_all(text.removeprefix("---\n")))
    found = document.get("providers") or document["config"]["providers"]
    renamed = [
        {("instance_id" if key == "id" else key): value for key, value in entry.items()} for entry in found
    ]
    return [{key: value for key, value in entry.items() if key != "source"} for entry in renamed]


EXAMPLES = {
    **{name: text for name, text in TEXTS.items() if name.startswith("examples/")},
    **{
        f"{name}, example {number}": block
        for name in ("README.md", "docs/settings.md")
        for number, block in enumerate(fenced(TEXTS[name], "yaml"), 1)
    },
}
PLAN_EXAMPLES = [name for name, text in EXAMPLES.items() if "auth_mode: chatgpt_plan" in text]


@pytest.mark.parametrize("name", [name for name in EXAMPLES if name not in PLAN_EXAMPLES])
async def test_each_example_mounts_and_answers_in_a_real_session(name, sim, token_file, monkeypatch, caplog):
    monkeypatch.setenv("OPENAI_CHATGPT_BASE_URL", sim.base_url)
    monkeypatch.setenv("OPENAI_CHATGPT_AUTH_URL", sim.auth_url)
    monkeypatch.setenv("OPENAI_CHATGPT_TOKEN_FILE", str(token_file))
    plan = entries(EXAMPLES[name])
    session = new_session(plan[0])
    session.config["providers"][1:] = plan[1:]
    async with session:
        assert len(session.coordinator.get("providers")) == len(plan)
        assert await session.execute("Say hello.")
    (request,) = sim.requests_to("/codex/responses")
    assert plan[0]["config"]["default_model"] == "latest"
    assert request.json["model"] == sim.models[0]["slug"]
    assert not [record for record in caplog.records if "Unknown setting" in record.getMessage()]


@pytest.mark.world("plan")
@pytest.mark.parametrize("name", PLAN_EXAMPLES)
async def test_each_example_of_the_plan_mode_answers_in_a_real_session(name, sim, tmp_path, monkeypatch):
    token_file = write_tokens(tmp_path / "plan.json", sim.connect())
    monkeypatch.setenv("OPENAI_CHATGPT_BASE_URL", sim.base_url)
    monkeypatch.setenv("OPENAI_CHATGPT_AUTH_URL", sim.auth_url)
    monkeypatch.setenv("OPENAI_CHATGPT_TOKEN_FILE", str(token_file))
    (plan,) = entries(EXAMPLES[name])
    async with new_session(plan) as session:
        assert await session.execute("Say hello.")
    (request,) = sim.requests_to("/v1/responses")
    assert request.json["reasoning"]["effort"] == plan["config"]["reasoning_effort"]


def test_the_example_uses_the_matrix_that_is_installed():
    settings = yaml.safe_load(TEXTS["examples/settings.yaml"])
    assert (
        settings["routing"]["matrix"]
        == yaml.safe_load((ROOT / "routing/openai-chatgpt.yaml").read_text(encoding="utf-8"))["name"]
    )


def test_every_example_names_a_source():
    for name, text in EXAMPLES.items():
        document = next(yaml.safe_load_all(text.removeprefix("---\n")))
        first = (document.get("providers") or document["config"]["providers"])[0]
        assert first["source"], name


# Version, packages, site


def test_version_and_changelog_agree():
    headings = re.findall(r"^## \[([\d.]+)\] - (.+)$", TEXTS["CHANGELOG.md"], re.MULTILINE)
    assert len(headings) == TEXTS["CHANGELOG.md"].count("\n## ")
    version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    assert headings[0][0] == version == importlib.metadata.version(package.__name__.replace("_", "-"))
    numbers = [tuple(map(int, number.split("."))) for number, _ in headings]
    assert numbers == sorted(set(numbers), reverse=True)
    released = headings[1:] if headings[0][1] == "not released" else headings
    assert [day for _, day in released if date.fromisoformat(day) > date.today()] == []  # noqa: DTZ011


def test_the_architecture_names_every_package():
    named = set(re.findall(r"^\| `(\w+)` \|", TEXTS["docs/architecture.md"], re.MULTILINE))
    assert named == {path.parent.name for path in SOURCE.glob("*/__init__.py")}


def test_every_page_is_in_the_menu_of_the_site():
    menu = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))["nav"]
    pages = [page for entry in menu for page in (entry if isinstance(entry, str) else "").split()]
    pages += [page for entry in menu if isinstance(entry, dict) for group in entry.values() for page in group]
    assert sorted(pages) == sorted(path.name for path in ROOT.glob("docs/*.md"))


@pytest.mark.parametrize(
    "path", sorted(ROOT.glob(".github/ISSUE_TEMPLATE/*.yml")), ids=lambda path: path.name
)
def test_every_issue_form_asks_for_the_report_of_doctor(path):
    form = yaml.safe_load(path.read_text(encoding="utf-8"))
    if path.name != "config.yml":
        assert "doctor --report" in str(form["body"])
        assert all(field["type"] in {"markdown", "input", "textarea"} for field in form["body"])


def test_the_workflow_runs_the_full_check_on_every_python_that_the_package_names():
    workflow = yaml.safe_load((ROOT / ".github/workflows/check.yml").read_text(encoding="utf-8"))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    named = [line.rsplit(" ", 1)[1] for line in project["classifiers"] if " 3." in line]
    full = workflow["jobs"]["full"]
    assert full["strategy"]["matrix"]["python"] == named
    assert full["steps"][-1]["run"] == "bash .ci/run"
