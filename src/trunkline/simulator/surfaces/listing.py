"""Lists of models, and what servers tell about one, in the shapes found in the wild.

Owns `GET /models`, `/models/{id}`, Ollama's `/api/tags` and `/api/show`, llama.cpp's `/props`, TGI's `/info`.
"""

from collections.abc import Callable
from typing import Any, Final

from trunkline.simulator.answer import Answer, Refusal, json_answer
from trunkline.simulator.surfaces.base import CREATED, Ask

CONTEXT: Final = 8192
"""The context window, in tokens, of every model, where a shape tells it."""


def models(ask: Ask) -> Answer:
    """The list of models. Other names are served as well."""
    return json_answer(SHAPES[ask.fault.models or ask.model_list](list(ask.models)))


def model(ask: Ask) -> Answer:
    """One model of the list, or 404."""
    if ask.model not in ask.models:
        raise Refusal(404, f"The model '{ask.model}' does not exist", code="model_not_found", param="model")
    return json_answer(_openai(ask.model))


def tags(ask: Ask) -> Answer:
    """Ollama's list."""
    return json_answer(_ollama(list(ask.models)))


def show(_ask: Ask) -> Answer:
    """What Ollama tells about a model."""
    info = {"general.architecture": "llama", "llama.context_length": CONTEXT}
    return json_answer({"capabilities": ["completion", "tools"], "model_info": info})


def props(_ask: Ask) -> Answer:
    """What llama.cpp tells about its model."""
    settings = {"n_ctx": CONTEXT}
    return json_answer(
        {"default_generation_settings": settings, "total_slots": 1, "modalities": {"vision": False}}
    )


def info(ask: Ask) -> Answer:
    """What TGI tells about its model."""
    return json_answer(
        {"model_id": ask.models[0], "max_input_tokens": CONTEXT - 1, "max_total_tokens": CONTEXT}
    )


def _openai(name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": CREATED, "owned_by": "simulator"}


def _listed(entry: Callable[[str], dict[str, Any]]) -> Callable[[list[str]], Any]:
    """A list as OpenAI's, with other entries."""
    return lambda names: {"object": "list", "data": [entry(name) for name in names]}


def _ollama(names: list[str]) -> dict[str, Any]:
    return {
        "models": [
            {"name": name, "model": name, "modified_at": "2023-11-14T22:13:20Z", "size": 1} for name in names
        ]
    }


def _without(*keys: str) -> Callable[[str], dict[str, Any]]:
    return lambda name: {key: value for key, value in _openai(name).items() if key not in keys}


SHAPES: Final[dict[str, Callable[[list[str]], Any]]] = {
    "openai": _listed(_openai),
    "ollama": _ollama,
    "list": lambda names: [_openai(name) for name in names],
    "name": _listed(lambda name: {"name": name, "object": "model"}),
    "no_created": _listed(_without("created")),
    "no_data": lambda _names: {"object": "list"},
    "vllm": _listed(lambda name: _openai(name) | {"max_model_len": CONTEXT}),
    "groq": _listed(lambda name: _openai(name) | {"active": True, "context_window": CONTEXT}),
    "openrouter": lambda names: {
        "data": [_without("object", "owned_by")(name) | {"context_length": CONTEXT} for name in names]
    },
    "llama.cpp": _listed(lambda name: _openai(name) | {"meta": {"n_ctx_train": CONTEXT}}),
}
"""Shapes of `GET /models` by name."""
