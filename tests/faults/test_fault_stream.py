"""Streams that fail: every failure code in each form of event, cuts after each event, garbage."""

import re
import zlib

import pytest
from amplifier_core.llm_errors import (
    AccessDeniedError,
    AuthenticationError,
    ContentFilterError,
    ContextLengthError,
    InvalidRequestError,
    NetworkError,
    NotFoundError,
    ProviderUnavailableError,
    QuotaExceededError,
    RateLimitError,
    StreamError,
)

from amplifier_module_provider_openai_chatgpt.errors.table import BY_CODE
from amplifier_module_provider_openai_chatgpt.services import CHATGPT_CODEX
from amplifier_module_provider_openai_chatgpt.simulator import HARMLESS, Fault
from amplifier_module_provider_openai_chatgpt.simulator.framings import no_deltas
from amplifier_module_provider_openai_chatgpt.simulator.stream import encode
from tests.conftest import MODEL

from .harness import ANSWER, TEXT, Row, rows, run_retried, run_to_its_error, streamed

SIGN_IN = "Run amplifier-openai-chatgpt login: the ChatGPT sign-in is no longer accepted."
OTHERS = "choose another, such as gpt-6.2-astra, gpt-6.2-sol, gpt-6.1-sol, gpt-6-astra"
WORDS = "It rained in."
SAID = f" The server says: {WORDS}"

_LIMIT = (
    QuotaExceededError,
    False,
    (
        "ChatGPT usage limit reached on the Plus plan: the backend does not say when it resets. "
        "See https://chatgpt.com/codex/settings/usage"
    ),
)
_CREDITS = (
    QuotaExceededError,
    False,
    (
        "The quota of this ChatGPT account is used up: check plan and billing at "
        f"https://chatgpt.com/codex/settings/usage.{SAID}"
    ),
)
_TOO_MANY = (
    RateLimitError,
    True,
    f"Too many requests in a short time (this is not the usage limit): try again in a moment.{SAID}",
)
_BUSY = (
    ProviderUnavailableError,
    True,
    f"The model {MODEL} is overloaded: try again in a few minutes or choose another model." + SAID,
)
_SERVER = (
    ProviderUnavailableError,
    True,
    f"The ChatGPT backend failed: try again in a few minutes.{SAID}",
)
_CONTEXT = (
    ContextLengthError,
    False,
    f"The conversation is too long for the model {MODEL}: compact it, or start a new one.{SAID}",
)
_POLICY = (
    ContentFilterError,
    False,
    f"OpenAI's safety policy stopped this request: rephrase it, or start a new conversation.{SAID}",
)
_SIGNED_OUT = (AuthenticationError, False, SIGN_IN)
_ACCOUNT = (
    AuthenticationError,
    False,
    f"This ChatGPT account or workspace is no longer active: sign in with another one.{SAID}",
)
_PARAMETER = (
    InvalidRequestError,
    False,
    "The backend rejects a parameter of the request: check extra_request_params, or report this." + SAID,
)
_SPEND_LIMIT = (
    QuotaExceededError,
    False,
    (
        "The spend limit of this organization or project is reached: ask its owner to raise it, see "
        f"https://chatgpt.com/codex/settings/usage.{SAID}"
    ),
)
_FLEX = (
    ProviderUnavailableError,
    False,
    f"The flex tier has no capacity for the model {MODEL}: remove service_tier.{SAID}",
)
# code → class, retryable, sentence; all codes that are known, and one that is not.
CODES = {
    "usage_limit_reached": _LIMIT,
    "usage_limit_exceeded": _LIMIT,
    "insufficient_quota": _CREDITS,
    "quota_exceeded": _CREDITS,
    "billing_hard_limit_reached": _CREDITS,
    "credit_balance_exhausted": (
        QuotaExceededError,
        False,
        (
            "The credits of this ChatGPT account are used up: add credits at "
            f"https://chatgpt.com/codex/settings/usage.{SAID}"
        ),
    ),
    "organization_spend_limit_exceeded": _SPEND_LIMIT,
    "project_spend_limit_exceeded": _SPEND_LIMIT,
    "usage_not_included": (
        QuotaExceededError,
        False,
        (
            "This ChatGPT account (Plus plan) does not include Codex: you need a plan that does, see "
            "https://chatgpt.com/explore/plus."
        ),
    ),
    "rate_limit_exceeded": _TOO_MANY,
    "rate_limit_error": _TOO_MANY,
    "too_many_requests": _TOO_MANY,
    "server_is_overloaded": _BUSY,
    "slow_down": _BUSY,
    "overloaded": _BUSY,
    "overloaded_error": _BUSY,
    "flex_unavailable": _FLEX,
    "flex_capacity_exceeded": _FLEX,
    "server_error": _SERVER,
    "internal_server_error": _SERVER,
    "context_length_exceeded": _CONTEXT,
    "context_window_exceeded": _CONTEXT,
    "request_too_large": _CONTEXT,
    "string_above_max_length": (
        ContextLengthError,
        False,
        (
            "A message or tool result is longer than the backend accepts: "
            f"compact the conversation, or start a new one.{SAID}"
        ),
    ),
    "cyber_policy": _POLICY,
    "misalignment_policy_violation": _POLICY,
    "bio_policy": _POLICY,
    "content_filter": _POLICY,
    "content_policy_violation": _POLICY,
    "invalid_prompt": (
        InvalidRequestError,
        False,
        f"The backend rejects this prompt: rephrase it, or start a new conversation.{SAID}",
    ),
    "invalid_encrypted_content": (
        InvalidRequestError,
        False,
        "The backend cannot read the reasoning kept from earlier in this conversation: start a new one."
        + SAID,
    ),
    "token_expired": _SIGNED_OUT,
    "token_invalidated": _SIGNED_OUT,
    "token_revoked": _SIGNED_OUT,
    "invalid_token": _SIGNED_OUT,
    "invalid_api_key": _SIGNED_OUT,
    "authentication_error": _SIGNED_OUT,
    "account_deactivated": _ACCOUNT,
    "account_suspended": _ACCOUNT,
    "deactivated_workspace": _ACCOUNT,
    "model_not_found": (
        NotFoundError,
        False,
        f"This ChatGPT account (Plus plan) does not offer the model {MODEL}: {OTHERS}.{SAID}",
    ),
    "unsupported_country_region_territory": (
        AccessDeniedError,
        False,
        "OpenAI does not serve the country or region this request came from: try without VPN or proxy."
        + SAID,
    ),
    "unsupported_parameter": _PARAMETER,
    "unknown_parameter": _PARAMETER,
    "unsupported_value": _PARAMETER,
    "invalid_image": (
        InvalidRequestError,
        False,
        f"An image in this conversation cannot be read: send it again as PNG or JPEG.{SAID}",
    ),
    "never_heard_of": _SERVER,
}


def failed(error):
    return {"type": "response.failed", "response": {"id": "resp_x", "status": "failed", "error": error}}


def nested(error):
    return {"type": "error", "error": error}


def flat(error):
    return {**error, "type": "error"}


EVENT_FORMS = (failed, nested, flat)


def test_every_known_code_has_its_row_here():
    assert set(CODES) - {"never_heard_of"} == {*BY_CODE, *CHATGPT_CODEX.rules}


def by_code():
    """Each code once, in one of the three forms, alternately before the answer and after its text."""
    for number, (code, (error, retryable, sentence)) in enumerate(CODES.items()):
        form = EVENT_FORMS[number % 3]
        shown = ANSWER[:12] if number % 2 else []
        yield Row(
            name=f"{code} as {form.__name__}{' after text' if shown else ''}",
            fault=streamed(*shown, form({"code": code, "message": WORDS})),
            error=error,
            says=sentence,
            retryable=retryable,
            # In its own form, with a client version, and for the successor of the default model.
            attempts=3 if code == "model_not_found" else None,
        )


def odd(name, event, cause=_SERVER, status=None, said=SAID):
    error, retryable, sentence = cause
    return Row(
        name=name,
        fault=streamed(event),
        error=error,
        says=sentence.removesuffix(SAID) + said,
        retryable=retryable,
        status=status,
    )


SERVER_500 = (
    ProviderUnavailableError,
    True,
    "The ChatGPT backend failed (HTTP 500): try again in a few minutes.",
)
ODD = [
    odd("no error object", {"type": "response.failed", "response": {"error": None}}, said=""),
    odd("no response", {"type": "response.failed"}, said=""),
    odd("a response of the wrong type", {"type": "response.failed", "response": [7]}, said=""),
    odd("an error of the wrong type", {"type": "response.failed", "response": {"error": 7}}, said=""),
    odd("an error that is text", {"type": "error", "error": WORDS}),
    odd("an error without anything", {"type": "error"}, said=""),
    odd("all of the wrong type", {"type": "error", "error": {"code": 7, "message": [], "type": {}}}, said=""),
    odd("a proxy's error without a type", {"error": {"message": WORDS}}),
    odd("a status next to it", nested({"message": WORDS}) | {"status_code": 500}, SERVER_500, 500),
    odd("a status as text", nested({"message": WORDS}) | {"status": "500"}, SERVER_500, 500),
    odd("a status that is none", nested({"message": WORDS}) | {"status_code": [500]}),
    odd(
        "a transient limit in words",
        nested({"message": "Rate limit reached"}),
        _TOO_MANY,
        said=" The server says: Rate limit reached",
    ),
    odd(
        "a malformed request",
        failed({"type": "invalid_request_error", "message": WORDS}),
        (
            InvalidRequestError,
            False,
            "The backend rejects the request as malformed: start a new conversation, or report this." + SAID,
        ),
    ),
    odd(
        "megabytes of words",
        failed({"message": "word " * 1_000_000}),
        said=f" The server says: {('word ' * 60)[:299].rstrip()}…",
    ),
    Row(
        name="a wait of hours in its words",
        fault=streamed(failed({"code": "rate_limit_exceeded", "message": "Please try again in 3h."})),
        error=RateLimitError,
        says="Too many requests in a short time (this is not the usage limit): try again in 3 h. "
        "The server says: Please try again in 3h.",
        retryable=True,
        attempts=1,
    ),
    Row(
        name="a wait of milliseconds in its words",
        fault=streamed(failed({"code": "rate_limit_exceeded", "message": "Please try again in 11ms."})),
        error=RateLimitError,
        says="Too many requests in a short time (this is not the usage limit): try again in 1 s. "
        "The server says: Please try again in 11ms.",
        retryable=True,
    ),
    Row(
        name="the content filter leaves nothing",
        fault=streamed(
            *ANSWER[:2],
            {"type": "response.incomplete", "response": {"incomplete_details": {"reason": "content_filter"}}},
        ),
        error=ContentFilterError,
        says="OpenAI's content filter withheld the whole answer: rephrase the request.",
    ),
]


def shown_after(count):
    """Count the characters of the answer in its first events."""
    deltas = [event for event in ANSWER[:count] if event["type"] == "response.output_text.delta"]
    return sum(len(event["delta"]) for event in deltas)


def cut_off(count):
    length = shown_after(count)
    came = f"after {length} characters" if length else "before any text arrived"
    return f"ChatGPT's answer was cut off {came}: try again."


BEFORE = "The server closed the connection before it answered: try again."
WITHIN = "The connection to ChatGPT broke in the middle of the answer: try again."
CAUSE = " Cause: peer closed connection without sending complete message body (incomplete chunked read)"


def cuts():
    """The connection breaks after each event, or the stream ends properly after it."""
    for count in range(len(ANSWER)):
        yield Row(
            name=f"cut after event {count}",
            fault=Fault(cut_after_event=count),
            error=StreamError if count else NetworkError,
            says=(WITHIN if count else BEFORE) + CAUSE,
            retryable=True,
        )
        yield Row(
            name=f"end after event {count}",
            fault=Fault(end_after_event=count),
            error=StreamError,
            says=cut_off(count),
            retryable=True,
        )
    yield Row(name="cut after the last event", fault=Fault(cut_after_event=len(ANSWER)))


FRAMES = [encode(event) for event in ANSWER]
UMLAUT = b"".join(FRAMES).index("ü".encode()) + 1
GARBAGE = b"data: not json\n\n"


def no_stream(count):
    what = f"{count} unreadable event{'s' if count > 1 else ''}"
    return f"ChatGPT's answer was not an event stream ({what}): try again, and check base_url and any proxy."


def garbage(name, *pieces, says, **fault):
    return Row(name=name, fault=Fault(pieces=pieces, **fault), error=StreamError, says=says, retryable=True)


def broken_deltas(frames):
    """End each delta in the middle of a character."""
    return [
        frame.replace(b'","obfuscation', b'\xc3","obfuscation') if b".delta" in frame else frame
        for frame in frames
    ]


def with_garbage(frames):
    """Put something that is not an event before each event."""
    garbage_lines = [
        b"data: [1, 2]\n\n",
        b"data: {\n\n",
        b"data: \xff\xfe\n\n",
        b'data: {"type":7}\n\n',
        b"\0\0\n",
        b"data:\n\n",
    ]
    return [
        piece
        for number, frame in enumerate(frames)
        for piece in (garbage_lines[number % len(garbage_lines)], frame)
    ]


def half_pairs(frames):
    """Send one character beyond the BMP as two halves in two deltas."""
    halves = [
        b'data: {"type":"response.output_text.delta","item_id":"m","output_index":1,"delta":"%s"}\n\n' % half
        for half in (b"\\ud83c", b"\\udf27")
    ]
    return [*frames[:-3], *halves, *frames[-3:]]


READING = [
    garbage("one line of garbage", GARBAGE, says=no_stream(1)),
    garbage("nothing but garbage", *[GARBAGE] * 5, says=no_stream(5)),
    garbage("garbage and the end marker", GARBAGE, b"data: [DONE]\n\n", says=no_stream(1)),
    garbage("only half a character", b'data: {"type":"response.created","x":"\xc3\n\n', says=no_stream(1)),
    garbage("text that is no stream", b"Hello, I am a proxy.\n", says=cut_off(0)),
    garbage("binary", bytes(range(256)) * 100, says=cut_off(0)),
    garbage("nothing at all", says=cut_off(0)),
    garbage("the end marker alone", b"data: [DONE]\n\n", says=cut_off(0)),
    garbage("strangers only", b'data: {"type":"some.news"}\n\n', says=cut_off(0)),
    garbage("garbage after text", *FRAMES[:-3], GARBAGE, says=cut_off(len(ANSWER) - 3)),
    garbage(
        "no gzip at all",
        b"\x1f\x8bgarbage",
        headers={"content-encoding": "gzip"},
        says="ChatGPT's answer arrived damaged: try again.",
    ),
    garbage(
        "gzip that turns to garbage",
        zlib.compressobj(wbits=31).compress(b"".join(FRAMES)) + b"\xff" * 50,
        headers={"content-encoding": "gzip"},
        says="ChatGPT's answer arrived damaged: try again.",
    ),
    Row(
        name="cut within gzip",
        fault=Fault(gzip=True, cut_after_bytes=400),
        error=StreamError,
        says=WITHIN + CAUSE,
        retryable=True,
    ),
    Row(
        name="cut within a character",
        fault=Fault(cut_after_bytes=UMLAUT),
        error=StreamError,
        says=WITHIN + CAUSE,
        retryable=True,
    ),
    Row(
        name="cut within the first event",
        fault=Fault(cut_after_bytes=20),
        error=NetworkError,
        says=BEFORE + CAUSE,
        retryable=True,
    ),
    Row(
        name="end within a character",
        fault=Fault(pieces=(b"".join(FRAMES)[:UMLAUT],)),
        error=StreamError,
        says=re.compile("ChatGPT's answer was cut off after \\d+ characters: try again."),
        retryable=True,
    ),
    Row(name="packed", fault=Fault(gzip=True)),
    Row(name="packed, byte by byte", fault=Fault(gzip=True, piece_size=1)),
    Row(name="byte by byte", fault=Fault(piece_size=1)),
    Row(name="garbage between all events", fault=Fault(framing=with_garbage)),
    Row(name="half characters in all deltas", fault=Fault(framing=broken_deltas)),
    Row(name="half a pair in each of two deltas", fault=Fault(framing=half_pairs)),
    Row(name="no deltas", fault=Fault(framing=no_deltas)),
    Row(name="the connection stays open behind the last event", fault=Fault(stall_after_event=len(ANSWER))),
    *(Row(name=f"written with {name}", fault=Fault(framing=framing)) for name, framing in HARMLESS.items()),
]

CODED, CUTS = list(by_code()), list(cuts())
TABLE = [*CODED, *ODD, *CUTS, *READING]
# The default run shows each sentence once.
ONCE = {row.says: row.name for row in CODED}
AGAIN = [row for row in CODED if row.name not in ONCE.values()]


@pytest.mark.parametrize("row", **rows(TABLE, long=[*AGAIN, *CUTS[2::3]]))
async def test_a_stream_that_fails_is_reported_in_one_sentence(service, settings, row):
    run = await run_to_its_error(service, settings, row)
    partial = getattr(run.error, "partial_text", None)
    if type(run.error) is StreamError and "characters" in str(run.error):
        assert partial
        assert TEXT.startswith(partial)


@pytest.mark.parametrize(
    "row", **rows((row for row in TABLE if row.is_retried), long=[*CODED, *ODD, *CUTS[::3], *CUTS[1::3]])
)
async def test_a_stream_that_fails_once_is_retried_and_shown_from_its_first_block(service, settings, row):
    run = await run_retried(service, settings, row)
    names = run.names()
    assert names in (
        ["llm:request", "provider:retry", "llm:response"],
        ["llm:request", "llm:stream_aborted", "provider:retry", "llm:response"],
    )
    shows_text = row.fault.cut_after_event or row.fault.end_after_event or 0
    if shows_text > 12 or " after text" in row.name:
        assert "llm:stream_aborted" in names
