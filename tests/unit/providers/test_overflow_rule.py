"""providers/overflow_rule.py: wordings that are in no table, and the look-alikes that are something else.

Most are quoted from reports about servers that the table does not have; the rest say the same in other words.
"""

import json

import pytest

from trunkline.errors import Overflow
from trunkline.providers.overflow import parse, read
from trunkline.providers.overflow_patterns import CAPS, PATTERNS
from trunkline.providers.overflow_rule import judge

# Wording, limit, what was sent.
OVERFLOWS: list[tuple[str, int | None, int | None]] = [
    ("Request body too large for gpt-4o model. Max size: 8000 tokens.", 8000, None),
    ("n_tokens 9000 > n_ctx 8192", 8192, 9000),
    ("Token limit exceeded: 131073/131072", 131072, 131073),
    ("exceeded the maximum token count of 100000. Received 120000.", 100000, 120000),
    ("prompt=5000, completion=500, window=5120", 5120, 5000),
    ("requested 8193 tokens in total, which is more than the 8192 that fit", 8192, 8193),
    ("Model context window is 128k tokens, you requested 256k tokens", 128000, 256000),
    ("Context window exceeded: requested 12000 tokens", None, 12000),
    ("Prompt too large for this model", None, None),
    ("Input length (265330) exceeds model's maximum context length (262144).", 262144, 265330),
    ("Input length 5000 exceeds the maximum allowed input length of 4096 tokens.", 4096, 5000),
    ("Input length 1581 exceeds context length 1500", 1500, 1581),
    ("Request contains 35000 tokens, which exceeds the limit of 32768", 32768, 35000),
    ("Prompt is 11543 tokens but the model context window is 4096 tokens.", 4096, 11543),
    ("Prompt tokens (9000) exceeds context size (8192)", 8192, 9000),
    ("The number of tokens in the prompt exceeds the model's maximum context length of 32768", 32768, None),
    (
        "Your input exceeds the context window of this model. Please adjust your input and try again.",
        None,
        None,
    ),
    ("The input token count exceeds the maximum number of tokens allowed (1048576).", 1048576, None),
    ("An error occurred: The input exceeds the model's maximum context limit of 8192 tokens.", 8192, None),
    ("Your prompt is longer than the model's context length of 2048.", 2048, None),
    ("AWS Bedrock Error: The request payload size has exceed context limit.", None, None),
    ("ERROR: THIS MODEL'S MAXIMUM CONTEXT LENGTH IS 1024.", 1024, None),
    ("model max length exceeded, max length:8192", 8192, None),
    ("Input token length too long", None, None),
    ("The length of tokens in the request is too long", None, None),
    ("Conversation length exceeded. Please start a new session", None, None),
    ("invalid params, context window exceeds limit", None, None),
    ("invalid params, context window exceeds limit (2013)", None, None),
    ("Request input tokens exceed model token limit. Reduce the input size.", None, None),
    ("Prompt exceeds maximum context length", None, None),
    ("Context size has been exceeded", None, None),
    ("Context size has been exceeded.", None, None),
    (
        "the prompt is longer than the context length currently available to the model; shorten the prompt",
        None,
        None,
    ),
    ("the input length exceeds the context length", None, None),
    ("Please reduce the length of the messages or completion.", None, None),
    ("Input is too long for requested model.", None, None),
    ("Input is too long for the requested model", None, None),
    ("8192 token context window cannot hold 9000 prompt tokens", 8192, 9000),
    ("Got 9,001 input tokens; at most 8,192 are allowed.", 8192, 9001),
    ("the request has 131_080 tokens, which is more than the 131_072-token context window", 131072, 131080),
    ("prompt (150000 tokens) is larger than the context window (131,072 tokens)", 131072, 150000),
    (
        (
            "The total number of tokens in the prompt and the completion (140,000) is larger "
            "than the context size of 131,072 tokens"
        ),
        131072,
        140000,
    ),
    ("This model supports at most 8192 tokens, but the conversation has about 12,345 tokens.", 8192, 12345),
    ("Sequence length 5000 is longer than the maximum sequence length of 4096", 4096, 5000),
    ("Token limit exceeded: your input has 140000 tokens; the maximum is 128000.", 128000, 140000),
    ("Your request has 9001.0 tokens and the maximum is 8192.0 tokens for this prompt.", 8192, 9001),
    ("Requested 9000 tokens but the context window is 8192", 8192, 9000),
    ("Input exceeds the limit: 9000/8192 tokens", 8192, 9000),
    ("Prompt length 9000 is greater than max_seq_len 8192", 8192, 9000),
    ("max_seq_len is 8192 but got a prompt of 9000 tokens", 8192, 9000),
    ("n_tokens (9000) > n_ctx (8192): prompt does not fit", 8192, 9000),
    ("the input prompt token len 9000 is too long, the maximum is 8192", 8192, 9000),
    ("输入长度超过限制\uff1a最大 8192 tokens\uff0c当前 9000 tokens", 8192, 9000),
    ("输入内容过长", None, None),
    ("Prompt 超长", None, None),
    ("your prompt is 5000 tokens over the limit", None, None),
    ("Prompt exceeds the context window by 1,502 tokens", None, None),
    ("The prompt has 1000000 tokens which is over the 200000 token limit of this model", 200000, 1000000),
    ("number of input tokens 40000 cannot exceed the total tokens limit 32768 for this model", 32768, 40000),
    ("the number of input tokens 9021 cannot exceed the total tokens limit 8192 for this model", 8192, 9021),
    ("Too many tokens in prompt: 9021 (limit 8192)", 8192, 9021),
    ("Total tokens (input + output) 9021 exceed limit 8192: prompt too large", 8192, 9021),
    ("Prompt has 9021 tokens, max is 8192", 8192, 9021),
    (
        (
            'litellm.BadRequestError: VertexAIException BadRequestError - {"error": {"code": '
            '400, "message": "The input token count (1200293) exceeds the maximum number of '
            'tokens allowed (1048576)."}}'
        ),
        1048576,
        1200293,
    ),
    ("Context length exceeded: 131073 > 131072", 131072, 131073),
    (
        (
            "Input validation error: inputs tokens + max_new_tokens must be <= 4096. Given: "
            "4000 inputs tokens and 512 max_new_tokens"
        ),
        4096,
        4000,
    ),
    ("Your messages contain 70000 tokens. The maximum for this model is 65536 tokens.", 65536, 70000),
    ("messages too long: 70000 tokens exceeds 65536", 65536, 70000),
    ("Request exceeds the model's context window of 128K tokens (got 131K).", 128000, 131000),
    ("Cannot process prompt of 40,960 tokens: model limit is 32,768 tokens.", 32768, 40960),
    (
        "the prompt and max_tokens together require 40000 tokens but the context window is only 32768 tokens",
        32768,
        40000,
    ),
    ("The requested context (90000 tokens) is larger than this model's maximum (65536 tokens)", 65536, 90000),
    (
        (
            "This model's maximum context length is 131 072 tokens. However, your messages "
            "resulted in 140 000 tokens."
        ),
        131072,
        140000,
    ),
    ("exceeds maximum input length: 9000 tokens, maximum 8192 tokens, prompt", 8192, 9000),
    ("Input too long. Max 8192 tokens, got 9000.", 8192, 9000),
    ("Input text is too long: 9000 tokens. Maximum is 8192 tokens.", 8192, 9000),
    ("Requested token count (150000) exceeds the context window of 131072 tokens.", 131072, 150000),
    ("Error: prompt is 140,000 tokens, which exceeds the 128,000 token limit for gpt-4o", 128000, 140000),
    ("Your request used 9000 tokens. This model only supports 8192 tokens of context.", 8192, 9000),
    (
        (
            "The model's context window is 32,768 tokens; your request (prompt 30,000 + "
            "max_tokens 4,096) needs 34,096."
        ),
        32768,
        34096,
    ),
    ("Request too large: 210000 input tokens, but claude supports 200000", 200000, 210000),
    ("input tokens (130000) + max_tokens (8192) > context window (131072)", 131072, 138192),
    (
        ("Sum of prompt tokens (130000) and max new tokens (8192) exceeds context length (131072)"),
        131072,
        138192,
    ),
    ("Total length of prompt (130000) plus max_new_tokens (8192) must not exceed 131072", 131072, 138192),
    ("The prompt (9001 tokens) does not fit in the context window of 8192 tokens", 8192, 9001),
    ("Tokenized prompt has length 9001 but max length is 8192", 8192, 9001),
    ("Token count 9001 > limit 8192 for prompt", 8192, 9001),
    ("Input exceeds maximum length of 8192 tokens (actual: 9001)", 8192, 9001),
    ("actual 9001 tokens, allowed 8192 tokens: input too long", 8192, 9001),
    ("Length of input (9001) exceeds the model's context window (8192)", 8192, 9001),
    ("context_length 8192 is smaller than prompt length 9001", 8192, 9001),
    ("prompt_len=9001 exceeds max_model_len=8192", 8192, 9001),
    ("Context window of 8192 tokens is too small for the prompt of 9001 tokens.", 8192, 9001),
    ("Maximum context is 8192 tokens; prompt has approximately 9001.", 8192, 9001),
    ("The conversation is too long for this model: 9,001 / 8,192 tokens", 8192, 9001),
    (
        ("You have exceeded the maximum number of input tokens (8192). Your input has 9001 tokens."),
        8192,
        9001,
    ),
    ("Maximum input length exceeded. max: 8192, given: 9001", 8192, 9001),
    ("Maximum allowed tokens: 8192. Provided: 9001. Please shorten your prompt.", 8192, 9001),
    (("Please shorten your prompt: 9001 tokens were sent but this model takes 8192 at most."), 8192, 9001),
    ("This request has 9001 tokens of input, 809 more than the allowed 8192.", 8192, 9001),
    ("Number of tokens (9001) exceeded maximum context length (8192).", 8192, 9001),
    ("exceeds the model's maximum sequence length (9001 > 8192)", 8192, 9001),
    ("ValueError: Prompt length of 9001 exceeds the available context window of 8192", 8192, 9001),
    ("input is 9001 tokens but at most 8192 can be processed", 8192, 9001),
    (
        (
            "The input plus requested output exceed the context: 8000 prompt tokens + 500 "
            "completion tokens > 8192."
        ),
        8192,
        8500,
    ),
    ("The prompt size exceeds the context window size and cannot be processed.", None, None),
    ("RuntimeError: Requested tokens (9001) exceed context window of 8192", 8192, 9001),
    ("Input too large: 1.2M tokens, max 1M tokens", 1000000, 1200000),
    ("exceeded context window: 131.5k tokens, limit 128k tokens", 128000, 131500),
    ("Failed to process: too many tokens in request (9001). Limit: 8192.", 8192, 9001),
    (
        (
            "This model has a context window of 8192 tokens. You requested 8700 tokens (8000 "
            "input, 700 output)."
        ),
        8192,
        8700,
    ),
    ("messages exceed the model's context limit by approximately 809 tokens", None, None),
    ("prompt tokens (9001) must be less than context size (8192)", 8192, 9001),
    ("prompt (9001) + completion (512) tokens exceed 8192 context window", 8192, 9513),
    ("Input tokens: 9001. Output tokens requested: 512. Context window: 8192.  Too large.", 8192, 9513),
]

NOT: list[tuple[int, str]] = [
    (400, "ThrottlingException: Too many tokens, please wait before trying again."),
    (429, "Rate limit: too many tokens"),
    (429, "429 Tokens per minute limit exceeded"),
    (401, "invalid api key"),
    (404, "model not found"),
    (400, "max_tokens exceeds the limit of 8192"),
    (400, "max_tokens must be <= 8192"),
    (
        400,
        (
            "max_tokens is too large: 32000. This model supports at most 16384 completion "
            "tokens, whereas you provided 32000."
        ),
    ),
    (400, "Invalid max_tokens value, the valid range of max_tokens is [1, 8192]"),
    (400, "Range of max_tokens should be [1, 8192]"),
    (400, "max_tokens=140000 cannot be greater than max_model_len=max_total_tokens=131072"),
    (400, "max_completion_tokens=140000 cannot be greater than max_model_len=131072"),
    (
        400,
        "messages.0.content.1.image.source.base64: image exceeds 5 MB maximum: 6291456 bytes > 5242880 bytes",
    ),
    (400, "A maximum of 100 PDF pages may be provided, got 250"),
    (400, "At most 4 image(s) may be provided in one request, got 9."),
    (413, "Request body too large: limit is 33554432 bytes"),
    (400, "temperature must be <= 2, got 3"),
    (400, "body.max_tokens: Input should be less than or equal to 8192"),
    (400, "`max_tokens` must be greater than `thinking.budget_tokens`"),
    (400, "max_tokens must be at least 1, got 0. (parameter=max_tokens, value=0)"),
    (400, "Requests with max_tokens > 4096 must have stream=true"),
    (
        429,
        (
            "Request too large for gpt-4o on tokens per min (TPM): Limit 30000, Requested "
            "342389. The input or output tokens must be reduced in order to run successfully."
        ),
    ),
    (
        402,
        (
            "This request requires more credits, or fewer max_tokens. You requested up to "
            "65536 tokens, but can only afford 10114."
        ),
    ),
    (
        400,
        (
            "Prompt tokens limit exceeded: 230799 > 91442. To increase, visit "
            "https://openrouter.ai/settings/keys and create a key with a higher monthly limit"
        ),
    ),
    (400, "Model context window too small (minimum is 128k tokens)"),
    (400, "The context is large, but acceptable."),
    (429, "request reached organization TPD rate limit, current: 1506556, limit: 1500000"),
    (429, "This request would exceed your organization's rate limit of 40,000 input tokens per minute"),
    (
        400,
        (
            "Invalid 'tools[0].function.description': string too long. Expected a string with "
            "maximum length 1024, but got a string with length 3000 instead."
        ),
    ),
    (
        400,
        (
            "Invalid 'messages[0].name': string too long. Expected a string with maximum "
            "length 64, but got a string with length 100 instead."
        ),
    ),
    (
        400,
        (
            "Invalid 'messages': array too long. Expected an array with maximum length 2048, "
            "but got an array with length 2100 instead."
        ),
    ),
    (400, "Number of stop sequences exceeds the maximum of 4"),
    (400, "token id 128256 is out of vocabulary, max 128000"),
    (500, "Internal server error"),
    (500, "too many tokens"),
    (503, "input is too long"),
    (400, "tools: too many tools: 200 > 128"),
    (
        400,
        (
            "Could not finish the message because max_tokens or model output limit was "
            "reached. Please try again with higher max_tokens."
        ),
    ),
    (400, "The maximum tokens you requested exceeds the model limit of 32768"),
    (400, "max_tokens (10000) cannot exceed 8192. Please reduce the length of max output tokens generated."),
    (
        400,
        (
            "max_tokens must be less than or equal to `16384`, the maximum value for "
            "`max_tokens` is less than the `context_window` for this model"
        ),
    ),
    (400, "n must be 1, got 5000 tokens"),
    (400, "The file is too large: 30 MB exceeds the 20 MB limit"),
    (400, "audio input too long: 1900 seconds exceeds 1500 seconds"),
    (429, "You exceeded your current token quota: 1000000 tokens, please check your account balance"),
    (400, "logprobs: top_logprobs must be <= 20"),
    (400, "Invalid value for max_output_tokens: 200000 exceeds 128000"),
    (400, "output tokens requested (200000) exceed the model's maximum of 128000"),
    (400, "The maxOutputTokens 99999 is above the supported maximum 65536"),
    (
        400,
        (
            "'messages' must contain the word 'json' in some form, to use 'response_format' of "
            "type 'json_object'."
        ),
    ),
    (400, "embedding dimensions 4096 exceeds the maximum 3072 for this input"),
    (400, "max_tokens (9000) must not be greater than 8192"),
    (400, "max_completion_tokens: 100000 is above the limit of 65536"),
    (400, "Invalid value for 'max_tokens': must be at most 4096"),
    (429, "Limit 200000, Used 190000, Requested 20000 tokens. Please try again in 3s"),
    (400, "max_tokens too high: the model can generate at most 4096 tokens"),
    (413, "413 Request Entity Too Large"),
    (413, "Request body too large. Max size: 8000 bytes."),
    (400, "prompt=500, completion=50, window=5120"),
    (400, "Worker local total request limit reached (133/132)"),
    (400, "Invalid date in the input: 2025/12 is over"),
    (400, "Received 120000 of 100000 rows"),
    (400, "image too large: 5000 x 5000 pixels exceeds maximum 4096"),
    (400, "Too many images: 20 exceeds limit of 10"),
    (400, "Request payload size exceeds the limit: 20971520 bytes."),
    (400, "Maximum upload size exceeded: 26214400"),
    (400, "thinking budget of 64000 tokens exceeds the maximum of 32768"),
    (400, "top_k must be in the range [1, 100], got 5000"),
    (400, "max_tokens: 9000 > 8192"),
    (422, "body -> max_tokens: ensure this value is less than or equal to 4096"),
    (400, "number of choices exceeds maximum of 128"),
    (400, "tool_call_id did not have response messages"),
    (503, "Service is at capacity: 9001 tokens queued, limit 8192"),
    (400, "seed must be less than 9223372036854775807"),
    (400, "messages: at most 100 messages are allowed, got 120"),
    (400, "model `gpt-4-32k` does not support 128000 tokens"),
    (500, "CUDA out of memory. Tried to allocate 20.00 GiB"),
    (400, "Output token limit is 4096; you asked for 9000 output tokens."),
    (400, "min_tokens (500) must be less than or equal to max_tokens (100)."),
    (429, "Too many tokens per day, please wait before trying again."),
    (400, "n_probs 5000 exceeds limit of 100"),
    (400, "The response was cut because it reached the maximum of 4096 tokens"),
    (400, "stop sequence too long: 300 tokens, max 64 tokens"),
    (400, "JSON schema is too large: 120000 characters exceeds 100000"),
    (400, "metadata value too long, max 512 characters"),
    (400, "Batch size 4096 exceeds maximum allowed batch size 2048"),
    (400, "logit_bias contains token 200000, which exceeds vocabulary"),
    (401, "API token too long"),
    (403, "context deadline exceeded"),
    (504, "context deadline exceeded (Client.Timeout exceeded while awaiting headers)"),
    (500, "context canceled"),
    (500, "rpc error: code = DeadlineExceeded desc = context deadline exceeded"),
]


def body(message: str) -> bytes:
    return json.dumps({"error": {"message": message, "type": "invalid_request_error", "code": None}}).encode()


@pytest.mark.parametrize(("message", "limit", "sent"), OVERFLOWS)
def test_unknown_wordings_of_an_overflow(message: str, limit: int | None, sent: int | None) -> None:
    found = parse(400, body(message))
    assert found is not None
    assert found.limit == limit
    assert sent is None or sent in (found.input, found.total)
    assert sent is not None or found.input is None
    if limit is not None and sent is not None:
        assert found.excess is not None
        assert found.excess >= sent - limit


@pytest.mark.parametrize(("status", "message"), NOT)
def test_what_only_looks_like_an_overflow(status: int, message: str) -> None:
    assert parse(status, body(message)) is None


@pytest.mark.parametrize(
    ("message", "found"),
    [
        ("your prompt is 5000 tokens over the limit", Overflow(excess=5000)),
        ("Prompt exceeds the context window by 1,502 tokens", Overflow(excess=1502)),
        ("Prompt has at least 9000 tokens, max is 8192", Overflow(8192, 9000, None, None, 808, True)),
        (
            "The context window is 8192 tokens: 8000 prompt tokens and 500 output tokens do not fit.",
            Overflow(8192, 8000, 500, 8500, 308, False, "output"),
        ),
        (
            "8500 tokens in total (8000 tokens of prompt, 200 of text, 300 of output) exceed the 8192 token limit",
            Overflow(8192, 8200, 300, 8500, 308, False, "prompt"),
        ),
        # The numbers contradict the words: neither is given out.
        ("prompt is too long: it has 100 tokens and the maximum is 8192", Overflow()),
    ],
)
def test_numbers_by_their_roles(message: str, found: Overflow) -> None:
    assert parse(400, body(message)) == found


@pytest.mark.parametrize(
    ("message", "found"),
    [
        ("max_tokens must be <= 8192", Overflow(8192, too_long="cap")),
        (
            "max_output_tokens of 200000 exceeds the maximum of 128000",
            Overflow(128000, output=200000, too_long="cap"),
        ),
        ("max_tokens is too large", Overflow(too_long="cap")),
        ("Expected max_tokens between 1 and 4096", Overflow(4096, too_long="cap")),
        ("Expected max_tokens between 1 and 4096, got 9000", Overflow(4096, output=9000, too_long="cap")),
    ],
)
def test_a_cap_on_the_answer(message: str, found: Overflow) -> None:
    assert read(400, body(message)) == found


def test_vague_wordings_need_a_status_that_blames_the_request() -> None:
    assert judge("too many tokens", vague=True) == Overflow()
    assert judge("too many tokens", vague=False) is None
    assert judge("prompt is too long", vague=False) == Overflow()
    assert judge("something else", vague=True) is None


def test_the_rule_alone_finds_limit_and_input_of_most_of_the_table() -> None:
    """The table is there for the rest; this is how far the rule goes on wordings that it was not given."""
    known = [row for row in (*PATTERNS, *CAPS) if (found := judge(row.sample, vague=True)) and found.limit]
    assert len(known) >= 45
