import json
import re
from typing import Any

from trunkline.config.model import OUTSIDE, BackendEntry, FileSettings
from trunkline.config.schema import file_schema


def properties(name: str) -> dict[str, Any]:
    return file_schema()["$defs"][name]["properties"]


def test_every_setting_is_described() -> None:
    for name, definition in file_schema()["$defs"].items():
        assert definition["additionalProperties"] is False, name
        for key, schema in definition["properties"].items():
            assert schema.get("description") or "$ref" in schema, f"{name}.{key}"


def test_every_reference_leads_somewhere() -> None:
    schema = file_schema()
    assert set(re.findall(r'"#/\$defs/(\w+)"', json.dumps(schema))) == set(schema["$defs"])


def test_a_backend_has_its_aliases_and_nothing_that_does_not_work() -> None:
    names = set(properties("BackendEntry"))
    assert {
        "base_url",
        "type",
        "allowed_models",
        "custom_headers",
        "timeout",
        "request_timeout",
        "config",
    } <= names
    assert BackendEntry not in OUTSIDE
    assert not set(properties("FileSettings")) & set(OUTSIDE[FileSettings].planned)


def test_one_backend_may_stand_at_the_root_beside_the_file_s_own_keys() -> None:
    names = set(properties("OneBackend"))
    assert {"url", "config", "server", "admin", "keys"} <= names
    assert "backends" not in names


def test_models_at_the_root_are_a_backend_s_list_or_the_file_s() -> None:
    branches = properties("OneBackend")["models"]["anyOf"]
    assert [branch["type"] for branch in branches] == ["array", "null", "object"]
    assert branches[2]["additionalProperties"] == {"$ref": "#/$defs/ModelEntry"}
    assert properties("FileSettings")["models"]["type"] == "object"


def test_a_key_is_called_as_files_call_it() -> None:
    assert list(properties("RuleSettings")) == ["for", "when", "use"]


def test_sizes_are_numbers_texts_or_references() -> None:
    assert properties("ServerSettings")["max_head"] == {
        "description": "Request line and headers; more is 431.",
        "default": 65536,
        "anyOf": [
            {"type": "integer", "minimum": 1024},
            {"type": "string", "pattern": "^[0-9.]+ *([kKmMgGtT]?[iI]?[bB])$"},
            {"type": "string", "pattern": r"\$\{"},
        ],
    }


def test_numbers_and_truth_values_may_be_references() -> None:
    reference = {"type": "string", "pattern": r"\$\{"}
    assert reference in properties("BackendEntry")["ssl_verify"]["anyOf"]
    assert reference in properties("TimeoutSettings")["first_token"]["anyOf"]
    assert reference in properties("ModelEntry")["strategy"]["anyOf"]
    assert "anyOf" not in properties("BackendEntry")["url"]


def test_thoughts_are_a_word_or_a_mapping() -> None:
    for name in ("BackendEntry", "ModelEntry", "VariantEntry"):
        branches = properties(name)["think"]["anyOf"]
        assert {"$ref": "#/$defs/ThinkSettings"} in branches, name
        assert {"enum": ["keep", "split", "strip"]} in branches, name


def test_parameters_may_have_any_value() -> None:
    assert properties("KeySettings")["params"]["additionalProperties"] == {}
