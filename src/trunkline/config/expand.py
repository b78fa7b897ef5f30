"""References inside one setting: `${VAR}`, `${VAR:-default}`, `${VAR:?message}`, `${file:/path}`, `$$`.

Owns their syntax and substitution. It works on a scalar after parsing, so what a variable holds can never become
YAML syntax. A variable that is set counts even if it is empty, except for `:?`, which insists on a value.
Messages never show text of the scalar itself: it might be part of a secret.
"""

import re
from collections.abc import Mapping
from pathlib import Path

from trunkline.errors import ConfigError

_REFERENCE = re.compile(r"\$(?:(\$)|\{([^{}]*)\}|(?=\{))", re.DOTALL)
_BODY = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)(?:(:[-?])(.*))?", re.DOTALL)
_FILE = "file:"


def expand(text: str, environ: Mapping[str, str], base: Path) -> str:
    """The text with all references replaced; relative files are looked up in `base`. Raises ConfigError."""
    return _REFERENCE.sub(lambda match: "$" if match[1] else _value(match[2], environ, base), text)


def has_reference(text: str) -> bool:
    """Whether any part of the text comes from a variable or a file."""
    return any(match[2] for match in _REFERENCE.finditer(text))


def variables(text: str) -> list[str]:
    """The names of the variables that a text refers to, as far as it can be read."""
    bodies = (_BODY.fullmatch(match[2]) for match in _REFERENCE.finditer(text) if match[2])
    return [body[1] for body in bodies if body is not None]


_LONG_WORD = re.compile(r"\S{8}")  # more than `Bearer` in front of a variable


def is_literal(text: str) -> bool:
    """Whether a value is written down here: the whole of it, a good part, or as the default of a variable."""
    return (
        not has_reference(text)
        or _LONG_WORD.search(_REFERENCE.sub(" ", text)) is not None
        or any(re.search(r":-.", match[2] or "") for match in _REFERENCE.finditer(text))
    )


def _value(body: str | None, environ: Mapping[str, str], base: Path) -> str:
    if body is not None and body.startswith(_FILE):
        return _read(base / body[len(_FILE) :])
    match = _BODY.fullmatch(body) if body is not None else None
    if match is None:
        raise ConfigError(
            "malformed reference: write ${VAR}, ${VAR:-default}, ${VAR:?message} or ${file:/path}, and $$ for a $"
        )
    name, operator, argument = match.groups()
    value = environ.get(name)
    if operator == ":?" and not value:
        raise ConfigError(f"environment variable {name} is not set: {argument or 'it is required'}")
    if value is not None:
        return value
    if operator == ":-":
        return argument
    raise ConfigError(
        f"environment variable {name} is not set; set it, or write ${{{name}:-}} for an empty default"
    )


def _read(path: Path) -> str:
    """A file's text without line ends at its end (as `docker secret` and editors leave them)."""
    try:
        return path.read_text("utf-8").rstrip("\r\n")
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not UTF-8 text") from error
