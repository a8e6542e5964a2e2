"""Images: what is sent, and what becomes a note in the history or an error in the newest message."""

import base64
import json

import pytest
from amplifier_core.llm_errors import InvalidRequestError

from amplifier_module_provider_openai_chatgpt.protocol.items import LINKED_IMAGE, REFUSED_IMAGE
from amplifier_module_provider_openai_chatgpt.request import images as limits
from amplifier_module_provider_openai_chatgpt.request.binary import IMAGE_TYPES, is_complete, kind_of

from .conversations import (
    assistant,
    call_for,
    calls,
    image,
    items_of,
    payload_of,
    request,
    said,
    text,
    tool,
    user,
)
from .pictures import GIF, HEIC, HTML, JPEG, PDF, SVG, UNKNOWN, WAV, WEBP, b64, png

PNG = b64(png())
SECRET = b64(b"SECRET" * 20)
KINDS = {"image/png": png(), "image/gif": GIF, "image/webp": WEBP, "image/jpeg": JPEG}
LINK = {"type": "image", "source": {"type": "url", "url": "https://example.com/a.png?x=1"}}
FEED = (assistant(calls("c1")), tool("c1"))


def shown(data: bytes = b"", media_type: str = "image/png") -> dict:
    return {"type": "input_image", "image_url": f"data:{media_type};base64,{b64(data or png())}"}


def asks(source: dict) -> dict:
    return {"role": "user", "content": [{"type": "image", "source": source}]}


def sent(source: dict) -> list[dict]:
    parts: list[dict] = items_of(asks(source))[0]["content"]
    return parts


@pytest.mark.parametrize("media_type", KINDS)
@pytest.mark.parametrize("declared", ["image/png", "image/svg+xml", "application/octet-stream", "", None, 7])
def test_the_media_type_is_taken_from_the_data(media_type, declared):
    source = {"type": "base64", "media_type": declared, "data": b64(KINDS[media_type])}

    assert sent(source) == [shown(KINDS[media_type], media_type)]


SPELLINGS: dict[str, dict] = {
    "a parameter in the type": {"media_type": "image/png; charset=binary", "data": PNG},
    "upper case": {"media_type": "IMAGE/PNG", "data": PNG},
    "no type": {"data": PNG},
    "MCP's name of the type": {"mimeType": "image/png", "data": PNG},
    "no padding": {"media_type": "image/png", "data": PNG.rstrip("=")},
    "line breaks": {"media_type": "image/png", "data": base64.encodebytes(png()).decode()},
    "CRLF and spaces around": {"media_type": "image/png", "data": f" {PNG[:40]}\r\n{PNG[40:]}\r\n"},
    "the urlsafe alphabet": {"media_type": "image/png", "data": base64.urlsafe_b64encode(png()).decode()},
    "a data URL as data": {"media_type": "image/png", "data": f"data:image/png;base64,{PNG}"},
    "a data URL": {"type": "url", "url": f"data:image/png;base64,{PNG}"},
    "a data URL with a parameter": {"image_url": {"url": f"data:image/png;name=a;base64,{PNG}"}},
    "a data URL in upper case": {"image_url": f"DATA:IMAGE/PNG;BASE64,{PNG}"},
    "a data URL without a type": {"image_url": f"data:;base64,{PNG}"},
    "bytes": {"media_type": "image/png", "data": png()},
}


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_the_spelling_of_an_image_does_not_matter(spelling):
    assert sent(SPELLINGS[spelling]) == [shown()]


UNUSABLE = {
    "SVG": (SVG, "not a PNG, JPEG, GIF or WebP image (image/svg+xml, 95 bytes)"),
    "an HTML page named PNG": (HTML, "not a PNG, JPEG, GIF or WebP image (a web page, "),
    "HEIC": (HEIC, "not a PNG, JPEG, GIF or WebP image (image/heic, 112 bytes)"),
    "audio": (WAV, "not a PNG, JPEG, GIF or WebP image (audio/wav, 1,040 bytes)"),
    "a document": (PDF, "not a PNG, JPEG, GIF or WebP image (application/pdf, 109 bytes)"),
    "noise": (UNKNOWN, "not a PNG, JPEG, GIF or WebP image (declared as image/svg+xml, 256 bytes)"),
    "empty": (b"", "empty"),
    "only a signature": (png()[:8], "its data is incomplete (image/png, 8 bytes)"),
    "a cut PNG": (png()[:-9], "incomplete (image/png, "),
    "a cut JPEG": (JPEG[:-2], "incomplete (image/jpeg, "),
    "a cut GIF": (GIF[:-3], "incomplete (image/gif, "),
    "a cut WebP": (WEBP[:-4], "incomplete (image/webp, "),
    "too large": (png(size=limits.MAX_IMAGE_BYTES), "larger than 20 MB (image/png, 20,"),
}


@pytest.mark.parametrize("kind", UNUSABLE)
def test_an_unusable_image_is_a_note_in_history_and_results_and_an_error_in_the_newest_message(kind, caplog):
    data, reason = UNUSABLE[kind]
    block = image(b64(data), "image/svg+xml")
    warned: set[str] = set()
    poisoned = [
        {"role": "user", "content": [text("see"), block]},
        assistant(calls("c1"), block),
        tool("c1", [text("drawn"), block]),
    ]

    body = json.dumps(payload_of(*poisoned, user("go on"), warned=warned)["input"])

    assert body.count("[image left out: ") == 3
    assert body.count(reason) == 3
    assert b64(data)[:40] not in body or not data
    assert len(caplog.messages) == 1
    with pytest.raises(InvalidRequestError, match="An image of the newest message cannot be sent") as refusal:
        items_of({"role": "user", "content": [block]})
    assert reason in str(refusal.value)


MALFORMED: dict[str, dict] = {
    "not base64": {"type": "base64", "media_type": "image/png", "data": "SECRET!!"},
    "cut base64": {"type": "base64", "media_type": "image/png", "data": "SECRE"},
    "other than ASCII": {"type": "base64", "media_type": "image/png", "data": "SECRETÄÖ"},
    "not text": {"type": "base64", "media_type": "image/png", "data": 7},
    "a data URL without base64": {"type": "url", "url": "data:image/png,SECRET"},
    "nothing": {"type": "base64"},
    "a file id": {"type": "file", "file_id": "file-SECRET"},
    "a link that is not https": {"type": "url", "url": "http://example.com/SECRET.png"},
    "a local file": {"type": "url", "url": "file:///SECRET.png"},
    "a link with a line break": {"type": "url", "url": "https://example.com/SEC\nRET.png"},
    "an endless link": {"type": "url", "url": "https://example.com/SECRET" + "x" * 9000},
    "a link that is not text": {"image_url": {"url": ["https://example.com/SECRET"]}},
    "a secret as data": {"type": "base64", "media_type": "SECRET type", "data": SECRET},
}


@pytest.mark.parametrize("kind", MALFORMED)
def test_a_malformed_image_is_reported_without_its_data(kind, caplog):
    with pytest.raises(InvalidRequestError) as refusal:
        items_of(asks(MALFORMED[kind]))
    note = items_of(asks(MALFORMED[kind]), *FEED, user())[0]["content"][0]

    assert note["text"].startswith("[image left out: ")
    assert "SECRET" not in str(refusal.value) + note["text"] + caplog.text
    assert refusal.value.provider == "openai-chatgpt"


@pytest.mark.parametrize(
    "later",
    [[assistant(text("I see"))], [*FEED], [user("never mind")], [assistant(text("so")), user("and?")]],
)
def test_only_an_unanswered_newest_message_is_an_error(later):
    bad = {"role": "user", "content": [image(b64(SVG))]}

    assert "image left out" in json.dumps(items_of(bad, *later))
    with pytest.raises(InvalidRequestError):
        items_of(*later, bad)


def test_a_bad_image_in_a_result_inside_a_user_message_is_a_note():
    result = {"type": "tool_result", "tool_call_id": "c1", "output": [image(b64(SVG))]}

    assert "image left out" in json.dumps(
        items_of(user(), assistant(calls("c1")), {"role": "user", "content": [result]})
    )


@pytest.mark.parametrize("role", ["user", "tool"])
def test_a_link_is_sent_in_the_classic_shape_and_a_note_in_lite(role):
    message = tool("c1", [LINK, LINK]) if role == "tool" else {"role": "user", "content": [LINK, LINK]}
    call = call_for(request(user(), assistant(calls("c1")), message))

    classic, lite = json.dumps(call.payload()), json.dumps(call.as_lite().payload())

    assert classic.count("https://example.com/a.png?x=1") == 2
    assert "example.com" not in lite
    assert lite.count(LINKED_IMAGE) == 2


def test_in_lite_images_with_data_are_sent():
    call = call_for(request({"role": "user", "content": [LINK, image()]}))

    assert call.as_lite().payload()["input"][2]["content"][1] == shown()


def test_a_text_model_gets_a_note_for_any_image_with_one_warning(caplog):
    warned: set[str] = set()
    for _ in range(2):
        items = items_of({"role": "user", "content": [image(), LINK]}, model="blind", warned=warned)
        assert [part["text"] for part in items[0]["content"]] == [
            "[image left out: this model does not accept images]"
        ] * 2

    assert caplog.messages == ["An image was left out: this model does not accept images."]


def test_over_the_limit_of_a_request_the_oldest_images_are_notes(caplog):
    size = limits.MAX_REQUEST_BYTES // 3
    turns = [{"role": "user", "content": [text(str(n)), image(b64(png(n, size)))]} for n in range(4)]

    items = items_of(turns[0], turns[1], *FEED, turns[2], assistant(text("so")), turns[3])
    parts = [item["content"][1] for item in items if item.get("role") == "user"]

    assert [part["type"] for part in parts] == ["input_text", "input_text", "input_image", "input_image"]
    assert len(caplog.messages) == 1


def test_over_the_number_of_images_of_a_request_the_oldest_are_notes():
    turns = [{"role": "user", "content": [image(b64(png(n)))]} for n in range(limits.MAX_REQUEST_IMAGES + 3)]

    items = items_of(*turns)

    assert [place for place, item in enumerate(items) if item["content"][0]["type"] == "input_text"] == [
        0,
        1,
        2,
    ]


def test_a_newest_message_with_too_many_images_is_an_error():
    block = image(b64(png(size=limits.MAX_REQUEST_BYTES // 4)))

    with pytest.raises(InvalidRequestError, match="images of the newest message"):
        items_of({"role": "user", "content": [block] * 5})


HISTORY = (
    {"role": "user", "content": [text("one"), image(b64(png(1)))]},
    assistant(calls("c1")),
    tool("c1", [text("two"), image(b64(png(2)))]),
    assistant(text("so")),
    {"role": "user", "content": [text("three"), image(b64(png(3))), LINK]},
)


@pytest.mark.parametrize(("keep_newest", "left"), [(True, 2), (False, 0)])
def test_a_call_without_images_has_notes_in_their_place(keep_newest, left):
    call = call_for(request(*HISTORY))
    without = call.without_images(keep_newest=keep_newest)
    body = json.dumps(without.payload())

    assert call.has_images
    assert without.has_images is bool(left)
    assert body.count('"input_image"') == left
    assert body.count(REFUSED_IMAGE) == 4 - left
    assert len(without.items) == len(call.items)
    assert json.dumps(call.payload()).count('"input_image"') == 4, "the call itself is not changed"
    assert without.without_images(keep_newest=keep_newest) == without


@pytest.mark.parametrize("keep_newest", [True, False])
def test_refused_images_stay_left_out_in_later_turns_and_later_images_are_sent(keep_newest):
    first = call_for(request(*HISTORY)).without_images(keep_newest=keep_newest)
    answer = assistant(text("I cannot see it"), metadata=first.metadata())
    later = {"role": "user", "content": [image(b64(png(9)))]}

    second = call_for(request(*HISTORY, answer, later))
    third = call_for(request(*HISTORY, answer, later, assistant(text("better")), user("and?")))

    assert list(second.items[: len(first.items)]) == list(first.items)
    assert list(third.items[: len(second.items)]) == list(second.items)
    assert second.items[-1]["content"] == [shown(png(9))]


def test_images_refused_twice_stay_left_out_as_they_were_sent():
    first = call_for(request(*HISTORY)).without_images(keep_newest=True)
    answer = assistant(text("hm"), metadata=first.metadata())
    later = {"role": "user", "content": [image(b64(png(9)))]}
    second = call_for(request(*HISTORY, answer, later)).without_images(keep_newest=False)
    again = assistant(text("hm"), metadata=second.metadata())

    third = call_for(request(*HISTORY, answer, later, again, user("and?")))

    assert list(third.items[: len(second.items)]) == list(second.items)


@pytest.mark.parametrize("odd", ["some", ["all"], {"a": 1}, None, 7, True])
def test_an_invalid_record_of_refused_images_is_ignored(odd):
    call = call_for(request(*HISTORY))
    metadata = {key: {**state, "images": odd} for key, state in call.metadata().items()}

    again = call_for(request(*HISTORY, assistant(text("so"), metadata=metadata), user()))

    assert list(again.items[: len(call.items)]) == list(call.items)


@pytest.mark.parametrize("media_type", sorted(IMAGE_TYPES))
def test_an_image_cut_anywhere_is_incomplete_or_not_an_image(media_type):
    whole = KINDS[media_type]

    assert is_complete(whole, media_type)
    assert is_complete(whole + b"trailing", media_type)
    for end in range(len(whole)):
        cut = whole[:end]
        assert kind_of(cut) != media_type or not is_complete(cut, media_type), end


def test_a_note_is_a_user_message_for_an_image_of_the_model():
    items = items_of(user(), assistant(image(b64(SVG), "image/svg+xml")), user("so?"))

    assert items[1] == said(
        "user", "[image left out: it is not a PNG, JPEG, GIF or WebP image (image/svg+xml, 95 bytes)]"
    )
