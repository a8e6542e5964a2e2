"""Every failure of a sign-in is one sentence of one kernel class, without anything left to fill in."""

import string

import pytest
from amplifier_core.llm_errors import (
    AuthenticationError,
    ConfigurationError,
    LLMError,
    ProviderUnavailableError,
    RateLimitError,
)

from amplifier_module_provider_openai_chatgpt.auth.failures import (
    RULES,
    Reason,
    SignInError,
    kernel_error,
    translated,
)
from amplifier_module_provider_openai_chatgpt.auth.store import StoreError
from amplifier_module_provider_openai_chatgpt.errors.refusal import Refusal

FROM_REFUSAL = {"status", "code", "ray"}


def needed(reason):
    """The words that the sentence of a reason needs."""
    return {name for _, name, _, _ in string.Formatter().parse(RULES[reason].sentence) if name}


def failure(reason, **refusal):
    words = dict.fromkeys(needed(reason) - FROM_REFUSAL, "Ada")
    return SignInError(reason, Refusal(**refusal) if refusal else None, **words)


@pytest.mark.parametrize("reason", Reason)
def test_every_reason_becomes_one_whole_sentence(reason):
    error = kernel_error(failure(reason, status=500, code="odd_code", message="Said <here>."))
    text = str(error)
    assert isinstance(error, LLMError)
    assert text[0].isupper() or text.startswith("Ada")
    assert "{" not in text
    assert ("The server says: Said <here>." in text) == RULES[reason].quote
    assert error.provider == "openai-chatgpt"
    assert error.retryable == RULES[reason].retryable


@pytest.mark.parametrize("reason", [reason for reason in Reason if not needed(reason) & FROM_REFUSAL])
def test_a_reason_that_names_no_status_needs_no_answer(reason):
    assert "{" not in str(failure(reason))


@pytest.mark.parametrize(
    ("reason", "refusal", "error", "text"),
    [
        (
            Reason.REFUSED,
            {"status": 400, "code": "bad_thing"},
            AuthenticationError,
            "Signing in failed while Ada (HTTP 400, bad_thing): start the sign-in again.",
        ),
        (
            Reason.REFUSED,
            {"status": 400, "code": "bad_thing", "message": "Bad_thing"},
            AuthenticationError,
            "Signing in failed while Ada (HTTP 400, bad_thing): start the sign-in again.",
        ),
        (
            Reason.CHALLENGED,
            {"status": 403, "cf_ray": "r-1"},
            ProviderUnavailableError,
            (
                "Cloudflare blocks the sign-in from this network (cf-ray r-1): "
                "try without VPN or proxy, or from another network."
            ),
        ),
        (
            Reason.RENEWAL_BUSY,
            {"status": 429, "message": "Slow down."},
            RateLimitError,
            (
                "The sign-in could not be renewed just now (HTTP 429 from Ada). You are still signed in: "
                "try again in a moment."
            ),
        ),
    ],
)
def test_the_answer_is_named(reason, refusal, error, text):
    made = kernel_error(failure(reason, **refusal))
    assert type(made) is error
    assert str(made) == text
    assert made.status_code == refusal["status"]


def test_being_signed_out_counts_as_a_401():
    error = kernel_error(SignInError(Reason.SIGNED_OUT))
    assert str(error) == "Run amplifier-openai-chatgpt login: you are not signed in."
    assert error.status_code == 401


def test_a_stores_own_sentence_is_a_configuration_error_with_its_cause():
    with pytest.raises(ConfigurationError, match=r"^The drawer is locked\.$") as raised, translated():
        raise StoreError("The drawer is locked.")
    assert type(raised.value.__cause__) is StoreError


def test_everything_else_passes_through():
    with pytest.raises(KeyError), translated():
        raise KeyError("odd")
