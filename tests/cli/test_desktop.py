"""What a machine offers for a sign-in: a browser in front of the person, the clipboard of the terminal."""

import base64

import pytest

from amplifier_module_provider_openai_chatgpt.cli.desktop import can_open_pages, copy_sequence, is_desktop


@pytest.mark.parametrize(
    ("environ", "platform", "expected"),
    [
        ({}, "linux", False),
        ({"DISPLAY": ":0"}, "linux", True),
        ({"WAYLAND_DISPLAY": "wayland-0"}, "linux", True),
        ({"DISPLAY": ""}, "linux", False),
        ({"DISPLAY": "localhost:10.0", "SSH_CONNECTION": "a b c d"}, "linux", False),
        ({}, "darwin", True),
        ({"SSH_TTY": "/dev/ttys001"}, "darwin", False),
        ({}, "win32", True),
        ({"SSH_CLIENT": "a b c"}, "win32", False),
    ],
)
def test_a_desktop_has_a_screen_and_is_not_reached_over_ssh(environ, platform, expected):
    assert is_desktop(environ, platform) == expected


@pytest.mark.parametrize(
    ("browser", "environ", "expected"),
    [
        ("true", {"BROWSER": "true", "SSH_TTY": "/dev/pts/0"}, True),
        ("true", {"DISPLAY": ":0"}, True),
        ("true", {}, False),
        ("w3m", {"BROWSER": "w3m"}, False),
        ("links", {"DISPLAY": ":0"}, False),
    ],
)
def test_a_page_is_opened_only_where_that_leaves_the_terminal_alone(
    monkeypatch, tmp_path, browser, environ, expected
):
    program = tmp_path / browser
    program.write_text("#!/bin/sh\n")
    program.chmod(0o700)
    monkeypatch.setattr("webbrowser._tryorder", None)
    monkeypatch.setattr("webbrowser._browsers", {})
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("BROWSER", browser)
    assert can_open_pages(environ, "linux") == expected


@pytest.mark.parametrize("term", ["xterm-256color", "tmux-256color", "screen"])
def test_a_terminal_is_asked_to_copy_the_code(term):
    sequence = copy_sequence("ABCD-1234", {"TERM": term})
    assert sequence.startswith("\x1b]52;c;")
    assert base64.b64decode(sequence[7:-1]) == b"ABCD-1234"


@pytest.mark.parametrize("environ", [{}, {"TERM": "dumb"}, {"TERM": "linux"}])
def test_a_terminal_that_would_print_the_sequence_does_not_get_it(environ):
    assert copy_sequence("ABCD-1234", environ) == ""
