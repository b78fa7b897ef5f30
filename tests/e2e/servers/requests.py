"""What every server is asked: by name, a path and the body without what makes the answer the same each time."""

from typing import Any

CHAT, COMPLETIONS = "/v1/chat/completions", "/v1/completions"

HI: list[Any] = [{"role": "user", "content": "Say hi."}]
STORY: list[Any] = [
    {"role": "system", "content": "You are brief."},
    {"role": "user", "content": "Tell me about the sea 🌊, en español: ¿qué es el mar? 海とは何ですか"},
]
WEATHER: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather of a city.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}
ASK_WEATHER: list[Any] = [{"role": "user", "content": "What is the weather in Paris?"}]
SCHEMA: dict[str, Any] = {
    "type": "json_schema",
    "json_schema": {
        "name": "city",
        "strict": True,
        "schema": {
            "type": "object",
            "properties": {"name": {"type": "string", "maxLength": 12}, "big": {"type": "boolean"}},
            "required": ["name", "big"],
            "additionalProperties": False,
        },
    },
}
# Characters of one to four bytes, and some that are several code points.
LETTERS = "aé€漢🙂👨‍👩‍👧🇪🇺ñ"

SAMPLE: tuple[str, dict[str, Any]] = (CHAT, {"messages": HI, "max_tokens": 24})

REQUESTS: dict[str, tuple[str, dict[str, Any]]] = {
    "chat": SAMPLE,
    "max_tokens": (CHAT, {"messages": HI, "max_tokens": 3}),
    "max_completion_tokens": (CHAT, {"messages": HI, "max_completion_tokens": 3}),
    "stop": (CHAT, {"messages": HI, "max_tokens": 40, "stop": ["help", "zzz"]}),
    "until its end": (CHAT, {"messages": [{"role": "user", "content": "Say yes or no."}], "max_tokens": 200}),
    "other languages": (CHAT, {"messages": STORY, "max_tokens": 30}),
    "long": (CHAT, {"messages": STORY, "max_tokens": 100}),
    "seed": (CHAT, {"messages": HI, "max_tokens": 12, "temperature": 0.9, "top_p": 0.9, "seed": 42}),
    "two choices": (CHAT, {"messages": HI, "max_tokens": 8, "n": 2}),
    "logprobs": (CHAT, {"messages": HI, "max_tokens": 6, "logprobs": True, "top_logprobs": 3}),
    "tools": (CHAT, {"messages": ASK_WEATHER, "max_tokens": 16, "tools": [WEATHER]}),
    "a tool must be called": (
        CHAT,
        {"messages": ASK_WEATHER, "max_tokens": 40, "tools": [WEATHER], "tool_choice": "required"},
    ),
    "this tool must be called": (
        CHAT,
        {
            "messages": ASK_WEATHER,
            "max_tokens": 40,
            "tools": [WEATHER],
            "tool_choice": {"type": "function", "function": {"name": "get_weather"}},
        },
    ),
    "no tool": (CHAT, {"messages": ASK_WEATHER, "max_tokens": 12, "tools": [WEATHER], "tool_choice": "none"}),
    "json": (CHAT, {"messages": HI, "max_tokens": 16, "response_format": {"type": "json_object"}}),
    "schema": (CHAT, {"messages": HI, "max_tokens": 30, "response_format": SCHEMA}),
    "text": (COMPLETIONS, {"prompt": "Once upon a time", "max_tokens": 16}),
    "text until a word": (COMPLETIONS, {"prompt": "One, two, three,", "max_tokens": 16, "stop": [" six"]}),
    "text with logprobs": (COMPLETIONS, {"prompt": "One, two,", "max_tokens": 4, "logprobs": 2}),
    "two texts": (COMPLETIONS, {"prompt": "One, two,", "max_tokens": 6, "n": 2}),
}
# What is wrong with these the gateway leaves to the upstream to say.
REFUSED: dict[str, dict[str, Any]] = {
    "overflow": {"messages": [{"role": "user", "content": "word " * 3000}]},
    "wrong type": {"messages": "none"},
    "no messages": {},
    "empty messages": {"messages": []},
    "temperature": {"messages": HI, "temperature": "hot"},
    "an image": {
        "messages": [
            {
                "role": "user",
                "content": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}],
            }
        ]
    },
    "tools": {"messages": HI, "tools": [{"type": "function"}]},
}
