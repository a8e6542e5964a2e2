"""The proof of who began a sign-in is computed as RFC 7636 has it."""

from amplifier_module_provider_openai_chatgpt.auth.pkce import challenge_of, random_text
from amplifier_module_provider_openai_chatgpt.secret import Secret


def test_the_challenge_is_that_of_the_standards_example():
    """RFC 7636, appendix B."""
    verifier = Secret("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk")
    assert challenge_of(verifier) == "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"


def test_random_texts_are_new_and_fit_an_address():
    texts = {random_text(32) for _ in range(100)}
    assert len(texts) == 100
    assert {len(text) for text in texts} == {43}
    assert all(text.replace("-", "").replace("_", "").isalnum() for text in texts)
