"""Every row's own form of an error: what the client reads, and what the record says that it was."""

from pathlib import Path

import msgspec
import pytest

from tests.contract.gateway.harness import chat, on_both_loops
from tests.contract.providers.dialects import DIALECTS, ROWS, behind, fault, name_of
from trunkline.providers.base import Profile
from trunkline.wire.error_body import extract_message


@pytest.mark.parametrize("row", ROWS, ids=name_of)
@on_both_loops
async def test_an_error_in_the_provider_s_form(row: Profile, tmp_path: Path) -> None:
    dialect = DIALECTS[row.name]
    async with behind(row, tmp_path) as world:
        for stream in (False, True):
            request = chat(headers=fault(dialect), stream=stream)
            plain = await world.direct(request)
            reply = await world.ask(request)
            assert reply.status == plain.status == dialect.status
            assert reply.headers["x-should-retry"] == "false"
            if dialect.form == 5:
                error = reply.json["error"]
                assert (error["message"], error.keys()) == (
                    dialect.message,
                    {"message", "type", "param", "code"},
                )
                assert reply.headers["content-type"] == "application/json"
            else:
                assert (reply.body, reply.headers["content-type"]) == (
                    plain.body,
                    plain.headers["content-type"],
                )
            # LiteLLM's own message has the upstream's whole body in the middle.
            assert dialect.message in extract_message(reply.body).message
            await world.quiet()
            assert (world.record.fault, world.record.status) == (dialect.kind, dialect.status)
            assert [kind for _, kind in world.faults] == [dialect.kind]


@pytest.mark.parametrize("row", ROWS, ids=name_of)
@on_both_loops
async def test_a_refused_key(row: Profile, tmp_path: Path) -> None:
    """It is the backend's fault; the words of the upstream are passed on without the key that it quotes."""
    form = 1 if row.name == "llama.cpp" else DIALECTS[row.name].form  # its own form is that of an overflow
    said = f"x-sim-fault: error_form={form};status=401;message=wrong key sk-up-secret\r\n"
    async with behind(row, tmp_path, api_key="sk-up-secret") as world:
        reply = await world.ask(chat(headers=said))
        assert reply.status == 401
        assert "wrong key ***" in extract_message(reply.body).message
        assert b"sk-up-secret" not in reply.raw
        await world.quiet()
        assert world.record.fault == "auth"
        assert "sk-up-secret" not in repr(world.records)


@pytest.mark.parametrize("form", [5, 16])
@on_both_loops
async def test_pages_and_plain_text_are_put_into_words_that_sdks_read(form: int, tmp_path: Path) -> None:
    row = next(row for row in ROWS if row.name == "openai_compat")
    said = "x-sim-fault: error_form=%d;status=%d;message=no such thing\r\n"
    async with behind(row, tmp_path) as world:
        for status in (400, 404, 413, 422):
            reply = await world.ask(chat(headers=said % (form, status)))
            assert (reply.status, reply.headers["content-type"]) == (status, "application/json")
            message = reply.json["error"]["message"]
            assert message == ("no such thing" if form == 5 else str(status))
        # A broken upstream's words are its own.
        plain = await world.direct(chat(headers=said % (form, 500)))
        reply = await world.ask(chat(headers=said % (form, 500)))
        assert (reply.status, reply.body) == (500, plain.body)


@on_both_loops
async def test_the_seventeenth_form_is_an_error_inside_a_stream(tmp_path: Path) -> None:
    row = next(row for row in ROWS if row.name == "openai_compat")
    async with behind(row, tmp_path) as world:
        reply = await world.ask(chat(stream=True, headers="x-sim-fault: error_form=17;message=broke\r\n"))
        assert reply.status == 502
        assert "broke" in msgspec.json.decode(reply.body)["error"]["message"]
        await world.quiet()
        assert world.record.fault == "error_in_stream"
