"""providers/overflow_patterns.py: each recorded sample is read by its own row, to the numbers it shows."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.errors import Overflow
from trunkline.providers import overflow
from trunkline.providers.overflow_patterns import CAPS, NUMBER, PATTERNS, Pattern, number

# limit, input, output, total, excess, at_least, too_long
EXPECTED: dict[str, Overflow] = {
    "structured fields inside text": Overflow(123904, 124315, None, None, 411),
    "openai, deepseek, vllm <= 0.10, openrouter: with a breakdown": Overflow(8192, 9739, 512, 10251, 2059),
    "vllm >= 0.18": Overflow(8192, 9739, 512, 10251, 2059),
    "vllm 0.11: max_tokens does not fit": Overflow(32768, 20956, 16744, 37700, 4932, False, "output"),
    "vllm: input plus max_tokens": Overflow(2048, 8, 2045, 2053, 5, False, "output"),
    "vllm 0.16": Overflow(131072, 98305, 32768, 131073, 1, True),
    "vllm 0.16: characters": Overflow(131072, None, 512),
    "text-generation-webui": Overflow(8192, 784, 8192, 8976, 784, True),
    "openai, vllm 0.11": Overflow(4097, 5613, None, None, 1516),
    "vllm <= 0.10: input only": Overflow(4096, 5000, None, None, 904),
    "openai, vllm, openrouter: undivided": Overflow(131072, 351430, None, 351430, 220358),
    "openai: input limit": Overflow(272000, 300007, None, None, 28007),
    "openai: embeddings": Overflow(300000, 319487, None, 319487, 19487),
    "vllm: engine": Overflow(8192, 12324, None, None, 4132),
    "vllm: scheduler": Overflow(1000, 36893, None, None, 35893),
    "vllm: nothing is left for the answer": Overflow(excess=186),
    "sglang": Overflow(202752, 170941, 32000, 202941, 189, False, "output"),
    "sglang, together": Overflow(40960, 61709, None, None, 20749),
    "llama.cpp": Overflow(123904, 124315, None, None, 411),
    "llama.cpp: kept prefix": Overflow(4096, 5012, None, None, 916),
    "llama-cpp-python": Overflow(2048, 2285, None, 2285, 237),
    "lm studio": Overflow(32768, 111490, None, None, 78722),
    "ollama cloud: the rest": Overflow(excess=65590),
    "fireworks, ollama cloud": Overflow(262144, 265392, None, None, 3248),
    "omlx": Overflow(32768, 41911, None, None, 9143),
    "tgi: sum": Overflow(8192, 9000, 512, 9512, 1320),
    "tgi, tei": Overflow(4096, 5000, None, None, 904),
    "tensorrt-llm": Overflow(8192, 9351, None, None, 1159),
    "tensorrt-llm, triton": Overflow(4096, 5056, None, None, 960),
    "mlc": Overflow(2048, 2354, None, None, 306),
    "sambanova": Overflow(4096, 4309, 1, 4310, 214),
    "anthropic": Overflow(200000, 203557, None, None, 3557),
    "anthropic: with max_tokens": Overflow(200000, 198157, 21333, 219490, 19490, False, "output"),
    "bedrock": Overflow(8192, 9163, None, None, 971),
    "gemini": Overflow(1048575, 1196265, None, None, 147690),
    "gemini: truncation": Overflow(89998, 355220, None, None, 265222),
    "mistral": Overflow(32768, 65673, None, None, 32905),
    "cerebras": Overflow(40000, 42328, None, None, 2328),
    "xai": Overflow(131072, 136973, None, None, 5901),
    "github copilot": Overflow(90000, 93854, None, None, 3854),
    "moonshot": Overflow(262144, 269030, None, 269030, 6886),
    "cohere": Overflow(2048, 6354, None, 6354, 4306),
    "cohere: the rest": Overflow(excess=1502),
    "siliconflow": Overflow(202752, 204703, None, None, 1951),
    "nvidia nim: embeddings": Overflow(512, 851, None, None, 339),
    "dashscope": Overflow(129024),
    "minimax": Overflow(),
    "shepherd": Overflow(65536, 70000, None, 70000, 4464),
}
CAPPED: dict[str, Overflow] = {
    "openai": Overflow(16384, output=32000, too_long="cap"),
    "vllm >= 0.16": Overflow(131072, output=140000, too_long="cap"),
    "groq": Overflow(8000, too_long="cap"),
    "anthropic": Overflow(64000, output=100000, too_long="cap"),
    "deepseek, dashscope": Overflow(8192, too_long="cap"),
    "vertex": Overflow(65536, output=100000, too_long="cap"),
    "bedrock": Overflow(32768, too_long="cap"),
    "databricks": Overflow(8192, output=10000, too_long="cap"),
    "tgi": Overflow(192, too_long="cap"),
    "any": Overflow(8192, too_long="cap"),
}


def test_every_row_has_an_expectation() -> None:
    assert [row.name for row in PATTERNS] == list(EXPECTED)
    assert [row.name for row in CAPS] == list(CAPPED)


@pytest.mark.parametrize("row", PATTERNS, ids=lambda row: row.name)
def test_a_sample_is_read_by_its_own_row(row: Pattern) -> None:
    text = " ".join(row.sample.split())
    assert next(other.name for other in PATTERNS if other.regex.search(text)) == row.name
    for status in (200, 400, 413, 422, 429, 500):
        assert overflow.parse(status, row.sample.encode()) == EXPECTED[row.name]


@pytest.mark.parametrize("row", CAPS, ids=lambda row: row.name)
def test_what_limits_the_answer_alone_is_no_overflow(row: Pattern) -> None:
    assert next(other.name for other in CAPS if other.regex.search(row.sample)) == row.name
    assert overflow.read(400, row.sample.encode()) == CAPPED[row.name]
    assert overflow.parse(400, row.sample.encode()) is None


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (  # the parts of the input are added up
            (
                "This endpoint's maximum context length is 262000 tokens. However, you requested about 263390 tokens"
                " (658 of text input, 732 of tool input, 262000 in the output). Please reduce the length of either one."
            ),
            Overflow(262000, 1390, 262000, 263390, 1390, False, "output"),
        ),
        (
            (
                "This endpoint's maximum context length is 16384 tokens. However, you requested about 94307 tokens"
                " (94307 of text input). Please reduce the length of either one."
            ),
            Overflow(16384, 94307, None, 94307, 77923),
        ),
        (
            (
                "This model's maximum context length is 4097 tokens, however you requested 4226 tokens (3970 in your"
                " prompt; 256 for the completion). Please reduce your prompt; or completion length."
            ),
            Overflow(4097, 3970, 256, 4226, 129, False, "output"),
        ),
        (
            (
                "This model's maximum context length is 65536 tokens. Your conversation used 70000 tokens, leaving 0"
                " for generation (minimum 1024 required)."
            ),
            Overflow(65536, 70000, None, None, 4464),
        ),
        (
            (
                "This model's maximum context length is 1024 tokens. However, your prompt contains at least 1025 input"
                " tokens, which exceeds this limit even without any output tokens. (parameter=input_tokens, value=1025)"
            ),
            Overflow(1024, 1025, None, None, 1, True),
        ),
        (
            "Prompt length + number of draft tokens (4090 + 10) exceeds maximum input length (4096).",
            Overflow(4096, 4100, None, None, 4),
        ),
    ],
)
def test_variants_of_a_wording(text: str, found: Overflow) -> None:
    assert overflow.parse(400, text.encode()) == found


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("4097", 4097),
        ("131,072", 131072),
        ("131_072", 131072),
        ("131.072", 131072),
        ("131 072", 131072),
        ("131\u202f072", 131072),
        ("1,048,576", 1048576),
        ("9351.0", 9351),
        ("524300.75", 524300),
        ("128k", 128000),
        ("1.5M", 1500000),
    ],
)
def test_spellings_of_numbers(text: str, value: int) -> None:
    assert number(text) == value
    body = f"This model's maximum context length is 100 tokens. However, your messages resulted in {text} tokens."
    found = overflow.parse(400, body.encode())
    assert found == Overflow(100, value, None, None, value - 100)


@given(st.integers(0, 10**12), st.sampled_from(["", ",", "_", " ", "."]))
def test_a_number_is_found_whole(value: int, separator: str) -> None:
    text = f"{value:,}".replace(",", separator)
    found = re.search(NUMBER, f"has {text} tokens")
    assert found is not None
    assert (found[0], number(found[0])) == (text, value)
