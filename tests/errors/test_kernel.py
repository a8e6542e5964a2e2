"""Every refusal and failure as the kernel error and the sentence a person gets."""

import json
import socket
import ssl
from datetime import UTC, datetime

import httpx
import pytest
from amplifier_core.llm_errors import (
    AccessDeniedError,
    AuthenticationError,
    ConfigurationError,
    ContentFilterError,
    ContextLengthError,
    InvalidRequestError,
    LLMError,
    LLMTimeoutError,
    NetworkError,
    NotFoundError,
    ProviderUnavailableError,
    QuotaExceededError,
    RateLimitError,
    StreamError,
)

from amplifier_module_provider_openai_chatgpt.errors import kernel as errors, table as verdicts
from amplifier_module_provider_openai_chatgpt.errors.kernel import Phase

NOW = datetime(2026, 9, 21, 11, 52, tzinfo=UTC).timestamp()
MODEL = "gpt-5.5"
JSON = {"content-type": "application/json"}


def answered(status, body=b"", headers=JSON, **told):
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    refusal = errors.read_refusal(status, headers, content, now=NOW)
    return errors.kernel_error(refusal, model=MODEL, now=NOW, tz=UTC, **told)


def streamed(error, **event):
    refusal = errors.read_event_refusal({"type": "error", "error": error, **event}, now=NOW)
    return errors.kernel_error(refusal, model=MODEL, now=NOW, tz=UTC)


CODES = {
    QuotaExceededError: "usage_limit_reached usage_limit_exceeded insufficient_quota quota_exceeded "
    "billing_hard_limit_reached usage_not_included",
    RateLimitError: "rate_limit_exceeded rate_limit_error too_many_requests",
    ProviderUnavailableError: "server_is_overloaded slow_down overloaded overloaded_error flex_unavailable "
    "server_error internal_server_error",
    ContextLengthError: "context_length_exceeded context_window_exceeded request_too_large",
    ContentFilterError: "cyber_policy misalignment_policy_violation bio_policy content_filter "
    "content_policy_violation",
    InvalidRequestError: "invalid_prompt invalid_encrypted_content unsupported_parameter unknown_parameter "
    "unsupported_value invalid_image",
    AuthenticationError: "token_expired token_invalidated token_revoked invalid_token invalid_api_key "
    "authentication_error account_deactivated account_suspended deactivated_workspace",
    NotFoundError: "model_not_found",
    AccessDeniedError: "unsupported_country_region_territory",
}
CLASS_OF = {code: cls for cls, codes in CODES.items() for code in codes.split()}
PASSING = {
    *CODES[RateLimitError].split(),
    *CODES[ProviderUnavailableError].split(),
} - {"flex_unavailable"}


def test_the_table_of_codes_here_and_there_is_the_same():
    assert set(CLASS_OF) == set(verdicts.BY_CODE)


@pytest.mark.parametrize(("code", "cls"), CLASS_OF.items())
@pytest.mark.parametrize("field", ["code", "type"])
@pytest.mark.parametrize("status", [400, 403, 429, 500, None])
def test_a_known_code_decides_whatever_the_status_and_wherever_it_stands(code, cls, field, status):
    error = {field: code.upper(), "message": "Words of the server."}
    got = streamed(error) if status is None else answered(status, {"error": error})
    assert type(got) is cls
    assert got.retryable is (code in PASSING)
    assert got.status_code == status
    assert (got.provider, got.model) == ("openai-chatgpt", MODEL)


STATUSES = {
    200: (ProviderUnavailableError, True),
    301: (ProviderUnavailableError, False),
    307: (ProviderUnavailableError, False),
    400: (InvalidRequestError, False),
    401: (AuthenticationError, False),
    402: (QuotaExceededError, False),
    403: (AccessDeniedError, False),
    404: (NotFoundError, False),
    405: (NotFoundError, False),
    407: (AccessDeniedError, False),
    408: (LLMTimeoutError, True),
    409: (ProviderUnavailableError, True),
    410: (NotFoundError, False),
    413: (ContextLengthError, False),
    415: (InvalidRequestError, False),
    418: (InvalidRequestError, False),
    422: (InvalidRequestError, False),
    425: (ProviderUnavailableError, True),
    426: (InvalidRequestError, False),
    429: (RateLimitError, True),
    451: (AccessDeniedError, False),
    500: (ProviderUnavailableError, True),
    502: (ProviderUnavailableError, True),
    503: (ProviderUnavailableError, True),
    504: (ProviderUnavailableError, True),
    520: (ProviderUnavailableError, True),
    529: (ProviderUnavailableError, True),
    700: (LLMError, False),
}
BODIES = [
    b"",
    b"{}",
    b"not json",
    b"[1, 2]",
    b'{"error":{"message":"It broke."}}',
    b'{"detail":"It broke."}',
    b'{"detail":[{"loc":["body"],"msg":"It broke."}]}',
    b'{"error":7,"detail":{"message":[]}}',
    b'{"error":{"message":"' + b"x" * 500_000 + b'"}}',
    b"\xff" * 100,
]


@pytest.mark.parametrize("status", STATUSES)
@pytest.mark.parametrize("body", BODIES, ids=range(len(BODIES)))
def test_without_a_known_code_the_status_decides_whatever_the_body(status, body):
    cls, retryable = STATUSES[status]
    got = answered(status, body)
    assert (type(got), got.retryable, got.status_code) == (cls, retryable, status)
    assert len(str(got)) < 600
    assert str(got).isprintable()


def test_each_status_that_http_allows_has_a_row():
    for status in range(200, 600):
        assert type(answered(status)) is not LLMError


@pytest.mark.parametrize(
    ("status", "detail", "cls"),
    [
        (400, "Instructions are required", InvalidRequestError),
        (400, "Store must be set to false", InvalidRequestError),
        (400, "Unsupported parameter: safety_identifier", InvalidRequestError),
        (400, "Unknown parameter: 'input[3].namespace'.", InvalidRequestError),
        (400, "No tool output found for function call call_1.", InvalidRequestError),
        (400, "The image data you provided does not represent a valid image.", InvalidRequestError),
        (
            400,
            "Your input exceeds the context window of this model. Please adjust your input",
            ContextLengthError,
        ),
        (400, "This model's maximum context length is 272000 tokens", ContextLengthError),
        (400, "too many tokens", ContextLengthError),
        (400, "Stopped by the content filter", ContentFilterError),
        (400, "Rejected by the safety system", ContentFilterError),
        (400, "Request was blocked", ContentFilterError),
        (
            400,
            "The 'x' model is not supported when using Codex with a ChatGPT account.",
            NotFoundError,
        ),
        (
            400,
            "The 'x' model requires a newer version of Codex. Please upgrade",
            NotFoundError,
        ),
        (404, "Model not found x-free-1p-codexswic-ev3", NotFoundError),
        (404, "The usage limit has been reached", QuotaExceededError),
        (503, "Selected model is at capacity. Please try a different model.", ProviderUnavailableError),
        (500, "The content filter is down", ProviderUnavailableError),
        (401, "The safety of this token was blocked", AuthenticationError),
    ],
)
def test_where_no_code_decides_the_words_do(status, detail, cls):
    for body in ({"detail": detail}, {"error": {"message": detail, "code": None}}):
        assert type(answered(status, body)) is cls


@pytest.mark.parametrize(
    ("error", "cls", "retryable"),
    [
        (None, ProviderUnavailableError, True),
        ({}, ProviderUnavailableError, True),
        ("It broke in some way", ProviderUnavailableError, True),
        ({"code": "never_heard_of"}, ProviderUnavailableError, True),
        ({"code": "engine_rate_limit", "message": "x"}, RateLimitError, True),
        ({"message": "Rate limit reached for gpt-5.5"}, RateLimitError, True),
        ({"message": "Selected model is at capacity."}, ProviderUnavailableError, True),
        ({"message": "exceeds the context window"}, ContextLengthError, False),
        ({"type": "invalid_request_error", "message": "no"}, InvalidRequestError, False),
    ],
)
def test_an_unknown_failure_inside_a_stream_counts_as_passing(error, cls, retryable):
    got = streamed(error)
    assert (type(got), got.retryable, got.status_code) == (cls, retryable, None)


def test_a_usage_limit_is_recognised_beside_another_code_and_on_a_web_servers_status():
    both = {"error": {"code": "rate_limit_exceeded", "type": "usage_limit_reached"}}
    for status in (403, 404, 429, 500):
        assert type(answered(status, both)) is QuotaExceededError


def headers(**windows):
    told = {"x-codex-plan-type": "plus", **JSON}
    for slot, (percent, minutes, reset) in windows.items():
        told[f"x-codex-{slot}-used-percent"] = str(percent)
        told[f"x-codex-{slot}-window-minutes"] = str(minutes)
        told[f"x-codex-{slot}-reset-at"] = str(int(NOW + reset))
    return told


PAGE = "See https://chatgpt.com/codex/settings/usage"


@pytest.mark.parametrize(
    ("error", "told", "sentence"),
    [
        (
            {"plan_type": "plus", "resets_at": NOW + 7980},
            headers(primary=(100, 300, 7980), secondary=(40, 10080, 90000)),
            (
                "ChatGPT usage limit reached on the Plus plan (5-hour window): resets at 14:05, "
                f"in 2 h 13 min. {PAGE}"
            ),
        ),
        (
            {},
            headers(primary=(100, 10080, 200_000)),
            (
                "ChatGPT usage limit reached on the Plus plan (weekly window): resets on 23 Sep "
                f"at 19:25, in 2 days 7 h. {PAGE}"
            ),
        ),
        (
            {},
            headers(primary=(100, 300, 600), secondary=(100, 10080, 3600)),
            (
                "ChatGPT usage limit reached on the Plus plan (weekly window): resets at 12:52, "
                f"in 1 h. {PAGE}"
            ),
        ),
        (
            {"plan_type": "self_serve_business_usage_based", "resets_in_seconds": 45},
            JSON,
            f"ChatGPT usage limit reached on the Business plan: resets at 11:52, in 45 s. {PAGE}",
        ),
        (
            {},
            JSON,
            f"ChatGPT usage limit reached: the backend does not say when it resets. {PAGE}",
        ),
        (
            {"plan_type": "quorum", "resets_at": NOW - 10},
            JSON,
            f"ChatGPT usage limit reached on the quorum plan: resets any moment now. {PAGE}",
        ),
        (
            {"resets_at": "never", "plan_type": ["x"]},
            JSON,
            f"ChatGPT usage limit reached: the backend does not say when it resets. {PAGE}",
        ),
        (
            {"resets_in_seconds": 60},
            {
                "x-codex-active-limit": "codex_bengalfox",
                "x-codex-bengalfox-limit-name": "GPT-5.3-Codex-Spark",
                "x-codex-bengalfox-primary-used-percent": "100",
                "x-codex-bengalfox-primary-window-minutes": "1440",
            },
            (
                "ChatGPT usage limit for GPT-5.3-Codex-Spark reached (daily window): resets at 11:53, "
                f"in 1 min. {PAGE}"
            ),
        ),
        (
            {"plan_type": "team"},
            {"x-codex-rate-limit-reached-type": "workspace_member_credits_depleted"},
            f"Your ChatGPT workspace is out of credits: ask its owner for more. {PAGE}",
        ),
        (
            {"resets_in_seconds": 60},
            {"x-codex-rate-limit-reached-type": "workspace_owner_usage_limit_reached"},
            (
                "Your ChatGPT workspace is at its spend cap: raise it to go on; "
                f"resets at 11:53, in 1 min. {PAGE}"
            ),
        ),
    ],
)
def test_a_usage_limit_tells_plan_window_and_local_reset_time(error, told, sentence):
    body = {"error": {"type": "usage_limit_reached", "message": "The usage limit has been reached", **error}}
    got = answered(429, body, told)
    assert str(got) == sentence
    assert got.retryable is False


def test_a_usage_limit_tells_how_long_to_wait_in_seconds():
    error = {"type": "usage_limit_reached", "resets_at": NOW + 4321}
    assert answered(429, {"error": error}).retry_after == 4321
    assert streamed(error, status_code=429).retry_after == 4321
    assert answered(429, {"error": {"type": "usage_limit_reached"}}).retry_after is None


@pytest.mark.parametrize(
    ("status", "body", "told", "sentence"),
    [
        (
            401,
            {"detail": "Unauthorized"},
            {},
            (
                "The ChatGPT sign-in is no longer accepted: "
                "run `amplifier-openai-chatgpt login` to sign in again."
            ),
        ),
        (
            429,
            {"error": {"message": "Rate limit reached. Please try again in 11.054s."}},
            {},
            (
                "Too many requests in a short time (this is not the usage limit): try again in 12 s. "
                "The server says: Rate limit reached. Please try again in 11.054s."
            ),
        ),
        (500, b"", {}, "The ChatGPT backend failed (HTTP 500): try again in a few minutes."),
        (
            400,
            {"detail": "The 'gpt-5.5' model is not supported when using Codex with a ChatGPT account."},
            {"plan": "free", "alternatives": ["gpt-5.5", "gpt-5.2", "gpt-5.6-sol"]},
            (
                "This ChatGPT account (Free plan) does not offer the model gpt-5.5: choose another, "
                "such as gpt-5.2, gpt-5.6-sol. The server says: The 'gpt-5.5' model is not "
                "supported when using Codex with a ChatGPT account."
            ),
        ),
        (
            404,
            {"detail": "Model not found gpt-5.5"},
            {},
            (
                "This ChatGPT account does not offer the model gpt-5.5: choose one that "
                "`amplifier-openai-chatgpt models` lists. The server says: Model not found gpt-5.5"
            ),
        ),
        (
            400,
            {"detail": "Unsupported parameter: temperature"},
            {"extra_params": {"seed", "temperature"}},
            (
                "The backend rejects 'temperature', which the setting extra_request_params adds: remove it. "
                "The server says: Unsupported parameter: temperature"
            ),
        ),
        (
            400,
            {"detail": "Store must be set to false"},
            {"extra_params": {"store"}},
            (
                "The backend rejects 'store', which the setting extra_request_params adds: remove it. "
                "The server says: Store must be set to false"
            ),
        ),
        (
            400,
            {"detail": "Unsupported parameter: temperature"},
            {"extra_params": {"seed"}},
            (
                "The backend rejects the parameter 'temperature': update this provider, or report this. "
                "The server says: Unsupported parameter: temperature"
            ),
        ),
        (
            400,
            {"error": {"code": "unsupported_value", "param": "reasoning.context", "message": "No."}},
            {},
            (
                "The backend rejects the value of 'reasoning.context': check the settings, or report this. "
                "The server says: No."
            ),
        ),
        (
            429,
            {"error": {"type": "usage_not_included", "message": "x"}},
            {"plan": "free"},
            (
                "This ChatGPT account (Free plan) does not include Codex: a plan that does is needed, "
                "see https://chatgpt.com/explore/plus."
            ),
        ),
        (
            400,
            {"error": {"code": "context_length_exceeded", "message": "Your input is too long."}},
            {},
            (
                "The conversation is too long for the model gpt-5.5: compact it, or start a new one. "
                "The server says: Your input is too long."
            ),
        ),
    ],
)
def test_the_sentence_says_what_happened_and_what_to_do(status, body, told, sentence):
    assert str(answered(status, body, **told)) == sentence


def test_ids_for_support_close_the_sentence():
    got = answered(500, b"", {"x-request-id": "req_1", "cf-ray": "8f-FRA"})
    assert str(got).endswith("in a few minutes. (request id req_1, cf-ray 8f-FRA)")


def test_a_cloudflare_challenge_keeps_the_flag_but_is_not_repeated():
    page = b"<!doctype html><title>Just a moment...</title>"
    challenge = answered(403, page, {"cf-mitigated": "challenge"})
    challenge.__cause__ = errors.read_refusal(403, {"cf-mitigated": "challenge"}, page, now=NOW)
    assert type(challenge) is ProviderUnavailableError
    assert challenge.retryable
    assert not errors.may_be_repeated(challenge)
    assert errors.may_be_repeated(answered(503))
    assert not errors.may_be_repeated(answered(400))
    assert not errors.may_be_repeated(ValueError())


def test_another_web_page_on_403_is_no_challenge():
    assert type(answered(403, b"<html>Blocked by Example Corp</html>", {})) is AccessDeniedError


def test_what_the_backend_said_is_found_behind_its_error():
    refusal = errors.read_refusal(500, {}, b"", now=NOW)
    with pytest.raises(LLMError) as caught:
        raise errors.kernel_error(refusal, model=None, now=NOW) from refusal
    assert errors.refusal_of(caught.value) is refusal
    assert errors.refusal_of(ConfigurationError("x")) is None


def caused(error, *causes):
    inner = error
    for cause in causes:
        inner.__cause__ = cause
        inner = cause
    return error


@pytest.mark.parametrize("phase", list(Phase))
@pytest.mark.parametrize(
    ("error", "cls", "words"),
    [
        (httpx.ConnectTimeout(""), LLMTimeoutError, "raise connect_timeout"),
        (httpx.PoolTimeout(""), LLMTimeoutError, "No free connection"),
        (httpx.WriteTimeout(""), LLMTimeoutError, "stopped taking in"),
        (TimeoutError(), LLMTimeoutError, "came in time"),
        (httpx.LocalProtocolError("Illegal header value b'Bearer secret'"), InvalidRequestError, "base_url"),
        (httpx.InvalidURL("no"), InvalidRequestError, "base_url"),
        (httpx.UnsupportedProtocol("no"), InvalidRequestError, "base_url"),
        (UnicodeEncodeError("ascii", "Bearer secret", 0, 1, "no"), InvalidRequestError, "base_url"),
        (httpx.DecodingError("bad gzip"), StreamError, "damaged"),
    ],
)
def test_some_transport_faults_are_the_same_in_every_phase(error, cls, words, phase):
    got = errors.transport_error(error, model=MODEL, phase=phase)
    assert type(got) is cls
    assert words in str(got)
    assert "secret" not in str(got)
    assert got.retryable is (cls is not InvalidRequestError)


NO_ROUTE = OSError("All connection attempts failed")


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (caused(httpx.ConnectError("x"), socket.gaierror(-2, "Name or service not known")), "looked up"),
        (caused(httpx.ConnectError("x"), NO_ROUTE, ConnectionRefusedError(111, "no")), "refuses connections"),
        (
            caused(httpx.ConnectError("x"), OSError("y"), ExceptionGroup("z", [ConnectionRefusedError()])),
            "refuses connections",
        ),
        (caused(httpx.ConnectError("x"), ssl.SSLCertVerificationError("self-signed")), "machine's clock"),
        (caused(httpx.ConnectError("x"), ssl.SSLError("EOF")), "secure connection"),
        (httpx.ProxyError("407"), "HTTPS_PROXY"),
        (httpx.ConnectError("All connection attempts failed"), "check the network"),
        (httpx.ReadError(""), "broke before an answer"),
        (httpx.WriteError(""), "broke before an answer"),
        (httpx.CloseError(""), "broke before an answer"),
        (httpx.RemoteProtocolError("Server disconnected without sending a response."), "hung up"),
        (OSError("anything"), "check the network"),
    ],
)
def test_a_connection_that_fails_is_a_network_error_before_the_answer_and_a_stream_error_within(error, words):
    for phase in (Phase.CONNECTING, Phase.WAITING):
        early = errors.transport_error(error, model=MODEL, phase=phase)
        assert type(early) is NetworkError
        assert early.retryable
        assert words in str(early)
    late = errors.transport_error(error, model=MODEL, phase=Phase.ANSWERING)
    assert type(late) is StreamError
    assert "middle of the answer" in str(late)


def test_a_file_that_cannot_be_used_is_no_matter_of_the_network():
    denied = PermissionError(13, "Permission denied", "/home/ada/tokens.json")
    got = errors.transport_error(denied, model=MODEL, phase=Phase.CONNECTING)
    assert type(got) is ConfigurationError
    assert "/home/ada/tokens.json cannot be used (Permission denied)" in str(got)


def test_silence_before_and_within_the_answer_is_told_apart():
    texts = {
        str(errors.transport_error(httpx.ReadTimeout(""), model=MODEL, phase=phase, silence=300))
        for phase in Phase
    }
    assert texts == {
        "ChatGPT accepted the request but sent nothing for 5 min: try again, or raise timeout.",
        "ChatGPT sent nothing for 5 min in the middle of its answer: try again.",
    }


async def test_only_transport_faults_are_translated():
    with pytest.raises(StreamError) as caught, errors.translated(MODEL, Phase.ANSWERING):
        raise httpx.ReadError("reset")
    assert isinstance(caught.value.__cause__, httpx.ReadError)
    for other in (AuthenticationError("x"), KeyError("x")):
        with pytest.raises(type(other)), errors.translated(MODEL, Phase.ANSWERING):
            raise other


@pytest.mark.parametrize(
    ("error", "cls", "retryable"),
    [
        (errors.stream_ended_early(MODEL), StreamError, True),
        (errors.garbage_stream(MODEL, 3), StreamError, True),
        (errors.event_too_large(MODEL), StreamError, False),
        (errors.filtered_answer(MODEL), ContentFilterError, False),
        (errors.not_json("/codex/models"), ProviderUnavailableError, True),
        (errors.silent_stream(MODEL, None, began=True), LLMTimeoutError, True),
    ],
)
def test_failures_of_a_stream_have_their_classes(error, cls, retryable):
    assert (type(error), error.retryable, error.provider) == (cls, retryable, "openai-chatgpt")


def test_a_cut_answer_tells_how_far_it_came_and_keeps_it():
    error = errors.stream_ended_early(MODEL, partial="x" * 1234)
    assert str(error) == "ChatGPT's answer was cut off after 1,234 characters: try again."
    assert vars(error)["partial_text"] == "x" * 1234


def test_no_sentence_has_a_hole_in_it_or_shows_markup():
    rows = {*verdicts.BY_CODE.values(), *verdicts.BY_STATUS.values(), *(row for *_, row in verdicts.BY_WORDS)}
    for row in rows:
        said = row.say.format(
            model="m", status=" (HTTP 1)", account="This account", choose="choose", wait="wait"
        )
        assert said[0].isupper()
        assert said.isprintable()
        assert len(said) < 200
