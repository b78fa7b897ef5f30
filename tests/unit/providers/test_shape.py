import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.errors import Fault
from trunkline.providers.base import Profile
from trunkline.providers.registry import PROVIDERS, find
from trunkline.providers.shape import Shaped, Shaper, shaper

Fields = dict[str, msgspec.Raw]


def fields(text: str) -> Fields:
    return msgspec.json.decode(text, type=Fields)


def rules(name: str, **settings: object) -> Shaper:
    row = find(name)
    assert row is not None
    made = shaper(row, **settings)  # pyright: ignore[reportArgumentType] - the cases are typed by hand
    assert made is not None
    return made


def shaped(made: Shaper, text: str, model: str = "m", surface: str = "chat") -> tuple[str, tuple[str, ...]]:
    done = made.shape(fields(text), model, surface)
    if done is None:
        return text, ()
    assert isinstance(done, Shaped)
    return msgspec.json.encode(done.fields).decode(), done.notes


@pytest.mark.parametrize(
    ("provider", "text", "result", "notes"),
    [
        (
            "azure",
            '{"model":"m","repetition_penalty":1.10,"top_p":1.0}',
            '{"model":"m","top_p":1.0}',
            ("dropped `repetition_penalty`: azure does not take it",),
        ),
        (
            "openai",
            '{"top_k":1,"a": [1,  2],"chat_template_kwargs":{},"b":1e2}',
            '{"a":[1,  2],"b":1e2}',
            (
                "dropped `top_k`: openai does not take it",
                "dropped `chat_template_kwargs`: openai does not take it",
            ),
        ),
        ("vllm", '{"top_k":1,"repetition_penalty":1}', '{"top_k":1,"repetition_penalty":1}', ()),
        (
            "mistral",
            '{"stream":true,"stream_options":{"include_usage":true}}',
            '{"stream":true}',
            ("dropped `stream_options`: mistral does not take it",),
        ),
        ("grok", '{"stream_options":{}}', '{"stream_options":{}}', ()),
        (
            "mistral",
            '{"a":1,"seed": -0,"b":2}',
            '{"a":1,"random_seed":-0,"b":2}',
            ("`seed` is sent as `random_seed`",),
        ),
        (
            "mistral",
            '{"seed":1,"random_seed":2}',
            '{"random_seed":2}',
            ("dropped `seed`: `random_seed` is there too",),
        ),
        ("groq", '{"stream_options":{}}', '{"stream_options":{}}', ()),
    ],
)
def test_what_a_provider_refuses_is_left_out(
    provider: str, text: str, result: str, notes: tuple[str, ...]
) -> None:
    row = find(provider)
    assert row is not None
    made = shaper(row)
    assert (shaped(made, text) if made is not None else (text, ())) == (result, notes)


OLD, NEW = '{"max_tokens":5,"n":1}', '{"max_completion_tokens":5,"n":1}'


@pytest.mark.parametrize(
    ("provider", "model", "text", "result"),
    [
        ("openai", "gpt-5", OLD, NEW),
        ("openai", "gpt-5-mini-2025-08-07", OLD, NEW),
        ("openai", "o1-preview", OLD, NEW),
        ("openai", "o3", OLD, NEW),
        ("openai", "o4-mini", OLD, NEW),
        ("openai", "ft:o4-mini-2025-04-16:org::id", OLD, NEW),
        ("openai", "gpt-4o", OLD, OLD),
        ("openai", "gpt-4o", NEW, OLD),
        ("openai", "gpt-3.5-turbo", NEW, OLD),
        ("openai", "gpt-5", NEW, NEW),
        ("openai", "a-model-of-tomorrow", NEW, NEW),
        ("openai", "a-model-of-tomorrow", OLD, OLD),
        ("openai_compat", "o3-mini", OLD, NEW),
        ("openai_compat", "llama3", OLD, OLD),
        ("openai_compat", "llama3", NEW, NEW),
        ("mistral", "mistral-large-latest", NEW, OLD),
        ("mistral", "mistral-large-latest", OLD, OLD),
        ("ollama", "o1", NEW, OLD),
    ],
)
def test_the_token_limit_gets_the_name_that_the_model_wants(
    provider: str, model: str, text: str, result: str
) -> None:
    assert shaped(rules(provider), text, model)[0] == result


def test_a_deployment_is_called_after_its_model() -> None:
    assert shaped(rules("azure", deployment_name="o3-prod"), OLD, "prod")[0] == NEW
    assert shaped(rules("azure", deployment_name="prod"), OLD, "gpt-5")[0] == NEW
    assert shaped(rules("azure", deployment_name="prod"), OLD, "prod")[0] == OLD


@pytest.mark.parametrize(
    ("model", "text", "result", "notes"),
    [
        (
            "gpt-5",
            '{"max_tokens":5,"a":1,"max_completion_tokens":6}',
            '{"a":1,"max_completion_tokens":6}',
            ("dropped `max_tokens`: `max_completion_tokens` is there too",),
        ),
        (
            "gpt-4o",
            '{"max_completion_tokens":6,"max_tokens":5}',
            '{"max_tokens":5}',
            ("dropped `max_completion_tokens`: `max_tokens` is there too",),
        ),
        (
            "gpt-5",
            '{"a":1,"max_tokens":5}',
            '{"a":1,"max_completion_tokens":5}',
            ("`max_tokens` is sent as `max_completion_tokens`",),
        ),
    ],
)
def test_there_is_one_token_limit(model: str, text: str, result: str, notes: tuple[str, ...]) -> None:
    assert shaped(rules("openai"), text, model) == (result, notes)


def test_a_configured_name_of_the_token_limit_holds_for_all_models() -> None:
    made = rules("openai", max_tokens_param_name="max_tokens")
    assert shaped(made, NEW, "gpt-5")[0] == OLD
    assert shaped(made, OLD, "gpt-5")[0] == OLD
    made = rules("custom", max_tokens_param_name="max_output_tokens")
    assert shaped(made, '{"max_tokens":5,"max_completion_tokens":6}') == (
        '{"max_output_tokens":5}',
        (
            "`max_tokens` is sent as `max_output_tokens`",
            "dropped `max_completion_tokens`: `max_tokens` is there too",
        ),
    )


def test_openai_s_strictness_is_added_or_taken_away() -> None:
    assert shaped(rules("vllm", openai_strict=True), '{"top_k":1}')[0] == "{}"
    assert shaped(rules("openai", openai_strict=False), '{"top_k":1,"max_tokens":1}', "gpt-5")[0] == (
        '{"top_k":1,"max_completion_tokens":1}'
    )
    # What else a provider refuses stays refused.
    assert shaped(rules("xai", openai_strict=False), '{"presence_penalty":1}')[0] == "{}"


def test_strict_params_refuses_what_would_be_left_out() -> None:
    made = rules("azure", strict_params=True)
    one = made.shape(fields('{"repetition_penalty":1}'), "m", "chat")
    assert isinstance(one, Fault)
    assert (one.http_status, one.param) == (400, "repetition_penalty")
    assert one.message == (
        "azure does not take `repetition_penalty`, and `strict_params` forbids to leave it out"
    )
    two = made.shape(fields('{"top_k":1,"repetition_penalty":1}'), "m", "completions")
    assert isinstance(two, Fault)
    assert two.message == (
        "azure does not take `top_k`, `repetition_penalty`, and `strict_params` forbids to leave them out"
    )


def test_strict_params_lets_nulls_go_and_names_change() -> None:
    made = rules("azure", strict_params=True)
    assert shaped(made, '{"top_k":null,"a":1}')[0] == '{"a":1}'
    assert shaped(made, OLD, "gpt-5")[0] == NEW


@pytest.mark.parametrize("surface", ["embeddings", "responses", "messages", "other"])
def test_other_surfaces_are_not_shaped(surface: str) -> None:
    assert rules("openai").shape(fields('{"top_k":1,"max_tokens":1}'), "gpt-5", surface) is None


def test_legacy_completions_keep_their_token_limit() -> None:
    assert (
        shaped(rules("openai"), '{"max_tokens":5,"top_k":1}', "gpt-5", "completions")[0] == '{"max_tokens":5}'
    )
    assert rules("openai").shape(fields(OLD), "gpt-5", "completions") is None


def test_what_takes_everything_has_no_rules() -> None:
    assert shaper(PROVIDERS["custom"]) is None
    assert shaper(PROVIDERS["vllm"]) is None


ROWS = st.sampled_from([row for row in PROVIDERS.values() if shaper(row) is not None])
NAMES = st.sampled_from(
    (
        *("model", "messages", "stream", "temperature", "top_k", "max_tokens", "max_completion_tokens"),
        *("stream_options", "seed", "user"),
    )
)


@given(
    row=ROWS,
    names=st.lists(NAMES, unique=True),
    model=st.sampled_from(["gpt-5", "gpt-4o", "llama3", ""]),
    surface=st.sampled_from(["chat", "completions"]),
)
def test_order_and_values_stay_and_nothing_refused_is_left(
    row: Profile, names: list[str], model: str, surface: str
) -> None:
    made = shaper(row)
    assert made is not None
    given_fields = {name: msgspec.Raw(f' {{"x": {at}}}'.encode()) for at, name in enumerate(names)}
    done = made.shape(given_fields, model, surface)
    assert not isinstance(done, Fault)
    left = given_fields if done is None else done.fields
    assert not made.refuses & left.keys()
    values = [bytes(value) for value in left.values()]
    assert values == [value for value in map(bytes, given_fields.values()) if value in values]
    assert (done is None) == (list(left) == names)
    assert {name for name in left if name not in names} <= {
        *("max_tokens", "max_completion_tokens", *made.renames.values())
    }
    # Shaping what is shaped changes nothing.
    assert made.shape(left, model, surface) is None


@pytest.mark.parametrize(
    ("provider", "model", "left"),
    [
        ("xai", "grok-4.6", ["temperature"]),
        ("xai", "grok-3-mini", ["temperature"]),
        ("xai", "grok-4-fast-non-reasoning", ["stop", "frequency_penalty", "temperature"]),
        ("xai", "grok-4.20-0309-non-reasoning", ["stop", "frequency_penalty", "temperature"]),
        ("xai", "grok-3", ["stop", "frequency_penalty", "temperature"]),
        (
            "deepseek",
            "deepseek-chat",
            ["stop", "presence_penalty", "frequency_penalty", "temperature", "logprobs"],
        ),
        ("deepseek", "deepseek-reasoner", ["stop", "presence_penalty", "frequency_penalty", "temperature"]),
    ],
)
def test_some_models_refuse_more(provider: str, model: str, left: list[str]) -> None:
    text = '{"stop":"x","presence_penalty":0,"frequency_penalty":0,"temperature":1,"logprobs":true}'
    made = rules(provider)
    sent = list(fields(shaped(made, text, model)[0]))
    assert [name for name in sent if name != "logprobs" or provider == "deepseek"] == left
    assert not made.touched(model) & set(left)


def messages(*given: str) -> str:
    return f'{{"messages":[{",".join(given)}],"n":1}}'


ASKS = '{"role": "user","name":"ann","content": "a \\u0022name\\u0022"}'
ASKS_UNNAMED = '{"role":"user","content":"a \\u0022name\\u0022"}'
THINKS = '{"role":"assistant","content":"4","reasoning_content":"2+2"}'
PLAIN = '{"role":"assistant","content":"4"}'
TOOL = '{"role":"tool","tool_call_id":"1","name":"f","content":"4"}'


@pytest.mark.parametrize(
    ("provider", "given_messages", "result", "lost"),
    [
        (
            "groq",
            (ASKS, THINKS, TOOL),
            (ASKS_UNNAMED, PLAIN, TOOL.replace('"name":"f",', "")),
            ("name", "reasoning_content"),
        ),
        ("mistral", (ASKS, THINKS, TOOL), (ASKS_UNNAMED, PLAIN, TOOL), ("name", "reasoning_content")),
        ("mistral", (THINKS, THINKS), (PLAIN, PLAIN), ("reasoning_content",)),
        ("cerebras", (PLAIN, THINKS), (PLAIN, PLAIN), ("reasoning_content",)),
        ("xai", (TOOL, THINKS), (TOOL.replace('"name":"f",', ""), THINKS), ("name",)),
        ("groq", (THINKS.replace('"2+2"', "null"),), (PLAIN,), ()),
    ],
)
def test_fields_of_messages_are_left_out(
    provider: str, given_messages: tuple[str, ...], result: tuple[str, ...], lost: tuple[str, ...]
) -> None:
    notes = tuple(f"dropped `messages[].{name}`: {provider} does not take it" for name in lost)
    done, said = shaped(rules(provider), messages(*given_messages))
    assert (done, set(said)) == (messages(*result), set(notes))
    assert len(said) == len(notes)
    strict = rules(provider, strict_params=True).shape(fields(messages(*given_messages)), "m", "chat")
    assert isinstance(strict, Fault) == bool(lost)
    if isinstance(strict, Fault):
        assert strict.param in [f"messages[].{name}" for name in lost]


@pytest.mark.parametrize(
    "text",
    [
        messages(PLAIN, ASKS_UNNAMED),
        messages('{"role":"user","content":"\\"name\\""}'),
        '{"messages":"name"}',
        '{"messages":["name",{"name":"x"}]}',
        '{"n":1}',
    ],
)
def test_messages_without_them_are_not_written_anew(text: str) -> None:
    assert rules("groq").shape(fields(text), "m", "chat") is None


def test_messages_of_no_role_and_those_of_a_user() -> None:
    assert rules("xai").shape(fields(messages(ASKS.replace('"user"', '"user"'))), "m", "chat") is None
    assert shaped(rules("xai"), '{"messages":[{"name":"x"}]}')[0] == '{"messages":[{}]}'
    assert "messages" in rules("xai").touched("m")
    assert "messages" not in rules("openai").touched("m")


@pytest.mark.parametrize(
    ("version", "taken"),
    [
        (None, True),
        ("preview", True),
        ("2023-05-15", False),
        ("2024-08-01-preview", False),
        ("2024-09-01-preview", True),
        ("2024-10-21", True),
        ("2025-04-01-preview", True),
    ],
)
def test_azure_has_taken_stream_options_since_a_version(version: str | None, taken: bool) -> None:
    made = rules("azure", api_version=version, deployment_name="d")
    assert ("stream_options" in made.refuses) is not taken
    assert shaped(made, '{"stream_options":{}}')[0] == ('{"stream_options":{}}' if taken else "{}")
