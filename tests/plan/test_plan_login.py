"""``login()`` of a provider in the plan mode, as a host calls it."""

import threading

import pytest

from tests.browser import browse, callback_ports
from tests.event_recorder import ask

pytestmark = pytest.mark.world("plan")


async def test_a_host_signs_in_with_lines_that_it_shows(sim, plan, in_use, tmp_path):
    new = tmp_path / "new.json"
    places = {"token_file_path": new, "host_file_path": f"{new}.host"}
    provider = in_use({**plan, **places, "app_name": "Ada's host"})
    shown: list[str] = []

    def show(line):
        shown.append(line)
        if line.startswith(sim.auth_url):
            threading.Thread(target=browse, args=(line,)).start()

    with callback_ports():
        assert await provider.login(show)
    assert not [line for line in shown if "\n" in line]
    assert "This app uses your ChatGPT plan from now on." in shown[-2]
    assert provider.auth_status() == "authenticated"
    assert (await provider.complete(ask())).text
    asked = next(one for one in sim.requests if one.path.endswith("/authorize"))
    assert asked.query["agent_name_hint"] == "Ada's host"
    assert {"new.json", "new.json.host"} <= {path.name for path in tmp_path.iterdir()}
