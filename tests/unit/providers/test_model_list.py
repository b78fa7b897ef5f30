from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.providers.model_list import MAX_DEPTH, MAX_MODELS, MAX_NAME, ListedModel, parse_models
from trunkline.providers.model_traits import UNKNOWN, Traits


def parse(value: Any) -> list[ListedModel] | None:
    return parse_models(msgspec.json.encode(value))


def names(value: Any) -> list[str] | None:
    models = parse(value)
    return None if models is None else [model.id for model in models]


LLAMA_CPP: dict[str, Any] = {
    "models": [{"name": "smollm2", "model": "smollm2", "capabilities": ["completion"], "details": {}}],
    "object": "list",
    "data": [
        {"id": "smollm2", "object": "model", "created": 1, "meta": {"n_ctx": 1024, "n_ctx_train": 8192}}
    ],
}


SHAPES: list[tuple[Any, list[str] | None]] = [
    ({"object": "list", "data": [{"id": "a", "object": "model"}, {"id": "b"}]}, ["a", "b"]),
    ({"data": [{"id": "a"}]}, ["a"]),
    ([{"id": "a"}, {"id": "b"}], ["a", "b"]),
    (["a", "b"], ["a", "b"]),
    ({"data": ["a", "b"]}, ["a", "b"]),
    ({"models": ["a"]}, ["a"]),
    ({"model_names": ["a", "b"], "lora_names": []}, ["a", "b"]),
    ({"models": [{"name": "llama3:8b", "model": "llama3:8b"}]}, ["llama3:8b"]),
    ({"models": [{"model": "llama3:8b"}]}, ["llama3:8b"]),
    ({"models": [{"name": "command-r", "endpoints": ["chat"]}], "next_page_token": ""}, ["command-r"]),
    ({"data": [{"name": "a"}]}, ["a"]),
    (
        {"data": [{"id": None, "name": "a"}, {"id": 7, "name": "b"}, {"id": "", "name": "c"}]},
        ["a", "b", "c"],
    ),
    ({"data": [{"id": "a", "name": "A: the first"}]}, ["a"]),
    ({"data": [{"model_name": "a", "model_info": {"id": "x"}}]}, ["a"]),
    ({"models": [{"key": "qwen/q", "display_name": "Q", "type": "llm"}]}, ["qwen/q"]),
    ({"success": True, "data": [{"id": "a"}]}, ["a"]),
    ({"error": None, "data": [{"id": "a"}]}, ["a"]),
    (LLAMA_CPP, ["smollm2"]),
    ({"data": [], "models": [{"name": "a"}]}, ["a"]),
    ({"data": None, "models": [{"name": "a"}]}, ["a"]),
    # one model
    ({"model_id": "org/m", "max_total_tokens": 2048}, ["org/m"]),
    ({"id": "a", "object": "model", "created": 1}, ["a"]),
    # no models
    ({"object": "list", "data": []}, []),
    ({"object": "list", "data": None}, []),
    ({"models": None}, []),
    ({"object": "list"}, []),
    ([], []),
    # no list
    ({}, None),
    ("a", None),
    (None, None),
    (7, None),
    ([1, 2], None),
    ([{"error": {"code": 400}}], None),
    ({"error": {"message": "no"}}, None),
    ({"error": "no", "data": []}, None),
    ({"success": False, "message": "no", "data": None}, None),
    ({"object": "error", "message": "no"}, None),
    ({"detail": "Not Found"}, None),
    ({"data": "a"}, None),
    ({"data": {"a": 1}}, None),
    ({"object": "list", "data": 7}, None),
    ({"id": "chatcmpl-1", "object": "chat.completion"}, None),
    ({"data": [{"embedding": [0.1]}], "object": "list"}, None),
]


@pytest.mark.parametrize(("value", "expected"), SHAPES)
def test_every_shape(value: Any, expected: list[str] | None) -> None:
    assert names(value) == expected


@pytest.mark.parametrize(
    "body", [b"", b"<html>", b"{", b"\xff", b'{"data": [{"id": "a"', b"[" * 100_000, b"[1e999]"]
)
def test_what_is_not_json(body: bytes) -> None:
    assert parse_models(body) is None


def test_a_byte_order_mark() -> None:
    models = parse_models(b'\xef\xbb\xbf{"data": [{"id": "a"}]}')
    assert models is not None
    assert models[0].id == "a"


@pytest.mark.parametrize(
    ("entry", "name"),
    [
        ({"id": "models/gemini-2.5-pro", "object": "model", "owned_by": "google"}, "gemini-2.5-pro"),
        ({"name": "models/gemini-pro"}, "gemini-pro"),
        ({"name": "models/gemma-3-27b-it", "inputTokenLimit": 1024}, "gemma-3-27b-it"),
        ({"name": "models/embedding-001", "supportedGenerationMethods": ["embedContent"]}, "embedding-001"),
        ({"id": "models/llama.gguf", "owned_by": "llamacpp"}, "models/llama.gguf"),
        ({"id": "accounts/fireworks/models/m"}, "accounts/fireworks/models/m"),
        ({"id": "/srv/my models/m"}, "/srv/my models/m"),
        ({"id": "名前"}, "名前"),
        ({"id": "n" * MAX_NAME}, "n" * MAX_NAME),
    ],
)
def test_names(entry: dict[str, Any], name: str) -> None:
    assert names({"data": [entry]}) == [name]


@pytest.mark.parametrize(
    "bad",
    [
        "",
        "   ",
        "a\nb",
        "a\x00",
        "a\x1b[31m",
        "a\u2028b",
        "a\u202eb",
        "n" * (MAX_NAME + 1),
        7,
        None,
        [],
        {"x": 1},
    ],
)
def test_entries_without_a_usable_name_are_left_out(bad: Any) -> None:
    assert names([bad, "good", {"id": bad}]) == ["good"]


def test_the_first_of_equal_names_stays() -> None:
    assert parse({"data": [{"id": "a", "n": 1}, {"id": "b"}, {"id": "a", "n": 2}]}) == [
        ListedModel("a", UNKNOWN, {"n": 1}),
        ListedModel("b", UNKNOWN, {}),
    ]


def test_the_number_of_models_is_bounded() -> None:
    found = names([str(number) for number in range(MAX_MODELS + 10)])
    assert found is not None
    assert len(found) == MAX_MODELS
    assert found[0] == "0"


def test_what_the_entry_says_is_read_and_kept() -> None:
    entry = {
        "id": "a",
        "object": "model",
        "created": 5,
        "owned_by": "me",
        "max_model_len": 8,
        "x": {"y": [1.5, None]},
    }
    [model] = parse({"data": [entry]}) or []
    assert model.traits == Traits(context_window=8)
    assert {"id": model.id, **model.fields} == entry


def test_llama_cpps_second_list_does_not_count() -> None:
    [model] = parse(LLAMA_CPP) or []
    assert model.traits == Traits(context_window=1024)


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ({"created": 5}, {"created": 5}),
        ({"created": None, "object": None, "owned_by": None}, {}),
        ({"created": "2024-01-01", "object": 7, "owned_by": ["me"]}, {}),
        ({"created": 5.5}, {}),
        ({"created": True}, {}),
        ({"name": "A", "model": "a"}, {"name": "A", "model": "a"}),
    ],
)
def test_fields_of_wrong_types_are_not_shown_to_typed_clients(
    said: dict[str, Any], kept: dict[str, Any]
) -> None:
    [model] = parse([{"id": "a", **said}]) or []
    assert model.fields == kept


def nested(levels: int) -> Any:
    value: Any = 1
    for level in range(levels):
        value = [value] if level % 2 else {"x": value}
    return value


def test_what_is_nested_too_deep_is_left_out() -> None:
    [model] = (
        parse([{"id": "a", "good": nested(MAX_DEPTH), "bad": nested(MAX_DEPTH + 1), "far": nested(300)}])
        or []
    )
    assert model.fields == {"good": nested(MAX_DEPTH)}


KEYS = st.sampled_from(
    ["data", "models", "id", "name", "model", "object", "created", "owned_by", "model_id", "error", "success"]
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(KEYS, inner),
    max_leaves=20,
)


def check(body: bytes) -> None:
    models = parse_models(body)
    if models is None:
        return
    found = [model.id for model in models]
    assert len(set(found)) == len(found)
    assert all(0 < len(name) <= MAX_NAME and name.isprintable() for name in found)
    assert msgspec.json.decode(msgspec.json.encode(models)) == msgspec.to_builtins(models)


@given(JSON)
def test_any_json_is_read(value: Any) -> None:
    check(msgspec.json.encode(value))


@given(st.binary())
def test_any_bytes_are_read(body: bytes) -> None:
    check(body)
