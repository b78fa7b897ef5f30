"""`trunkline explain` as it is typed, at a running gateway."""

import asyncio
import io
import json
import socket
from pathlib import Path

import pytest

from tests.failover.harness import World, on_both_loops, pair, running
from trunkline.cli.main import main

TWO = {"one": "max_retries: 0", "two": ""}
REQUEST = {"model": "primary", "messages": [{"role": "user", "content": "hello"}]}


def code_of(*arguments: str) -> int:
    try:
        main(["explain", *arguments])
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else 0
    raise AssertionError("it did not exit")


async def typed(*arguments: str) -> int:
    """The verb in a thread, because the gateway that it asks runs in this one."""
    return await asyncio.to_thread(code_of, *arguments)


def admin_of(world: World) -> str:
    return f"127.0.0.1:{world.gateway.admin.port}"


@on_both_loops
async def test_the_last_call_and_one_by_its_id(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async with running(tmp_path, pair("status=500", backends=("one", "two")), backends=TWO) as world:
        first = await world.call(stream=False)
        await world.call("ok", stream=False)
        assert await typed("--admin", f"http://{admin_of(world)}/") == 0
        out = capsys.readouterr().out
        assert "model `ok`" in out
        assert "  1. after 0 ms: two, model `sim-small`\n     why: first in `ok`\n     200 ok; took " in out
        request_id = first.headers["x-request-id"]
        assert await typed(request_id, "--admin", admin_of(world)) == 0
        out = capsys.readouterr().out
        assert out.startswith(f"call {request_id}\n")
        assert "500 server_error: the upstream failed; took" in out
        assert "why: fallback `ok`: nothing before it is left for this call" in out
        assert out.rstrip().split("\n")[-1].startswith("the client got the answer of two (200) after ")
        assert await typed(request_id, "--admin", admin_of(world), "--json") == 0
        assert json.loads(capsys.readouterr().out)["id"] == request_id


@on_both_loops
async def test_the_admin_port_is_that_of_the_configuration(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(tmp_path, pair("")) as world:
        await world.call(stream=False)
        (tmp_path / "trunkline.yaml").write_text(
            f"admin: {{port: {world.gateway.admin.port}}}\nbackends: [{{name: a, url: 'http://h'}}]\n"
        )
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
        monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
        assert await typed() == 0
        assert "model `primary`" in capsys.readouterr().out


@on_both_loops
async def test_a_request_of_a_file_or_of_standard_input(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    more = "keys: [{name: team, key: secret-of-team, pin: true}]\n"
    async with running(tmp_path, pair("", backends=("one", "two")), backends=TWO, more=more) as world:
        file = tmp_path / "request.json"
        file.write_text(json.dumps(REQUEST))
        assert await typed("--request", str(file), "--admin", admin_of(world)) == 0
        assert "asked first: one, model `sim-small`: first in `primary`" in capsys.readouterr().out
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b'{"model": "ok", "input": "x"}')))
        arguments = ("--request", "-", "--path", "/v1/embeddings", "--key", "team", "--backend", "two")
        assert await typed(*arguments, "--admin", admin_of(world), "--json") == 0
        told = json.loads(capsys.readouterr().out)
        assert (told["surface"], told["key"], told["pin"]) == ("embeddings", "team", "two")


@on_both_loops
async def test_what_cannot_be_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async with running(tmp_path, pair("")) as world:
        assert await typed("--admin", admin_of(world)) == 1
        assert capsys.readouterr().err == "the gateway has answered no call yet\n"
        assert await typed("req/nothing", "--admin", admin_of(world)) == 1
        assert capsys.readouterr().err.startswith("no call `req/nothing` among the last 0 ")
        assert await typed("x", "--admin", f"127.0.0.1:{world.sim.port}") == 1
        assert "/calls/x" in capsys.readouterr().err
        assert await typed("--admin", f"{admin_of(world)}/health?x=") == 1
        assert capsys.readouterr().err.endswith(" is not the admin port of a gateway of this version\n")


def test_nobody_answers(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as taken:  # bound, and not listening
        taken.bind(("127.0.0.1", 0))
        place = f"127.0.0.1:{taken.getsockname()[1]}"
        assert code_of("--admin", place) == 1
        error = capsys.readouterr().err
        assert error.startswith(f"no gateway answers at http://{place}/calls: ")
        assert error.endswith("where its admin port is: --admin URL\n")


def test_wrong_command_lines_and_configurations(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "trunkline.yaml"
    file.write_text("admin: {port: 1}\nbackends: [{name: a, url: 'http://h', api_key: '${NOT_SET_HERE}'}]\n")
    assert code_of("--config", str(file)) == 2
    assert "NOT_SET_HERE" in capsys.readouterr().err
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("trunkline.config.model.AdminSettings", lambda: _Place("::1", 1))
    assert code_of() == 1
    error = capsys.readouterr().err
    assert error.startswith("note: the configuration cannot be read, so this is the default port (")
    assert "no gateway answers at http://[::1]:1/calls" in error
    assert code_of("--admin", "ftp://127.0.0.1") == 1
    assert code_of("an-id", "--request", str(file)) == 2


class _Place:
    def __init__(self, host: str, port: int) -> None:
        self.host = host
        self.port = port
