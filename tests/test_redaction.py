"""What is removed from payloads and events, and what is kept."""

import base64
import contextlib
import enum
import json
import math
import time
import traceback
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from amplifier_core.message_models import TextBlock
from amplifier_core.testing import MockCoordinator
from hypothesis import given, settings, strategies as st

from amplifier_module_provider_openai_chatgpt.auth.tokens import Tokens
from amplifier_module_provider_openai_chatgpt.errors.refusal import clean
from amplifier_module_provider_openai_chatgpt.redaction import Sealed, for_events, redact, without_secrets
from amplifier_module_provider_openai_chatgpt.secret import REDACTED, Secret
from tests.auth.jwt import jwt

JWT = "eyJhbGciOiJSUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9P"

SECRET_KEYS = [
    "access_token",
    "Refresh_Token",
    "id_token",
    "Authorization",
    "Cookie",
    "set-cookie",
    "ChatGPT-Account-ID",
    "account_id",
    "encrypted_content",
    "code_verifier",
    "user_code",
    "device_auth_id",
    "authorization_code",
    "client_secret",
    "api-key",
    "X-API-Key",
    "password",
    "token",
    "accessToken",
    "refreshToken",
    "idToken",
    "IDToken",
    "accountId",
    "chatgptAccountId",
    "sessionToken",
    "session_key",
    "__Secure-next-auth.session-token",
    "OPENAI_API_KEY",
    "apiKey",
    "clientSecret",
    "userCode",
    "codeVerifier",
    "encryptedContent",
]
KEPT_KEYS = [
    "input_tokens",
    "maxOutputTokens",
    "session_id",
    "prompt_cache_key",
    "token_type",
    "id",
    "author",
]


@pytest.mark.parametrize("key", SECRET_KEYS)
def test_the_value_of_a_secret_key_is_hidden_at_any_depth_and_in_any_spelling(key):
    payload = {"a": [({key: "plain opaque value"},)], "b": {key: {"inner": "plain opaque value"}}}
    assert "opaque" not in json.dumps(redact(payload))
    assert redact({key: "x"}) == {key: REDACTED}


@pytest.mark.parametrize("key", KEPT_KEYS)
def test_the_value_of_an_ordinary_key_is_kept(key):
    assert redact({key: "plain value"}) == {key: "plain value"}


def test_a_secret_in_a_key_is_hidden():
    assert redact({f"x {JWT}": 1}) == {f"x {REDACTED}": 1}


def test_an_empty_secret_stays_visible_as_empty():
    assert redact({"refresh_token": None, "token": ""}) == {"refresh_token": None, "token": ""}


@pytest.mark.parametrize(
    "secret",
    [
        JWT,
        JWT.rsplit(".", 1)[0],
        JWT.partition(".")[0],
        "rt_0123456789abcdef",
        "rt_old-token.part2",
        "sk-proj-0123456789abcdefABCDEF",
        "ac_9f8e7d6c5b4a39281706",
        "gAAAAABoZ0x1c2VjcmV0LWNpcGhlcnRleHQtaGVyZQ==",
        "at-0123456789abcdefghij",
    ],
)
@pytest.mark.parametrize(
    "text", ["{}", "before {} after", "({})", '{{"k": "{}"}}', "https://x/?t={}&u=1", "a={}"]
)
def test_what_looks_like_a_token_is_hidden_inside_text(secret, text):
    cleaned = redact({"note": text.format(secret)})["note"]
    assert secret not in cleaned
    assert secret[-8:] not in cleaned
    assert REDACTED in cleaned


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("Authorization: Bearer opaque123", f"Authorization: Bearer {REDACTED}"),
        ("authorization: bearer abc.def-ghi", f"authorization: Bearer {REDACTED}"),
        ("Cookie: __cf_bm=abc; x=y", f"Cookie: {REDACTED}"),
        ("https://h/auth/callback?code=abc&state=1", f"https://h/auth/callback?code={REDACTED}&state=1"),
        ('{"access_token": "opaque", "n": 1}', f'{{"access_token": "{REDACTED}", "n": 1}}'),
        (r"{\"refresh_token\":\"opaque\"}", rf"{{\"refresh_token\":\"{REDACTED}\"}}"),
        ("user_code=ABCD-EFGHI", f"user_code={REDACTED}"),
        ('{"accessToken":"opaque","n":1}', f'{{"accessToken":"{REDACTED}","n":1}}'),
        ("sessionToken: opaque", f"sessionToken: {REDACTED}"),
    ],
)
def test_secrets_are_hidden_in_headers_addresses_and_nested_json(text, cleaned):
    assert without_secrets(text) == cleaned


@pytest.mark.parametrize(
    "text",
    [
        "resp_68b1c0ffee0123456789abcdef0123456789abcdef",
        "call_abcdefghijklmnopqrstuvwx",
        "0199a1b2-c3d4-7e5f-8a6b-7c8d9e0f1a2b",
        "d7a8fbb307d7809469ca9abcb0082e4f8d5651e46d3cdb762d08d05bb2d3f4c1",
        "Missing bearer token, use Bearer authentication",
        "start_time part_1 chart_of_accounts at-least-once-delivery-of-messages",
        "src/auth/access_token.py reads it",
        "status code=200, exit code: 7",
        "task-sk-1 ask-me-anything-about-this-thing",
    ],
)
def test_ids_hashes_and_ordinary_text_are_kept(text):
    assert redact({"id": text}) == {"id": text}


def test_what_names_the_person_who_is_signed_in_is_hidden_in_every_spelling():
    account, subject = "6f1c2a10-0000-4000-8000-00000000cafe", "google-oauth2|1234"
    claims = {"sub": subject, "https://api.openai.com/profile": {"email": "Ada@example.com"}}
    stored = {"access_token": "opaque.access-1", "refresh_token": "opaque+refresh/1", "account_id": account}
    tokens = Tokens.from_dict({**stored, "id_token": jwt(**claims)})
    text = (
        f"{account.upper()} ada@EXAMPLE.com Ada%40example.com {subject} google-oauth2%7C1234 "
        "opaque.access-1 opaque%2Brefresh%2F1"
    )
    assert set(without_secrets(text).split()) == {REDACTED}
    assert set(redact([text])[0].split()) == {REDACTED}
    assert clean(f"Unknown user {account}.") == f"Unknown user {REDACTED}."
    assert tokens.email == "Ada@example.com"
    del tokens
    assert without_secrets(account) == account


@pytest.mark.parametrize("word", ["access", "refresh_token", "a@b.c"])
def test_a_word_is_never_hidden_as_a_secret(word):
    secret = Secret(word)
    assert without_secrets(f"The {secret.reveal()} failed") == f"The {word} failed"


@pytest.mark.parametrize("length", [8188, 8192, 8200])
def test_no_half_of_a_secret_is_left_where_a_long_text_is_cut(length):
    secret = Secret("6f1c2a10-0000-4000-8000-00000000beef")
    assert "6f1c" not in clean(" " * (length - 20) + secret.reveal(), 10_000)
    assert clean(f"{'字' * 9000}", 10_000) == "字" * 8192


class LibraryError(Exception):
    """Like httpx's: it holds the request, which holds the token."""

    def __init__(self, text):
        super().__init__(text)
        self._request: object = {"authorization": "Bearer opaque"}


def fail_below():
    token = "Bearer opaque-token"
    cause = LibraryError(f"illegal line {token}")
    raise LibraryError("both failed") from ExceptionGroup("both", [OSError(5, "opaque"), cause])


def chain_of(error):
    """Return the error, the group it was raised from, and what is in the group."""
    group = error.__cause__
    return [error, group, *group.exceptions]


def test_what_leaves_a_sealed_block_has_no_frames_no_request_and_no_secret():
    with pytest.raises(LibraryError) as raised, Sealed():
        fail_below()
    error, group, denied, cause = chain_of(raised.value)
    frames = [frame.name for frame in traceback.extract_tb(error.__traceback__)]
    assert frames == ["test_what_leaves_a_sealed_block_has_no_frames_no_request_and_no_secret"]
    assert group.__traceback__ is denied.__traceback__ is cause.__traceback__ is None
    assert error._request is cause._request is None
    assert str(cause) == f"illegal line Bearer {REDACTED}"
    assert denied.args == (5, "opaque")


def test_an_exception_that_was_handled_before_the_block_is_left_alone():
    with pytest.raises(LibraryError) as handled:
        try:
            fail_below()
        finally:
            with contextlib.suppress(KeyError), Sealed():
                raise KeyError
    assert [frame.name for frame in traceback.extract_tb(handled.value.__traceback__)][-1] == "fail_below"
    assert all(one._request for one in chain_of(handled.value) if isinstance(one, LibraryError))


def test_a_block_without_a_failure_changes_nothing():
    with Sealed() as nothing:
        pass
    assert nothing is None


def test_an_inline_image_is_reduced_to_type_and_size():
    picture = base64.b64encode(b"x" * 30_000).decode()
    cleaned = redact({"image_url": f"data:image/png;base64,{picture}"})
    assert cleaned == {"image_url": "[data URL: image/png, 30000 bytes]"}


def test_the_original_is_not_changed():
    payload = {"token": "x", "list": [{"token": "y"}]}
    redact(payload)
    assert payload == {"token": "x", "list": [{"token": "y"}]}


class Colour(enum.Enum):
    RED = "red"


class Unprintable:
    def __str__(self):
        raise RuntimeError


@pytest.mark.parametrize(
    ("value", "copied"),
    [
        ("plain", "plain"),
        ("\ud83d\ude00", "😀"),
        ("half \ud83d", "half �"),
        ("é\u2028", "é\u2028"),
        (math.nan, None),
        (-math.inf, None),
        (2**63, 2**63),
        (-(2**70), "-0x400000000000000000"),
        (True, True),
        (None, None),
        ((1, (2,)), [1, [2]]),
        ({1: "a", (2, 3): "b", None: "c"}, {"1": "a", "(2, 3)": "b", "None": "c"}),
        (Decimal("1.50"), "1.50"),
        (Path("a/b"), "a/b"),
        (datetime(2026, 1, 2, tzinfo=UTC), "2026-01-02 00:00:00+00:00"),
        (ValueError("\udc00"), "�"),
        (b"\xff", "b'\\xff'"),
        (Unprintable(), "[Unprintable]"),
        (TextBlock, str(TextBlock)),
    ],
)
def test_values_that_json_does_not_support_are_replaced(value, copied):
    assert for_events({"x": value}) == {"x": copied}


def test_a_model_is_dumped():
    copied = for_events({"block": TextBlock(text="hello"), "enum": Colour.RED})
    assert copied["block"]["text"] == "hello"
    assert copied["enum"] == "Colour.RED"
    assert redact({"block": TextBlock(text=f"a {JWT}")})["block"]["text"] == f"a {REDACTED}"


def test_circular_and_very_deep_structures_are_cut():
    circle: list = [1]
    circle += [circle, circle, circle]
    assert json.loads(json.dumps(for_events({"circle": circle})))["circle"][0] == 1
    deep: list = []
    for _ in range(5000):
        deep = [deep]
    assert "nested too deep" in json.dumps(redact(deep))


async def test_the_kernel_can_emit_every_copy():
    emitted = []
    hooks = MockCoordinator().hooks

    async def record(event, data):
        emitted.append(data)

    hooks.register("llm:request", record)
    odd: dict[Any, object] = {"nan": math.nan, "half": "\ud83d", ("t", 1): {2: 3}, "big": 10**5000}
    odd |= {"any": object(), "s": {1}}
    await hooks.emit("llm:request", for_events(odd))
    assert emitted[0]["half"] == "�"


def test_redaction_takes_linear_time():
    pieces = [
        "eyJ",
        "Bearer ",
        "rt_",
        "at-",
        "access_token ",
        "sk-",
        "?code=",
        "Cookie:",
        "gAAAA",
        "data:a/b",
    ]
    started = time.process_time()
    for piece in pieces:
        redact(piece * (1_000_000 // len(piece)))
    assert time.process_time() - started < 5


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.tuples(inner)
        | st.dictionaries(st.text(max_size=4) | st.integers(), inner, max_size=3)
    ),
    max_leaves=10,
)


@settings(max_examples=150)
@given(value=VALUES)
def test_every_copy_is_strict_json(value):
    for copied in (redact(value), for_events({"v": value})):
        json.dumps(copied, allow_nan=False, ensure_ascii=False).encode()
