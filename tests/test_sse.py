"""Bytes in any pieces become the same events."""

import json
import random

import pytest
from hypothesis import given, settings, strategies as st

from amplifier_module_provider_openai_chatgpt.transport import sse
from amplifier_module_provider_openai_chatgpt.transport.sse import EventTooLargeError, SSEParser

A = {"type": "a", "text": "line\u2028para\u2029nel\x85 und 😀"}
B = {"type": "b", "n": 1}


def parse(*pieces: bytes) -> list[dict]:
    parser = SSEParser()
    events = [event for piece in pieces for event in parser.feed(piece)]
    return events + parser.close()


def data(event: dict) -> bytes:
    return json.dumps(event, ensure_ascii=False).encode()


FRAMINGS = {
    "event lines": b"event: a\ndata: " + data(A) + b"\n\nevent: b\ndata: " + data(B) + b"\n\n",
    "no event lines": b"data: " + data(A) + b"\n\ndata: " + data(B) + b"\n\n",
    "no space after the colon": b"data:" + data(A) + b"\n\ndata:" + data(B) + b"\n\n",
    "CRLF": b"event: a\r\ndata: " + data(A) + b"\r\n\r\ndata: " + data(B) + b"\r\n\r\n",
    "CR": b"event: a\rdata: " + data(A) + b"\r\rdata: " + data(B) + b"\r\r",
    "mixed line ends": b"data: " + data(A) + b"\r\n\ndata: " + data(B) + b"\r\r\n",
    "BOM": b"\xef\xbb\xbfdata: " + data(A) + b"\n\ndata: " + data(B) + b"\n\n",
    "comments": b": hello\n\n:\ndata: " + data(A) + b"\n: keep-alive\n\n: x\ndata: " + data(B) + b"\n\n",
    "several data lines": b"data: " + data(A) + b'\n\ndata: {"type":\ndata:  "b",\ndata: "n": 1}\n\n',
    "several data lines, CRLF": b"data: "
    + data(A)
    + b'\r\n\r\ndata: {"type":\r\ndata:  "b",\r\ndata: "n": 1}\r\n\r\n',
    "id and retry": b"id: 7\nretry: 10\ndata: " + data(A) + b"\n\nid\ndata: " + data(B) + b"\n\n",
    "no final blank line": b"data: " + data(A) + b"\n\ndata: " + data(B) + b"\n",
    "no final line end": b"data: " + data(A) + b"\n\ndata: " + data(B),
    "blank lines between": b"\n\n\ndata: " + data(A) + b"\n\n\n\ndata: " + data(B) + b"\n\n\n",
    "[DONE] at the end": b"data: " + data(A) + b"\n\ndata: " + data(B) + b"\n\ndata: [DONE]\n\n",
    "garbage between": b"data: "
    + data(A)
    + b"\n\ndata: {oops\n\ndata: [1]\n\nnonsense\n\ndata: "
    + data(B)
    + b"\n\n",
    "invalid UTF-8 between": b"data: "
    + data(A)
    + b'\n\ndata: {"type":"\xff\xfe"}\n\ndata: '
    + data(B)
    + b"\n\n",
}


@pytest.mark.parametrize("wire", FRAMINGS.values(), ids=FRAMINGS.keys())
def test_every_framing_gives_the_same_events_whole_in_bytes_and_in_random_pieces(wire):
    assert parse(wire) == [A, B]
    assert parse(*(wire[i : i + 1] for i in range(len(wire)))) == [A, B]
    for seed in range(20):
        cuts = sorted(random.Random(seed).sample(range(len(wire)), 7))
        assert parse(*(wire[a:b] for a, b in zip([0, *cuts], [*cuts, len(wire)], strict=True))) == [A, B]


def test_an_event_is_returned_as_soon_as_its_blank_line_arrives():
    parser = SSEParser()
    assert parser.feed(b"data: " + data(A) + b"\n") == []
    assert parser.feed(b"\n") == [A]
    assert parser.feed(b"data: " + data(B) + b"\r\n\r") == [B], "a CR ends a line before its LF arrives"
    assert parser.feed(b"\n") == []


def test_a_line_end_cut_between_its_cr_and_its_lf_does_not_end_the_event():
    parser = SSEParser()
    assert parser.feed(b'data: {"type":\r') == []
    assert parser.feed(b'\ndata: "b", "n": 1}\r') == []
    assert parser.feed(b"\n\r\n") == [B]
    assert parser.skipped == 0


def test_data_that_is_not_an_event_is_skipped_and_counted():
    parser = SSEParser()
    parser.feed(b"data: {oops\n\ndata: 5\n\ndata: {}\n\ndata: " + b"[" * 100_000 + b"\n\n")
    assert parser.skipped == 4


def test_everything_after_done_is_ignored():
    parser = SSEParser()
    assert parser.feed(b"data: [DONE]\n\ndata: " + data(B) + b"\n\n") == []
    assert parser.done
    assert parser.skipped == 0


def test_half_a_surrogate_pair_in_an_escape_is_accepted():
    assert parse(b'data: {"type":"a","delta":"x\\ud83d"}\n\n') == [{"type": "a", "delta": "x\ud83d"}]


def test_an_error_without_a_type_becomes_an_error_event():
    assert parse(b'data: {"error":{"code":"x"}}\n\n') == [{"type": "error", "error": {"code": "x"}}]


def test_an_event_that_never_ends_is_refused():
    parser = SSEParser()
    piece = b"x" * (1 << 20)
    with pytest.raises(EventTooLargeError):
        for _ in range(sse.MAX_EVENT_SIZE // len(piece) + 1):
            parser.feed(piece)


@pytest.mark.parametrize("value", ["[" * 100_002 + " " * (1 << 18), "[" + "{}," * 100_002 + '"\\ud83d"]'])
def test_an_event_of_too_many_values_is_refused_whichever_decoder_reads_it(value):
    with pytest.raises(EventTooLargeError):
        parse(b'data: {"type":"a","value":' + value.encode() + b"}\n\n")


def test_the_limit_is_for_one_event_and_not_for_the_stream():
    parser = SSEParser()
    one = b"data: " + data({"type": "a", "pad": "x" * (1 << 20)}) + b"\n\n"
    count = sum(len(parser.feed(one)) for _ in range(sse.MAX_EVENT_SIZE // len(one) + 5))
    assert count > sse.MAX_EVENT_SIZE // len(one)


@settings(max_examples=100)
@given(
    st.lists(
        st.dictionaries(st.sampled_from(["x", "delta"]), st.text() | st.integers() | st.none()), max_size=8
    ),
    st.sampled_from([b"\n", b"\r\n", b"\r"]),
    st.randoms(use_true_random=False),
)
def test_any_events_in_any_pieces_arrive_intact(bodies, newline, cutter):
    events = [{**body, "type": "t"} for body in bodies]
    wire = b"".join(b"event: t" + newline + b"data: " + data(e) + newline * 2 for e in events)
    pieces, at = [], 0
    while at < len(wire):
        size = cutter.randint(1, 40)
        pieces.append(wire[at : at + size])
        at += size
    assert parse(*pieces) == events


@settings(max_examples=100)
@given(st.lists(st.binary(max_size=60), max_size=20))
def test_no_bytes_make_the_parser_raise(pieces):
    assert all(isinstance(event["type"], str) for event in parse(*pieces))
