"""Every fault on the wire, read from a raw socket."""

import asyncio
import gzip
import json
import zlib
from typing import Any

import h11
import pytest

from tests.contract.simulator.raw import Reply, Wire, ask, ask_to_end, chat, on_both_loops, post, text_of
from trunkline.simulator.answer import Event, stream_answer
from trunkline.simulator.app import Simulator
from trunkline.simulator.faults import parse
from trunkline.simulator.script import Pause, Terms, script

SSE_END = "data: [DONE]\n\n"


async def healthy(sim: Simulator, **fields: Any) -> Reply:
    """The answer that a fault disturbs."""
    return await ask(sim, chat("m", **fields))


def renamed(reply: Reply, model: str) -> bytes:
    """The body of an answer to model `m` as it is for another name; ids depend on the request."""
    return reply.body.replace(b'"model":"m"', f'"model":"{model}"'.encode())


def without_ids(body: bytes) -> list[Any]:
    """The events of a body with the field that differs between requests taken out."""
    events = Reply(b"\r\n\r\n" + body, "open").events
    for event in events:
        if event != "[DONE]":
            del event["id"]
    return events


# Another content -----------------------------------------------------------------------------------------------


@on_both_loops
async def test_words_and_big_event(sim: Simulator) -> None:
    assert len(text_of((await ask(sim, chat("m!words=300", stream=True))).events).split()) == 300
    reply = await ask(sim, chat("m!big_event=2MiB", stream=True))
    events = reply.events
    assert events[1]["choices"][0]["delta"]["content"] == "x" * 2 * 1024 * 1024
    assert text_of(events[2:]) == text_of((await healthy(sim, stream=True)).events)
    assert max(map(len, reply.chunks)) > 2 * 1024 * 1024


@pytest.mark.parametrize("spec", ["no_done", "no_finish", "no_done;no_finish"])
@on_both_loops
async def test_a_stream_without_its_end(sim: Simulator, spec: str) -> None:
    reply = await ask(sim, chat(f"m!{spec}", stream=True))
    assert reply.chunks[-1] == b""  # yet the framing is in order
    events = reply.events
    assert ("[DONE]" in events) == ("no_done" not in spec)
    finishes = [event for event in events if event != "[DONE]" and event["choices"][0]["finish_reason"]]
    assert len(finishes) == (0 if "no_finish" in spec else 1)


@pytest.mark.parametrize(
    ("path", "fields", "last"),
    [
        ("/v1/responses", {"input": "x"}, "response.output_item.done"),
        ("/v1/messages", {"messages": [{"role": "user", "content": "x"}], "max_tokens": 9}, "message_delta"),
    ],
)
@on_both_loops
async def test_other_streams_without_their_end(
    sim: Simulator, path: str, fields: dict[str, Any], last: str
) -> None:
    reply = await ask(sim, post(path, {"model": "m!no_done", "stream": True} | fields))
    assert reply.events[-1]["type"] == last


@on_both_loops
async def test_a_malformed_event(sim: Simulator) -> None:
    whole = await healthy(sim, stream=True)
    reply = await ask(sim, chat("m!malformed_event=2", stream=True))
    bad = reply.chunks[2]
    assert bad.startswith(b"data: {")
    assert bad.endswith(b"\n\n")
    with pytest.raises(json.JSONDecodeError):
        json.loads(bad[6:])
    kept = b"".join(reply.chunks[:2] + reply.chunks[3:])
    assert without_ids(kept) == without_ids(renamed(whole, "m!malformed_event=2"))


@pytest.mark.parametrize("position", [0, 2, 10_000])
@on_both_loops
async def test_an_error_event_ends_the_stream(sim: Simulator, position: int) -> None:
    whole = await healthy(sim, stream=True)
    reply = await ask(sim, chat(f"m!error_event={position}", stream=True))
    assert (reply.status, reply.chunks[-1]) == (200, b"")
    *before, error = reply.events if position < 10_000 else [*reply.events]
    assert set(error) == {"error"}
    assert len(before) == min(position, len(whole.events))


@on_both_loops
async def test_error_events_speak_the_surfaces_language(sim: Simulator) -> None:
    fields: dict[str, Any] = {
        "stream": True,
        "input": "x",
        "messages": [{"role": "user", "content": "x"}],
        "max_tokens": 9,
    }
    reply = await ask(sim, post("/v1/responses", {"model": "m!error_event=1"} | fields))
    assert (b"event: error\n" in reply.body, reply.events[-1]["type"]) == (True, "error")
    reply = await ask(sim, post("/v1/messages", {"model": "m!error_event=1"} | fields))
    assert reply.chunks[-2].startswith(
        b'event: error\ndata: {"type":"error","error":{"type":"overloaded_error"'
    )


# Time ----------------------------------------------------------------------------------------------------------


def test_delays_stand_where_they_should() -> None:
    answer = stream_answer([Event(b"1"), Event(b"2"), Event(b"3")])
    steps = list(script(answer, parse("delay_head=0.5;delay_chunk=0.25;interim=103"), Terms()))
    shown = [step.seconds if isinstance(step, Pause) else step for step in steps]
    assert isinstance(shown[3], bytes)
    assert shown[3].endswith(b"\r\n\r\n9\r\ndata: 1\n\n\r\n")
    assert [shown[0], *shown[4:]] == [
        b"HTTP/1.1 103 Early Hints\r\nlink: </style.css>; rel=preload\r\n\r\n",
        *(0.25, b"9\r\ndata: 2\n\n\r\n", 0.25, b"9\r\ndata: 3\n\n\r\n0\r\n\r\n"),
    ]
    assert shown[1:3] == [0, 0.5]


@pytest.mark.parametrize("stream", [False, True])
@on_both_loops
async def test_delays_change_no_byte(sim: Simulator, stream: bool) -> None:
    spec = "m!delay_head=0.01;delay_chunk=0.001"
    reply = await ask(sim, chat(spec, stream=stream))
    whole = await healthy(sim, stream=stream)
    if stream:
        assert without_ids(reply.body) == without_ids(renamed(whole, spec))
    else:
        assert reply.json["choices"] == whole.json["choices"]


@pytest.mark.parametrize(
    ("spec", "position"), [("stall_after=3", 3), ("stall;after=2", 2), ("role_stall", 1)]
)
@on_both_loops
async def test_a_stall_is_silent_until_the_client_leaves(sim: Simulator, spec: str, position: int) -> None:
    wire = await Wire.open(sim)
    wire.send(chat(f"m!{spec}", stream=True))
    raw = await wire.reader.readuntil(b"\r\n\r\n")
    while len(Reply(raw, "open").chunks) < position:
        raw += await wire.reader.read(65536)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(wire.reader.read(1), 0.05)
    assert len(Reply(raw, "open").events) == position
    assert (sim.log[0].outcome, sim.in_flight) == ("in_flight", 1)
    await wire.close()
    await sim.until(lambda: sim.open_connections == 0)
    entry = sim.log[0]
    assert (entry.outcome, sim.in_flight) == ("client_closed", 0)
    assert entry.client_closed is not None
    assert entry.sent == len(raw)


@on_both_loops
async def test_a_stall_that_ends_changes_no_byte(sim: Simulator) -> None:
    reply = await ask(sim, chat("m!stall=0.02;after=2", stream=True))
    whole = await healthy(sim, stream=True)
    assert without_ids(reply.body) == without_ids(renamed(whole, "m!stall=0.02;after=2"))


@on_both_loops
async def test_a_whole_body_can_stall_by_bytes(sim: Simulator) -> None:
    wire = await Wire.open(sim)
    wire.send(chat("m!stall_after=10"))
    head = await wire.reader.readuntil(b"\r\n\r\n")
    assert await wire.reader.readexactly(10) == b'{"id":"cha'
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(wire.reader.read(1), 0.05)
    assert b"content-length" in head
    await wire.close()


@on_both_loops
async def test_comments(sim: Simulator) -> None:
    reply = await ask(sim, chat("m!comments", stream=True, max_tokens=2))
    assert [chunk == b": keep-alive\n\n" for chunk in reply.chunks[:-1]] == [False, True] * 4 + [False]
    reply = await ask(sim, chat("m!comments=0.01;stall=0.035;after=0;crlf", stream=True, max_tokens=1))
    assert reply.chunks[:3] == [b": keep-alive\r\n\r\n"] * 3
    assert reply.events[-1] == "[DONE]"


# The end of the connection -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spec", "end", "outcome"),
    [
        ("reset=accept", "reset", "reset"),
        ("reset=head", "reset", "reset"),
        ("reset=body", "reset", "reset"),
        ("close=before_head", "fin", "closed"),
        ("close=head", "fin", "closed"),
        ("close=body", "fin", "closed"),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
@on_both_loops
async def test_cuts(sim: Simulator, spec: str, end: str, outcome: str, stream: bool) -> None:
    where = spec.partition("=")[2]
    after = "" if where != "body" else ";after=3"
    reply = await ask_to_end(sim, chat(f"m!{spec}{after}", stream=stream))
    assert reply.end == end
    if where in ("accept", "before_head"):
        assert reply.raw == b""
    elif where == "head":
        assert reply.raw.startswith(b"HTTP/1.1 200 OK\r\n")
        assert b"\r\n\r\n" not in reply.raw
    elif stream:
        assert (len(reply.events), reply.chunks[-1] != b"") == (3, True)
    else:
        assert reply.body == b'{"i'
    await sim.until(lambda: sim.open_connections == 0)
    assert (sim.log[0].outcome, sim.log[0].sent) == (outcome, len(reply.raw))


@on_both_loops
async def test_a_cut_is_in_the_middle_by_default_and_at_the_end_if_after_is_too_large(sim: Simulator) -> None:
    count = len((await healthy(sim, stream=True)).events)
    assert len((await ask_to_end(sim, chat("m!close=body", stream=True))).events) == count // 2
    reply = await ask_to_end(sim, chat("m!close=body;after=9999", stream=True))
    assert reply.events[-1] == "[DONE]"
    assert not reply.complete


@on_both_loops
async def test_a_stall_comes_before_the_cut(sim: Simulator) -> None:
    spec = "m!stall=0.01;stall_after=1;reset=body;after=2"
    reply = await ask_to_end(sim, chat(spec, stream=True))
    assert (reply.end, len(reply.events)) == ("reset", 2)


@pytest.mark.parametrize("lie", [+7, -7])
@pytest.mark.parametrize("stream", [False, True])
@on_both_loops
async def test_a_lying_length(sim: Simulator, lie: int, stream: bool) -> None:
    reply = await ask_to_end(sim, chat(f"m!lying_length={lie:+}", stream=stream))
    assert (reply.end, "transfer-encoding" in reply.headers) == ("fin", False)
    assert int(reply.headers["content-length"]) == len(reply.payload) + lie
    assert reply.payload.endswith(SSE_END.encode() if stream else b"}")


@pytest.mark.parametrize("stream", [False, True])
@on_both_loops
async def test_a_broken_chunk_is_one_for_h11_too(sim: Simulator, stream: bool) -> None:
    reply = await ask_to_end(sim, chat("m!broken_chunk;after=2", stream=stream))
    assert reply.payload.endswith(b"\r\nXYZ\r\n")
    client = h11.Connection(h11.CLIENT)
    client.send(h11.Request(method="GET", target="/", headers=[("host", "x")]))
    client.send(h11.EndOfMessage())
    client.receive_data(reply.raw)

    def read_all() -> None:
        while client.next_event() is not h11.NEED_DATA:
            pass

    with pytest.raises(h11.RemoteProtocolError):
        read_all()


# Another form on the wire --------------------------------------------------------------------------------------


@on_both_loops
async def test_drip_writes_single_bytes(sim: Simulator) -> None:
    wire = await Wire.open(sim, limit=1)
    wire.send(chat("m!drip", stream=True, max_tokens=1, headers="connection: close\r\n"))
    pieces: list[bytes] = []
    while data := await wire.reader.read(65536):
        pieces.append(data)
    await wire.close()
    raw = b"".join(pieces)
    assert Reply(raw, "fin").events[-1] == "[DONE]"
    assert len(pieces) > len(raw) / 50  # the kernel may join some, a reader that shares the loop sees most


@on_both_loops
async def test_crlf(sim: Simulator) -> None:
    reply = await ask(sim, post("/v1/responses", {"model": "m!crlf", "input": "x", "stream": True}))
    for chunk in reply.chunks[:-1]:
        assert chunk.startswith(b"event: response.")
        assert chunk.count(b"\r\n") == chunk.count(b"\n") == 3
        assert chunk.endswith(b"\r\n\r\n")


@pytest.mark.parametrize(("spec", "version"), [("http10", b"HTTP/1.0"), ("no_length", b"HTTP/1.1")])
@pytest.mark.parametrize("stream", [False, True])
@on_both_loops
async def test_bodies_that_end_with_the_connection(
    sim: Simulator, spec: str, version: bytes, stream: bool
) -> None:
    reply = await ask_to_end(sim, chat(f"m!{spec}", stream=stream))
    assert (reply.raw[:8], reply.end, reply.headers["connection"]) == (version, "fin", "close")
    assert not {"content-length", "transfer-encoding"} & set(reply.headers)
    assert reply.payload.endswith(SSE_END.encode() if stream else b"}")
    assert sim.log[0].outcome == "answered"


@on_both_loops
async def test_a_chunked_whole_body(sim: Simulator) -> None:
    reply = await ask(sim, chat("m!chunked"))
    assert (len(reply.chunks), reply.json["object"]) == (2, "chat.completion")


@pytest.mark.parametrize(
    ("number", "line"), [(100, b"HTTP/1.1 100 Continue"), (103, b"HTTP/1.1 103 Early Hints")]
)
@on_both_loops
async def test_interim_answers(sim: Simulator, number: int, line: bytes) -> None:
    wire = await Wire.open(sim)
    wire.send(chat(f"m!interim={number}"))
    assert (await wire.reader.readuntil(b"\r\n\r\n")).startswith(line + b"\r\n")
    assert (await wire.answer()).status == 200
    await wire.close()


@on_both_loops
async def test_gzip(sim: Simulator) -> None:
    reply = await ask(sim, chat("m!gzip"))
    assert reply.headers["content-encoding"] == "gzip"
    assert json.loads(gzip.decompress(reply.body))["object"] == "chat.completion"
    reply = await ask(sim, chat("m!gzip;drip", stream=True))
    inflate = zlib.decompressobj(wbits=31)
    pieces = [inflate.decompress(chunk) for chunk in reply.chunks]
    assert all(piece.endswith(b"\n\n") for piece in pieces[:-2])  # every event can be read when it comes
    assert b"".join(pieces).endswith(SSE_END.encode())
    assert inflate.eof
