"""``models --roles``: what each role of Amplifier gets on the list of the subscription."""

import json

import pytest

from amplifier_module_provider_openai_chatgpt.cli.roles import highest
from amplifier_module_provider_openai_chatgpt.simulator import Fault, Simulator

from .terminal import at_terminal, in_own_process, in_pipe

ROLES = [
    *("general", "fast", "coding", "ui-coding", "security-audit", "reasoning", "critique"),
    *("creative", "writing", "research", "vision", "image-gen", "critical-ops"),
]


@pytest.fixture
def sim():
    with Simulator(world="november-2026") as simulator:
        yield simulator


@pytest.fixture(autouse=True)
def _home(home):
    """No matrix is installed, unless a test does it."""


def installed(home, text):
    path = home / ".amplifier" / "routing" / "openai-chatgpt.yaml"
    path.parent.mkdir(parents=True)
    path.write_text(text)
    return path


def roles():
    done = in_pipe("models", "--roles", "--json")
    assert done.exit_code == 0, done.stderr
    return json.loads(done.stdout)


def row_of(screen, role):
    return next(line for line in screen.lines if line.startswith(f"{role} ")).split()


def test_each_role_is_a_row_with_model_effort_and_pattern(service, monkeypatch):
    screen = at_terminal(monkeypatch, 80, "models", "--roles")
    assert screen.code == 0
    assert screen.lines[0].split() == ["role", "model", "effort", "matched", "by"]
    assert [line.split()[0] for line in screen.lines[1:14]] == ROLES
    assert row_of(screen, "general") == ["general", "gpt-6.2-sol", "low*", "gpt-[!5]*-sol"]
    assert row_of(screen, "fast") == ["fast", "gpt-6-luna", "low", "gpt-[!5]*-luna"]
    assert row_of(screen, "critique") == ["critique", "gpt-6.2-astra", "xhigh", "gpt-[!5]*-astra"]
    assert screen.text.endswith("Models: fetched from ChatGPT.")
    assert "amplifier-openai-chatgpt install-routing" in screen.text.replace("\n", " ")


def test_a_process_of_its_own_shows_the_roles(service):
    """Commands share their names with modules, which in this process other tests have imported."""
    screen = in_own_process(80, "models", "--roles")
    assert screen.code == 0, screen.text
    assert row_of(screen, "fast") == ["fast", "gpt-6-luna", "low", "gpt-[!5]*-luna"]


@pytest.mark.parametrize("width", [40, 60, 80, 120])
def test_a_long_id_is_never_split_and_the_rest_keeps_to_the_width(service, monkeypatch, width):
    slug = "gpt-9-" + "sol-" * 20 + "sol"
    service.models.append({"slug": slug, "visibility": "list", "priority": 90})
    screen = at_terminal(monkeypatch, width, "models", "--roles")
    others = [line for line in screen.lines if slug not in line]
    assert len(others) < len(screen.lines)
    assert max(map(len, others)) <= width
    assert slug[:12] in screen.text


def test_the_json_has_what_the_table_shows(service):
    found = roles()
    assert (found["matrix"], found["source"]) == ("packaged", "live")
    assert [role["role"] for role in found["roles"]] == ROLES
    assert found["roles"][1] == {
        "role": "fast",
        "model": "gpt-6-luna",
        "effort": "low",
        "default_effort": False,
        "pattern": "gpt-[!5]*-luna",
        "listed": True,
    }


def test_the_installed_matrix_is_the_one_that_counts(service, home, monkeypatch):
    path = installed(
        home,
        """
        roles:
          general:
            candidates:
              - {provider: anthropic, model: claude-9}
              - {provider: [openai], model: gpt-6-sol}
              - {provider: openai, model: "gpt-6-*", config: {reasoning_effort: none}}
          fast: {candidates: [{provider: openai-chatgpt, model: gpt-6-luna, config: {effort: ultra}}]}
          pinned: {candidates: [{provider: provider-openai-chatgpt, model: gpt-5.5}]}
          newest: {candidates: [{provider: openai-chatgpt, model: latest}]}
          quick: {candidates: [{provider: openai-chatgpt, model: gpt-6-luna-fast}]}
          nothing: {candidates: [{provider: openai-chatgpt, model: "o?"}, 7]}
          empty:
        """,
    )
    found = roles()
    assert found["matrix"] == str(path)
    got = {role["role"]: (role["model"], role["effort"], role["listed"]) for role in found["roles"]}
    assert got == {
        "general": ("gpt-6-sol-fast", "medium", True),
        "fast": ("gpt-6-luna", "max", True),
        "pinned": ("gpt-5.5", None, False),
        "newest": ("gpt-6.2-astra", "low", True),
        "quick": ("gpt-6-luna-fast", "medium", True),
        "nothing": (None, None, False),
        "empty": (None, None, False),
    }
    screen = at_terminal(monkeypatch, 80, "models", "--roles")
    assert row_of(screen, "pinned") == ["pinned", "gpt-5.5", "(not", "listed)", "unknown", "gpt-5.5"]
    assert row_of(screen, "nothing") == ["nothing", "none", "no", "candidate"]
    assert "Matrix: ~/.amplifier/routing/openai-chatgpt.yaml" in screen.lines


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("roles: [", "is not valid YAML"),
        ("\x00", "is not valid YAML"),
        ("[" * 5000, "is not valid YAML"),
        ("", "defines no roles"),
        ("- roles", "defines no roles"),
        ("roles: 7", "defines no roles"),
        (
            "roles: {general: {candidates: [{provider: openai, model: gpt-6-sol, config: {effort: silly}}]}}",
            "silly",
        ),
    ],
    ids=["cut", "null byte", "deep", "empty", "list", "number", "effort"],
)
def test_a_matrix_that_cannot_be_used_is_one_sentence_and_exit_code_1(service, home, text, said):
    installed(home, text)
    done = in_pipe("models", "--roles")
    assert (done.exit_code, done.stdout) == (1, "")
    assert said in done.stderr
    assert done.stderr.startswith("Error: ")


def test_something_else_in_the_place_of_the_matrix_is_reported(service, home):
    (home / ".amplifier" / "routing" / "openai-chatgpt.yaml").mkdir(parents=True)
    done = in_pipe("models", "--roles")
    assert (done.exit_code, done.stdout) == (1, "")
    assert "cannot be read (Is a directory): fix or remove it." in done.stderr


def test_without_a_list_the_built_in_one_is_used_and_named(service, monkeypatch):
    service.misbehave("/codex/models", Fault(status=503), times=None)
    screen = at_terminal(monkeypatch, 80, "models", "--roles")
    assert row_of(screen, "general")[1] == "gpt-6.1-sol"
    assert screen.lines[-1] == "Models: a built-in list; ChatGPT could not be reached."


def test_not_signed_in_is_an_error(service, monkeypatch):
    monkeypatch.setenv("OPENAI_CHATGPT_TOKEN_FILE", "/no/such/file")
    done = in_pipe("models", "--roles")
    assert done.exit_code == 4
    assert "amplifier-openai-chatgpt login" in done.stderr


@pytest.mark.parametrize(
    ("pattern", "ids", "winner"),
    [
        ("gpt-*-sol", ["gpt-9-sol", "gpt-10-sol", "gpt-9.9-sol"], "gpt-10-sol"),
        ("gpt-*", ["gpt-6-sol", "gpt-6-sol-fast"], "gpt-6-sol-fast"),
        ("gpt-*", ["gpt-6-2026-10-02", "gpt-6", "gpt-6-20261002"], "gpt-6"),
        ("GPT-?", ["gpt-6", "gpt-5"], "gpt-6"),
        ("gpt-?", ["gpt-5.5"], None),
    ],
)
def test_the_highest_version_wins(pattern, ids, winner):
    assert highest(pattern, ids) == winner
