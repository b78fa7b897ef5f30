"""What the doctor makes of servers that answer: well, with a refusal, or with something that is no answer."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from tests.contract.cli.examining import (
    CHAT,
    LIST,
    PAGE,
    answer,
    error,
    examined,
    examined_all,
    failure,
    site,
    states,
)
from tests.contract.gateway.harness import on_both_loops, scripted
from trunkline.engine.diagnosis import way_there
from trunkline.simulator.app import start


@on_both_loops
async def test_a_good_backend_is_well(tmp_path: Path) -> None:
    async with await start(seed=7, api_key="sk-good-and-long") as sim:
        steps = await examined(tmp_path, url=sim.url, api_key="sk-good-and-long")
        assert states(steps) == {
            **dict.fromkeys(["configuration", "url", "dns", "egress", "tcp"], "ok"),
            **dict.fromkeys(["proxy", "tls"], "skipped"),
            **dict.fromkeys(["credentials", "models", "completion", "streaming"], "ok"),
        }
        assert steps["models"].says == "`sim-small`, `sim-large`, `sim-embed`"
        assert steps["completion"].says == "`sim-small` answers"
        assert [(entry.method, entry.target) for entry in sim.log] == [
            ("GET", "/v1/models"),
            ("POST", CHAT),
            ("POST", CHAT),
        ]
        bodies = [json.loads(entry.body) for entry in sim.log if entry.body]
        assert [(body["model"], body["max_tokens"], body.get("stream")) for body in bodies] == [
            ("sim-small", 16, None),
            ("sim-small", 16, True),
        ]
        await sim.until(lambda: sim.open_connections == 0)


@on_both_loops
async def test_every_backend_is_walked_and_one_that_fails_stops_none(tmp_path: Path) -> None:
    async with await start(seed=7) as sim:
        backends = [
            {"name": "one", "url": sim.url},
            {"name": "two", "url": f"{sim.url}/wrong", "api_key": "k-of-two"},
            {"name": "three", "url": sim.url},
        ]
        diagnoses = await examined_all(tmp_path, backends)
        assert [(one.name, one.well, one.place) for one in diagnoses] == [
            ("one", True, sim.url),
            ("two", False, sim.url),
            ("three", True, sim.url),
        ]


REFUSALS: dict[str, tuple[dict[str, Any], bytes, str]] = {
    "no key": ({}, error("no key", 401), "it wants a key: set `api_key`"),
    "no key, of a provider": (
        {"provider": "mistral"},
        error("no key", 401),
        "it wants a key: set `api_key` (for Mistral AI itself also by MISTRAL_API_KEY)",
    ),
    "wrong key": (
        {"api_key": "sk-wrong", "provider": "vllm"},
        error("Unauthorized", 401),
        "the key is refused: check that `api_key` is current, whole, and for this service",
    ),
    "wrong key, perhaps in the wrong header": (
        {"api_key": "sk-wrong"},
        error("Unauthorized", 401),
        "the key is refused: check `api_key`, and whether it goes in another header (`auth: api-key`)",
    ),
    "wrong key, said with 400": (
        {"api_key": "sk-wrong", "provider": "vllm"},
        answer('{"error":"Incorrect API key provided"}', 400),
        "the key is refused",
    ),
    "quoted key": (
        {"api_key": '"sk-quoted"', "provider": "vllm"},
        error("Unauthorized", 401),
        "the key has quotes around it: correct `api_key`",
    ),
    "credential in headers": (
        {"headers": {"Authorization": "Basic dXNlcjpwYXNz"}},
        error("Unauthorized", 401),
        "the credential in `headers` is refused",
    ),
    "forbidden": ({"api_key": "k"}, error("not allowed", 403), "the credential has no permission"),
    "firewall": ({}, answer(PAGE, 403, "text/html"), "a firewall or login page in front refuses"),
    "no credit": ({"api_key": "k"}, error("Insufficient Balance", 402), "the account has no credit"),
    "quota": (
        {"api_key": "k"},
        error("You exceeded your current quota, please check your plan and billing details.", 429),
        "the account has no credit or its limit is used up",
    ),
    "too many requests": (
        {"api_key": "k"},
        answer('{"error":{"message":"slow down"}}', 429, extra="retry-after: 7\r\n"),
        "too many requests or tokens for this account just now: wait 7 s",
    ),
    "too many requests, until nobody knows": ({}, error("slow down", 429), "wait a minute"),
    "server error of a service": (
        {"provider": "openai", "api_key": "sk-k"},
        error("oh", 500),
        "the service has failed: try again, and see https://status.openai.com",
    ),
    "overloaded": (
        {"provider": "anthropic", "api_key": "sk-ant-k"},
        error("Overloaded", 529),
        "the service is overloaded: try again later, and see https://status.claude.com",
    ),
    "server error of a server": (
        {"provider": "vllm"},
        error("oh", 500),
        "the server itself has failed: see its log",
    ),
    "reverse proxy without a server": (
        {"provider": "vllm"},
        answer("<html><body>502 Bad Gateway</body></html>", 502, "text/html"),
        "a reverse proxy in front answered, and not the server",
    ),
    "loading": (
        {"provider": "llama.cpp"},
        error("Loading model", 503),
        "the server is loading its model: wait",
    ),
    "redirect to TLS": (
        {},
        answer("", 301, extra="location: https://127.0.0.1/v1/models\r\n"),
        "write https:// in `url`",
    ),
    "redirect to elsewhere": (
        {},
        answer("", 302, extra="location: https://login.example.com/?secret=1\r\n"),
        "it redirects to https://login.example.com: if that is the API",
    ),
    "redirect to another path": (
        {},
        answer("", 302, extra="location: /login\r\n"),
        "`url` leads to a web page",
    ),
    "a web page": (
        {},
        answer(PAGE, 200, "text/html"),
        "`url` leads to a web page, not to an API: check port and path",
    ),
    "a web page that says nothing": ({}, answer(PAGE), "`url` leads to a web page"),
    "something else": (
        {},
        answer('{"hello":"world"}'),
        "check that `url` is the base of an OpenAI-compatible API",
    ),
    "an error with status 200": (
        {},
        answer('{"success":false,"error":"nobody knows you"}'),
        "check that `url` is the base",
    ),
    "unprocessable": ({}, error("field required", 422), "see what it says: `provider` decides"),
}


@pytest.mark.parametrize("case", REFUSALS)
@on_both_loops
async def test_a_list_that_is_refused(case: str, tmp_path: Path) -> None:
    settings, refusal, fix = REFUSALS[case]
    async with site(models=refusal) as there:
        steps = await examined(tmp_path, url=there.url, **settings)
        assert failure(steps).name == "models"
        assert fix in failure(steps).fix
        assert {steps[name].state for name in ("completion", "streaming")} == {"skipped"}
        hosted = settings.get("provider") in ("openai", "anthropic")
        assert bool(failure(steps).link) == hosted, "the status page is for a 5xx of a service"


@on_both_loops
async def test_a_list_that_cannot_be_had_is_no_end_where_models_are_named(tmp_path: Path) -> None:
    async with site(models=error("not found", 404)) as there:
        steps = await examined(tmp_path, url=there.url, models=["mine"])
        assert (steps["models"].state, steps["models"].fix) == ("warn", "keep naming its models in `models`")
        assert steps["completion"].says == "`mine` answers"
    async with site(models=error("oh", 500)) as there:
        steps = await examined(tmp_path, url=there.url, models=["mine"])
        assert (steps["models"].state, steps["completion"].state) == ("fail", "ok")


MODELS: dict[str, tuple[dict[str, Any], bytes, str]] = {
    "a tag is missing": (
        {"provider": "ollama", "models": ["llama3.2"]},
        answer(LIST),
        "names have tags there: write `llama3.2:1b` (without one it is `:latest`)",
    ),
    "not pulled": (
        {"provider": "ollama", "default_model": "qwen3"},
        answer(LIST),
        "pull it there: `ollama pull qwen3`",
    ),
    "other case": ({"models": ["big"]}, answer(LIST), "it is called `Big` there"),
    "another name": (
        {"models": ["small"]},
        answer(LIST),
        "name one that it has in `models` or `default_model`: `llama3.2:1b`, `Big`",
    ),
    "a glob that nothing fits": (
        {"models": ["Llama*"]},
        answer(LIST),
        "correct the pattern: names are case-sensitive",
    ),
    "none at all": ({}, answer('{"data":[]}'), "name them in `models`, or load one in the server"),
    "none pulled": (
        {"provider": "ollama"},
        answer('{"object":"list","data":null}'),
        "pull one: `ollama pull",
    ),
}


@pytest.mark.parametrize("case", MODELS)
@on_both_loops
async def test_models_of_the_settings_that_are_not_in_the_list(case: str, tmp_path: Path) -> None:
    settings, listed, fix = MODELS[case]
    async with site(models=listed) as there:
        steps = await examined(tmp_path, url=there.url, **settings)
        assert steps["models"].state == "warn"
        assert fix in steps["models"].fix


@on_both_loops
async def test_the_model_that_is_asked(tmp_path: Path) -> None:
    listed = '{"data":[{"id":"text-embedding-3"},{"id":"whisper-1"},{"id":"chatty"},{"id":"named"}]}'
    cases: list[tuple[dict[str, Any], str]] = [
        ({}, "chatty"),
        ({"models": ["named", "chatty"]}, "named"),
        ({"models": ["name*"]}, "named"),
        ({"default_model": "named"}, "named"),
        ({"models": ["gone"]}, "gone"),
        ({"models": ["gone", "named"]}, "named"),
    ]
    for settings, asked in cases:
        async with site(models=answer(listed)) as there:
            steps = await examined(tmp_path, url=there.url, **settings)
            assert f"`{asked}`" in steps["completion"].says, settings
    async with site(models=answer('{"data":[]}')) as there:
        assert failure(await examined(tmp_path, url=there.url)).says == "there is no model to ask"


COMPLETIONS: dict[str, tuple[dict[str, Any], bytes, str]] = {
    "unknown at Ollama": (
        {"provider": "ollama", "models": ["llama3.2"]},
        error("model 'llama3.2' not found, try pulling it first", 404),
        "names have tags there: write `llama3.2:1b`",
    ),
    "not loaded in LM Studio": (
        {"provider": "lmstudio"},
        error("No models loaded. Please load a model in the developer page.", 404),
        "the model is not loaded in the server: load it in LM Studio, or with `lms load`",
    ),
    "cannot be loaded": (
        {"provider": "localai"},
        error("could not load model: rpc error", 500),
        "the model is not loaded in the server: see LocalAI's log",
    ),
    "too large": (
        {"provider": "ollama"},
        error("model requires more system memory (9 GiB) than is available", 500),
        "the model does not fit into the server's memory",
    ),
    "not this deployment": (
        {"provider": "azure", "api_key": "k"},
        error("The API deployment for this resource does not exist.", 404, code="DeploymentNotFound"),
        "write the name of a deployment of yours",
    ),
    "no permission for the model": (
        {"api_key": "k"},
        error("Project does not have access", 403),
        "no permission for `llama3.2:1b`",
    ),
    "an error with status 200": (
        {"api_key": "k"},
        answer('{"error":{"message":"Rate limit reached","code":429}}'),
        "too many requests",
    ),
    "a web page": ({}, answer(PAGE, 200, "text/html"), "`url` leads to a web page"),
    "nothing of the kind": ({}, answer('{"hello":"world"}'), "check that `url` is the base"),
    "a refused parameter": (
        {},
        error("Unrecognized request argument", 400),
        "`provider` decides which parameters",
    ),
    "no such path": ({}, error("nothing", 404), "there is no such API on this server"),
}


@pytest.mark.parametrize("case", COMPLETIONS)
@on_both_loops
async def test_a_completion_that_is_refused(case: str, tmp_path: Path) -> None:
    settings, refusal, fix = COMPLETIONS[case]
    async with site(chat=refusal) as there:
        url = f"{there.url}/v1" if settings.get("provider") == "azure" else there.url
        steps = await examined(tmp_path, url=url, **settings)
        assert failure(steps).name == "completion"
        assert fix in failure(steps).fix
        assert steps["streaming"].says == "because of completion"


@on_both_loops
async def test_a_reasoning_model_that_says_nothing_answers(tmp_path: Path) -> None:
    cut = error("Could not finish the message because max_tokens or model output limit was reached.", 400)
    async with site(chat=cut) as there:
        steps = await examined(tmp_path, url=there.url)
        assert (steps["completion"].state, steps["streaming"].state) == ("ok", "ok")


STREAMS = {
    "no_finish;no_done": "began and then failed",
    "close=body;after=3": "began and then failed",
    "empty_stream": "began and then failed",
    "error_event=2": "began and then failed",
    "status=500": "answered with status 500",
    "status=200;body=html": "answered with a web page",
}


@pytest.mark.parametrize("fault", STREAMS)
@on_both_loops
async def test_a_stream_that_fails(fault: str, tmp_path: Path) -> None:
    async with await start(seed=7) as sim:
        # The whole answer is asked for first and gets the one healthy turn.
        healthy = await examined(tmp_path, url=sim.url, models=["sim-small"])
        assert healthy["streaming"].state == "ok"

        async with site() as there:
            streamed = await _raw(sim.port, fault)
            turns = iter((there.routes[CHAT], streamed))
            there.routes = _Turning(there.routes, CHAT, turns)
            steps = await examined(tmp_path, url=there.url)
        assert failure(steps).name == "streaming"
        assert STREAMS[fault] in failure(steps).says


class _Turning(dict[str, bytes]):
    """Routes of which one gives another answer each time."""

    def __init__(self, routes: dict[str, bytes], target: str, turns: Any) -> None:
        super().__init__(routes)
        self._target = target
        self._turns = turns

    def get(self, key: str, default: Any = None) -> Any:
        return next(self._turns) if key == self._target else super().get(key, default)


async def _raw(port: int, fault: str) -> bytes:
    """A stream of the simulator's with this fault, as it comes over the wire, and the connection closed after it."""
    body = json.dumps(
        {"model": f"sim-small!{fault}", "stream": True, "messages": [{"role": "user", "content": "x"}]}
    )
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    head = f"POST {CHAT} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {len(body)}\r\n\r\n"
    writer.write((head + body).encode())
    raw = await reader.read()
    writer.close()
    return raw


ELSEWHERE: dict[str, tuple[str, dict[str, bytes], str]] = {
    "below /api": ("", {"/api/v1/models": answer(LIST)}, "/api"),
    "below /openai": ("", {"/openai/v1/models": error("key", 401)}, "/openai"),
    "not below a path": ("/wrong", {"/v1/models": answer(LIST)}, ""),
    "of Gemini's kind": ("", {"/v1beta/openai/models": answer(LIST)}, "/v1beta/openai"),
    "of Open WebUI's kind": ("", {"/api/models": answer(LIST)}, "/api/chat/completions"),
    "without a version": ("", {"/models": answer(LIST)}, "/chat/completions"),
}


@pytest.mark.parametrize("case", ELSEWHERE)
@on_both_loops
async def test_an_api_elsewhere_on_the_same_server_is_found(case: str, tmp_path: Path) -> None:
    path, routes, better = ELSEWHERE[case]
    async with site(routes) as there:
        steps = await examined(tmp_path, url=there.url + path, api_key="key-of-one-path-only")
        assert failure(steps).fix == f"there is an API at {there.url}{better}: write that in `url`"
        looks = [head for head in there.requests if "key-of-one-path-only" in head]
        assert len(looks) == 1, "the key goes where it is configured to go, and nowhere else"
    # What was advised is right: there the list is found.
    async with site(routes, other=error("x", 404)) as there:
        steps = await examined(tmp_path, url=there.url + better)
        assert any(head.split(" ")[1] in routes for head in there.requests)


@on_both_loops
async def test_a_server_that_refuses_everything_is_not_taken_for_an_api_everywhere(tmp_path: Path) -> None:
    async with site({"/wrong/v1/models": error("x", 404)}, other=error("key", 401)) as there:
        steps = await examined(tmp_path, url=f"{there.url}/wrong", provider="vllm", api_key="k")
        assert "there is no such API below the path in `url`" in failure(steps).fix
        assert "like http://localhost:8000" in failure(steps).fix
    async with site({"/wrong/v1/models": error("x", 404)}, other=answer(LIST)) as there:
        steps = await examined(tmp_path, url=f"{there.url}/wrong")
        assert f"most servers have it right at {there.url}" in failure(steps).fix


@on_both_loops
async def test_old_ollama_has_its_list_elsewhere(tmp_path: Path) -> None:
    tags = answer('{"models":[{"name":"llama3.2:1b"}]}')
    async with site({"/api/tags": tags}) as there:
        steps = await examined(tmp_path, url=there.url, provider="ollama")
        assert steps["models"].says == "`llama3.2:1b`"
        assert failure(steps).name == "completion"


@on_both_loops
async def test_a_pass_through_is_asked_without_a_credential(tmp_path: Path) -> None:
    async with site(models=error("key", 401)) as there:
        steps = await examined(tmp_path, url=there.url, forward_authorization=True)
        assert steps["credentials"].says == "none of our own: every client sends its own"
        assert [steps[name].state for name in ("models", "completion", "streaming")] == ["skipped"] * 3
    async with site(chat=error("key", 401)) as there:
        steps = await examined(tmp_path, url=there.url, forward_authorization=True)
        assert [steps[name].state for name in ("models", "completion", "streaming")] == [
            "ok",
            "skipped",
            "skipped",
        ]


@on_both_loops
async def test_what_is_no_http_is_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Neither of the two says a word to a TLS handshake.
    monkeypatch.setattr(way_there, "LOOK", 0.3)

    async def banner(reader: Any, writer: Any) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"-ERR unknown command\r\n\r\n")
        await reader.read()

    async with scripted(banner) as url:
        steps = await examined(tmp_path, url=url)
        assert "does not speak HTTP/1.1: check the port in `url`" in failure(steps).fix

    async def silent(reader: Any, writer: Any) -> None:
        await reader.readuntil(b"\r\n\r\n")

    async with scripted(silent) as url:
        steps = await examined(tmp_path, url=url)
        assert "is another program's" in failure(steps).fix


@on_both_loops
async def test_everything_is_bounded_in_time(tmp_path: Path) -> None:
    async def hanging(reader: Any, writer: Any) -> None:
        await reader.read()

    async with scripted(hanging) as url:
        (diagnosis,) = await examined_all(tmp_path, [{"url": url}], discovery={"timeout": 0.2})
        (failed,) = [step for step in diagnosis.steps if step.state == "fail"]
        assert (failed.name, failed.fix) == ("models", "the service is overloaded or hangs; try again later")
    async with site(), scripted(hanging) as url:
        settings: dict[str, Any] = {
            "url": url,
            "provider": "perplexity",
            "api_key": "pplx-k",
            "models": ["m"],
            "timeouts": {"total": 0.2},
        }
        steps = await examined(tmp_path, **settings)
        assert steps["models"].says == "Perplexity has no list of models"
        assert failure(steps).name == "completion"


@on_both_loops
async def test_a_stream_that_stalls_ends(tmp_path: Path) -> None:
    async with await start(seed=7) as sim:
        raw = await _raw(sim.port, "words=3")
        events = raw.split(b"\r\n\r\n", 1)[1][:200]
        head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
        async with site() as there:
            turns = iter((there.routes[CHAT], head + events))
            there.routes = _Turning(there.routes, CHAT, turns)
            steps = await examined(tmp_path, url=there.url, timeouts={"total": 0.3})
        assert "no end within 0.3 s" in failure(steps).says
