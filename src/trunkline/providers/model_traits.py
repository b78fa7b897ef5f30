"""What servers say about a model beside its name: context window, tools, images, JSON schemas.

Owns where each kind of server writes that, as tables of fields. Does not own lists (model_list.py) nor what
configuration and provider rows say instead (engine).

Three values: True, False, and None for what was not said, which never excludes a model. A field means False only where
its absence from an exhaustive list, or the field itself, says so; most lists of capabilities are not exhaustive.

Sources: OpenRouter's and Hugging Face's model pages, Mistral's, Cohere's, Anthropic's, Gemini's and GitHub's API
references, LM Studio's REST API, Ollama's /api/show, llama.cpp's /props and /v1/models, TGI's /info, LiteLLM's
/model/info, vLLM's and Groq's lists.
"""

import re
from collections.abc import Iterator
from typing import Any, cast

import msgspec

_MAX_PROVIDERS = 64  # of one model; a list with a million would hold up everything else
MAX_WINDOW = 1_000_000_000  # tokens; more is a mistake, and no reason to send anything there

Object = dict[str, Any]
_Path = tuple[str, ...]

# First one found wins: what the server was started with, then what the model could do, then the limit of the input.
_WINDOWS: tuple[_Path, ...] = (
    ("max_model_len",),  # vLLM, SGLang
    ("meta", "n_ctx"),  # llama.cpp, as started; n_ctx_train is what the model was trained with
    ("default_generation_settings", "n_ctx"),  # llama.cpp /props
    ("loaded_context_length",),  # LM Studio /api/v0
    ("max_total_tokens",),  # TGI /info
    ("context_window",),  # Groq
    ("context_length",),  # OpenRouter, Together, Cohere, Fireworks
    ("max_context_length",),  # Mistral, LM Studio
    ("top_provider", "context_length"),  # OpenRouter
    ("meta", "n_ctx_train"),
    ("metadata", "context_length"),  # DeepInfra
    ("context_size",),
    ("n_ctx",),
    ("n_ctx_train",),
    ("max_input_tokens",),  # Anthropic, LiteLLM
    ("model_info", "max_input_tokens"),  # LiteLLM /model/info
    ("limits", "max_input_tokens"),  # GitHub
    ("inputTokenLimit",),  # Gemini
    ("max_input_length",),  # TGI /info, old
)
# Ollama /api/show: `num_ctx 8192` among the parameters; else the architecture's, `llama.context_length`.
_NUM_CTX = re.compile(r"^num_ctx\s+(\d{1,10})\s*$", re.MULTILINE)

# In the order in which they are looked for.
_TOOLS = ("tools", "tool_use", "tool_calling", "tool_calls", "function_calling", "function_call")
_VISION = ("vision", "image", "images", "image_input", "multimodal")
_SCHEMA = ("json_schema", "structured_outputs", "structured_output", "response_schema")

# Lists that name everything: what is not there cannot be done.
_EXHAUSTIVE: tuple[_Path, ...] = (("supported_parameters",), ("supported_features",))
# Lists that name some of it.
_PARTIAL: tuple[_Path, ...] = (("capabilities",), ("features",), ("metadata", "tags"))
# Objects that hold a flag for each capability.
_FLAGS: tuple[_Path, ...] = (("capabilities",), ("modalities",))
# Objects with flags called `supports_...`; llama.cpp's template says whether tools would be read at all.
_SUPPORTS: tuple[_Path, ...] = ((), ("model_info",), ("chat_template_caps",))
_MODALITIES: tuple[_Path, ...] = (
    ("architecture", "input_modalities"),
    ("input_modalities",),
    ("supported_input_modalities",),
    ("modalities", "input"),
)


class Traits(msgspec.Struct, frozen=True, gc=False):
    """What is known of a model; None: unknown. `context_window` in tokens, input and output together."""

    context_window: int | None = None
    tools: bool | None = None
    vision: bool | None = None
    json_schema: bool | None = None
    reasoning: bool | None = None

    def or_else(self, other: "Traits") -> "Traits":
        """These, and what `other` knows where these do not."""
        return Traits(
            self.context_window if self.context_window is not None else other.context_window,
            self.tools if self.tools is not None else other.tools,
            self.vision if self.vision is not None else other.vision,
            self.json_schema if self.json_schema is not None else other.json_schema,
            self.reasoning if self.reasoning is not None else other.reasoning,
        )


UNKNOWN = Traits()


def parse_traits(body: bytes) -> Traits:
    """Read what a server says of one model (Ollama /api/show, llama.cpp /props, TGI /info). Never raises."""
    try:
        value: Any = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return UNKNOWN
    return read_traits(cast("Object", value)) if isinstance(value, dict) else UNKNOWN


def read_traits(entry: Object) -> Traits:
    """Read what an entry of a list, or a server about its one model, says."""
    own = Traits(
        _window(entry),
        _capability(entry, _TOOLS),
        _vision(entry),
        _capability(entry, _SCHEMA),
    )
    return own.or_else(_of_providers(entry)) if "providers" in entry else own


def _window(entry: Object) -> int | None:
    parameters = entry.get("parameters")
    if isinstance(parameters, str) and (match := _NUM_CTX.search(parameters)):
        return _tokens(match[1])
    for instance in _objects(entry.get("loaded_instances")):  # LM Studio /api/v1
        if window := _tokens(_at(instance, ("config", "context_length"))):
            return window
    for path in _WINDOWS:
        if window := _tokens(_at(entry, path)):
            return window
    info = _at(entry, ("model_info",))
    if isinstance(info, dict):
        for key, value in cast("Object", info).items():
            if key.endswith(".context_length") and (window := _tokens(value)):
                return window
    return None


def _tokens(value: Any) -> int | None:
    """A number of tokens, as servers write it: 8192, 8192.0, "8192"; 0 and nonsense are nothing."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= 10:
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 1 <= value <= MAX_WINDOW:
        return None
    return int(value)


def _capability(entry: Object, names: _Path) -> bool | None:
    for path in _SUPPORTS:
        holder = _at(entry, path)
        if isinstance(holder, dict):
            for name in names:
                flag = cast("Object", holder).get(f"supports_{name}")
                if isinstance(flag, bool):
                    return flag
    for path in _FLAGS:
        holder = _at(entry, path)
        if isinstance(holder, dict):
            flags = cast("Object", holder)
            for name in names:
                if (flag := _flag(flags.get(name))) is not None:
                    return flag
            # LM Studio: others can use tools too, only not as well.
            if names is _TOOLS and flags.get("trained_for_tool_use") is True:
                return True
    for path in _EXHAUSTIVE:
        if words := _words(_at(entry, path)):
            return not words.isdisjoint(names)
    for path in _PARTIAL:
        if (words := _words(_at(entry, path))) and not words.isdisjoint(names):
            return True
    # Ollama's list is exhaustive, for what it has words for; its look-alike in llama.cpp's /api/tags is not.
    if names is not _SCHEMA and "model_info" in entry and _words(entry.get("capabilities")):
        return False
    return None


def _vision(entry: Object) -> bool | None:
    for path in _MODALITIES:
        if words := _words(_at(entry, path)):
            return "image" in words
    modality = _at(entry, ("architecture", "modality"))  # OpenRouter, old: "text+image->text"
    if isinstance(modality, str) and "->" in modality:
        return "image" in modality.partition("->")[0]
    tag = entry.get("pipeline_tag") or entry.get("model_pipeline_tag")
    if entry.get("type") == "vlm" or tag == "image-text-to-text":  # LM Studio; Hugging Face and TGI
        return True
    # Parameters of the request do not name what messages may hold.
    flags = {
        key: value
        for key, value in entry.items()
        if key not in ("supported_parameters", "supported_features")
    }
    return _capability(flags, _VISION)


def _of_providers(entry: Object) -> Traits:
    """Hugging Face's router lists who serves a model: what one of them can do can be had."""
    said = entry.get("providers")
    providers = _objects(cast("list[Any]", said)[:_MAX_PROVIDERS] if isinstance(said, list) else None)
    found = [read_traits(provider) for provider in providers if "providers" not in provider]
    return Traits(
        max((one.context_window for one in found if one.context_window is not None), default=None),
        _any(one.tools for one in found),
        _any(one.vision for one in found),
        _any(one.json_schema for one in found),
    )


def _any(flags: Iterator[bool | None]) -> bool | None:
    known = [flag for flag in flags if flag is not None]
    return any(known) if known else None


def _flag(value: Any) -> bool | None:
    """`true`, or Anthropic's `{"supported": true}`."""
    if isinstance(value, dict):
        value = cast("Object", value).get("supported")
    return value if isinstance(value, bool) else None


def _at(entry: Object, path: _Path) -> Any:
    value: Any = entry
    for key in path:
        if not isinstance(value, dict):
            return None
        value = cast("Object", value).get(key)
    return value


def _objects(value: Any) -> list[Object]:
    items = cast("list[Any]", value) if isinstance(value, list) else []
    return [cast("Object", item) for item in items if isinstance(item, dict)]


def _words(value: Any) -> set[str]:
    """The words of a list, in one spelling: GitHub writes `tool-calling`."""
    items = cast("list[Any]", value) if isinstance(value, list) else []
    return {item.lower().replace("-", "_").replace(" ", "_") for item in items if isinstance(item, str)}
