"""No secret is ever shown: canaries in every place that holds one, and servers that quote all they were sent."""

import asyncio
import json
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from tests.contract.cli.examining import LIST, answer, examined_all, head_of
from tests.contract.gateway.harness import on_both_loops, scripted

KEY, ENVIRONMENT, SECRET = "sk-canary/Key+0123456789", "sk-canary-environment-4711", "canary-Secret&0815=ü"
HEADER, PASSWORD, TOKEN = "canary-header-value", "canary-pass-word", "canary.token.0123456789abcdef"
QUERY, SHORT = "canary-query-987", "Cn4ry"
CANARIES = (KEY, ENVIRONMENT, SECRET, HEADER, PASSWORD, TOKEN, QUERY, SHORT)
SENT = f"{KEY} {KEY[:14]}... {KEY.lower()} {quote(KEY, safe='')} {HEADER} {TOKEN} {QUERY} {SHORT} {SECRET} {PASSWORD} "

NOBODY = "http://127.0.0.1:9"
# What one backend's server quotes may be another's secret.
HOLDERS: list[dict[str, Any]] = [
    {
        "name": "holder-1",
        "url": NOBODY,
        "api_key": KEY,
        "headers": {"x-team": HEADER, "x-short": SHORT},
        "proxy": f"http://user:{PASSWORD}@127.0.0.1:9",
    },
    {
        "name": "holder-2",
        "url": NOBODY,
        "client_id": "me",
        "client_secret": SECRET,
        "token_url": f"{NOBODY}/?x={QUERY}",
    },
]


class Parrot:
    """A server that quotes all it gets, in one way or another, and lists models that are called like it."""

    def __init__(self, way: str) -> None:
        self.way = way

    async def play(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            head = (await head_of(reader)).decode("latin-1")
            lines = dict(line.split(": ", 1) for line in head.split("\r\n")[1:-2] if ": " in line)
            body = (await reader.readexactly(int(lines.get("content-length", 0)))).decode()
            writer.write(self.answer(head, f"you sent {head} {body} {SENT}"))

    def answer(self, head: str, said: str) -> bytes:
        is_list = "/models" in head.split(" ")[1]
        match self.way:
            case "token":
                return answer(json.dumps({"error": "invalid_client", "error_description": said}), 401)
            case "granted":
                return answer(json.dumps({"access_token": TOKEN, "expires_in": 3600}))
            case "text":
                return answer(said, 400, "text/plain")
            case "page":
                return answer(f"<html><title>{said}</title></html>", 403, "text/html")
            case "redirect":
                place = f"location: https://{KEY[:9]}.example/{quote(SENT)}\r\n"
                return answer("", 302, extra=place + f"x-echo: {quote(SENT)}\r\n")
            case "names":
                names = [KEY, HEADER, TOKEN, SHORT, f"models/{KEY}"]
                if is_list:
                    return answer(json.dumps({"data": [{"id": name} for name in names]}))
                return answer(json.dumps({"error": {"message": said}}), 404)
            case "stream" if is_list:
                return answer(LIST)
            case "stream":
                event = f"data: {json.dumps({'error': {'message': said}})}\n\n"
                return answer(event, kind="text/event-stream")
            case "status line":
                return f"HTTP/1.1 ??? {SENT}\r\n\r\n".encode()
            case _:
                return answer(json.dumps({"error": {"message": said, "code": SENT}}), int(self.way))


WAYS = [
    "400",
    "401",
    "403",
    "404",
    "429",
    "500",
    "200",
    "text",
    "page",
    "redirect",
    "names",
    "stream",
    "status line",
]


def check(diagnoses: list[Any]) -> None:
    shown = repr(diagnoses)
    folded = shown.lower()
    for canary in CANARIES:
        for form in (canary, quote(canary, safe=""), json.dumps(canary)[1:-1]):
            assert form.lower() not in folded, (canary, shown)
    assert "sk-canary" not in folded, "half a secret is one too"


@pytest.mark.parametrize("way", WAYS)
@on_both_loops
async def test_a_server_that_quotes_what_it_got(way: str, tmp_path: Path) -> None:
    async with scripted(Parrot(way).play) as url:
        both = {"headers": {"x-team": HEADER, "x-short": SHORT}, "models": ["llama3.2:1b"]}
        backends: list[dict[str, Any]] = [
            {"name": "a", "url": f"{url}/?key={QUERY}", "api_key": KEY, **both},
            {"name": "b", "url": url, "api_key": KEY},
            {"name": "c", "url": url, "api_key": KEY, "auth": "x-api-key", "provider": "anthropic"},
            {"name": "d", "url": url, "provider": "ollama", "api_key": SHORT},
        ]
        proxied = {
            "url": "http://public.host",
            "proxy": f"http://user:{PASSWORD}@{url.removeprefix('http://')}",
        }
        keys = [{"name": "team", "key": TOKEN}]
        diagnoses = await examined_all(tmp_path, [*backends, {"name": "e", **proxied}, *HOLDERS], keys=keys)
        check(diagnoses)
        assert not diagnoses[0].well


@on_both_loops
async def test_identity_providers_that_quote_the_secret_and_upstreams_that_quote_the_token(
    tmp_path: Path,
) -> None:
    client = {"client_id": "me", "client_secret": SECRET}
    for idp_way in ("token", "text", "500", "granted"):
        async with scripted(Parrot("401").play) as url, scripted(Parrot(idp_way).play) as idp:
            backend = {"url": url, "token_url": f"{idp}/token?x={QUERY}", **client}
            # A token that is granted is learnt on the way; where none is, it is one of our own clients' keys.
            keys = [{"name": "team", "key": TOKEN}] if idp_way != "granted" else []
            diagnoses = await examined_all(tmp_path, [backend, *HOLDERS], keys=keys)
            check(diagnoses)
            assert not diagnoses[0].well


@on_both_loops
async def test_keys_of_the_environment_and_of_our_own_clients(tmp_path: Path) -> None:
    environ = {
        "OPENAI_API_KEY": ENVIRONMENT,
        "https_proxy": f"http://user:{PASSWORD}@127.0.0.1:9",
        "KEY": KEY,
        "HEADER": HEADER,
    }
    backends = [
        {"provider": "openai"},
        {
            "provider": "openai_compat",
            "url": "http://127.0.0.1:9",
            "api_key": "${KEY}",
            "headers": {"A": "${HEADER}"},
        },
        {"provider": "mistral", "api_key": f"'{KEY}'"},
    ]
    check(await examined_all(tmp_path, backends, environ=environ, keys=[{"name": "team", "key": TOKEN}]))
