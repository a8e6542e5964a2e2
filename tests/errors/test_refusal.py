"""Reading refusals from answers of any shape."""

import base64
import json
import time
from email.utils import formatdate

import pytest
from hypothesis import given, settings, strategies as st

from amplifier_module_provider_openai_chatgpt.errors.refusal import (
    MAX_MESSAGE_LENGTH,
    Refusal,
    clean,
    is_shape_refusal,
    is_stale_reasoning,
    is_tier_refusal,
    is_version_gate,
    read_event_refusal,
    read_refusal,
)
from amplifier_module_provider_openai_chatgpt.services import CHATGPT_CODEX

NOW = 1_790_000_000.0
JSON = {"content-type": "application/json"}
JWT = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiIxMjM0NTYifQ.c2lnbmF0dXJlLWJ5dGVz"

NAMES = CHATGPT_CODEX.response


def refusal(body, status=400, headers=JSON):
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return read_refusal(status, headers, content, names=NAMES, now=NOW)


@pytest.mark.parametrize(
    ("body", "code", "message"),
    [
        ({"error": {"message": "No.", "type": "T", "param": "p", "code": "Some_Code"}}, "some_code", "No."),
        ({"error": {"message": "No.", "code": None}}, "", "No."),
        ({"error": {"error": {"message": "Inner.", "code": "deep"}}}, "deep", "Inner."),
        ({"error": "invalid_grant", "error_description": "Too old."}, "invalid_grant", "Too old."),
        ({"error": "It broke badly"}, "", "It broke badly"),
        ({"detail": "Store must be set to false"}, "", "Store must be set to false"),
        ({"detail": {"code": "deactivated_workspace"}}, "deactivated_workspace", ""),
        ({"detail": {"message": "No.", "code": "x"}}, "x", "No."),
        (
            {"detail": [{"loc": ["body", "model"], "msg": "Field required"}]},
            "",
            "body.model: Field required",
        ),
        ({"detail": ["one", "two"]}, "", "one; two"),
        ({"code": "flat", "message": "Flat."}, "flat", "Flat."),
        ({"message": '{"error": {"message": "Wrapped."}}'}, "", "Wrapped."),
        (["first", {"message": "second"}], "", "first; second"),
        ("just text", "", "just text"),
        ({"unknown": {"shape": 1}}, "", ""),
        ({"error": 5, "detail": None, "message": ["x", 7]}, "", "x"),
        ({"error": {"message": {"deep": 1}, "code": 42, "type": []}}, "", ""),
        (b"upstream connect error", "", "upstream connect error"),
        (b"", "", ""),
        (b"null", "", "null"),
        (b"{broken", "", ""),
        (b"\xff\xfe\x00\x01", "", ""),
        (b'{"error":{"message":"half \\ud83d pair"}}', "", "half pair"),
        (b"\xef\xbb\xbf" + b'{"detail":"with a BOM"}', "", "with a BOM"),
        (b"[" * 100_000, "", ""),
    ],
)
def test_code_and_message_are_read_from_every_shape_of_body(body, code, message):
    read = refusal(body)
    assert (read.code, read.message) == (code, message)


@pytest.mark.parametrize("size", [100_000, 3_000_000])
def test_a_large_or_truncated_body_gives_a_bounded_message(size):
    whole = json.dumps({"error": {"code": "big", "message": "word " * (size // 5)}}).encode()
    for body in (whole, whole[: size // 2]):
        read = refusal(body)
        assert read.code == "big"
        assert len(read.message) == MAX_MESSAGE_LENGTH
        assert read.message.endswith("…")


def test_an_error_in_a_header_is_read_if_the_body_has_none():
    header = base64.b64encode(b'{"error":{"code":"token_revoked","message":"Gone."}}').decode().rstrip("=")
    read = refusal(b"", 401, {"X-Error-JSON": header})
    assert (read.code, read.message) == ("token_revoked", "Gone.")
    assert refusal(b"", 401, {"x-error-json": "%%%"}).code == ""


def test_ids_for_support_are_kept():
    read = refusal(b"", 500, {"X-OAI-Request-ID": "req_7", "CF-Ray": "8f00-FRA"})
    assert (read.request_id, read.cf_ray) == ("req_7", "8f00-FRA")


@pytest.mark.parametrize(
    ("headers", "message", "seconds"),
    [
        ({"Retry-After": "12"}, "", 12.0),
        ({"Retry-After": "0.5"}, "", 0.5),
        ({"retry-after-ms": "1500", "retry-after": "9"}, "", 1.5),
        ({"retry-after": formatdate(NOW + 90, usegmt=True)}, "", 90.0),
        ({"retry-after": formatdate(NOW - 90, usegmt=True)}, "", 0.0),
        ({"retry-after": "soon"}, "", None),
        ({"retry-after": "-4"}, "", None),
        ({"retry-after": "nan"}, "", None),
        ({"retry-after": "inf"}, "", None),
        ({"retry-after": "9" * 400}, "", None),
        ({"retry-after": "1e300"}, "", 366 * 86400),
        ({}, "Please try again in 11.054s.", 11.054),
        ({}, "Please try again in 250ms.", 0.25),
        ({}, "Try again in 3 seconds", 3.0),
        ({}, "try again in 6m0s", 360.0),
        ({}, "try again in 1h 2m", 3720.0),
        ({}, "try again in two days", None),
    ],
)
def test_the_wait_is_read_from_headers_and_message(headers, message, seconds):
    read = refusal({"error": {"message": message}}, 429, headers)
    assert read.retry_after == (None if seconds is None else pytest.approx(seconds))


PAGE = b"<!DOCTYPE html><html><head><title>%s</title></head><body>secret page</body></html>"


@pytest.mark.parametrize(
    ("status", "headers", "page", "cloudflare"),
    [
        (403, {"cf-mitigated": "challenge"}, PAGE % b"", True),
        (403, {"server": "cloudflare"}, PAGE % b"403", True),
        (403, {}, PAGE % b"Just a moment...", True),
        (403, {}, PAGE % b"Attention Required! | Cloudflare", True),
        (403, {}, PAGE % b"Checking if the site connection is secure", True),
        (503, {}, PAGE % b"Just a moment...", True),
        (403, {}, PAGE % b"Blocked by the company", False),
        (502, {"server": "cloudflare"}, PAGE % b"502 Bad gateway", False),
        (403, {"server": "cloudflare"}, b'{"detail":"Forbidden"}', False),
        (403, {}, b'{"detail":"Just a moment"}', False),
    ],
)
def test_a_cloudflare_challenge_is_distinguished_from_other_web_pages(status, headers, page, cloudflare):
    read = refusal(page, status, headers)
    assert read.cloudflare is cloudflare
    assert read.html is page.startswith(b"<")
    assert "secret page" not in str(read)


def test_a_usage_limit_has_plan_windows_and_reset_time():
    headers = {
        "X-Codex-Plan-Type": "plus",
        "X-Codex-Primary-Used-Percent": "100",
        "X-Codex-Primary-Window-Minutes": "300",
        "set-cookie": "a=b",
    }
    read = refusal({"error": {"type": "usage_limit_reached", "resets_in_seconds": 60}}, 429, headers)
    assert (read.kind, read.plan, read.resets_at) == ("usage_limit_reached", "plus", NOW + 60)
    assert read.quota is not None
    assert [window.name for window in read.quota.windows] == ["5-hour"]
    assert set(read.headers) == {
        "x-codex-plan-type",
        "x-codex-primary-used-percent",
        "x-codex-primary-window-minutes",
    }


@pytest.mark.parametrize(
    ("event", "status", "code", "message"),
    [
        ({"type": "response.failed", "response": {"error": {"code": "A", "message": "m"}}}, None, "a", "m"),
        ({"type": "response.failed", "response": {"error": None}}, None, "", ""),
        ({"type": "response.failed", "response": None, "error": {"code": "b"}}, None, "b", ""),
        ({"type": "response.failed", "response": {"error": "broke down here"}}, None, "", "broke down here"),
        ({"type": "error", "error": {"code": "c", "message": "m"}, "status_code": 429}, 429, "c", "m"),
        ({"type": "error", "error": {"code": "c"}, "status": "503"}, 503, "c", ""),
        ({"type": "error", "code": "d", "message": "flat"}, None, "d", "flat"),
        ({"type": "error", "error": "words only here"}, None, "", "words only here"),
        ({"type": "error", "message": '{"detail": "half \ud83d"}'}, None, "", "half"),
        ({"type": "error", "status": True, "error": []}, None, "", ""),
        ({"type": "error", "status": 200}, None, "", ""),
        ({"type": "error"}, None, "", ""),
    ],
)
def test_failures_in_a_stream_are_read_nested_and_flat(event, status, code, message):
    read = read_event_refusal(event, names=NAMES, now=NOW)
    assert (read.status, read.code, read.message, read.kind) == (status, code, message, "")


def test_headers_in_an_event_may_have_values_of_any_type():
    event = {
        "type": "error",
        "error": {"type": "usage_limit_reached", "resets_at": NOW + 5},
        "headers": {
            "X-Codex-Active-Limit": "premium",
            "X-Codex-Primary-Used-Percent": 100,
            "X-Codex-Primary-Window-Minutes": ["300"],
            "X-Codex-Credits-Has-Credits": False,
            "X-Codex-Credits-Unlimited": "False",
        },
    }
    read = read_event_refusal(event, names=NAMES, now=NOW)
    assert read.quota is not None
    assert read.quota.credits is not None
    assert read.quota.windows[0].minutes == 300


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("a\x1b[31m\r\nb\u202ec", "a [31m b c"),
        ("<p>Some <b>bold</b> page</p>", "Some bold page"),
        ("1 < 2 and 3 > 2", "1 < 2 and 3 > 2"),
        (f"token {JWT} here", "token [REDACTED] here"),
        ("Authorization: Bearer abc123def", "Authorization: Bearer [REDACTED]"),
        (None, ""),
        (7, ""),
    ],
)
def test_server_text_is_reduced_to_one_safe_line(text, cleaned):
    assert clean(text) == cleaned


def test_no_secret_reaches_the_text_of_a_refusal():
    body = {"error": {"message": f"bad {JWT}", "code": "rt_secret_token_1", "type": JWT, "param": JWT}}
    read = refusal(body, 401, {"x-request-id": f"Bearer {JWT}", "authorization": JWT})
    shown = f"{read!s}{read!r}{read.request_id}{read.param}{read.headers}"
    assert JWT not in shown
    assert "rt_secret_token_1" not in shown


CHECKS = (is_stale_reasoning, is_version_gate, is_shape_refusal, is_tier_refusal)


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (400, {"error": {"code": "invalid_encrypted_content"}}, {is_stale_reasoning}),
        (404, {"error": {"message": "Item with id 'rs_1' not found."}}, {is_stale_reasoning}),
        (400, {"detail": "The encrypted content gAAA…= could not be verified."}, {is_stale_reasoning}),
        (400, {"detail": "Request blocked."}, {is_stale_reasoning}),
        (400, {"detail": "The 'x' model requires a newer version of Codex. Please"}, {is_version_gate}),
        (404, {"detail": "Model not found x-free-1p"}, {is_shape_refusal}),
        (
            400,
            {"error": {"message": "X-OpenAI-Internal-Codex-Responses-Lite requires `y`"}},
            {is_shape_refusal},
        ),
        (400, {"detail": "Unsupported parameter: service_tier"}, {is_tier_refusal}),
        (400, {"error": {"message": "no", "param": "service_tier"}}, {is_tier_refusal}),
        (503, {"error": {"message": "no service_tier"}}, set()),
        (400, {"detail": "Unsupported parameter: safety_identifier"}, set()),
        (403, {"error": {"message": "Request blocked.", "code": "policy"}}, set()),
        (404, {"detail": "Not Found"}, set()),
    ],
)
def test_each_check_is_true_only_for_its_own_refusals(status, body, expected):
    read = refusal(body, status)
    assert {check for check in CHECKS if check(read)} == expected


def test_reading_takes_linear_time():
    nasty = [b"<a" * 200_000, b"eyJ" * 100_000, b"Bearer " * 50_000, b'{"a":' * 60_000, b"at-" * 100_000]
    started = time.process_time()
    for body in nasty:
        refusal(body, 400, {})
    assert time.process_time() - started < 2.0


JSONS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["error", "detail", "message", "code", "type", "param", "loc", "msg", "headers", "x"]
            ),
            inner,
            max_size=5,
        )
    ),
    max_leaves=12,
)
HEADERS = st.dictionaries(
    st.sampled_from(
        [
            "retry-after",
            "retry-after-ms",
            "x-error-json",
            "content-type",
            "cf-ray",
            "x-codex-primary-used-percent",
            "x-codex-primary-reset-at",
            "x-codex-active-limit",
        ]
    ),
    st.text(max_size=12) | st.floats().map(str),
    max_size=4,
)


@settings(max_examples=100)
@given(body=st.binary(max_size=200) | JSONS.map(lambda value: json.dumps(value).encode()), headers=HEADERS)
def test_every_answer_can_be_read(body, headers):
    assert isinstance(read_refusal(500, headers, body, names=NAMES, now=NOW), Refusal)


@settings(max_examples=100)
@given(
    event=st.dictionaries(
        st.sampled_from(["error", "response", "status", "status_code", "headers", "code", "message"]),
        JSONS,
        max_size=6,
    )
)
def test_every_event_can_be_read(event):
    read = read_event_refusal({"type": "error", **event}, names=NAMES, now=NOW)
    assert read.message.isprintable()
    assert len(str(read)) < 600
