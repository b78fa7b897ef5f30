"""What of a backend's settings must never be shown: found once, masked in whatever its upstream says about it.

Owns which settings hold secrets and in which spellings an upstream may quote them. Does not own the masking itself
(credentials/base.py) nor tokens, which change (credentials/oauth2.py).

Errors of upstreams reach clients unchanged, so nothing is masked that is no secret: placeholders like `EMPTY` and
`ollama` are words of such errors, and so are the values of headers that everybody sends.
"""

import json
import re
from collections.abc import Iterator
from urllib.parse import quote, unquote

from trunkline.routing.backend import BackendSettings

SHORTEST = 8
"""Characters of a secret. What is shorter is a placeholder: the shortest real keys have 20."""

# What people write where a program wants a key and the server does not, in lower case; shorter ones need no naming.
_PLACEHOLDERS = frozenset(
    (
        *("not-needed", "not_needed", "not needed", "notneeded", "not-required", "not_required", "not-used"),
        *(
            "no-key-required",
            "sk-no-key-required",
            "no-key-needed",
            "no-api-key",
            "no-key-provided",
            "required",
        ),
        *("lm-studio", "lm_studio", "lmstudio", "llamacpp", "llama.cpp", "llama-cpp", "anything", "whatever"),
        *(
            "dummy-key",
            "dummy_key",
            "dummy-api-key",
            "sk-dummy",
            "dummy-key-for-models-list",
            "fake-key",
            "sk-fake",
        ),
        *(
            "placeholder",
            "your-api-key",
            "your_api_key",
            "your-api-key-here",
            "your_api_key_here",
            "undefined",
        ),
    )
)

# Headers whose values tell no secret, whatever they are; in lower case.
_OPEN = re.compile(
    r"accept(-.*)?|anthropic-(beta|version)|content-type|http-referer|openai-(beta|organization|project)|origin"
    r"|referer|user-agent|x-title"
)
_HTML_SAFE = re.compile(r"[+&<>'`]")
_ESCAPE = re.compile(r"\\u[0-9A-F]{4}")
_PERCENT = re.compile(r"%[0-9A-F]{2}")
_OPEN_QUERY = ("api-version", "beta")


def secrets_of(settings: BackendSettings) -> tuple[bytes, ...]:
    """The secrets in a backend's settings, in all spellings that bodies and messages have."""
    found = dict.fromkeys(secret for secret in written(settings) if not _is_word(secret))
    return tuple(dict.fromkeys(spelling for secret in found for spelling in _spellings(secret)))


def written(settings: BackendSettings) -> Iterator[str]:
    """What stands where secrets do in a backend's settings; also empty values and placeholders."""
    yield settings.api_key
    yield settings.client_secret or ""
    for name, value in settings.headers.items():
        if not _OPEN.fullmatch(name.lower()):
            yield value
            yield value.rpartition(" ")[2]  # of `Bearer k`: an upstream quotes the key alone
    for url in (settings.url, settings.token_url or ""):
        query = url.partition("#")[0].partition("?")[2]
        for name, _, value in (part.partition("=") for part in query.split("&")):
            if name.lower() not in _OPEN_QUERY:
                yield from (value, unquote(value))


def _is_word(value: str) -> bool:
    # `Bearer not-needed`, the value of a header, tells no more than `not-needed`.
    bare = value.strip(" \t").lower().removeprefix("bearer ")
    return len(bare) < SHORTEST or bare in _PLACEHOLDERS


def _spellings(secret: str) -> Iterator[bytes]:
    yield secret.encode()
    quoted = json.dumps(secret)[1:-1]
    yield quoted.encode()
    yield quoted.replace("/", r"\/").encode()  # as PHP writes it
    yield json.dumps(secret, ensure_ascii=False)[1:-1].encode()
    escaped = _HTML_SAFE.sub(_escape, quoted)  # as .NET and Go write it, each in its own case
    yield escaped.encode()
    yield _ESCAPE.sub(_lower, escaped).encode()
    percent = quote(secret, safe="")
    yield percent.encode()
    yield _PERCENT.sub(_lower, percent).encode()


def _escape(found: re.Match[str]) -> str:
    return f"\\u{ord(found[0]):04X}"


def _lower(found: re.Match[str]) -> str:
    return found[0].lower()
