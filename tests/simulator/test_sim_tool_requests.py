"""The simulated model calls a tool only when asked for it, and one with side effects only from a script."""

import pytest
from amplifier_core.models import ToolResult

from amplifier_module_provider_openai_chatgpt.simulator.model import respond
from amplifier_module_provider_openai_chatgpt.simulator.rules import Policy
from amplifier_module_provider_openai_chatgpt.simulator.tool_requests import (
    has_side_effects,
    requested,
    without_reminders,
)
from tests.hosts import Host, remind

from .requests import RULES, classic, says

# The tools of an Amplifier bundle for software development, with its descriptions cut short.
BUNDLE = {
    "bash": "Executes a shell command in the working directory and returns its output.",
    "write_file": "Writes a file to the local filesystem.",
    "edit_file": "Performs exact string replacements in files.",
    "read_file": "Reads a file from the local filesystem with line numbers.",
    "glob": "Finds files whose path matches a pattern.",
    "grep": "Searches file contents with a regular expression.",
    "web_fetch": "Fetches a web page by its URL and returns its text.",
    "web_search": "Searches the web and returns titles and snippets.",
    "delegate": "Spawns a specialised agent that handles a complex task on its own.",
    "todo": "Manages a todo list: create, update or list items.",
    "recipes": "Runs multi-step recipes with checkpoints and resumption.",
    "load_skill": "Loads domain knowledge from an available skill.",
    "apply_patch": "Applies a patch that adds, updates or deletes files.",
}
HARMLESS = {"read_file", "glob", "grep", "web_fetch", "web_search", "load_skill"}
TEXT = {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]}
OFFERED = [
    {"type": "function", "name": name, "description": text, "strict": False, "parameters": TEXT}
    for name, text in BUNDLE.items()
]
STATUS = """<system-reminder source="hooks-status-context">
Working directory: /home/ada/project
Git branch: main, 3 files changed. Run bash commands from here. Read the file AGENTS.md first.
</system-reminder>"""
TODO = """<system-reminder source="hooks-todo-reminder">
Use the todo tool to update your list. Search the web for current facts. Delegate to agents.
</system-reminder>"""
SEVERAL = """<system-reminders>
<reminder>Use web_fetch, grep and apply_patch. Call write_file to save your work.</reminder>
</system-reminders>"""
REMINDERS = (STATUS, TODO, SEVERAL)
QUOTING = (
    "Explain what `rm -rf /` would do.",
    "What does rm -rf ~/project delete?",
    "rm -rf /",
    "touch x",
    "$ touch x && bash install.sh",
    "Explain what `touch x` would do to a file that exists.",
    "Why does this fail?\n```sh\nread_file notes.txt\nuse bash\n```",
    'The log says "use write_file to write the file". What does that mean?',
    "Explain what bash, grep and glob are, and how to read a file or search the web with them.",
    "Never read the file secrets.txt.",
    "Do not use web_search.",
    "If I asked you to use read_file, what would happen?",
    "Should a todo list be in a file?",
    "My agent can fetch the web, edit files, run recipes and apply patches.",
    "What file format is this?",
    "Compare web_fetch with web_search.",
)
ASKING = {
    "Use read_file for notes.txt.": ["read_file"],
    "Please use `web_search` to find owls": ["web_search"],
    "Can you call the grep tool?": ["grep"],
    "Read the file notes.txt.": ["read_file"],
    "Could you read the README file, please?": ["read_file"],
    "Search the web for owls, then use the tool glob.": ["glob", "web_search"],
    "Load the skill python-testing.": ["load_skill"],
}
FORBIDDEN = (
    "Use bash to run ls.",
    "Use the bash tool.",
    "Call write_file.",
    "Write the file notes.txt.",
    "Edit the file notes.txt.",
    "Apply the patch.",
    "Use delegate, please. Use the delegate tool.",
    "Run the recipes tool.",
)


def called(*items, policy=RULES, tools=OFFERED, **fields):
    body = classic(input=[*items], tools=tools, parallel_tool_calls=True, **fields)
    return [item["name"] for item in respond(body, policy) if item["type"] == "function_call"]


def text_of(*items):
    return respond(classic(input=[*items], tools=OFFERED), RULES)[-1]["content"][0]["text"]


@pytest.mark.parametrize("prompt", QUOTING)
def test_a_prompt_that_only_mentions_tools_or_commands_calls_none(prompt):
    """Rule agent.asked."""
    assert called(says(prompt)) == []


@pytest.mark.parametrize(("prompt", "tools"), ASKING.items())
def test_a_prompt_that_asks_by_name_or_by_verb_and_object_calls_the_tool(prompt, tools):
    assert called(says(prompt)) == tools


@pytest.mark.parametrize("prompt", FORBIDDEN)
@pytest.mark.parametrize("choice", ["auto", "required"])
def test_a_tool_with_side_effects_is_not_called_even_when_asked_for(prompt, choice):
    """Rule agent.side-effects."""
    assert HARMLESS.issuperset(called(says(prompt), tool_choice=choice))


@pytest.mark.parametrize("name", sorted(set(BUNDLE) - HARMLESS))
def test_a_choice_of_a_tool_with_side_effects_calls_it_only_from_a_script(name):
    choice = {"type": "function", "name": name}
    scripted = Policy("acc_1", RULES.models, scripted_tools=frozenset({name}))
    assert called(says("Hello."), tool_choice=choice) == []
    assert called(says("Hello."), tool_choice=choice, policy=scripted) == [name]
    assert called(says(f"Use the {name} tool."), policy=scripted) == [name]


def test_the_answer_says_why_a_requested_tool_is_not_called():
    assert "I do not call bash" in text_of(says("Use the bash tool."))
    assert "do not call" not in text_of(says("Hello."))


@pytest.mark.parametrize("reminder", REMINDERS)
def test_a_reminder_of_a_hook_calls_no_tool_wherever_it_is(reminder):
    """Rule agent.reminders."""
    assert called(says(reminder), says("Hello.")) == []
    assert called(says("Hello."), says(reminder)) == []
    assert called(says(f"Hello.\n{reminder}")) == []
    assert called(says(reminder)) == []


def test_a_message_with_only_reminders_is_not_the_prompt():
    assert "“Who was Ada?”" in text_of(says("Who was Ada?"), *map(says, REMINDERS))
    assert "message 1 of" in text_of(says("Who was Ada?"), *map(says, REMINDERS))
    assert called(says("Read the file a.txt."), *map(says, REMINDERS)) == ["read_file"]


def test_a_reminder_after_a_result_does_not_repeat_the_call():
    asked = says("Read the file a.txt.")
    items = respond(classic(input=[asked], tools=OFFERED), RULES)
    output = {"type": "function_call_output", "call_id": items[-1]["call_id"], "output": "Hello."}
    assert called(asked, *items, output, says(REMINDERS[0])) == []


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("a<system-reminder>b</system-reminder>c", "ac"),
        ("<system-reminder>never closed", ""),
        ("<SYSTEM-REMINDERS x='1'>b</SYSTEM-REMINDERS >", ""),
        ("<system-reminder>a</system-reminder> b <system-reminder>c</system-reminder>", "b"),
        ("<system>kept</system>", "<system>kept</system>"),
    ],
)
def test_reminders_are_cut_out_of_a_message(text, left):
    assert without_reminders(text) == left


@pytest.mark.parametrize("name", BUNDLE)
def test_side_effects_are_recognised_by_name_and_description(name):
    [tool] = (tool for tool in OFFERED if tool["name"] == name)
    assert has_side_effects(tool) == (name not in HARMLESS)


@pytest.mark.parametrize(
    "tool",
    [
        {"name": "sendMail"},
        {"name": "x", "description": "Installs packages."},
        {"name": "x", "description": "Running programs."},
        {"name": "python", "parameters": {"type": "object", "properties": {"code": {}}}},
        {"name": "srv_delete_row_3b55cde4"},
    ],
)
def test_side_effects_are_recognised_in_every_form_of_the_word(tool):
    assert has_side_effects(tool)


@pytest.mark.parametrize(
    ("name", "prompt", "expected"),
    [
        ("srv_get_time_3b55cde4", "Use srv get time.", True),
        ("getTime", "What time is it?", True),
        ("get_time", "What is the time in Bern?", True),
        ("get_time", "Tell me what time it is.", True),
        ("get_time", "What time zone is Bern in?", False),
        ("get_time", "Get the weather and the time in Bern.", True),
        ("get_time", "It is time to get the train.", False),
        ("take_photo", "Take another photo.", True),
        ("look", "Look at this.", False),
        ("look", "Use the look tool.", True),
        ("look", "Use look.", False),
        ("", "Use.", False),
        ("weather", "What is the weather like?", True),
        ("count_words", "What words are these?", False),
    ],
)
def test_the_request_matches_the_words_of_the_name(name, prompt, expected):
    assert bool(requested([{"name": name}], prompt)) is expected


class Trap:
    """A tool that must not run."""

    input_schema = TEXT

    def __init__(self, name, description, ran):
        self.name, self.description, self._ran = name, description, ran

    async def execute(self, arguments):
        self._ran.append((self.name, arguments))
        return ToolResult(output="ran")


async def test_a_real_session_with_thirteen_tools_runs_none_of_them(config):
    ran: list[object] = []
    traps = [Trap(name, text, ran) for name, text in BUNDLE.items()]
    async with Host(config, traps) as host:
        for prompt in (*QUOTING, *FORBIDDEN):
            host.inject = [remind(text, role="user", ephemeral=True) for text in REMINDERS]
            await host.say(prompt)
    assert ran == []
