"""Forms and binary bodies stream through with back-pressure; keys limited to models get them whole and checked."""

import asyncio
import hashlib
from collections.abc import Callable

import pytest

from tests.contract.gateway.harness import World, get, multipart, on_both_loops, post, running, scripted
from trunkline.policy.keys import KeySettings

PATH = "/v1/audio/transcriptions"
FILE = bytes(range(256)) * 4096 * 5  # 5 MiB


def chunked(path: str, body: bytes, headers: str, size: int = 50_000) -> bytes:
    pieces = [body[at : at + size] for at in range(0, len(body), size)]
    framed = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"
    return (
        f"POST {path} HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n{headers}\r\n".encode()
        + framed
    )


def sized(path: str, body: bytes, headers: str) -> bytes:
    return post(path, body=body, headers=headers)


@pytest.mark.parametrize("frame", [sized, chunked])
@pytest.mark.parametrize("size", [10, 65_000, len(FILE)])
@on_both_loops
async def test_a_form_arrives_as_it_was_sent(frame: Callable[[str, bytes, str], bytes], size: int) -> None:
    async with running() as world:
        head, body = multipart(("model", b"whisper-1"), ("file", FILE[:size]))
        reply = await world.ask(frame(PATH, body, head))
        assert reply.status == 200
        assert (reply.json["bytes"], reply.json["sha256"]) == (len(body), hashlib.sha256(body).hexdigest())
        await world.quiet()
        assert (world.record.model, world.record.bytes_in) == ("whisper-1", len(body))
        assert world.seen.header("content-type") == "multipart/form-data; boundary=XbX"
        if size > 100_000:
            assert (world.seen.header("transfer-encoding") == "chunked") == (frame is chunked)
            assert (world.seen.header("content-length") == str(len(body))) == (frame is sized)


@on_both_loops
async def test_the_model_field_chooses_the_backend() -> None:
    async with running(None, None, backends=[{"models": ["a-*"]}, {"models": ["b-*"]}]) as world:
        for model, counts in ((b"b-1", [0, 1]), (b"a-1", [1, 1])):
            head, body = multipart(("model", model), ("file", FILE))
            assert (await world.ask(sized(PATH, body, head))).status == 200
            assert world.counts == counts
        head, body = multipart(("model", b"c-1"), ("file", b"x"))
        reply = await world.ask(sized(PATH, body, head))
        assert (reply.status, reply.json["error"]["code"]) == (404, "model_not_found")


@on_both_loops
async def test_a_field_cut_by_the_first_look_is_no_mistake() -> None:
    async with running() as world:
        for size in range(65_400, 65_540, 7):
            head, body = multipart(("file", b"x" * size), ("model", b"whisper-1"), ("more", b"y" * 70_000))
            reply = await world.ask(sized(PATH, body, head))
            assert (reply.status, reply.json["bytes"]) == (200, len(body)), size


@on_both_loops
async def test_a_limited_key_holds_the_form_and_checks_it() -> None:
    keys = [KeySettings(name="team", key="k", models=["whisper-1"])]
    async with running(keys=keys) as world:
        auth = "api-key: k\r\n"
        head, body = multipart(("file", FILE), ("model", b"whisper-1"))
        reply = await world.ask(sized(PATH, body, auth + head))
        assert (reply.status, reply.json["sha256"]) == (200, hashlib.sha256(body).hexdigest())
        for parts in (
            [("file", FILE), ("model", b"other")],
            [("file", b"x")],
            [("model", b"whisper-1"), ("file", FILE), ("model", b"other")],
        ):
            head, body = multipart(*parts)
            reply = await world.ask(sized(PATH, body, auth + head))
            assert reply.status in (400, 403), parts[0][0]
        reply = await world.ask(
            sized(PATH.replace("/v1", "/openai/deployments/whisper-1"), multipart()[1], auth)
        )
        assert reply.status == 403, "the path's model would not be what the upstream sees"
        reply = await world.ask(
            sized("/v1/files", b'{"model":"whisper-1"}', auth + "content-type: text/plain\r\n")
        )
        assert reply.status == 403
        assert world.counts == [1]
        assert world.gateway.server.shared.buffered == 0


async def refuse_early(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.1 413 Too Large\r\ncontent-type: text/plain\r\ncontent-length: 7\r\n\r\ntoo big")
    await reader.read()


@on_both_loops
async def test_an_early_answer_reaches_a_client_that_is_still_sending() -> None:
    async with scripted(refuse_early) as url, running(backends=[{"url": url}]) as world:
        head, body = multipart(("file", FILE * 4))
        client = await world.open()
        client.send(sized(PATH, body, head))
        reply = await client.answer()
        assert (reply.status, reply.json["error"]["message"]) == (413, "too big")
        assert reply.headers["x-should-retry"] == "false"
        await world.quiet()
        assert world.faults == [("a", "invalid_request")]
        assert world.gateway.runtime.upstreams[0].pool.open_count == 0, "half a request is on it"


@on_both_loops
async def test_a_body_that_was_partly_sent_is_not_sent_again() -> None:
    async with running("close=before_head", None) as world:
        head, body = multipart(("file", FILE))
        reply = await world.ask(sized(PATH, body, head))
        assert (reply.status, world.counts) == (502, [1, 0])
        head, body = multipart(("file", b"small"))
        reply = await world.ask(sized(PATH, body, head))
        assert (reply.status, world.counts) == (200, [2, 1]), "a small one was held whole"
    async with running(
        None, urls=["http://127.0.0.1:1"], backends=[{"priority": 9}, {"priority": 1}]
    ) as world:
        head, body = multipart(("file", FILE))
        reply = await world.ask(sized(PATH, body, head))
        assert reply.status == 200, "nothing had been sent to the backend that is down"
        assert reply.json["bytes"] == len(body)


@on_both_loops
async def test_a_client_that_leaves_in_an_upload_takes_its_upstream_along() -> None:
    async with running() as world:
        head, body = multipart(("file", FILE))
        client = await world.open()
        client.send(sized(PATH, body, head)[:1_000_000])
        await world.sims[0].until(lambda: world.sims[0].in_flight == 1)
        await client.leave()
        await world.quiet()
        assert world.seen.outcome == "client_closed"
        assert (world.record.fault, world.record.status) == ("client_gone", 499)
        client = await world.open()
        client.send(chunked(PATH, body, head)[:300_000])
        await world.sims[0].until(lambda: world.sims[0].in_flight == 1)
        client.send(b"nonsense\r\n" * 10_000)
        reply = await client.rest()
        assert b"HTTP/1.1 400" in reply.raw
        await world.quiet()
        assert world.seen.outcome == "client_closed"


class SlowUpstream:
    """Reads the head, then nothing until it is told to."""

    def __init__(self) -> None:
        self.go = asyncio.Event()
        self.received = 0

    async def play(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.transport.pause_reading()  # type: ignore[attr-defined]  # a stream's transport is both halves
        await self.go.wait()
        writer.transport.resume_reading()  # type: ignore[attr-defined]  # as above
        while self.received < self.total:
            self.received += len(await reader.read(1 << 20))
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-type: text/plain\r\n\r\nok")
        await reader.read()

    total = 0


async def buffered(world: World) -> int:
    """Bytes that the gateway's process holds for its one upstream, once nothing moves any more."""
    (exchange,) = world.gateway.runtime.live
    relay = exchange._relay
    assert relay is not None
    transport = relay.connection._transport
    assert transport is not None
    return transport.get_write_buffer_size()


@on_both_loops
async def test_an_upstream_that_reads_slowly_holds_its_client() -> None:
    upstream = SlowUpstream()
    body = bytes(1 << 20) * 30
    upstream.total = len(body)
    async with scripted(upstream.play) as url, running(backends=[{"url": url}]) as world:
        client = await world.open()
        client.send(sized("/v1/files", body, "content-type: application/octet-stream\r\n"))
        left = -1
        while left != client.writer.transport.get_write_buffer_size():
            left = client.writer.transport.get_write_buffer_size()
            await asyncio.sleep(0.2)
        assert left > 10 << 20, "most of it waits with the client"
        assert await buffered(world) < 512 * 1024
        upstream.go.set()
        reply = await client.answer()
        assert reply.body == b"ok"


@on_both_loops
async def test_bodies_of_unusual_requests_pass() -> None:
    async with running() as world:
        reply = await world.ask(get("/v1/x", method="DELETE", headers="content-length: 3\r\n") + b"abc")
        assert (reply.json["method"], reply.json["body_text"]) == ("DELETE", "abc")
        reply = await world.ask(chunked("/v1/x", b"", "content-type: text/plain\r\n"))
        assert (reply.json["method"], reply.json["body_length"]) == ("POST", 0)
        head = "content-type: application/octet-stream\r\nexpect: 100-continue\r\ncontent-length: 5\r\n"
        client = await world.open()
        client.send(get("/v1/x", method="PUT", headers=head))
        assert (await client.head()).status == 100
        client.send(b"hello")
        assert (await client.answer()).json["body_text"] == "hello"
