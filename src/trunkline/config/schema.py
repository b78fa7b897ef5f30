"""The JSON Schema of a configuration file.

Owns what editors and other tools see: the structs' own schema, plus what the reader accepts beyond it (sizes as
text, `${...}` in place of any value, one backend at the root). Keys that do nothing yet are not in it.
"""

from typing import Any

import msgspec

from trunkline.config.model import BackendEntry, FileSettings
from trunkline.config.scalars import fields_of
from trunkline.net.listener import ServerSettings

_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_REFERENCE = {"type": "string", "pattern": r"\$\{"}
_SIZE = {"type": "string", "pattern": r"^[0-9.]+ *([kKmMgGtT]?[iI]?[bB])$"}


def file_schema() -> dict[str, Any]:
    """The schema as a JSON value."""
    _, components = msgspec.json.schema_components(
        [FileSettings, BackendEntry], ref_template="#/$defs/{name}"
    )
    definitions = components
    for name, field in fields_of(ServerSettings).items():
        if field.extra.bytes:
            properties = definitions["ServerSettings"]["properties"]
            properties[name] = _either(properties[name], _SIZE)
    modes = definitions["ThinkSettings"]["properties"]["mode"]["enum"]
    for name in ("BackendEntry", "ModelEntry", "VariantEntry"):
        properties = definitions[name]["properties"]
        properties["think"] = _either(properties["think"], {"enum": modes})
    entry = definitions["BackendEntry"]
    entry["properties"] |= {"config": {"$ref": "#/$defs/BackendEntry"}}
    # A backend at the root of a file may stand beside the file's own keys.
    own = {
        key: value for key, value in definitions["FileSettings"]["properties"].items() if key != "backends"
    }
    both = {"models": _either(entry["properties"]["models"], own["models"])}  # a list is the backend's
    definitions["OneBackend"] = entry | {
        "title": "OneBackend",
        "properties": own | entry["properties"] | both,
    }
    return {
        "$schema": _DIALECT,
        "title": "Trunkline configuration",
        "anyOf": [{"$ref": "#/$defs/FileSettings"}, {"$ref": "#/$defs/OneBackend"}],
        "$defs": {name: _with_references(definition) for name, definition in sorted(definitions.items())},
    }


def _with_references(definition: dict[str, Any]) -> dict[str, Any]:
    """A struct's schema in which numbers, truth values and words to choose from may be references too."""
    properties = {
        name: _either(schema, _REFERENCE) if _is_typed(schema) else schema
        for name, schema in definition["properties"].items()
    }
    return definition | {"properties": properties}


def _is_typed(schema: dict[str, Any]) -> bool:
    branches: list[dict[str, Any]] = schema.get("anyOf", [schema])
    return any(
        "enum" in branch or branch.get("type") in ("integer", "number", "boolean") for branch in branches
    )


def _either(schema: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """A schema or another; what describes the setting stays outside."""
    outer = {key: schema[key] for key in ("description", "default") if key in schema}
    inner = {key: value for key, value in schema.items() if key not in outer}
    branches = inner["anyOf"] if set(inner) == {"anyOf"} else [inner]
    return outer | {"anyOf": [*branches, other]}
