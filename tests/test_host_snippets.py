"""Every settings and bundle snippet of the documents, loaded as a host does: by its source."""

import asyncio
import json
import os
import re
import shutil
import sys
from pathlib import Path

import pytest
import yaml

from tests.conftest import write_tokens

ROOT = Path(__file__).parents[1]
PACKAGE = "amplifier_module_provider_openai_chatgpt"
CHILD = Path(__file__).with_name("snippet_child.py")
DOCUMENTS = [ROOT / "README.md", *sorted(ROOT.glob("docs/*.md"))]
# The path of a clone, or the address of the repository; the tests use a clone of their own.
SOURCE = re.compile(r"/\S+|git\+\S+")


def snippets():
    """Yield the name and the content of every example with a provider."""
    for path in DOCUMENTS:
        blocks = re.findall(r"^```yaml\n(.*?)^```$", path.read_text(), re.MULTILINE | re.DOTALL)
        yield from ((f"{path.name}, {number}", block) for number, block in enumerate(blocks, 1))
    for path in sorted(ROOT.glob("examples/*")):
        yield path.name, path.read_text().removeprefix("---\n").split("\n---\n")[0]


def provider_entries(content):
    """Return the provider entries of settings or of a bundle, as hosts put them into a mount plan."""
    found = content.get("providers") or (content.get("config") or {}).get("providers") or []
    return [{("instance_id" if key == "id" else key): value for key, value in one.items()} for one in found]


LOADED = {name: yaml.safe_load(text) for name, text in snippets() if "provider-openai-chatgpt" in text}


def _of_plan(name):
    return any(
        (one.get("config") or {}).get("auth_mode") == "chatgpt_plan" for one in provider_entries(LOADED[name])
    )


def _in_its_world(name):
    """Return the parameter of a snippet; those of other documents than hosts.md take long."""
    marks = [] if name.startswith("hosts") else [pytest.mark.long]
    return pytest.param(name, marks=[*marks, pytest.mark.world("plan")] if _of_plan(name) else marks)


@pytest.fixture
def clone(tmp_path):
    """A clone of the repository, elsewhere than the package that the tests have installed."""
    shutil.copytree(
        ROOT / PACKAGE, tmp_path / "clone" / PACKAGE, ignore=shutil.ignore_patterns("__pycache__")
    )
    return tmp_path / "clone"


def test_there_are_snippets_of_both_kinds():
    kinds = {"settings" if "config" in content else "bundle" for content in LOADED.values()}
    assert kinds == {"settings", "bundle"}
    assert {"hosts.md, 1", "hosts.md, 2"} <= set(LOADED)


@pytest.mark.parametrize("name", LOADED)
def test_each_snippet_names_a_source_and_a_bundle_what_it_builds_on(name):
    first, *_ = provider_entries(LOADED[name])
    assert SOURCE.fullmatch(first["source"])
    if "config" not in LOADED[name] and "bundle" in LOADED[name]:
        assert LOADED[name]["includes"], "the loop and the context come from another bundle"


@pytest.mark.parametrize("name", [_in_its_world(name) for name in LOADED])
async def test_each_snippet_alone_mounts_the_provider_of_its_source_and_answers(name, sim, token_file, clone):
    if _of_plan(name):
        write_tokens(token_file, sim.connect())
    entries = provider_entries(LOADED[name])
    for entry in entries:
        if "source" in entry:
            entry["source"] = str(clone)
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, str(CHILD), json.dumps(entries)),
        cwd=clone.parent,
        env={
            **os.environ,
            "OPENAI_CHATGPT_BASE_URL": sim.base_url,
            "OPENAI_CHATGPT_AUTH_URL": sim.auth_url,
            "OPENAI_CHATGPT_TOKEN_FILE": str(token_file),
        },
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await child.communicate()
    assert child.returncode == 0, err.decode()
    result = json.loads(out)
    assert [Path(file).is_relative_to(clone) for file in result["files"]] == [True] * len(entries)
    assert result["answer"]
