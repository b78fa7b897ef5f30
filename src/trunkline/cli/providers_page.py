"""The provider table for readers: as text, as JSON, and as the page docs/providers.md.

Owns the forms and the advice that is not about one provider alone. Does not own what is told: that is in the rows.
`trunkline providers --markdown > docs/providers.md` writes the page anew.
"""

from collections.abc import Iterable
from typing import Any

import msgspec

from trunkline.providers.base import EVERY, OPENAI_STRICT, Profile
from trunkline.providers.registry import ALIASES, PROVIDERS

_INTRO = """\
# Providers

A backend names one of these as its `provider` (alias `type`).
The row knows the base URL, the variable of the key, and the habits that need care.
What a backend says itself holds instead.
`trunkline providers` prints the table, `trunkline providers --json` all that is known.

This page is written by `trunkline providers --markdown`; change the rows in `src/trunkline/providers/` instead.
"""

_ADVICE = """\
## Which one for what

- **Nothing decided yet**: `openai`, with `openrouter` behind it as a fallback of another company.
- **Speed**: `cerebras` and `groq` give the most tokens per second, for the models they have.
- **Low cost**: `deepseek`, `deepinfra`, `together`, `fireworks`; compare prices per model, they change monthly.
- **Data must stay in Europe**: `mistral`, or `azure` with a deployment in a European region.
- **Data must stay in the house**: `vllm` or `sglang` on GPUs for many users, `llama.cpp` or `ollama` for a few.
- **Answers with sources from the web**: `perplexity`.
- **Claude Code**: `anthropic`, or any provider below that speaks `/v1/messages`.
- **Codex**: any provider that speaks `/v1/responses`.
- **Bedrock, Vertex and others without an OpenAI-compatible API**: a `litellm` proxy as the backend.
- **It is not in the list**: `openai_compat`; `custom` if nothing of a request may be touched.

Two providers of the same model, or a hosted one behind your own server, make an outage somebody else's problem.
"""

_KEYS = """\
## Keys

A key comes from `api_key`, or from the environment if the backend's `url` is the provider's own (or not given).
A key from the environment goes nowhere else: with another `url` and no `api_key` no credential is sent.
A dummy key (`not-needed`, `EMPTY`) is sent as it is.
"""

_PARAMETERS = f"""\
## Parameters

A top-level field that the provider is known to refuse is left out, with a note in the decision record.
With `strict_params: true` it is an error (400) that names the field.
*Strict* below means {", ".join(f"`{name}`" for name in sorted(OPENAI_STRICT))}.
`openai_strict` in a backend adds (`true`) or frees (`false`) these three.

So is a field of a message that is refused there: other providers' thoughts are one, and come back to it in a history.

The token limit of a chat request gets the name that the model wants there.
So `max_tokens` becomes `max_completion_tokens`, or the other way round.
`max_tokens_param_name` in a backend sets one name for all its models.
"""


def as_json() -> str:
    """All rows with all their fields and their aliases."""
    rows: list[dict[str, Any]] = []
    for row in PROVIDERS.values():
        fields: dict[str, Any] = msgspec.to_builtins(row, order="sorted")
        rows.append({"name": row.name, "aliases": _aliases(row)} | fields)
    return msgspec.json.format(msgspec.json.encode(rows)).decode()


def as_text() -> str:
    """Names, places and variables in columns."""
    lines = [("PROVIDER", "KEY", "URL")]
    lines += [
        (
            ", ".join((row.name, *_aliases(row))),
            row.key_variables[0] if row.key_variables else "-",
            _place(row),
        )
        for row in PROVIDERS.values()
    ]
    widths = [max(len(line[column]) for line in lines) for column in (0, 1)]
    return "\n".join(f"{name:{widths[0]}}  {key:{widths[1]}}  {url}" for name, key, url in lines)


def as_markdown() -> str:
    """The page."""
    hosted = [row for row in PROVIDERS.values() if row.kind == "hosted"]
    others = [row for row in PROVIDERS.values() if row.kind != "hosted"]
    habits = [row for row in PROVIDERS.values() if any(_habits(row))]
    noted = [row for row in PROVIDERS.values() if row.note]
    return "\n".join(
        (
            _INTRO,
            _ADVICE,
            "## Hosted services\n",
            _table(
                ("provider", "good for", "base URL", "key", "default model", "also speaks"),
                (
                    (
                        _name(row),
                        row.good_for,
                        _code(row.base_url or row.url_example) or "needs `url`",
                        " or ".join(_code(name) for name in row.key_variables),
                        _code(row.default_model),
                        _surfaces(row),
                    )
                    for row in hosted
                ),
            ),
            "## Servers of your own, and anything else\n",
            _table(
                ("provider", "good for", "URL", "also speaks"),
                (
                    (
                        _name(row),
                        row.good_for,
                        _code(row.base_url) or f"like {_code(row.url_example)}",
                        _surfaces(row),
                    )
                    for row in others
                ),
            ),
            "What a server speaks beside chat completions depends on its version; the table is about current ones.\n",
            _KEYS,
            _table(
                ("provider", "keys begin with", "sent as", "status page"),
                (
                    (
                        _code(row.name),
                        ", ".join(_code(one) for one in row.key_prefixes),
                        _auth(row),
                        row.status_page,
                    )
                    for row in hosted
                ),
            ),
            _PARAMETERS,
            _table(
                ("provider", "refuses", "in messages", "renames", "token limit", "stream_options"),
                ((_code(row.name), *_habits(row)) for row in habits),
            ),
            "## Models\n",
            _table(
                ("provider", "list", "context window in the list", "default embedding model"),
                (
                    (
                        _code(row.name),
                        _list(row),
                        ", ".join(_code(one) for one in row.window_fields),
                        _code(row.default_embedding_model),
                    )
                    for row in PROVIDERS.values()
                    if row.window_fields or row.default_embedding_model or _list(row) != "`data`"
                ),
            ),
            "## Notes\n",
            *(f"- {_code(row.name)}: {row.note}" for row in noted),
            "",
        )
    )


def _table(heads: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [heads, ("---",) * len(heads), *rows]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def _aliases(row: Profile) -> list[str]:
    return [alias for alias, name in ALIASES.items() if name == row.name]


def _name(row: Profile) -> str:
    link = f"[{row.title}]({row.docs})" if row.docs else row.title
    return f"{', '.join(_code(name) for name in (row.name, *_aliases(row)))} {link}"


def _place(row: Profile) -> str:
    return row.base_url or (f"needs url, like {row.url_example}" if row.url_example else "needs url")


def _surfaces(row: Profile) -> str:
    return ", ".join(f"`/v1/{surface}`" for surface in row.surfaces)


def _auth(row: Profile) -> str:
    by_path = "".join(f"; `{path}`: {_style(style)}" for path, style in row.auth_by_path.items())
    return _style(row.auth) + by_path


def _style(auth: str) -> str:
    return "`Authorization: Bearer`" if auth == "bearer" else f"`{auth}`"


def _list(row: Profile) -> str:
    return "none" if row.models_path is None else _code(row.models_key) or "the answer itself"


def _habits(row: Profile) -> tuple[str, ...]:
    refuses = ["*strict*"] if row.refuses >= OPENAI_STRICT else []
    refuses += [_code(name) for name in sorted(row.refuses - OPENAI_STRICT)]
    limits: list[str] = []
    if row.max_completion_tokens_for:
        limits.append(f"`max_completion_tokens` for {_globs(row.max_completion_tokens_for)}")
    if row.max_tokens_for:
        limits.append(f"`max_tokens` for {_globs(row.max_tokens_for)}")
    return (
        "; ".join(filter(None, (", ".join(refuses), *_habits_of_models(row)))),
        ", ".join(
            _code(name) + (f" (but in those of {_globs(roles)})" if roles else "")
            for name, roles in row.refuses_in_messages.items()
        ),
        ", ".join(f"{_code(old)} to {_code(new)}" for old, new in row.renames.items()),
        "; ".join(limits),
        _stream_options(row),
    )


def _habits_of_models(row: Profile) -> list[str]:
    by_fields: dict[frozenset[str], tuple[str, ...]] = {}
    for glob, fields in row.refuses_for:
        by_fields[fields] = (*by_fields.get(fields, ()), glob)
    said = [
        f"{', '.join(_code(name) for name in sorted(fields))} for {_globs(globs)}"
        for fields, globs in by_fields.items()
        if fields
    ]
    spared = by_fields.get(frozenset())
    return [*said, f"not so {_globs(spared)}"] if spared else said


def _stream_options(row: Profile) -> str:
    if isinstance(row.stream_options, str):
        return f"refused before version {row.stream_options}"
    return "" if row.stream_options else "refused"


def _globs(patterns: tuple[str, ...]) -> str:
    return "all" if patterns == EVERY else ", ".join(_code(one) for one in patterns)


def _code(text: str | None) -> str:
    return f"`{text}`" if text else ""
