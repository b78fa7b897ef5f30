"""The newest anthropic SDK, and the openai SDK's responses, through a real gateway in front of the simulator."""

import json
import signal
from collections.abc import Iterator
from typing import Any

import anthropic
import openai
import pytest
from anthropic import Anthropic
from anthropic.types import MessageParam
from openai import OpenAI

from tests.e2e.exchange import TIMEOUT
from tests.e2e.processes import Trunkline, free_port
from trunkline.simulator.app import SimulatorThread
from trunkline.simulator.state import Entry

GATEWAY_KEY, CLAUDE_KEY, OTHER_KEY = "sk-gateway-e2e", "sk-ant-upstream", "sk-other-upstream"
SAY: list[MessageParam] = [{"role": "user", "content": "Say hi."}]


@pytest.fixture(scope="module")
def upstream() -> Iterator[SimulatorThread]:
    with SimulatorThread(seed=7) as simulator:
        yield simulator


@pytest.fixture(scope="module")
def url(upstream: SimulatorThread, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """`trunkline serve` with one backend per API: each speaks what the others do not."""
    port = free_port()
    folder = tmp_path_factory.mktemp("gateway")
    backends = [
        {"provider": "anthropic", "models": ["claude-*"], "api_key": CLAUDE_KEY},
        {"provider": "openai", "models": ["gpt-*"], "api_key": OTHER_KEY},
        {"provider": "mistral", "models": ["mistral-*"], "api_key": OTHER_KEY},
    ]
    config: dict[str, Any] = {
        "server": {"port": port},
        "admin": {"port": 0},
        "data_dir": str(folder),
        "keys": [{"name": "e2e", "key": GATEWAY_KEY}],
        # Repeats have suites of their own, and take their time.
        "backends": [{"url": upstream.url, "max_retries": 0, **backend} for backend in backends],
    }
    file = folder / "trunkline.yaml"
    file.write_text(json.dumps(config))
    process = Trunkline("serve", "--config", str(file))
    try:
        process.wait_for(lambda line: f"127.0.0.1:{port}" in line)
        yield f"http://127.0.0.1:{port}"
    finally:
        code = process.stop(signal.SIGTERM)
    assert code == 0, process.output
    assert "Traceback" not in process.output
    assert not [key for key in (GATEWAY_KEY, CLAUDE_KEY, OTHER_KEY) if key in process.output]


def claude_at(url: str, key: str | None = GATEWAY_KEY, token: str | None = None) -> Anthropic:
    return Anthropic(base_url=url, api_key=key, auth_token=token, max_retries=0, timeout=TIMEOUT)


@pytest.fixture
def claude(url: str) -> Iterator[Anthropic]:
    with claude_at(url) as client:
        yield client


@pytest.fixture
def gpt(url: str) -> Iterator[OpenAI]:
    with OpenAI(base_url=f"{url}/v1", api_key=GATEWAY_KEY, max_retries=0, timeout=TIMEOUT) as client:
        yield client


def last(upstream: SimulatorThread, path: str) -> Entry:
    return [entry for entry in upstream.log if entry.target.startswith(path)][-1]


def test_a_message(claude: Anthropic, upstream: SimulatorThread) -> None:
    raw = claude.messages.with_raw_response.create(model="claude-sim", max_tokens=9, messages=SAY)
    answer = raw.parse()
    assert answer.type == "message"
    assert answer.stop_reason == "max_tokens"
    assert (answer.usage.input_tokens, answer.usage.output_tokens) == (2, 9)
    (block,) = answer.content
    assert block.type == "text"
    assert len(block.text.split()) == 9
    seen = last(upstream, "/v1/messages")
    assert seen.header("x-api-key") == CLAUDE_KEY
    assert seen.header("anthropic-version") == raw.http_request.headers["anthropic-version"]
    assert GATEWAY_KEY not in repr(upstream.log)


def test_a_key_as_a_token_and_a_beta(
    url: str, upstream: SimulatorThread, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Claude Code sends what it finds in ANTHROPIC_AUTH_TOKEN so."""
    monkeypatch.delenv("ANTHROPIC_API_KEY", raising=False)  # the SDK would send it too
    with claude_at(url, None, GATEWAY_KEY) as claude:
        claude.beta.messages.create(
            model="claude-sim",
            max_tokens=9,
            messages=[{"role": "user", "content": "hi"}],
            betas=["a-1", "b-2"],
        )
    seen = last(upstream, "/v1/messages")
    assert seen.header("anthropic-beta") == "a-1,b-2"
    assert (seen.header("x-api-key"), seen.header("authorization")) == (CLAUDE_KEY, None)


def test_a_stream(claude: Anthropic) -> None:
    whole = claude.messages.create(model="claude-sim", max_tokens=500, messages=SAY)
    with claude.messages.stream(model="claude-sim", max_tokens=500, messages=SAY) as stream:
        text = "".join(stream.text_stream)
        answer = stream.get_final_message()
    (block,) = whole.content
    assert block.type == "text"
    assert text == block.text
    assert answer.stop_reason == "end_turn"
    assert answer.usage.output_tokens == whole.usage.output_tokens == len(text.split())


def test_counting_tokens(claude: Anthropic, upstream: SimulatorThread) -> None:
    """The simulator has no such operation: it tells what it got."""
    raw = claude.messages.with_raw_response.count_tokens(model="claude-sim", messages=SAY)
    assert raw.status_code == 200
    assert json.loads(json.loads(raw.text())["body_text"]) == {"model": "claude-sim", "messages": SAY}
    seen = last(upstream, "/v1/messages/count_tokens")
    assert (seen.method, seen.header("x-api-key")) == ("POST", CLAUDE_KEY)


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (
            "error_form=10;message=prompt is too long: 202128 tokens > 200000 maximum",
            anthropic.BadRequestError,
        ),
        ("status=529", anthropic.OverloadedError),
        ("status=429;retry_after=3", anthropic.RateLimitError),
        ("status=401", anthropic.AuthenticationError),
        ("status=404;body=html", anthropic.NotFoundError),
        ("close=before_head", anthropic.InternalServerError),
    ],
)
def test_errors(claude: Anthropic, fault: str, kind: type[anthropic.APIStatusError]) -> None:
    for stream in (False, True):
        with pytest.raises(kind) as caught:
            claude.messages.create(
                model="claude-sim",
                max_tokens=9,
                messages=SAY,
                stream=stream,
                extra_headers={"x-sim-fault": fault},
            )
        body: Any = caught.value.body
        assert body["type"] == "error"
        assert body["error"]["message"]
        assert caught.value.response.headers["x-should-retry"] == "false"


def test_refusals_of_the_gateway(url: str, claude: Anthropic) -> None:
    with claude_at(url, "sk-wrong") as wrong, pytest.raises(anthropic.AuthenticationError):
        wrong.messages.create(model="claude-sim", max_tokens=9, messages=SAY)
    with pytest.raises(anthropic.NotFoundError) as unknown:
        claude.messages.create(model="cloude-sim", max_tokens=9, messages=SAY)
    assert "cloude-sim" in unknown.value.message
    with pytest.raises(anthropic.BadRequestError) as refused:
        claude.messages.create(model="mistral-sim", max_tokens=9, messages=SAY)
    assert "no backend of the model `mistral-sim` speaks /v1/messages" in refused.value.message


def test_a_stream_that_is_cut_is_an_error(claude: Anthropic) -> None:
    with (
        pytest.raises(anthropic.APIStatusError) as caught,
        claude.messages.stream(
            model="claude-sim",
            max_tokens=9,
            messages=SAY,
            extra_headers={"x-sim-fault": "close=body;after=8"},
        ) as stream,
    ):
        list(stream.text_stream)
    assert "upstream" in caught.value.message


def test_models_in_anthropic_s_form(claude: Anthropic) -> None:
    listed = {model.id: model for model in claude.models.list()}
    assert all(model.type == "model" for model in listed.values())


def test_responses(gpt: OpenAI, upstream: SimulatorThread) -> None:
    answer = gpt.responses.create(model="gpt-sim", input="Say hi.")
    assert answer.status == "completed"
    assert answer.usage is not None
    assert answer.usage.output_tokens == len(answer.output_text.split())
    assert last(upstream, "/v1/responses").header("authorization") == f"Bearer {OTHER_KEY}"
    with gpt.responses.stream(model="gpt-sim", input="Say hi.") as stream:
        events = list(stream)
        final = stream.get_final_response()
    assert events[-1].type == "response.completed"
    assert final.output_text == answer.output_text


def test_responses_of_a_backend_that_has_none(gpt: OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        gpt.responses.create(model="mistral-sim", input="Say hi.")
    assert caught.value.code == "unsupported_endpoint"
    cut = gpt.responses.create(
        model="gpt-sim", input="Say hi.", stream=True, extra_headers={"x-sim-fault": "close=body;after=8"}
    )
    with pytest.raises(openai.APIError) as broken, cut:
        list(cut)
    assert broken.value.code == "upstream_error"
