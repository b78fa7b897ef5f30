"""What the text of one value means to the type of its setting.

Owns the reading of truth values, numbers (YAML 1.2 core schema) and sizes, what field types say beyond themselves,
and the words for them in messages. Types are `msgspec.inspect`'s, so a settings struct is described once.
"""

import re
from functools import cache
from typing import Any, cast

import msgspec
from msgspec import inspect

_TRUTHS = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_DECIMAL = re.compile(r"[-+]?[0-9]+")
_PREFIXED = re.compile(r"0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
# YAML allows digits without end, and Python takes quadratic time for them.
_LONGEST_NUMBER = 40
_SIZE = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*([kmgt]?i?b)", re.IGNORECASE)
_FACTORS = {
    "b": 1,
    "kb": 1000,
    "mb": 1000**2,
    "gb": 1000**3,
    "tb": 1000**4,
    "kib": 1024,
    "mib": 1024**2,
    "gib": 1024**3,
    "tib": 1024**4,
}


class Field(msgspec.Struct, frozen=True):
    """One field of a settings struct; `name` is the one in Python, where a file may have another (`for`)."""

    name: str
    type: inspect.Type
    extra: "Extra"
    required: bool


class Extra(msgspec.Struct, frozen=True):
    """What a field's `Meta(extra=...)` says: never shown; to be warned about when written down; a number of bytes;
    the field of its struct that a single value means.
    """

    secret: bool = False
    literal_warns: bool = False
    bytes: bool = False
    short: str = ""


@cache
def fields_of(cls: type) -> dict[str, Field]:
    """The fields of a struct with their bare types, by the name that a file uses."""
    info = inspect.type_info(cls)
    assert isinstance(info, inspect.StructType)
    return {field.encode_name: Field(field.name, *bare(field.type), field.required) for field in info.fields}


def bare(type_: inspect.Type) -> tuple[inspect.Type, Extra]:
    """A type without its wrapper of descriptions, and without None."""
    extra = Extra()
    while True:
        if isinstance(type_, inspect.Metadata):
            said = cast("dict[str, Any]", type_.extra or {})
            secret = bool(said.get("secret"))
            extra = Extra(secret, secret, said.get("unit") == "bytes", said.get("short", ""))
            type_ = type_.type
        elif isinstance(type_, inspect.UnionType):
            rest = tuple(member for member in type_.types if not isinstance(member, inspect.NoneType))
            if len(rest) != 1:
                return inspect.UnionType(rest), extra
            type_ = rest[0]
        else:
            return type_, extra


def read_bool(text: str) -> bool | None:
    """The truth value that text stands for; None if it stands for none."""
    return _TRUTHS.get(text)


def read_int(text: str) -> int | None:
    """The whole number that text stands for; None if it stands for none."""
    if len(text) > _LONGEST_NUMBER:
        return None
    if _DECIMAL.fullmatch(text):
        return int(text)
    return int(text, 0) if _PREFIXED.fullmatch(text) else None


def read_float(text: str) -> float | None:
    """The finite number that text stands for; None if it stands for none."""
    whole = read_int(text)
    if whole is not None:
        return float(whole)
    if len(text) > _LONGEST_NUMBER or not _FLOAT.fullmatch(text):
        return None
    number = float(text)
    return number if abs(number) != float("inf") else None


def read_size(text: str) -> int | None:
    """The number of bytes that `1048576`, `32MiB` or `1.5 GB` stands for; None if it stands for none."""
    whole = read_int(text)
    if whole is not None:
        return whole
    match = _SIZE.fullmatch(text) if len(text) <= _LONGEST_NUMBER else None
    factor = _FACTORS.get(match[2].lower()) if match else None
    return None if match is None or factor is None else int(float(match[1]) * factor)


def read(text: str, type_: inspect.Type, extra: Extra, plain: bool) -> Any:
    """What text means to a type; None if it means nothing."""
    match type_:
        case inspect.StrType():
            return text
        case inspect.LiteralType():
            return text if text in type_.values else None
        case inspect.UnionType():
            found = (read(text, bare(member)[0], extra, plain) for member in type_.types)
            return next((value for value in found if value is not None), None)
        case inspect.IntType() if plain or extra.bytes:
            return read_size(text) if extra.bytes else read_int(text)
        case inspect.FloatType() if plain:
            return read_float(text)
        case inspect.BoolType() if plain:
            return read_bool(text)
        case _:
            return None


def out_of_range(value: Any, type_: inspect.Type) -> str:
    """What is wrong with a value of the right type, or nothing."""
    if isinstance(type_, inspect.UnionType):
        numbers = (bare(member)[0] for member in type_.types)
        return next((out_of_range(value, one) for one in numbers if isinstance(one, inspect.FloatType)), "")
    if not isinstance(type_, inspect.IntType | inspect.FloatType) or isinstance(value, str):
        return ""
    if type_.ge is not None and value < type_.ge:
        return f"must be at least {type_.ge}"
    if type_.gt is not None and value <= type_.gt:
        return f"must be greater than {type_.gt}"
    if type_.le is not None and value > type_.le:
        return f"must be at most {type_.le}"
    return ""


def wanted(type_: inspect.Type, extra: Extra) -> str:
    """What a type takes, in words."""
    match type_:
        case inspect.IntType():
            return "a size like 32MiB" if extra.bytes else "a whole number"
        case inspect.FloatType():
            return "a number"
        case inspect.BoolType():
            return "true or false"
        case inspect.LiteralType():
            return " or ".join(f"`{value}`" for value in type_.values)
        case inspect.StructType():
            return "keys and values"
        case inspect.UnionType():
            return " or ".join(wanted(bare(member)[0], extra) for member in type_.types)
        case _:
            return "text"


def shown(text: str) -> str:
    """A value in a message: short, on one line."""
    return repr(text if len(text) <= 60 else text[:57] + "...")
