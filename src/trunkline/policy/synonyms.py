"""Names of parameters that mean the same thing to some server, so that what is said of one is said of all.

Owns the table and the search for such names in a request, also within the objects of `OBJECTS` (`options.num_ctx`).
Does not own what is set or removed (overrides.py), in which requests a name belongs (fitting.py) nor which one a
provider takes (providers/).

Sources: OpenAI's API reference (the three token limits), Ollama's docs/api.md and docs/modelfile.md (`think`, `format`,
`options`), llama.cpp's tools/server/README.md (`n_predict`), OpenRouter's reference (`reasoning`), Mistral's
(`random_seed`), vLLM's (`repetition_penalty`).
"""

from collections.abc import Container, Iterable, Iterator

import msgspec

Fields = dict[str, msgspec.Raw]

LIMITS = ("max_tokens", "max_completion_tokens", "max_output_tokens")
"""The token limit, as OpenAI's operations call it."""

OBJECTS = ("options", "reasoning")
"""Fields whose members are parameters too."""

_OPTIONS = (
    "frequency_penalty", "presence_penalty", "stop", "temperature", "top_p", "num_ctx", "num_keep", "num_batch",
    "num_gpu", "num_thread", "main_gpu", "numa", "low_vram", "f16_kv", "logits_all", "vocab_only", "use_mmap",
    "use_mlock", "top_k", "min_p", "tfs_z", "typical_p", "repeat_last_n", "penalize_newline", "mirostat",
    "mirostat_tau", "mirostat_eta",
)  # fmt: skip
_SAME = (
    (*LIMITS, "n_predict", "num_predict", "options.num_predict"),
    ("reasoning_effort", "think", "reasoning.effort", "reasoning.enabled", "reasoning.max_tokens"),
    ("response_format", "format"),
    ("repetition_penalty", "repeat_penalty", "options.repeat_penalty"),
    ("seed", "random_seed", "options.seed"),
    *((name, f"options.{name}") for name in _OPTIONS),
)
_TOGETHER = frozenset(name for name in _SAME[1] if name.startswith("reasoning."))
"""Members of one object that go together: no names for the same thing."""

SYNONYMS: dict[str, frozenset[str]] = {
    name: frozenset(names) - {name} - (_TOGETHER if name in _TOGETHER else frozenset())
    for names in _SAME
    for name in names
}
"""The other names, by name."""

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Fields).decode


def names_in(fields: Fields) -> Iterator[str]:
    """The names of all fields, and of the members of those in `OBJECTS`."""
    yield from fields
    for outer in OBJECTS:
        yield from (f"{outer}.{name}" for name in _members(fields, outer))


def others(names: Iterable[str]) -> frozenset[str]:
    """All other names for what these name."""
    return frozenset[str]().union(*(SYNONYMS[name] for name in names if name in SYNONYMS))


def without(fields: Fields, names: Container[str]) -> Fields:
    """The fields but those of these names; an object of which nothing is left goes too."""
    kept = {name: value for name, value in fields.items() if name not in names}
    for outer in OBJECTS:
        members = _members(kept, outer)
        left = {name: value for name, value in members.items() if f"{outer}.{name}" not in names}
        if not left and members:
            del kept[outer]
        elif len(left) < len(members):
            kept[outer] = msgspec.Raw(_encode(left))
    return kept


def _members(fields: Fields, outer: str) -> Fields:
    raw = fields.get(outer)
    if raw is None or bytes(raw)[:1] != b"{":
        return {}
    try:
        return _decode(raw)
    except (msgspec.DecodeError, UnicodeError, RecursionError):  # the upstream's to judge
        return {}
