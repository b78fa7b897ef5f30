"""Canary keys planted wherever a secret can stand: nothing that anybody can read shows one.

Read are all answers to clients, the admin port, records, reprs, and everything on standard output and error.
"""

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from tests.contract.gateway.harness import World, chat, get, on_both_loops, post, running, scripted
from tests.contract.net.proxies import scripted as scripted_proxy
from trunkline.config.load import load
from trunkline.errors import ConfigError
from trunkline.policy.keys import KeySettings

KEY = "sk-canary/key+1"
HEADER = "canary-header-2"
BEARER = "canary-bearer-3"
QUERY = "canary-query-4"
SECRET = "canary client&secret=5"
TOKEN = "canary-token-6"
TOKEN_QUERY = "canary-token-query-7"
PASSWORD = "canary-password-8"
OWN = "sk-canary-own-9"
WRONG = "sk-canary-wrong-10"
CANARY = re.compile(r"canary[- %/&+]", re.IGNORECASE)

MINE = f"authorization: Bearer {OWN}\r\n"
READ = (b"completions", b"/responses", b"/messages ")
"""Paths whose streams are read."""
SENT = {"api_key": KEY, "headers": {"X-Team": HEADER, "X-Auth": f"Bearer {BEARER}"}}


def assert_clean(*texts: bytes | str) -> None:
    for text in texts:
        shown = text if isinstance(text, str) else text.decode("utf-8", "replace")
        # Base64 would hide it from the eye only.
        assert not CANARY.search(shown), shown
        assert "Y2FuYXJ5" not in shown


def inside(world: World) -> str:
    """What a debugger or a traceback would print of a gateway."""
    gateway = world.gateway
    runtime = gateway.runtime
    parts = [gateway.settings, runtime, runtime.records, runtime.upstreams, runtime.keyring, runtime.plan]
    parts += [vars(upstream)["oauth"] for upstream in runtime.upstreams]
    parts += [upstream.connector for upstream in runtime.upstreams]
    return "\n".join(map(repr, parts)) + gateway.ready_line()


@asynccontextmanager
async def watched(
    capfd: pytest.CaptureFixture[str], *faults: str | None, **settings: Any
) -> AsyncGenerator[tuple[World, list[bytes]]]:
    """A world whose answers are put into the list by the test; at its end nothing may show a canary."""
    seen: list[bytes] = []
    keys = [KeySettings(name="team", key=OWN)]
    async with running(*faults, keys=keys, **settings) as world:
        yield world, seen
        await world.quiet()
        seen.append((await world.ask_admin("/metrics")).raw)
        seen += [(await world.ask(get(path, headers=MINE))).raw for path in ("/health", "/v1/models")]
        assert_clean(*seen, inside(world))
    assert_clean(*capfd.readouterr())


def requests(headers: str = MINE) -> list[bytes]:
    """Each API, whole and as a stream, and one that the gateway does not know."""
    say = [{"role": "user", "content": "hi"}]
    body: dict[str, Any] = {"model": "m", "messages": say, "input": "x", "prompt": "x", "max_tokens": 9}
    paths = ("chat/completions", "completions", "responses", "messages", "embeddings")
    streams = [post(f"/v1/{path}", body | {"stream": True}, headers=headers) for path in paths[:-1]]
    whole = [
        post(f"/v1/{path}", body, headers=headers) for path in (*paths, "things", "messages/count_tokens")
    ]
    return [*streams, *whole]


def quoting(form: str, *secrets: str) -> str:
    said = quote(" ".join(secrets), safe=" ")
    return f"x-sim-fault: {form};message=you sent {said}\r\n"


@on_both_loops
async def test_errors_that_quote_what_was_sent(capfd: pytest.CaptureFixture[str]) -> None:
    forms = [f"error_form={form};status=401" for form in range(1, 16)]
    forms += ["error_form=1;status=500", "error_form=4;status=200", "error_form=17", "status=404;body=text"]
    forms += ["status=429;body=string;retry_after=1", "status=400;body=html"]
    async with watched(capfd, None) as (world, seen):
        url = f"{world.sims[0].url}/v1?k={QUERY}&x=1"
        async with running(backends=[SENT | {"url": url}]) as other:
            for form in forms:
                for request in requests(quoting(form, KEY, HEADER, BEARER, QUERY)):
                    if form == "error_form=17" and not any(path in request for path in READ):
                        continue  # a stream where the gateway knows of none: it is passed as it is
                    reply = await other.ask(request)
                    assert b"you sent *** *** *** ***" in reply.body or "html" in form, (form, request)
                    seen.append(reply.raw)
            assert QUERY in world.sims[0].log[-1].target
            seen.append((await other.ask(get("/health"))).raw)
            seen.append(inside(other).encode())


@on_both_loops
async def test_calls_that_go_well_and_calls_that_go_on(capfd: pytest.CaptureFixture[str]) -> None:
    """The first backend has failed with the canary in its words; what the second says is the client's."""
    async with watched(capfd, "status=401", None, backends=[{"api_key": KEY}, {"api_key": KEY}]) as (
        world,
        seen,
    ):
        for request in requests():
            reply = await world.ask(request)
            if b'"headers"' in reply.body:  # the simulator's echo says all it got, and that is a success
                continue
            seen.append(reply.raw)
        assert f"Bearer {KEY}" in [entry.header("authorization") for entry in world.sims[1].log]
        assert OWN not in repr(world.sims[1].log)


@on_both_loops
async def test_wrong_keys_and_odd_requests_of_clients(capfd: pytest.CaptureFixture[str]) -> None:
    async with watched(capfd, None, backends=[SENT]) as (world, seen):
        for request in requests(f"authorization: Bearer {WRONG}\r\n"):
            seen.append((await world.ask(request)).raw)
            assert b" 401 " in seen[-1]
        for line in (
            f"authorization: Basic {WRONG}\r\n",
            f"x-api-key: {WRONG}\r\n",
            f"api-key: {WRONG}\r\nauthorization: Bearer {WRONG}\r\n",
            f"authorization : Bearer {WRONG}\r\n",
            f"authorization: Bearer {WRONG}\r\ncontent-length: 5\r\n",
            f"transfer-encoding: {WRONG}\r\n",
        ):
            seen.append((await world.ask_to_end(chat(headers=line + "connection: close\r\n"))).raw)
        assert world.counts == [0]


@on_both_loops
async def test_the_ways_in_which_a_backend_can_fail(capfd: pytest.CaptureFixture[str]) -> None:
    broken = [
        "reset=accept",
        "close=head",
        "redirect=http://elsewhere.test/",
        "close=body;after=5",
        "broken_chunk",
    ]
    for spec in broken:
        async with watched(capfd, None, backends=[SENT]) as (world, seen):
            for request in requests(f"{MINE}x-sim-fault: {spec}\r\n"):
                seen.append(
                    (await world.ask_to_end(request.replace(b"host:", b"connection: close\r\nhost:"))).raw
                )
    proxy = f"http://user:{PASSWORD}@127.0.0.1:1"
    for changes in (
        {"url": f"http://127.0.0.1:1/v1?k={QUERY}"},
        {"url": f"http://no-such-host.invalid/v1?k={QUERY}"},
        {"url": f"http://169.254.169.254/v1?k={QUERY}"},
        {"url": f"https://h.test/v1?k={QUERY}", "proxy": proxy},
        {"url": f"http://h.test/v1?k={QUERY}", "proxy": proxy},
    ):
        async with watched(capfd, None, backends=[SENT | changes]) as (world, seen):
            for request in (chat(headers=MINE), chat(headers=MINE, stream=True)):
                reply = await world.ask(request)
                assert reply.status == 502
                seen.append(reply.raw)


@on_both_loops
async def test_a_proxy_s_password_is_for_the_proxy_alone(capfd: pytest.CaptureFixture[str]) -> None:
    said = b"HTTP/1.1 %d No\r\ncontent-length: 0\r\n\r\n"
    for status in (200, 403, 407, 502):
        async with watched(capfd, None, backends=[SENT | {"url": "http://127.0.0.1:1"}]) as (world, seen):
            answer = b"HTTP/1.1 200 OK\r\n\r\n" if status == 200 else said % status
            async with (
                scripted_proxy(answer, target=world.sims[0].port if status == 200 else None) as (proxy, port),
                running(
                    backends=[{"url": world.sims[0].url, "proxy": f"http://user:{PASSWORD}@127.0.0.1:{port}"}]
                ) as other,
            ):
                reply = await other.ask(chat())
                assert reply.status == (200 if status == 200 else 502)
                seen += [reply.raw, (await other.ask(get("/health"))).raw, inside(other).encode()]
                assert b"proxy-authorization: Basic " in proxy.requests[0]
                assert "proxy-authorization" not in repr(world.sims[0].log)


@asynccontextmanager
async def identity_provider(status: int, answer: str) -> AsyncGenerator[tuple[str, list[bytes]]]:
    """Its URL, with a secret of its own, and the requests it got."""
    asked: list[bytes] = []

    async def play(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        asked.append(
            head + await reader.readexactly(int(head.partition(b"content-length: ")[2].split(b"\r")[0]))
        )
        body = answer.encode()
        writer.write(
            b"HTTP/1.1 %d X\r\nconnection: close\r\ncontent-length: %d\r\n\r\n" % (status, len(body))
        )
        writer.write(body)
        await writer.drain()

    async with scripted(play) as url:
        yield f"{url}/token?code={TOKEN_QUERY}", asked


@pytest.mark.parametrize(
    ("status", "answer", "works"),
    [
        (200, {"access_token": TOKEN, "refresh_token": f"r-{TOKEN}", "id_token": f"i-{TOKEN}"}, True),
        (200, {"access_token": f"{TOKEN}\n"}, False),
        (
            400,
            {"error": "invalid_client", "error_description": f"{SECRET} at /token?code={TOKEN_QUERY}"},
            False,
        ),
        (500, {"detail": f"{quote(SECRET, safe='')} {SECRET}"}, False),
        (302, {}, False),
    ],
)
@on_both_loops
async def test_answers_of_an_identity_provider(
    status: int, answer: dict[str, str], works: bool, capfd: pytest.CaptureFixture[str]
) -> None:
    async with identity_provider(status, json.dumps(answer)) as (token_url, asked):
        oauth = {"client_id": "c", "client_secret": SECRET, "token_url": token_url}
        async with watched(capfd, None, backends=[oauth]) as (world, seen):
            forms = ("error_form=1;status=401", "error_form=5;status=400", "error_form=17")
            for headers in (MINE, *(MINE + quoting(form, TOKEN) for form in forms)):
                for request in requests(headers):
                    if "form=17" in headers and not any(path in request for path in READ):
                        continue
                    reply = await world.ask(request)
                    if b'"headers"' not in reply.body:
                        seen.append(reply.raw)
            assert bool(world.counts[0]) == works
            assert TOKEN_QUERY.encode() in asked[0]


@on_both_loops
async def test_a_bug_of_the_gateway_itself(capfd: pytest.CaptureFixture[str]) -> None:
    async with watched(capfd, None, backends=[SENT]) as (world, seen):
        upstream = world.gateway.runtime.upstreams[0]
        for bug in (RuntimeError("a bug"), KeyError(upstream), ValueError(repr(vars(upstream)["settings"]))):

            def fail(*_: object, bug: Exception = bug) -> None:
                raise bug

            upstream.head = fail  # type: ignore[method-assign,assignment]  # a bug in the middle of a call
            seen.append((await world.ask_to_end(chat(headers=MINE + "connection: close\r\n"))).raw)
            await world.quiet()
        del upstream.head


@pytest.mark.parametrize("before", ['{"choices":[{"index":0,"delta":{"content":"a"}}]}', ""])
@on_both_loops
async def test_an_error_inside_a_stream_that_has_begun(
    before: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """With content before it, and where the head has been sent because nothing came for long."""

    async def play(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n")
        if before:
            writer.write(f"data: {before}\n\n".encode())
        await asyncio.sleep(0.3)
        writer.write(f'data: {{"error":{{"message":"you sent {KEY}"}}}}\n\n'.encode())
        await writer.drain()

    async with (
        scripted(play) as url,
        watched(capfd, server={"hold_head": 0.1}, backends=[SENT | {"url": url}]) as (world, seen),
    ):
        reply = await world.ask(chat(headers=MINE, stream=True))
        assert b"you sent " in reply.body
        seen.append(reply.raw)


# The command line and the reading of settings.

CONFIG = f"""
keys: [{{name: team, key: {OWN}}}]
server: {{port: 0}}
admin: {{port: 0}}
data_dir: data
discovery: {{interval: 1}}
backends:
  - {{name: a, provider: groq, url: "http://127.0.0.1:1/v1?k={QUERY}", api_key: "{KEY}", headers: {{X-A: {HEADER}}}}}
  - {{name: b, url: "http://127.0.0.1:1", proxy: "http://u:{PASSWORD}@127.0.0.1:1", openai_strict: true}}
  - name: c
    url: http://127.0.0.1:1
    client_id: c
    client_secret: "{SECRET}"
    token_url: "http://127.0.0.1:1/token?code={TOKEN_QUERY}"
  - {{name: d, provider: openai}}
  - {{name: e, provider: azure, url: https://r.openai.azure.com, api_key: "${{UP_KEY}}", ssl_verify: false}}
"""
ENVIRON = {
    "OPENAI_API_KEY": "canary-env-openai",
    "TRUNKLINE_API_KEY": "canary-env-own",
    "UP_KEY": "'canary-env-quoted'",
    "ALL_PROXY": "http://u:canary-env-proxy@127.0.0.1:1",
    "TARGET_BASE_URL": "http://u:canary-env-target@h.test",
}


def trunkline(folder: Path, *arguments: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "trunkline.cli.main", *arguments],
        cwd=folder,
        env=os.environ | ENVIRON,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def test_what_the_commands_print(tmp_path: Path) -> None:
    (tmp_path / "trunkline.yaml").write_text(CONFIG)
    for arguments in (
        ["check"],
        ["check", "--json"],
        ["providers"],
        ["providers", "--json"],
        ["config", "schema"],
    ):
        with trunkline(tmp_path, *arguments) as process:
            output, _ = process.communicate(timeout=60)
        assert process.returncode == 0, output
        assert_clean(output)


def test_what_the_server_prints_and_keeps(tmp_path: Path) -> None:
    (tmp_path / "trunkline.yaml").write_text(CONFIG)
    with trunkline(tmp_path, "serve") as process:
        assert process.stdout is not None
        lines = [process.stdout.readline()]
        while "ready on" not in lines[-1]:
            assert lines[-1], lines
            lines.append(process.stdout.readline())
        process.send_signal(signal.SIGTERM)
        rest, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    assert_clean(*lines, rest)
    kept = [path for path in tmp_path.rglob("*") if path.is_file() and path.name != "trunkline.yaml"]
    assert_clean(*(path.read_bytes() for path in kept))


BAD = [
    f"backends: [{{url: 'http://u:{PASSWORD}@h', api_key: x}}]",
    f"backends: [{{url: 'ftp://h/?k={QUERY}'}}]",
    f"backends: [{{url: 'http://h:x/?k={QUERY}'}}]",
    f"backends: [{{url: 'http://h', api_key: '{KEY} and a blank'}}]",
    f"backends: [{{url: 'http://h', api_key: ['{KEY}']}}]",
    f"backends: [{{url: 'http://h', api_kye: '{KEY}'}}]",
    f"backends: [{{url: 'http://h', headers: {{'X A': '{HEADER}'}}}}]",
    f"backends: [{{url: 'http://h', headers: {{A: \"{HEADER}\\r\\nB: c\"}}}}]",
    f"backends: [{{url: 'http://h', headers: '{HEADER}'}}]",
    f"backends: [{{url: 'http://h', proxy: 'socks5://u:{PASSWORD}@h'}}]",
    f"backends: [{{url: 'http://h', proxy: 'http://u:{PASSWORD}@h:x'}}]",
    f"backends: [{{url: 'http://h', client_secret: '{SECRET}'}}]",
    f"backends: [{{url: 'http://h', client_id: c, client_secret: '{SECRET}', token_url: 'x://h/?c={TOKEN_QUERY}'}}]",
    f"backends: [{{url: 'http://h', client_id: c, client_secret: '{SECRET}', token_url: 'http://u:{PASSWORD}@h'}}]",
    f"backends: [{{url: 'http://h', client_secret: ['{SECRET}']}}]",
    f"keys: [{{name: a, key: '{OWN}'}}, {{name: b, key: '{OWN}'}}]\nbackends: [{{url: 'http://h'}}]",
    f"keys: [{{name: a, key: '{OWN} blank'}}]\nbackends: [{{url: 'http://h'}}]",
    f"keys: ['{OWN}']\nbackends: [{{url: 'http://h'}}]",
    f"keys: '{OWN}'\nbackends: [{{url: 'http://h'}}]",
    f"backends: [{{url: 'http://h', api_key: '{KEY}', api_key: '{KEY}'}}]",
    f"backends: [{{url: 'http://h', api_key: \"{KEY}}}]",
    f"backends: [{{url: 'http://h', api_key: @{KEY}}}]",
]


@pytest.mark.parametrize("text", BAD)
def test_what_is_wrong_with_settings_is_said_without_them(text: str, tmp_path: Path) -> None:
    file = tmp_path / "trunkline.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load(file, {})
    assert_clean(str(caught.value), repr(caught.value))


def test_what_is_wrong_with_the_environment_is_said_without_it() -> None:
    for environ in (
        {"TARGET_BASE_URL": f"http://u:{PASSWORD}@h"},
        {"OPENAI_API_KEY": f"{KEY} blank", "TARGET_BASE_URL": ""},
        {"TRUNKLINE_API_KEY": f"{OWN} blank", "OPENAI_API_KEY": KEY},
        {"TARGET_BASE_URL": "http://h", "LLM_PARAMS": f"{KEY}"},
    ):
        try:
            loaded = load(None, environ)
        except ConfigError as error:
            assert_clean(str(error))
        else:
            assert_clean(repr(loaded), *loaded.warnings)
