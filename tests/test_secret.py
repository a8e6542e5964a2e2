"""A secret value: what shows it, and what does not."""

import copy
import gc
import json
import logging
import pickle
import threading

import pytest
from rich.pretty import pretty_repr

from amplifier_module_provider_openai_chatgpt.secret import REDACTED, Secret, revealed, spellings_in_use

TEXT = "opaque-text-1"


@pytest.mark.parametrize(
    "show",
    [
        repr,
        str,
        "{}".format,
        "{:>40}".format,
        "{!r}".format,
        lambda secret: "%s" % secret,  # noqa: UP031 - what a logger does
        pretty_repr,
        lambda secret: pretty_repr([{"a": (secret,)}]),
        lambda secret: str([getattr(secret, name) for name in dir(secret) if name != "__hash__"]),
        lambda secret: repr(copy.copy(secret)) + repr(copy.deepcopy([secret])),
        lambda secret: json.dumps({"a": secret}, default=str),
    ],
    ids=range(11),
)
def test_only_reveal_shows_it(show):
    secret = Secret(TEXT)
    assert TEXT not in show(secret)
    assert secret.reveal() == TEXT


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_it_cannot_be_pickled(protocol):
    with pytest.raises(TypeError, match="a secret cannot be pickled"):
        pickle.dumps({"deep": [Secret(TEXT)]}, protocol)


def test_it_has_no_attributes_to_dump():
    with pytest.raises(TypeError):
        vars(Secret(TEXT))


def test_a_log_line_does_not_show_it(caplog):
    logging.getLogger("any").warning("token %s %r", Secret(TEXT), {"a": Secret(TEXT)})
    assert caplog.messages == [f"token {REDACTED} {{'a': {REDACTED}}}"]


def test_it_equals_its_value_and_is_found_by_it():
    secret = Secret(TEXT)
    assert secret == TEXT == secret
    assert secret == Secret(TEXT)
    assert secret != Secret("another")
    assert {secret: 1}[Secret(TEXT)] == 1
    assert secret in {TEXT, "another"}
    assert Secret(TEXT)
    assert not Secret("")
    assert not Secret({})


def test_it_is_in_use_as_long_as_it_exists_also_next_to_an_equal_one():
    first, second = Secret(TEXT), Secret(TEXT)
    assert TEXT in spellings_in_use()
    del first
    gc.collect()
    assert TEXT in spellings_in_use()
    del second
    gc.collect()
    assert TEXT not in spellings_in_use()


def test_threads_may_make_and_drop_secrets_while_others_read_them():
    failures = []

    def work(number):
        try:
            for index in range(500):
                kept = Secret(f"thread-{number}-{index}")
                assert kept.reveal() in spellings_in_use()
        except Exception as error:  # noqa: BLE001 - reported below
            failures.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


def test_fields_are_revealed_for_sending():
    assert revealed({"a": Secret(TEXT), "b": "public", "c": 1}) == {"a": TEXT, "b": "public", "c": 1}
