"""The command ``install-routing``."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from amplifier_module_provider_openai_chatgpt.cli.install_routing import packaged_matrix

from .terminal import COMMAND, in_own_process, in_pipe

ROOT = Path(__file__).parents[2]


def test_install_routing_puts_the_matrix_where_amplifier_looks(home):
    done = in_pipe("install-routing")
    target = home / ".amplifier/routing/openai-chatgpt.yaml"
    assert done.exit_code == 0
    assert done.stdout == f"Installed: {target}\nTo activate it: amplifier routing use openai-chatgpt\n"
    assert target.read_bytes() == packaged_matrix() == (ROOT / "routing/openai-chatgpt.yaml").read_bytes()
    again = in_pipe("install-routing")
    assert again.exit_code == 0
    assert again.stdout.startswith("Already installed: ")
    assert [item.name for item in target.parent.iterdir()] == [target.name]


def test_a_changed_matrix_is_kept_unless_forced(home):
    target = home / ".amplifier/routing/openai-chatgpt.yaml"
    target.parent.mkdir(parents=True)
    target.write_text("mine")
    kept = in_pipe("install-routing")
    assert kept.exit_code == 1
    assert (
        kept.stderr
        == f"Error: {target} differs from this version's matrix and was kept; --force replaces it.\n"
    )
    assert target.read_text() == "mine"
    forced = in_pipe("install-routing", "--force")
    assert forced.stdout.startswith("Replaced: ")
    assert target.read_bytes() == packaged_matrix()


@pytest.mark.parametrize(("answer", "code", "replaced"), [("y", 0, True), ("n", 1, False)])
def test_it_asks_before_it_replaces_a_changed_matrix(home, answer, code, replaced):
    target = home / ".amplifier/routing/openai-chatgpt.yaml"
    target.parent.mkdir(parents=True)
    target.write_text("mine")

    def reply(terminal, _):
        terminal.wait_for("Replace it?")
        terminal.type(f"{answer}\n")

    screen = in_own_process(120, "install-routing", act=reply)
    assert screen.code == code, screen.text
    assert (target.read_bytes() == packaged_matrix()) is replaced


def test_a_matrix_that_is_a_link_stays_a_link(home, tmp_path):
    target = home / ".amplifier/routing/openai-chatgpt.yaml"
    target.parent.mkdir(parents=True)
    (tmp_path / "dotfiles.yaml").write_text("mine")
    target.symlink_to(tmp_path / "dotfiles.yaml")
    in_pipe("install-routing", "--force")
    assert target.is_symlink()
    assert (tmp_path / "dotfiles.yaml").read_bytes() == packaged_matrix()


def test_a_folder_that_cannot_be_written_is_reported(home):
    home.parent.mkdir(exist_ok=True)
    home.write_text("no folder")
    done = in_pipe("install-routing")
    assert done.exit_code == 1
    assert done.stderr.startswith("Error: The routing matrix could not be installed: ")


@pytest.mark.long
def test_the_matrix_comes_with_an_installed_wheel(tmp_path):
    """Built, unpacked like an installer does, and run outside the clone."""
    uv = os.environ.get("UV")
    build = [uv] if uv else [sys.executable, "-m", "uv"]
    subprocess.run(
        [*build, "build", "--wheel", "--quiet", "--out-dir", str(tmp_path), str(ROOT)],
        check=True,
        timeout=300,
    )
    (wheel,) = tmp_path.glob("*.whl")
    subprocess.run([sys.executable, "-m", "zipfile", "-e", str(wheel), str(tmp_path / "site")], check=True)
    done = subprocess.run(
        [*COMMAND, "install-routing"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path / "site"), "HOME": str(tmp_path / "home")},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    installed = tmp_path / "home/.amplifier/routing/openai-chatgpt.yaml"
    assert installed.read_bytes() == (ROOT / "routing/openai-chatgpt.yaml").read_bytes()
