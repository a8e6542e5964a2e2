"""Outputs of tools: images anywhere in them are images, other binary data is a note, text is unchanged."""

import json
from typing import Any

import pytest
from amplifier_core.message_models import ImageBlock, TextBlock
from pydantic import BaseModel

from amplifier_module_provider_openai_chatgpt.request.images import Images
from amplifier_module_provider_openai_chatgpt.request.tool_output import read_output

from .conversations import assistant, calls, image, items_of, output, text, tool, user
from .pictures import GIF, HTML, JPEG, PDF, UNKNOWN, WAV, b64, png

PNG = b64(png())
URL = f"data:image/png;base64,{PNG}"
PICTURE = {"type": "input_image", "image_url": URL}
MCP = {"type": "image", "data": PNG, "mimeType": "image/png"}
AUDIO = {"type": "audio", "data": b64(WAV), "mimeType": "audio/wav"}
BLOB = {"type": "resource", "resource": {"uri": "file:///a.bin", "blob": b64(UNKNOWN)}}
LINK = {"type": "resource_link", "uri": "file:///x", "name": "x"}


def words(some: str) -> dict:
    return {"type": "input_text", "text": some}


def read(value: object) -> Any:
    return read_output(value, Images(accepted=True, warn=lambda _: None))


def compact(value: object) -> str:
    return json.dumps(value, separators=(",", ":"))


PICTURES = {
    "an image of MCP": ([MCP], [PICTURE]),
    "an image alone": (MCP, [PICTURE]),
    "an image of Anthropic": ([image()], [PICTURE]),
    "an image of OpenAI": ([{"type": "image_url", "image_url": {"url": URL}}], [PICTURE]),
    "an image of the Responses API": ([{"type": "input_image", "image_url": URL}], [PICTURE]),
    "a text and an image": ([text("a"), MCP], [words("a"), PICTURE]),
    "an image next to a resource link": ([text("a"), MCP, LINK], [words("a"), PICTURE, words(compact(LINK))]),
    "an image next to a bare text": (["a", MCP], [words("a"), PICTURE]),
    "an image next to a number": ([4, MCP, None], [words("4"), PICTURE, words("null")]),
    "a whole MCP result": (
        {"content": [text("a"), MCP], "isError": False, "_meta": {}},
        [words("a"), PICTURE],
    ),
    "a whole MCP result with more in it": (
        {"content": [MCP], "isError": True, "structuredContent": {"n": 1}},
        [PICTURE, words('{"isError":true,"structuredContent":{"n":1}}')],
    ),
    "a whole MCP result as JSON text": (json.dumps({"content": [text("a"), MCP]}), [words("a"), PICTURE]),
    "a list of blocks as JSON text": (json.dumps([text("a"), MCP], indent=2), [words("a"), PICTURE]),
    "JSON text with white space around": (f"\n {json.dumps(MCP)}\n", [PICTURE]),
    "JSON text in a text block": ([text(json.dumps({"content": [MCP]}))], [PICTURE]),
    "a data URL as JSON text": (json.dumps(URL), [PICTURE]),
    "JSON text in JSON text": (json.dumps(json.dumps({"content": [MCP]})), [PICTURE]),
    "an image in a field": (
        {"ok": True, "screenshot": MCP},
        [
            words(compact({"ok": True, "screenshot": {**MCP, "data": "[image 1, see below]"}})),
            PICTURE,
        ],
    ),
    "a data URL in a field": (
        {"shots": [URL, {"url": URL}]},
        [words('{"shots":["[image 1, see below]",{"url":"[image 2, see below]"}]}'), PICTURE, PICTURE],
    ),
    "base64 of an image in a field": (
        {"png": PNG, "n": 1},
        [words('{"png":"[image 1, see below]","n":1}'), PICTURE],
    ),
    "a data URL as the whole text": (URL, [PICTURE]),
    "base64 of an image as the whole text": (PNG, [PICTURE]),
    "an image in a resource": (
        [{"type": "resource", "resource": {"uri": "a.png", "blob": PNG}}],
        [
            words('{"type":"resource","resource":{"uri":"a.png","blob":"[image 1, see below]"}}'),
            PICTURE,
        ],
    ),
    "inline data of Google": (
        {"inline_data": {"mime_type": "image/png", "data": PNG}},
        [words('{"inline_data":{"mime_type":"image/png","data":"[image 1, see below]"}}'), PICTURE],
    ),
    "bytes": (png(), [PICTURE]),
    "bytes in a field": ({"png": png()}, [words('{"png":"[image 1, see below]"}'), PICTURE]),
    "the kernel's blocks": ([TextBlock(text="a"), ImageBlock(source={"data": PNG})], [words("a"), PICTURE]),
}


@pytest.mark.parametrize("kind", PICTURES)
def test_an_image_anywhere_reaches_the_model_as_an_image(kind):
    value, expected = PICTURES[kind]

    assert read(value) == expected


def test_a_link_in_a_block_is_sent_as_a_link():
    link = {"type": "image", "source": {"type": "url", "url": "https://example.com/a.png"}}
    sent = {"type": "input_image", "image_url": "https://example.com/a.png"}

    assert read([text("a"), link]) == [words("a"), sent]
    assert read([{"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}, LINK])[0] == sent


class Content(BaseModel):
    type: str
    data: str
    mimeType: str  # noqa: N815


class Result(BaseModel):
    content: list[Content]
    isError: bool = False  # noqa: N815


def test_an_image_in_the_objects_of_an_mcp_library_reaches_the_model_as_an_image():
    block = Content(**MCP)

    assert read([block]) == [PICTURE]
    assert read(Result(content=[block, block])) == [PICTURE, PICTURE]
    assert read({"shot": block})[1:] == [PICTURE]


def note(kind: str, size: int) -> str:
    return f"[binary data left out: {kind}, {size:,} bytes]"


BINARY = {
    "audio": ([AUDIO], {**AUDIO, "data": note("audio/wav", 1040)}),
    "audio of OpenAI": (
        [{"type": "input_audio", "input_audio": {"data": b64(WAV), "format": "wav"}}],
        {"type": "input_audio", "input_audio": {"data": note("audio/wav", 1040), "format": "wav"}},
    ),
    "a blob without a type": (
        [BLOB],
        {"type": "resource", "resource": {"uri": "file:///a.bin", "blob": note("unknown type", 256)}},
    ),
    "a document as data URL": (
        {"file": f"data:application/pdf;base64,{b64(PDF)}"},
        {"file": note("application/pdf", len(PDF))},
    ),
    "a document in base64": ({"file": b64(PDF)}, {"file": note("application/pdf", len(PDF))}),
    "declared binary data": (
        {"mimeType": "application/x-thing", "data": b64(UNKNOWN)},
        {"mimeType": "application/x-thing", "data": note("declared as application/x-thing", 256)},
    ),
    "a cut image": (
        {"png": PNG[:-8]},
        {"png": "[image left out: its data is incomplete (image/png, 84 bytes)]"},
    ),
    "a page named image": (
        {"result": {**MCP, "data": b64(HTML)}},
        {
            "result": {
                **MCP,
                "data": "[image left out: it is not a PNG, JPEG, GIF or WebP image "
                f"(a web page, {len(HTML)} bytes)]",
            }
        },
    ),
}


@pytest.mark.parametrize("kind", BINARY)
def test_other_binary_data_is_a_note_with_type_and_size(kind):
    value, expected = BINARY[kind]
    as_json = json.dumps(value)

    assert read(value) == compact(expected)
    assert read(as_json) == compact(expected)


def test_megabytes_of_audio_are_a_short_note():
    data = b64(WAV + bytes(3_000_000))

    assert len(str(read({"content": [{"type": "audio", "data": data, "mimeType": "audio/wav"}]}))) < 200


UNCHANGED = {
    "text": "plain",
    "JSON text": '{ "data": [1, 2],\n "image": null }',
    "text that is almost JSON": '{"data": ',
    "text about a data URL": f"Use {URL} in your page.",
    "a page with an inline image": f'<html><img src="{URL}"></html>',
    "short base64": "iVBORw0KGgo=",
    "base64 of nothing known": b64(bytes(range(200, 256)) * 9),
    "a text that starts like JPEG": "/9j/ " + "path " * 40,
    "many equal letters": "x" * 100_000,
    "JSON with a word as data": '{"type": "file", "data": "a readable line", "mimeType": "text/plain"}',
    "JSON with readable data": json.dumps({"mimeType": "application/json", "data": "a" * 100}),
    "JSON with data of no type": json.dumps({"data": "abcd" * 100}),
    "a list of links to images": json.dumps(
        [{"type": "image", "url": "https://example.com/a.png", "width": 9}]
    ),
    "a page of search results": json.dumps(
        {
            "results": [
                {"type": "image", "url": "https://example.com/a.png"},
                {"image_url": "https://example.com/b.png"},
            ]
        }
    ),
    "private citation marks": "See \ue200cite\ue202turn0search0\ue201.",
}


@pytest.mark.parametrize("kind", UNCHANGED)
def test_other_text_is_unchanged(kind):
    assert read(UNCHANGED[kind]) == UNCHANGED[kind]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"content": [text("a")]}, '{"content":[{"type":"text","text":"a"}]}'),
        ([text("a"), LINK], compact([text("a"), LINK])),
        ([text("a", line=3)], '[{"type":"text","text":"a","line":3}]'),
        (
            {"results": [{"type": "image", "url": "https://example.com/a.png", "width": 9}]},
            '{"results":[{"type":"image","url":"https://example.com/a.png","width":9}]}',
        ),
        ([{"type": "image", "name": "a.png"}], '[{"type":"image","name":"a.png"}]'),
        ({"data": "abcd" * 100}, compact({"data": "abcd" * 100})),
        ([], "[]"),
    ],
)
def test_values_without_binary_data_are_json(value, expected):
    assert read(value) == expected


def test_an_empty_text_next_to_an_image_is_left_out():
    block = {"type": "image", "mimeType": "image/png", "data": b64(png())}
    empty = {"type": "text", "text": ""}
    assert [part["type"] for part in read([empty, block, empty])] == ["input_image"]


@pytest.mark.parametrize("data", [JPEG, GIF])
def test_an_image_in_a_tool_message_is_an_image(data):
    asked = [user(), assistant(calls("c1"))]
    as_json = json.dumps({"content": [{"type": "image", "data": b64(data), "mimeType": "image/png"}]})
    kind = "jpeg" if data is JPEG else "gif"

    shown = [{"type": "input_image", "image_url": f"data:image/{kind};base64,{b64(data)}"}]
    assert items_of(*asked, tool("c1", as_json))[-1] == output("c1", shown)
    assert items_of(*asked, tool("c1", [image(b64(data))]))[-1] == output("c1", shown)


def test_an_image_of_a_lost_result_is_kept_in_its_note():
    items = items_of(user(), tool("c9", json.dumps(MCP)), user())

    assert items[1]["content"][1:] == [PICTURE]


def test_nesting_without_end_does_no_harm():
    value: object = MCP
    for _ in range(3000):
        value = {"inner": value}

    assert isinstance(read(value), str)
    assert isinstance(read(f"{'[' * 3000}{json.dumps(MCP)}{']' * 3000}"), str)


@pytest.mark.parametrize("odd", [["image"], {"a": 1}, 7, None, True, b"image"])
def test_blocks_with_odd_types_and_values_are_json(odd):
    block = {"type": odd, "text": "a", "data": "abcd" * 20, "url": odd, "source": odd, "content": odd}

    for value in ([block], block, {"content": [block]}, {"in": block}, [odd, block, image()]):
        assert read(value)


@pytest.mark.parametrize("key", ["type", "mimeType", "data", "blob", "source", "image_url", "url", "content"])
@pytest.mark.parametrize("odd", [["x"], {"data": {}}, 7, None, "", "data:", "data:;base64,", "/9j/" * 40])
def test_no_value_of_a_block_raises(key, odd):
    for block in (MCP, image(), AUDIO, BLOB, {"content": [MCP]}):
        value = {**block, key: odd}

        assert read(value)
        assert read([value, MCP])
        assert read(json.dumps(value))
