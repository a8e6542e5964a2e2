"""Answers that are not streams: status × shape of the body × moment, and usage limits in every form."""

import base64
import json
import re
from email.utils import formatdate

import pytest
from amplifier_core.llm_errors import (
    AccessDeniedError,
    AuthenticationError,
    ContentFilterError,
    ContextLengthError,
    InvalidRequestError,
    LLMTimeoutError,
    NotFoundError,
    ProviderUnavailableError,
    QuotaExceededError,
    RateLimitError,
)

from amplifier_module_provider_openai_chatgpt.simulator import Fault
from tests.conftest import MODEL

from .harness import ANSWER, Row, rows, run_retried, run_to_its_error, streamed

SERVER, REFUSED, LIMIT = ProviderUnavailableError, InvalidRequestError, QuotaExceededError
OTHERS = "choose another, such as gpt-6.2-astra, gpt-6.2-sol, gpt-6.1-sol, gpt-6-astra"
PAGE = "See https://chatgpt.com/codex/settings/usage"
WORDS = "It rained in."
SAID = f" The server says: {WORDS}"
REPORT = "start a new conversation, or report this"
UPDATE = "update this provider, or report this"
SIGN_IN = (
    "Run amplifier-openai-chatgpt login: you are not signed in. "
    "The backend refuses even the token that was renewed just now."
)
FAILED = "The ChatGPT backend failed (HTTP {status}): try again in a few minutes."
NO_STREAM = (
    "The backend did not send an event stream (HTTP {status}): try again; if this persists, check base_url."
)
TOO_MANY = "Too many requests in a short time (this is not the usage limit): try again in {wait}."

# status → class, retryable, sentence, whether the server's words follow.
STATUSES = {
    201: (
        SERVER,
        True,
        NO_STREAM.format(status=201),
    ),
    302: (
        SERVER,
        False,
        (
            "The backend answered with a redirect (HTTP 302): check base_url, "
            "and any proxy or login page in between."
        ),
    ),
    400: (REFUSED, False, f"The backend rejects the request as malformed (HTTP 400): {REPORT}."),
    402: (
        LIMIT,
        False,
        (
            "OpenAI asks for payment (HTTP 402): check plan and billing at "
            "https://chatgpt.com/codex/settings/usage."
        ),
    ),
    403: (
        AccessDeniedError,
        False,
        (
            "This ChatGPT account (Plus plan) is not allowed to do this (HTTP 403): a workspace rule "
            "may forbid it, ask its administrator."
        ),
    ),
    404: (
        NotFoundError,
        False,
        f"The backend cannot find this (HTTP 404): check base_url and the model {MODEL}, or {OTHERS}.",
    ),
    405: (
        NotFoundError,
        False,
        "The backend rejects this method at this address (HTTP 405): check base_url.",
    ),
    407: (
        AccessDeniedError,
        False,
        "The proxy requires a sign-in (HTTP 407): put its user name and password into HTTPS_PROXY.",
    ),
    408: (LLMTimeoutError, True, "The backend stopped waiting for the request (HTTP 408): try again."),
    409: (SERVER, True, "The request conflicts with another one at the backend (HTTP 409): try again."),
    410: (
        NotFoundError,
        False,
        f"This ChatGPT account (Plus plan) does not offer the model {MODEL}: {OTHERS}.",
    ),
    413: (
        ContextLengthError,
        False,
        f"The conversation is too long for the model {MODEL}: compact it, or start a new one.",
    ),
    415: (REFUSED, False, f"The backend rejects the request (HTTP 415): {UPDATE}."),
    418: (REFUSED, False, f"The backend rejects the request (HTTP 418): {UPDATE}."),
    422: (REFUSED, False, f"The backend rejects the request as malformed (HTTP 422): {REPORT}."),
    425: (SERVER, True, "The backend was not ready for the request (HTTP 425): try again."),
    426: (REFUSED, False, f"The backend rejects the request (HTTP 426): {UPDATE}."),
    429: (RateLimitError, True, TOO_MANY.format(wait="a moment")),
    451: (
        AccessDeniedError,
        False,
        "OpenAI may not serve this for legal reasons (HTTP 451): nothing on this machine changes that.",
    ),
    **{code: (SERVER, True, FAILED.format(status=code)) for code in (500, 502, 503, 504, 520, 522, 599)},
    529: (
        SERVER,
        True,
        f"The model {MODEL} is overloaded: try again in a few minutes or choose another model.",
    ),
}
UNQUOTED = {302}


def hidden(error):
    return {"x-error-json": base64.b64encode(json.dumps(error).encode()).decode()}


# shape → the answer apart from its status, whether it contains the server's words.
SHAPES: dict[str, tuple[dict, bool]] = {
    "error object": (
        {"body": {"error": {"message": WORDS, "type": "odd", "param": None, "code": None}}},
        True,
    ),
    "error text": ({"body": {"error": WORDS}}, True),
    "detail text": ({"body": {"detail": WORDS}}, True),
    "detail object": ({"body": {"detail": {"message": WORDS}}}, True),
    "detail list": ({"body": {"detail": [{"msg": WORDS, "loc": []}]}}, True),
    "top level": ({"body": {"message": WORDS, "code": "odd"}}, True),
    "wrapped twice": ({"body": {"message": json.dumps({"error": {"message": WORDS}})}}, True),
    "in a header": ({"headers": hidden({"error": {"message": WORDS}})}, True),
    "plain text": ({"body": WORDS}, True),
    "markup in the words": ({"body": {"detail": "<b>It</b> <i>rained</i>\n\t in."}}, True),
    "packed": ({"body": {"detail": WORDS}, "gzip": True}, True),
    "web page": ({"body": "<!doctype html><html><head><title>Oh no</title></head></html>"}, False),
    "nothing": ({}, False),
    "empty object": ({"body": {}}, False),
    "JSON cut off": (
        {"body": b'{"error":{"message":"It rai', "headers": {"content-type": "application/json"}},
        False,
    ),
    "bytes": ({"body": b"\xff\xfe\x00\x01"}, False),
    "wrong types": ({"body": {"error": {"message": {"deep": 1}, "code": 7, "type": [], "param": {}}}}, False),
    "null and numbers": ({"body": [None, 7, {}]}, False),
    "damaged packing": ({"body": b"\x1f\x8bnonsense", "headers": {"content-encoding": "gzip"}}, False),
    "body breaks off": ({"body": b"x" * 90, "cut_after_bytes": 0}, False),
    "body reset": ({"body": b"x" * 90, "cut_after_bytes": 0, "reset": True}, False),
}


def by_status():
    for status, (error, retryable, sentence) in STATUSES.items():
        yield Row(
            name=f"{status}",
            fault=Fault(status=status, body={"error": {"message": WORDS}}),
            error=error,
            says=sentence + ("" if status in UNQUOTED else SAID),
            retryable=retryable,
            status=status,
        )


def by_shape():
    for status in (400, 403, 404, 429, 500):
        error, retryable, sentence = STATUSES[status]
        for shape, (answer, has_words) in SHAPES.items():
            if (status, shape) == (403, "web page"):
                continue
            yield Row(
                name=f"{status} {shape}",
                fault=Fault(status=status, **answer),
                error=error,
                says=sentence + (SAID if has_words else _rest(shape)),
                retryable=retryable,
                status=status,
            )


def _rest(shape):
    return " The server says: It rai" if shape == "JSON cut off" else ""


LONG = "word " * 1_000_000
PASSPORT = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiIxMjM0NTYifQ.c2lnbmF0dXJlLWJ5dGVz"
ODD = [
    Row(
        name="megabytes",
        fault=Fault(status=400, body={"error": {"message": LONG}}),
        error=REFUSED,
        says=f"{STATUSES[400][2]} The server says: {('word ' * 60)[:299].rstrip()}…",
        status=400,
    ),
    Row(
        name="megabytes of text",
        fault=Fault(status=500, body=LONG),
        error=SERVER,
        says=f"{STATUSES[500][2]} The server says: {('word ' * 60)[:299].rstrip()}…",
        retryable=True,
        status=500,
    ),
    Row(
        name="a token in the words",
        fault=Fault(status=500, body={"detail": f"Bearer {PASSPORT} is odd"}),
        error=SERVER,
        says=re.compile(re.escape(f"{STATUSES[500][2]} The server says: ") + r"Bearer (?!eyJ)\S+ is odd"),
        retryable=True,
        status=500,
    ),
    Row(
        name="ids for support",
        fault=Fault(status=502, headers={"x-request-id": "req_1", "cf-ray": "8f-FRA"}),
        error=SERVER,
        says=f"{STATUSES[502][2]} (request id req_1, cf-ray 8f-FRA)",
        retryable=True,
        status=502,
    ),
    Row(
        name="a JSON document with status 200",
        fault=Fault(status=200, body={"hello": "world"}),
        error=SERVER,
        says=NO_STREAM.format(status=200),
        retryable=True,
        status=200,
    ),
    Row(
        name="an error document with status 200",
        fault=Fault(status=200, body={"error": {"code": "context_length_exceeded", "message": WORDS}}),
        error=ContextLengthError,
        says=f"{STATUSES[413][2]}{SAID}",
        status=200,
    ),
    Row(
        name="the login page of a network with status 200",
        fault=Fault(status=200, body="<html><head><title>Welcome to HotelNet</title></head></html>"),
        error=AccessDeniedError,
        says="A web page arrived instead of an answer (HTTP 200): a proxy or firewall probably "
        "blocks ChatGPT.",
        status=200,
    ),
    Row(
        name="no content",
        fault=Fault(status=204),
        error=SERVER,
        says=NO_STREAM.format(status=204),
        retryable=True,
        status=204,
    ),
    Row(
        name="a company's page with status 403",
        fault=Fault(status=403, body="<html>Blocked by Example Corp</html>"),
        error=AccessDeniedError,
        says="A web page arrived instead of an answer (HTTP 403): a proxy or firewall probably "
        "blocks ChatGPT.",
        status=403,
    ),
    *(
        Row(
            name=f"Cloudflare's challenge with status {status}",
            fault=Fault(
                status=status,
                body="<!doctype html><title>Just a moment...</title>",
                headers={"cf-ray": "8f-FRA", **mark},
            ),
            error=SERVER,
            says=f"Cloudflare blocks this connection to ChatGPT (HTTP {status}): "
            "try another network, without VPN or proxy. (cf-ray 8f-FRA)",
            retryable=True,
            attempts=1,
            status=status,
        )
        for status, mark in ((403, {"cf-mitigated": "challenge"}), (503, {}), (429, {}))
    ),
    Row(
        name="an unknown sign-in, always",
        fault=Fault(status=401, body={"detail": "Unauthorized"}),
        error=AuthenticationError,
        says=SIGN_IN,
        attempts=2,
        status=401,
    ),
    Row(
        name="an expired sign-in, always, said in a header",
        fault=Fault(status=401, headers=hidden({"error": {"code": "token_expired"}})),
        error=AuthenticationError,
        says=SIGN_IN,
        attempts=2,
        status=401,
    ),
]


def wait(name, seconds, *, is_retried=True, status=429, **answer):
    return Row(
        name=name,
        fault=Fault(status=status, **answer),
        error=RateLimitError if status == 429 else SERVER,
        says=re.compile(rf".* try again in {seconds}\..*" if status == 429 else ".*"),
        retryable=True,
        attempts=None if is_retried else 1,
        status=status,
    )


WAITS = [
    wait("Retry-After in a moment", "1 s", headers={"Retry-After": "0.01"}),
    wait(
        "Retry-After of an hour is not waited for", "1 h", is_retried=False, headers={"Retry-After": "3600"}
    ),
    wait(
        "Retry-After as a far date is not waited for",
        "366 days",
        is_retried=False,
        headers={"Retry-After": formatdate(4_000_000_000, usegmt=True)},
    ),
    wait("Retry-After as a past date", "a moment", headers={"Retry-After": formatdate(1, usegmt=True)}),
    wait("retry-after-ms", "1 s", headers={"retry-after-ms": "5"}),
    wait("words that name milliseconds", "1 s", body={"detail": "Please try again in 9ms."}),
    wait("words that name hours", "2 h", is_retried=False, body={"detail": "Please try again in 2 hours."}),
    wait("nonsense in Retry-After", "a moment", headers={"Retry-After": "soon"}),
    wait("Retry-After on 503", "", is_retried=False, status=503, headers={"Retry-After": "3600"}),
]

WHEN = r"resets (?:on \d{1,2} [A-Z][a-z]{2}(?: \d{4})? )?at \d\d:\d\d, in"
REACHED = {"type": "usage_limit_reached", "message": "The usage limit has been reached"}


def window(slot, percent, minutes):
    return {
        f"x-codex-{slot}-used-percent": str(percent),
        f"x-codex-{slot}-window-minutes": str(minutes),
        f"x-codex-{slot}-reset-after-seconds": "4000",
    }


def limit(name, says, *, status=429, error=REACHED, headers=None, fault=None):
    return Row(
        name=f"usage limit: {name}",
        fault=fault or Fault(status=status, body={"error": error}, headers=headers or {}),
        error=LIMIT,
        says=re.compile(says + re.escape(f". {PAGE}")),
        status=status,
    )


FIVE_HOURS = window("primary", 100, 300)
PLUS = r"ChatGPT usage limit reached on the Plus plan"
HEADERS = {"X-Codex-Plan-Type": "plus", **FIVE_HOURS}
LIMITS = [
    *(
        limit(
            f"as {status}", rf"{PLUS} \(5-hour window\): {WHEN} 1 h 7 min", status=status, headers=FIVE_HOURS
        )
        for status in (403, 404, 429, 500)
    ),
    limit(
        "the first slot is weekly",
        rf"{PLUS} \(weekly window\): {WHEN} 1 h 7 min",
        headers=window("primary", 100, 10_080),
    ),
    limit(
        "the second of two windows",
        rf"{PLUS} \(weekly window\): {WHEN} 1 h 7 min",
        headers={**window("primary", 40, 300), **window("secondary", 100, 10_080)},
    ),
    limit("its time in the body", rf"{PLUS}: {WHEN} 20 min", error={**REACHED, "resets_in_seconds": 1200}),
    limit("its time in Retry-After", rf"{PLUS}: {WHEN} 20 min", headers={"Retry-After": "1200"}),
    limit("no time at all", rf"{PLUS}: the backend does not say when it resets"),
    limit("over already", rf"{PLUS}: resets any moment now", error={**REACHED, "resets_at": 1_700_000_000}),
    limit(
        "another plan",
        r"ChatGPT usage limit reached on the Team plan: .*",
        error={**REACHED, "plan_type": "team"},
    ),
    limit(
        "in words alone",
        rf"{PLUS}: the backend does not say when it resets",
        error={"message": REACHED["message"]},
    ),
    limit("by its code", rf"{PLUS}: .*", error={"code": "usage_limit_reached"}),
    limit("next to a transient code", rf"{PLUS}: .*", error={**REACHED, "code": "rate_limit_exceeded"}),
    limit(
        "of one model",
        r"ChatGPT usage limit for GPT-5.3-Codex-Spark reached on the Plus plan \(daily window\): .*",
        headers={
            "x-codex-active-limit": "codex_bengalfox",
            "x-codex-bengalfox-limit-name": "GPT-5.3-Codex-Spark",
            "x-codex-bengalfox-primary-used-percent": "100",
            "x-codex-bengalfox-primary-window-minutes": "1440",
        },
    ),
    limit(
        "of a workspace",
        r"Your ChatGPT workspace is out of credits: ask its owner for more",
        headers={"x-codex-rate-limit-reached-type": "workspace_member_credits_depleted"},
    ),
    limit(
        "in the stream",
        rf"{PLUS} \(5-hour window\): {WHEN} 1 h 7 min",
        fault=streamed({"type": "error", "error": REACHED, "status_code": 429, "headers": HEADERS}),
    ),
    limit(
        "in the stream after text",
        rf"{PLUS} \(5-hour window\): {WHEN} 1 h 7 min",
        fault=streamed(
            *ANSWER[:-3], {"type": "error", "error": REACHED, "status_code": 429, "headers": HEADERS}
        ),
    ),
    limit(
        "in the stream, flat",
        rf"{PLUS}: {WHEN} 20 min",
        fault=streamed(
            {
                **REACHED,
                "type": "error",
                "code": "usage_limit_reached",
                "status": 429,
                "resets_in_seconds": 1200,
            }
        ),
    ),
]

CUT = Fault(cut_after_event=12)
EXPIRED = Fault(status=401, body={"error": {"code": "token_expired"}})


def later():
    """The same rules after a first attempt that showed text, or whose token was refused."""
    for status in (400, 403, 404, 413):
        error, retryable, sentence = STATUSES[status]
        for moment, before in (("after text was shown", CUT), ("after a 401", EXPIRED)):
            yield Row(
                name=f"{status} {moment}",
                fault=Fault(status=status, body={"detail": WORDS}),
                before=(before,),
                error=error,
                says=sentence + SAID,
                retryable=retryable,
                status=status,
            )
    yield Row(
        name="500 after text was shown",
        fault=Fault(status=500, body={"detail": WORDS}),
        before=(CUT,),
        attempts=2,
        error=SERVER,
        says=STATUSES[500][2] + SAID,
        retryable=True,
        status=500,
    )
    yield Row(
        name="the content filter after a 401",
        fault=Fault(status=400, body={"error": {"code": "content_filter", "message": WORDS}}),
        before=(EXPIRED,),
        error=ContentFilterError,
        says=f"OpenAI's safety policy stopped this request: rephrase it, or start a new conversation.{SAID}",
        status=400,
    )


PRODUCT = list(by_shape())
TABLE = [*by_status(), *PRODUCT, *ODD, *WAITS, *LIMITS, *later()]


@pytest.mark.parametrize("row", **rows(TABLE, long=PRODUCT[len(SHAPES) :]))
async def test_an_answer_that_is_not_a_stream_is_reported_in_one_sentence(service, settings, row):
    run = await run_to_its_error(service, settings, row)
    if row.before == (CUT,):
        assert run.names()[:3] == ["llm:request", "llm:stream_aborted", "provider:retry"]


@pytest.mark.parametrize(
    "row", **rows((row for row in TABLE if row.is_retried), long=[*PRODUCT, *by_status()])
)
async def test_a_transient_failure_is_retried_and_not_shown(service, settings, row):
    run = await run_retried(service, settings, row)
    assert run.names() == ["llm:request", "provider:retry", "llm:response"]
