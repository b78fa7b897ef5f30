from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.providers.model_traits import MAX_WINDOW, UNKNOWN, Traits, parse_traits, read_traits


@pytest.mark.parametrize(
    ("entry", "window"),
    [
        ({"max_model_len": 1024}, 1024),
        ({"context_window": 131072}, 131072),
        ({"context_length": 8192}, 8192),
        ({"context_length": 128000.0}, 128000),
        ({"context_length": "4096"}, 4096),
        ({"max_context_length": 32768}, 32768),
        ({"meta": {"n_ctx_train": 8192}}, 8192),
        ({"meta": {"n_ctx": 1024, "n_ctx_train": 8192}}, 1024),
        ({"meta": None, "n_ctx_train": 8192}, 8192),
        ({"n_ctx": 2048}, 2048),
        ({"context_size": 2048}, 2048),
        ({"context_length": None, "top_provider": {"context_length": 64000}}, 64000),
        ({"context_length": 128000, "top_provider": {"context_length": 64000}}, 128000),
        ({"metadata": {"context_length": 40960}}, 40960),
        ({"max_input_tokens": 200000, "max_tokens": 64000}, 200000),
        ({"model_info": {"max_input_tokens": 4096}}, 4096),
        ({"limits": {"max_input_tokens": 1048576, "max_output_tokens": 32768}}, 1048576),
        ({"inputTokenLimit": 1048576}, 1048576),
        ({"max_total_tokens": 2048, "max_input_tokens": 1024}, 2048),
        ({"max_input_length": 1024}, 1024),
        ({"default_generation_settings": {"n_ctx": 8192}}, 8192),
        ({"max_context_length": 131072, "loaded_context_length": 4096}, 4096),
        ({"max_context_length": 131072, "loaded_instances": []}, 131072),
        (
            {"max_context_length": 131072, "loaded_instances": [7, {}, {"config": {"context_length": 4096}}]},
            4096,
        ),
        ({"model_info": {"general.architecture": "llama", "llama.context_length": 131072}}, 131072),
        (
            {
                "parameters": "stop  <x>\nnum_ctx    16384\ntop_k 1",
                "model_info": {"llama.context_length": 131072},
            },
            16384,
        ),
        (
            {"parameters": "num_ctx_extra 5", "model_info": {"a.context_length": "x", "b.context_length": 5}},
            5,
        ),
        ({"providers": [{"context_length": 8192}, {"context_length": 131072}, {}, 7]}, 131072),
        ({"context_length": 4096, "providers": [{"context_length": 131072}]}, 4096),
    ],
)
def test_where_a_context_window_is_written(entry: dict[str, Any], window: int) -> None:
    assert read_traits(entry) == Traits(context_window=window)


@pytest.mark.parametrize(
    "value", [0, -1, 0.5, True, None, "", "many", "-5", "²", "9" * 11, [8192], {}, 1e300, MAX_WINDOW + 1]
)
def test_what_is_no_number_of_tokens(value: Any) -> None:
    assert read_traits({"context_length": value}) == UNKNOWN


CAPABILITIES: list[tuple[dict[str, Any], bool | None, bool | None, bool | None]] = [
    # OpenRouter: what is not listed is not there
    ({"supported_parameters": ["tools", "tool_choice", "structured_outputs"]}, True, None, True),
    ({"supported_parameters": ["temperature", "response_format"]}, False, None, False),
    ({"supported_parameters": []}, None, None, None),
    ({"supported_features": ["tools", "json_mode"]}, True, None, False),
    ({"architecture": {"input_modalities": ["text", "image"]}}, None, True, None),
    ({"architecture": {"input_modalities": ["text"]}}, None, False, None),
    ({"architecture": {"input_modalities": []}}, None, None, None),
    ({"architecture": {"modality": "text+image->text"}}, None, True, None),
    ({"architecture": {"modality": "text->image"}}, None, False, None),
    ({"architecture": {"modality": "multimodal"}}, None, None, None),
    ({"architecture": "llama"}, None, None, None),
    # GitHub, xAI
    ({"supported_input_modalities": ["text", "image"], "capabilities": ["tool-calling"]}, True, True, None),
    ({"input_modalities": ["text"]}, None, False, None),
    ({"modalities": {"input": ["text", "image"], "output": ["text"]}}, None, True, None),
    # Mistral
    ({"capabilities": {"function_calling": True, "vision": False}}, True, False, None),
    ({"capabilities": {"function_calling": False, "vision": True}}, False, True, None),
    # Anthropic
    (
        {"capabilities": {"image_input": {"supported": True}, "structured_outputs": {"supported": False}}},
        None, True, False,
    ),
    ({"capabilities": {"image_input": {"supported": "yes"}}}, None, None, None),
    # LM Studio
    ({"type": "vlm", "capabilities": ["tool_use"]}, True, True, None),
    ({"type": "llm", "capabilities": []}, None, None, None),
    ({"type": "llm", "capabilities": {"vision": True, "trained_for_tool_use": True}}, True, True, None),
    ({"type": "llm", "capabilities": {"vision": False, "trained_for_tool_use": False}}, None, False, None),
    # Ollama: /api/show tells all, what looks like it tells little
    ({"model_info": {}, "capabilities": ["completion", "tools", "vision"]}, True, True, None),
    ({"model_info": {}, "capabilities": ["completion"]}, False, False, None),
    ({"model_info": {}, "capabilities": []}, None, None, None),
    ({"model_info": {}}, None, None, None),
    ({"capabilities": ["completion"]}, None, None, None),
    # llama.cpp
    ({"capabilities": ["completion", "multimodal"]}, None, True, None),
    ({"modalities": {"vision": False, "audio": False}}, None, False, None),
    ({"chat_template_caps": {"supports_tools": False, "supports_tool_calls": True}}, False, None, None),
    ({"chat_template_caps": {"supports_tool_calls": True}}, True, None, None),
    # LiteLLM, Fireworks
    (
        {"model_info": {"supports_function_calling": True, "supports_vision": None,
                        "supports_response_schema": False}},
        True, None, False,
    ),
    ({"supports_tools": False, "supports_image_input": True}, False, True, None),
    # Cohere, DeepInfra, Hugging Face, TGI
    ({"features": ["json_schema", "tools"], "supports_vision": False}, True, False, True),
    ({"metadata": {"tags": ["Vision", "reasoning"]}}, None, True, None),
    ({"pipeline_tag": "image-text-to-text"}, None, True, None),
    ({"model_pipeline_tag": "text-generation"}, None, None, None),
    (
        {"providers": [{"supports_tools": False, "supports_structured_output": False},
                       {"supports_tools": True, "providers": []}, {"supports_tools": True}]},
        True, None, False,
    ),
    ({"supports_tools": False, "providers": [{"supports_tools": True}]}, False, None, None),
    # nonsense
    ({"supported_parameters": "tools", "capabilities": 7, "features": [7, None], "providers": 1}, None, None, None),
]  # fmt: skip


@pytest.mark.parametrize(("entry", "tools", "vision", "schema"), CAPABILITIES)
def test_where_capabilities_are_written(
    entry: dict[str, Any], tools: bool | None, vision: bool | None, schema: bool | None
) -> None:
    assert read_traits(entry) == Traits(None, tools, vision, schema)


_FLAG = st.none() | st.booleans()
_TRAITS = st.builds(Traits, st.none() | st.integers(1, 9), _FLAG, _FLAG, _FLAG, _FLAG)


@given(_TRAITS, _TRAITS)
def test_what_one_source_does_not_know_another_may(first: Traits, second: Traits) -> None:
    found = first.or_else(second)
    for name in Traits.__struct_fields__:
        own, other = getattr(first, name), getattr(second, name)
        assert getattr(found, name) is (other if own is None else own), name


def test_whether_a_model_thinks_first_is_never_read_from_a_list() -> None:
    """Lists say that a model can, not that it does; configuration says so."""
    assert read_traits({"id": "m", "reasoning": True, "capabilities": ["reasoning"]}).reasoning is None


def test_a_server_about_its_one_model() -> None:
    body = msgspec.json.encode({"model_id": "m", "max_total_tokens": 2048})
    assert parse_traits(body) == Traits(context_window=2048)


@pytest.mark.parametrize("body", [b"", b"[]", b'"x"', b"\xff", b"<html>", b"[" * 100_000])
def test_what_says_nothing(body: bytes) -> None:
    assert parse_traits(body) == UNKNOWN


WORDS = st.sampled_from(
    ["context_length", "meta", "n_ctx", "capabilities", "vision", "tools", "supported", "providers", "model_info",
     "architecture", "input_modalities", "modality", "parameters", "loaded_instances", "config", "type", "features"]
)  # fmt: skip
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | WORDS
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(WORDS, inner),
    max_leaves=12,
)


@given(st.dictionaries(WORDS, JSON))
def test_any_entry_is_read(entry: dict[str, Any]) -> None:
    traits = read_traits(entry)
    assert traits.context_window is None or 1 <= traits.context_window <= MAX_WINDOW
    assert {traits.tools, traits.vision, traits.json_schema} <= {True, False, None}
    assert parse_traits(msgspec.json.encode(entry)) == traits
