"""What tells one upstream from another: lists of models, forms of errors, credentials, paths."""

import json
from typing import Any

import pytest

from tests.contract.simulator.raw import Wire, ask, chat, get, on_both_loops, post
from trunkline.simulator.app import Simulator, SimulatorThread, start
from trunkline.simulator.error_forms import FORMS
from trunkline.simulator.faults import MODEL_LISTS, Fault, SpecError, parse
from trunkline.simulator.surfaces.listing import SHAPES

HELLO = {"messages": [{"role": "user", "content": "hello there"}]}


def entries(value: Any) -> Any:
    """The models of a list of any shape."""
    return value if isinstance(value, list) else value.get("data") or value["models"]  # pyright: ignore[reportUnknownVariableType] # JSON of any shape


@pytest.mark.parametrize(
    ("shape", "keys"),
    [
        ("openai", {"id", "object", "created", "owned_by"}),
        ("ollama", {"name", "model", "modified_at", "size"}),
        ("list", {"id", "object", "created", "owned_by"}),
        ("name", {"name", "object"}),
        ("no_created", {"id", "object", "owned_by"}),
        ("vllm", {"id", "object", "created", "owned_by", "max_model_len"}),
        ("groq", {"id", "object", "created", "owned_by", "active", "context_window"}),
        ("openrouter", {"id", "created", "context_length"}),
        ("llama.cpp", {"id", "object", "created", "owned_by", "meta"}),
    ],
)
@on_both_loops
async def test_shapes_of_the_list_of_models(sim: Simulator, shape: str, keys: set[str]) -> None:
    value = (await ask(sim, get("/v1/models", headers=f"x-sim-fault: models={shape}\r\n"))).json
    assert isinstance(value, list) is (shape == "list")
    found = entries(value)
    assert [entry.get("id") or entry["name"] for entry in found] == ["sim-small", "sim-large", "sim-embed"]
    assert all(entry.keys() == keys for entry in found)
    async with await start(model_list=shape) as other:
        assert (await ask(other, get("/v1/models"))).json == value


@on_both_loops
async def test_a_list_without_data_and_a_shape_that_there_is_not(sim: Simulator) -> None:
    assert (await ask(sim, get("/models", headers="x-sim-fault: models=no_data\r\n"))).json == {
        "object": "list"
    }
    assert (await ask(sim, get("/models", headers="x-sim-fault: models=x\r\n"))).status == 400
    with pytest.raises(ValueError, match="model_list"):
        await start(model_list="x")
    assert set(SHAPES) == set(MODEL_LISTS)


@on_both_loops
async def test_what_servers_tell_about_a_model(sim: Simulator) -> None:
    tags = (await ask(sim, get("/api/tags"))).json
    assert tags == (await ask(sim, get("/v1/models", headers="x-sim-fault: models=ollama\r\n"))).json
    show = (await ask(sim, post("/api/show", {"model": "sim-small"}))).json
    assert (show["model_info"]["llama.context_length"], show["capabilities"]) == (
        8192,
        ["completion", "tools"],
    )
    assert (await ask(sim, get("/props"))).json["default_generation_settings"]["n_ctx"] == 8192
    assert (await ask(sim, get("/info"))).json["max_total_tokens"] == 8192


STATUS = {6: 422, 7: 422, 8: 422, 16: 413, 17: 200}


@pytest.mark.parametrize("form", range(1, FORMS + 1))
@on_both_loops
async def test_forms_of_errors(sim: Simulator, form: int) -> None:
    reply = await ask(sim, chat(f"sim-small!error-form-{form};message=too long: 5 > 4"))
    assert reply.status == STATUS.get(form, 400)
    assert (b"too long: 5 > 4" in reply.body) is (form != 16)
    kind = {5: "text/plain", 16: "text/html", 17: "text/event-stream; charset=utf-8"}
    assert reply.headers["content-type"] == kind.get(form, "application/json")
    if form == 17:
        assert json.loads(reply.body.removeprefix(b"data: "))["error"]["message"] == "too long: 5 > 4"
    elif form not in (5, 16):
        assert reply.json
    again = await ask(sim, chat(f"sim-small!error_form={form};status=503;retry_after=2"))
    assert (again.status, again.headers["retry-after"]) == (503, "2")


@pytest.mark.parametrize(
    ("form", "body"),
    [
        (2, {"error": {"message": [{"error": {"message": "MSG"}}]}}),
        (3, {"error": "MSG"}),
        (7, {"error": "MSG", "error_type": "validation"}),
        (14, [{"error": {"code": 400, "message": "MSG", "status": "INVALID_ARGUMENT"}}]),
        (15, {"base_resp": {"status_code": 1039, "status_msg": "MSG"}}),
    ],
)
@on_both_loops
async def test_bodies_of_some_forms(sim: Simulator, form: int, body: Any) -> None:
    assert (await ask(sim, chat(f"m!error_form={form};message=MSG"))).json == body


@on_both_loops
async def test_messages_within_messages(sim: Simulator) -> None:
    deep = (await ask(sim, chat("m!error_form=11;message=MSG"))).json["error"]["metadata"]["raw"]
    assert json.loads(deep)["error"]["message"] == "MSG"
    cloudflare = (await ask(sim, chat("m!error_form=13;message=MSG"))).json["errors"][0]["message"]
    assert json.loads(cloudflare.removeprefix("AiError: AiError: "))["message"] == "MSG"
    llama = (await ask(sim, chat("m!error_form=9"))).json["error"]
    assert (llama["n_prompt_tokens"], llama["n_ctx"]) == (9000, 4096)


@pytest.mark.parametrize(
    "spec",
    [
        *("error_form=0", "error_form=18", "error-form-0", "error-form-x", "error_form=1;body=html"),
        *(
            "message=x",
            "error_form=1;bulk=3",
            "credential=x",
            "credential=API-KEY: x",
            "error-form-1;error_form=2",
        ),
    ],
)
def test_wrong_forms(spec: str) -> None:
    with pytest.raises(SpecError):
        parse(spec)


def test_a_form_has_a_name_of_its_own() -> None:
    assert parse("error-form-7") == parse("error_form=7") == Fault(error_form=7, status=422)


@on_both_loops
async def test_one_exact_credential(sim: Simulator) -> None:
    wanted = "x-sim-fault: credential=api-key: k1\r\n"
    for headers, status in (
        ("api-key: k1\r\n", 200),
        ("api-key: k2\r\n", 401),
        ("authorization: Bearer k1\r\n", 401),
        ("", 401),
    ):
        reply = await ask(sim, chat(headers=wanted + headers))
        assert reply.status == status
    assert reply.json["error"]["code"] == "invalid_api_key"


@on_both_loops
async def test_a_credential_that_is_revoked() -> None:
    async with await start(credential="authorization: Bearer t1") as sim:
        first, second = ("authorization: Bearer t1\r\n", "authorization: Bearer t2\r\n")
        assert (await ask(sim, get("/v1/models", headers=first))).status == 200
        sim.require("authorization: Bearer t2")
        assert (await ask(sim, get("/v1/models", headers=first))).status == 401
        assert (await ask(sim, get("/v1/models", headers=second))).status == 200
        assert (await ask(sim, get("/health"))).status == 200
        sim.require(None)
        assert (await ask(sim, get("/v1/models"))).status == 200


def test_a_thread_takes_the_same_settings() -> None:
    with SimulatorThread(credential="api-key: a", model_list="list") as sim:
        sim.require(None)
        assert sim.log == []


@on_both_loops
async def test_azure(sim: Simulator) -> None:
    path = "/openai/deployments/gpt%2D4/chat/completions"
    reply = await ask(sim, post(f"{path}?api-version=2024-06-01", HELLO))
    assert (reply.status, reply.json["model"]) == (200, "gpt-4")
    reply = await ask(sim, post(f"{path}?api-version=2024-06-01", HELLO | {"model": "other"}))
    assert reply.json["model"] == "gpt-4"
    for target in (path, f"{path}?api-version=", f"{path}?x=api-version"):
        assert (await ask(sim, post(target, HELLO))).status == 404
    broken = HELLO | {"model": "m!status=503"}
    assert (await ask(sim, post(f"{path}?api-version=1", broken))).status == 503
    target = "/openai/deployments/d!status=500/chat/completions?api-version=1"
    assert (await ask(sim, post(target, broken))).status == 500
    assert (await ask(sim, get("/openai/models?api-version=1"))).status == 200


@pytest.mark.parametrize(
    "prefix",
    [
        "",
        "/v1",
        "/openai/v1",
        "/api/v1",
        "/inference/v1",
        "/compatibility/v1",
        "/v1beta/openai",
        "/v1/openai",
    ],
)
@on_both_loops
async def test_paths_of_providers(sim: Simulator, prefix: str) -> None:
    assert (await ask(sim, post(f"{prefix}/chat/completions", HELLO | {"model": "m"}))).json["model"] == "m"
    assert len((await ask(sim, get(f"{prefix}/models"))).json["data"]) == 3
    assert (await ask(sim, get(f"{prefix}/models/sim-small"))).json["id"] == "sim-small"


@on_both_loops
async def test_the_log_has_query_and_credential(sim: Simulator) -> None:
    headers = "Authorization: Bearer secret\r\napi-key: k\r\n"
    await ask(
        sim, post("/openai/deployments/d/embeddings?api-version=1&x=y", {"input": "a"}, headers=headers)
    )
    wire = await Wire.open(sim)
    wire.send(get("/__log"))
    (entry,) = (await wire.answer()).json
    assert entry["target"] == "/openai/deployments/d/embeddings?api-version=1&x=y"
    assert ["Authorization", "Bearer secret"] in entry["headers"]
    assert ["api-key", "k"] in entry["headers"]
    assert entry["model"] == "d"
    await wire.close()
