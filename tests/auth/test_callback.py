"""What the callback server makes of a request, without a socket; ``test_browser`` goes through real ones."""

import pytest

from amplifier_module_provider_openai_chatgpt.auth.callback import Callback
from amplifier_module_provider_openai_chatgpt.auth.failures import Reason, SignInError
from amplifier_module_provider_openai_chatgpt.services import CHATGPT_CODEX

PATH = CHATGPT_CODEX.issuer.redirect_path


@pytest.fixture
async def callback():
    return Callback("right", CHATGPT_CODEX.issuer)


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        ("error=access_denied", Reason.BROWSER_ERROR),
        ("error=access_denied&error_description=x+missing_codex_entitlement", Reason.NO_CODEX),
        ("error=server_error&code=ac_1", Reason.BROWSER_ERROR),
        ("", Reason.CODE_MISSING),
        ("code=", Reason.CODE_MISSING),
    ],
)
async def test_a_callback_without_a_code_is_a_failure_with_a_reason(callback, query, reason):
    assert callback.take(f"state=right&{query}") == ""
    with pytest.raises(SignInError) as raised:
        await callback.code
    assert raised.value.reason is reason


async def test_the_first_code_is_kept(callback):
    assert callback.take("state=right&code=first") == ""
    assert callback.take("state=right&code=second") == ""
    assert callback.take("state=right&error=access_denied") == ""
    assert await callback.code == "first"


@pytest.mark.parametrize("state", ["", "state=", "state=wrong", "state=right&state=wrong", "state=%ff"])
async def test_without_the_right_state_nothing_is_taken(callback, state):
    assert "does not belong" in callback.take(f"{state}&code=stolen")
    assert not callback.code.done()


async def test_a_page_waits_for_the_end_of_the_sign_in_and_the_first_end_counts(callback):
    callback.farewell("Signed in", "Done.")
    callback.farewell("Sign-in ended", "Late.")
    assert await callback.page(f"{PATH}?state=right&code=a") == (200, "Signed in", "Done.")


async def test_cancelling_and_other_paths(callback):
    assert (await callback.page("/favicon.ico"))[0] == 404
    assert (await callback.page(""))[0] == 404
    assert not callback.code.done()
    assert (await callback.page("/cancel"))[0] == 200
    with pytest.raises(SignInError) as raised:
        await callback.code
    assert raised.value.reason is Reason.CANCELLED


def test_the_redirect_uri_is_the_registered_one():
    assert CHATGPT_CODEX.issuer.redirect_ports == (1455, 1457)


async def test_the_redirect_uri_names_the_port_in_use(callback):
    callback.port = 1457
    assert callback.redirect_uri == "http://localhost:1457/auth/callback"
