"""One id per conversation: kept over turns and resume, new for forks and sub-agents."""

import time
import uuid

import pytest

from amplifier_module_provider_openai_chatgpt.protocol.conversation import (
    METADATA_KEY,
    MOST_REMEMBERED,
    find_conversation,
    uuid7,
)

from ..request.conversations import answered, call_for, items_of, request, user


def after(call, *, words: str = "so") -> list[dict]:
    """The messages of the next request; the answer carries the metadata of the call."""
    return [user(), {"role": "assistant", "content": words, "metadata": call.metadata()}, user("more")]


def test_an_id_is_a_uuid7_of_now():
    made = uuid.UUID(uuid7())

    assert (made.version, made.variant) == (7, uuid.RFC_4122)
    assert abs((made.int >> 80) - time.time() * 1000) < 60_000
    assert len({uuid7() for _ in range(1000)}) == 1000


def test_the_id_is_sent_as_cache_key():
    call = call_for(request(user()))

    assert call.payload()["prompt_cache_key"] == call.conversation_id


def test_a_resumed_session_keeps_its_id_by_its_metadata_alone():
    first = call_for(request(user()))
    second = call_for(request(*after(first)))
    third = call_for(
        request(*after(first), {"role": "assistant", "content": "", "metadata": {"x": 1}}, user())
    )

    assert second.conversation_id == third.conversation_id == first.conversation_id


def test_a_running_process_keeps_the_id_without_metadata():
    remembered: dict[str, str] = {}
    first, second = (call_for(request(user(words)), remembered=remembered) for words in "ab")

    assert first.conversation_id == second.conversation_id


@pytest.mark.parametrize("options", [{"session_id": "session-2"}, {"session_id": None}])
def test_a_fork_or_sub_agent_gets_an_id_of_its_own_and_keeps_it(options):
    parent = call_for(request(user()))
    fork = call_for(request(*after(parent)), **options)
    later = call_for(request(*after(parent), *after(fork)), **options)
    back = call_for(request(*after(parent), *after(fork)))

    assert fork.conversation_id != parent.conversation_id
    assert later.conversation.of == fork.conversation.of
    assert later.conversation_id == fork.conversation_id
    assert back.conversation_id == parent.conversation_id


def test_the_conversation_id_of_the_request_takes_precedence_over_the_session():
    ids = [call_for(request(user(), conversation_id=name)).conversation.of for name in ("a", "b")]

    assert ids == ["a", "b"]


def test_without_id_or_session_the_first_messages_identify_the_conversation():
    remembered: dict[str, str] = {}

    def conversation(*messages):
        return find_conversation(request(*messages), None, remembered)

    assert conversation(user("a")) == conversation(user("a"), user("b"))
    assert conversation(user("a")) != conversation(user("b"))


@pytest.mark.parametrize(
    "metadata",
    [
        {METADATA_KEY: {"id": "x\r\nevil: 1", "of": "session-1"}},
        {METADATA_KEY: {"id": str(uuid.uuid4()), "of": "session-1"}},
        {METADATA_KEY: {"id": 7, "of": "session-1"}},
        {METADATA_KEY: "text"},
        {METADATA_KEY: {"of": "session-1"}},
    ],
)
def test_invalid_metadata_is_ignored(metadata):
    call = call_for(request(user(), {"role": "assistant", "content": "so", "metadata": metadata}, user()))

    assert uuid.UUID(call.conversation_id).version == 7


def test_memory_is_bounded_and_keeps_the_newest():
    remembered: dict[str, str] = {}
    for number in range(MOST_REMEMBERED + 5):
        find_conversation(request(user()), f"session-{number}", remembered)

    assert len(remembered) == MOST_REMEMBERED
    assert f"session-{MOST_REMEMBERED + 4}" in remembered


def test_a_refusal_of_reasoning_is_recorded_for_later_turns():
    call = call_for(request(user()))

    assert "reasoning" not in call.metadata()[METADATA_KEY]
    assert call.without_reasoning().metadata()[METADATA_KEY]["reasoning"] == "refused"
    assert items_of(*after(call))[1] == answered("so")
