"""A chat request as Ollama's own `/api/chat` takes it.

Owns which requests are better asked there (`asked_natively`) and the translation of their fields (`native_request`);
the messages in them are ollama_messages.py's, the answers ollama_answer.py's. Does not own the choice of the path
for a backend, nor the sending (engine).

Ollama's `/v1/chat/completions` passes over what OpenAI has no word for: the size of the context window, how long the
model stays loaded, most samplers. `/api/chat` takes them, and log probabilities, tools and thoughts as well, so nothing
that the one path does is lost on the other. Rules:

- Options go into `options` byte for byte, whether they came at the top or in an `options` object. Where one request
  says a thing under two names, the top wins over `options`, the token limit under OpenAI's names over `num_predict` (by
  them budgets are kept), and elsewhere Ollama's own word over OpenAI's (`think` over `reasoning_effort`, `format` over
  `response_format`). Not for the operator's word against the client's: overrides leave one name (policy/synonyms.py).
- `stream` is always said, because Ollama streams unless it is told not to.
- What is asked for and cannot be done is a Fault where the answer would look as if it had been (several choices,
  legacy functions, another form of answer); else it is left out with a note, or a Fault under `strict_params`.
  null asks for nothing.
- A client that names no `temperature` or `top_p` gets the model's own (its Modelfile); on `/v1` Ollama puts 1 for both.

Facts: docs/api.md, docs/modelfile.md, api/types.go and openai/openai.go of ollama/ollama.
"""

from typing import Any

import msgspec

from trunkline.errors import INVALID_REQUEST, Fault
from trunkline.providers.ollama_line import UNREADABLE
from trunkline.providers.ollama_messages import native_messages
from trunkline.providers.shape import Shaped

PATH = "/api/chat"
"""Below the server's root, not below `/v1`."""

Fields = dict[str, msgspec.Raw]

_SHARED = frozenset(("frequency_penalty", "presence_penalty", "seed", "stop", "temperature", "top_p"))
"""Options that `/v1` takes too."""

_OPTIONS = _SHARED | {
    "num_ctx", "num_predict", "num_keep", "num_batch", "num_gpu", "num_thread", "main_gpu", "numa", "low_vram",
    "f16_kv", "logits_all", "vocab_only", "use_mmap", "use_mlock", "top_k", "min_p", "tfs_z", "typical_p",
    "repeat_last_n", "repeat_penalty", "penalize_newline", "mirostat", "mirostat_tau", "mirostat_eta",
}  # fmt: skip
"""What goes into `options`: the parameters of a Modelfile and those of `Options` and `Runner` in api/types.go."""

_AS_THEY_ARE = frozenset(("keep_alive", "logprobs", "model", "shift", "tools", "top_logprobs", "truncate"))
"""Fields that mean the same there."""

NATIVE = (_OPTIONS - _SHARED) | {
    "format", "keep_alive", "options", "repetition_penalty", "shift", "think", "truncate",
}  # fmt: skip
"""What only `/api/chat` does; `repetition_penalty` is vLLM's name for one of them."""

_FOR_NOBODY = frozenset(
    (
        "metadata", "prompt_cache_key", "prompt_cache_retention", "safety_identifier", "service_tier", "store",
        "stream_options", "user",
    )
)  # fmt: skip
"""Fields that ask nothing of the model: nothing is lost with them. Usage is in every stream's last line."""

_LIMITS = ("max_tokens", "max_completion_tokens")
_HANDLED = frozenset(
    (
        "format", "functions", "function_call", "messages", "n", "options", "reasoning", "reasoning_effort",
        "repetition_penalty", "response_format", "stream", "stream_options", "think", "tool_choice", *_LIMITS,
    )
)  # fmt: skip
_KNOWN = _OPTIONS | _AS_THEY_ARE | _HANDLED | _FOR_NOBODY
_EFFORTS = {
    "none": False,
    "minimal": "low",
    "xhigh": "high",
}  # others are Ollama's words too, or it says which are

_TRUE, _FALSE = msgspec.Raw(b"true"), msgspec.Raw(b"false")
_decode_any = msgspec.json.Decoder(Any).decode
_decode_fields = msgspec.json.Decoder(Fields).decode


class _Function(msgspec.Struct, frozen=True, gc=False):
    name: str = ""


class _Named(msgspec.Struct, gc=False):
    """A tool, or a `tool_choice` that names one; `name` beside `function` is the flat form."""

    function: _Function = _Function()
    name: str = ""


class _Schema(msgspec.Struct, gc=False):
    schema: msgspec.Raw = msgspec.Raw()


class _Format(msgspec.Struct, gc=False):
    type: str
    json_schema: _Schema | None = None


class _Reasoning(msgspec.Struct, gc=False):
    effort: str | None = None
    enabled: bool | None = None


def asked_natively(fields: Fields) -> list[str]:
    """What a chat request asks for that Ollama does on `/api/chat` and passes over on `/v1`; [] for nothing."""
    if NATIVE.isdisjoint(fields):
        return []
    return [name for name in fields if name in NATIVE and _said(fields, name)]


def native_request(fields: Fields, *, strict: bool = False) -> Shaped | Fault:
    """Translate a chat request's fields, as they are after all overrides, into those for `PATH`.

    `strict`: what would be left out with a note is a Fault (`strict_params`). Called also where nothing native is
    asked for. Faults are INVALID_REQUEST and name the field in `param`.
    """
    notes: list[str] = []
    lost: list[str] = []
    refusal = _refused(fields)
    if refusal is not None:
        return refusal
    if not _said(fields, "messages"):
        return Fault(INVALID_REQUEST, "`messages` is missing", param="messages")
    messages = native_messages(fields["messages"])
    if isinstance(messages, Fault):
        return messages
    options = _options(fields)
    if isinstance(options, Fault):
        return options
    made = {name: fields[name] for name in fields if name in _AS_THEY_ARE and _said(fields, name)}
    made["messages"] = _raw(messages)
    made["stream"] = _TRUE if bytes(fields.get("stream", _FALSE)) == b"true" else _FALSE
    if options:
        made["options"] = _raw(options)
    for name, translate in (("format", _format), ("think", _think)):
        value = translate(fields)
        if isinstance(value, Fault):
            return value
        if value is not None:
            made[name] = value
    fault = _choose_tools(fields, made, lost, notes)
    if fault is not None:
        return fault
    lost += [name for name in fields if name not in _KNOWN and _said(fields, name)]
    if strict and lost:
        names = ", ".join(f"`{name}`" for name in lost)
        words = f"Ollama's {PATH} does not take {names}, and `strict_params` forbids to go on without"
        return Fault(INVALID_REQUEST, words, param=lost[0])
    notes += [f"dropped `{name}`: Ollama's {PATH} does not take it" for name in lost if name != "tool_choice"]
    return Shaped(made, tuple(notes))


def _refused(fields: Fields) -> Fault | None:
    """What would change the form of the answer, so that an answer without it would be taken for one with it."""
    if _said(fields, "n") and bytes(fields["n"]) != b"1":
        return Fault(INVALID_REQUEST, "`n`: Ollama gives one choice", param="n")
    for name in ("functions", "function_call"):
        if _said(fields, name):
            words = f"`{name}`: Ollama knows `tools` only, and calls of those are answered in another form"
            return Fault(INVALID_REQUEST, words, param=name)
    return None


def _options(fields: Fields) -> Fields | Fault:
    options: Fields = {}
    if _said(fields, "options"):
        try:
            options = _decode_fields(fields["options"])
        except UNREADABLE:
            return Fault(INVALID_REQUEST, "`options` must be an object", param="options")
    for name in fields:
        if name in _OPTIONS and _said(fields, name):
            options[name] = fields[name]
    if _said(fields, "repetition_penalty") and not _said(fields, "repeat_penalty"):
        options["repeat_penalty"] = fields["repetition_penalty"]
    limit = next((name for name in _LIMITS if _said(fields, name)), None)
    if limit is not None:
        options["num_predict"] = fields[limit]
    if "stop" in options and bytes(options["stop"]).startswith(b'"'):  # Ollama wants a list
        options["stop"] = msgspec.Raw(b"[%b]" % bytes(options["stop"]))
    return options


def _format(fields: Fields) -> msgspec.Raw | Fault | None:
    if _said(fields, "format"):
        return fields["format"]
    if not _said(fields, "response_format"):
        return None
    try:
        wanted = msgspec.json.decode(fields["response_format"], type=_Format)
    except UNREADABLE as error:
        return Fault(INVALID_REQUEST, f"`response_format`: {error}", param="response_format")
    schema = wanted.json_schema.schema if wanted.json_schema is not None else msgspec.Raw()
    if wanted.type == "text":
        return None
    if wanted.type == "json_object":
        return msgspec.Raw(b'"json"')
    if wanted.type == "json_schema" and bytes(schema).startswith(b"{"):
        return schema
    words = (
        "`response_format` must be of type `text`, `json_object` or `json_schema` with a `schema` for Ollama"
    )
    return Fault(INVALID_REQUEST, words, param="response_format")


def _think(fields: Fields) -> msgspec.Raw | Fault | None:
    if _said(fields, "think"):
        return fields["think"]
    for name in ("reasoning", "reasoning_effort"):
        if not _said(fields, name):
            continue
        try:
            if name == "reasoning_effort":
                effort = msgspec.json.decode(fields[name], type=str)
            else:
                reasoning = msgspec.json.decode(fields[name], type=_Reasoning)
                effort = reasoning.effort
                if effort is None and reasoning.enabled is not None:
                    return _raw(reasoning.enabled)
        except UNREADABLE as error:
            return Fault(INVALID_REQUEST, f"`{name}`: {error}", param=name)
        if effort is not None:
            return _raw(_EFFORTS.get(effort, effort))
    return None


def _choose_tools(fields: Fields, made: Fields, lost: list[str], notes: list[str]) -> Fault | None:
    """Do of `tool_choice` what the list of tools can do: no tools, no call; one to be called, no other offered."""
    if not _said(fields, "tool_choice"):
        return None
    try:
        choice = _decode_any(fields["tool_choice"])
        if choice == "auto":
            return None
        if choice == "none":
            made.pop("tools", None)
            return None
        lost.append("tool_choice")
        if isinstance(choice, dict):
            wanted = msgspec.json.decode(fields["tool_choice"], type=_Named)
            name = wanted.function.name or wanted.name
            tools = msgspec.json.decode(made.get("tools", b"[]"), type=list[msgspec.Raw])
            offered = [tool for tool in tools if msgspec.json.decode(tool, type=_Named).function.name == name]
            if offered:
                made["tools"] = _raw(offered)
                notes.append(f"`tool_choice`: only `{name}` is offered, Ollama cannot be made to call it")
                return None
        notes.append("`tool_choice`: Ollama cannot be made to call a tool")
    except UNREADABLE as error:
        return Fault(INVALID_REQUEST, f"`tool_choice`, `tools`: {error}", param="tool_choice")
    return None


def _raw(value: object) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(value))


def _said(fields: Fields, name: str) -> bool:
    """Whether a field is there and not null."""
    return name in fields and bytes(fields[name]) != b"null"
