r"""The wordings in which upstreams refuse a request for its length: one row each, with its recorded sample.

Owns the table. Does not own how a row is applied (`overflow.py`) nor wordings that are not here (`overflow_rule.py`).

How a row is written: a regular expression over text whose white space is single blanks, without regard to case.
`<limit>`, `<input>`, `<input2>` (added to input), `<output>`, `<total>` and `<excess>` stand for a number, `~` for at
most 80 characters in between. Rows are tried in order, so the more telling wording stands first. `at_least`: the
upstream stopped counting; the words "at least", "over" and "more than" in front of a number say so too (`<least>`).
Every gap is bounded, so that a row costs a hostile text no more than its length.
"""

import re

import msgspec

# 131,072 131_072 131.072 131 072; 9351.0 (TensorRT-LLM prints floats); 128k. 15 digits are more than any count has.
_SEPARATOR = r"[,_.'\u00a0\u202f ]"
NUMBER = rf"(?:\d{{1,3}}(?:{_SEPARATOR}\d{{3}}){{1,4}}(?![\d])|\d{{1,15}}(?:\.\d{{1,6}})?)(?![\d])(?:[km]\b)?"
_GROUPED = re.compile(rf"\d{{1,3}}(?:{_SEPARATOR}\d{{3}})+")
_FIELD = re.compile(r"<(limit|input|input2|output|total|excess)>")
_LEAST = r"(?:(?P<least>at least|over|more than) |about |approximately |around |~ ?)?"


def number(text: str) -> int:
    """The count that text matched by `NUMBER` stands for; fractions are dropped."""
    scale = {"k": 1_000, "m": 1_000_000}.get(text[-1].lower(), 1)
    digits = text.rstrip("kKmM")
    if _GROUPED.fullmatch(digits):
        return int(re.sub(_SEPARATOR, "", digits)) * scale
    return int(float(digits) * scale)


class Pattern(msgspec.Struct, frozen=True):
    """One row: who says it, how it is found, a recorded sample."""

    name: str
    regex: re.Pattern[str]
    sample: str
    at_least: bool = False


def _row(name: str, wording: str, sample: str, *, at_least: bool = False) -> Pattern:
    wording = wording.replace("~", ".{0,80}?").replace("<least>", _LEAST)
    expanded = _FIELD.sub(lambda found: f"(?P<{found[1]}>{NUMBER})", wording)
    return Pattern(name, re.compile(expanded, re.IGNORECASE), sample, at_least)


PATTERNS: tuple[Pattern, ...] = (
    _row(
        "structured fields inside text",
        r"n_prompt_tokens\W{1,6}<input>\W{1,6}n_ctx\W{1,6}<limit>",
        'rpc error: {"code":400,"type":"exceed_context_size_error","n_prompt_tokens":124315,"n_ctx":123904}',
    ),
    _row(
        "openai, deepseek, vllm <= 0.10, openrouter: with a breakdown",
        r"maximum context length is <limit> tokens\W{1,3}however,? you requested <least><total> tokens \(<input> "
        r"(?:of text input|in (?:the|your) (?:messages|prompt))(?:, <input2> of tool input)?(?:[,;] <output> "
        r"(?:in|for) the (?:completion|output))?\)",
        "This model's maximum context length is 8192 tokens. However, you requested 10251 tokens (9739 in the messages,"
        " 512 in the completion). Please reduce the length of the messages or completion.",
    ),
    _row(
        "vllm >= 0.18",
        r"maximum context length is <limit> tokens\W{1,3}however,? you requested <output> output tokens and your "
        r"prompt contains <least><input> input tokens(?:, for a total of (?:at least )?<total> tokens)?",
        "This model's maximum context length is 8192 tokens. However, you requested 512 output tokens and your prompt"
        " contains 9739 input tokens, for a total of 10251 tokens. Please reduce the length of the input prompt or the"
        " number of requested output tokens.",
    ),
    _row(
        "vllm 0.11: max_tokens does not fit",
        r"is too large: <output>\. ~maximum context length is <limit> tokens and your request has <input> input tokens",
        "'max_tokens' or 'max_completion_tokens' is too large: 16744. This model's maximum context length is 32768"
        " tokens and your request has 20956 input tokens (16744 > 32768 - 20956).",
    ),
    _row(
        "vllm: input plus max_tokens",
        r"maximum context length is <limit> tokens~ has <least><input> input tokens plus <output> \W?max_",
        "This model's maximum context length is 2048 tokens. However, your request has 8 input tokens plus 2045"
        " 'max_tokens'. Please reduce one or the other. (parameter=input_tokens, max_tokens, value=(8, 2045))",
    ),
    _row(
        "vllm 0.16",
        r"passed <input> input tokens and requested <output> output tokens~context length is only <limit> tokens",
        "You passed 98305 input tokens and requested 32768 output tokens. However, the model's context length is only"
        " 131072 tokens, resulting in a maximum input length of 98304 tokens. Please reduce the length of the input"
        " prompt. (parameter=input_tokens, value=98305)",
        at_least=True,
    ),
    _row(
        "vllm 0.16: characters",
        r"input characters and requested <output> output tokens~context length is only <limit> tokens",
        "You passed 900000 input characters and requested 512 output tokens. However, the model's context length is"
        " only 131072 tokens, resulting in a maximum input length of 130560 tokens.",
    ),
    _row(
        "text-generation-webui",
        r"maximum context length is <limit> tokens~resulted in <least><input> tokens and max_tokens is <output>",
        "This model maximum context length is 8192 tokens. However, your messages resulted in over 784 tokens and"
        " max_tokens is 8192.",
    ),
    _row(
        "openai, vllm 0.11",
        r"maximum context length (?:is|of) <limit>(?: tokens)?\W{1,3}(?:however,? )?(?:but )?(?:your|the) (?:\w+ )?"
        r"(?:messages?|conversation|prompt|input|request) (?:resulted in|results in|used|uses|has|have|contains?|is) "
        r"<least><input>(?: input| prompt)? tokens",
        "This model's maximum context length is 4097 tokens. However, your messages resulted in 5613 tokens. Please"
        " reduce the length of the messages.",
    ),
    _row(
        "vllm <= 0.10: input only",
        r"maximum context length is <limit> tokens\W{1,3}however,? you requested <least><input> tokens in the messages",
        "This model's maximum context length is 4096 tokens. However, you requested 5000 tokens in the messages, Please"
        " reduce the length of the messages.",
    ),
    _row(
        "openai, vllm, openrouter: undivided",
        r"maximum context length is <limit> tokens\W{1,3}however,? you requested <least><total> tokens",
        "This model's maximum context length is 131072 tokens. However, you requested 351430 tokens. Please reduce the"
        " length of the messages or completion.",
    ),
    _row(
        "openai: input limit",
        r"exceed the configured limit of <limit> tokens~resulted in <input> tokens",
        "Input tokens exceed the configured limit of 272000 tokens. Your messages resulted in 300007 tokens. Please"
        " reduce the length of the messages.",
    ),
    _row(
        "openai: embeddings",
        r"requested <total> tokens, max <limit> tokens per request",
        "Requested 319487 tokens, max 300000 tokens per request",
    ),
    _row(
        "vllm: engine",
        r"prompt \((?:total )?length <input>\) is (?:longer than the maximum model length of|too long to fit into the "
        r"model \(context length) <limit>",
        "The decoder prompt (length 12324) is longer than the maximum model length of 8192. Make sure that"
        " `max_model_len` is no smaller than the number of text tokens.",
    ),
    _row(
        "vllm: scheduler",
        r"prompt \(<input> tokens\) is too long and exceeds (?:the )?(?:\w+ )?(?:limit|capacity)\w* of <limit>",
        "Input prompt (36893 tokens) is too long and exceeds limit of 1000",
    ),
    _row(
        "vllm: nothing is left for the answer",
        r"max_(?:completion_)?tokens must be at least 1, got -<excess>",
        "max_tokens must be at least 1, got -186.",
    ),
    _row(
        "sglang",
        r"maximum context length of <limit> tokens\. you requested a total of <total> tokens: <input> tokens from the "
        r"input messages and <output> tokens for the completion",
        "Requested token count exceeds the model's maximum context length of 202752 tokens. You requested a total of"
        " 202941 tokens: 170941 tokens from the input messages and 32000 tokens for the completion. Please reduce it.",
    ),
    _row(
        "sglang, together",
        r"input \(<input> tokens\) is longer than the model\W{0,3}s? context length \(<limit> tokens\)",
        "The input (61709 tokens) is longer than the model's context length (40960 tokens).",
    ),
    _row(
        "llama.cpp",
        r"request \(<input> tokens\) exceeds the available context size \(<limit> tokens\)",
        "request (124315 tokens) exceeds the available context size (123904 tokens), try increasing it",
    ),
    _row(
        "llama.cpp: kept prefix",
        r"n_keep\W{1,4}<input> >= n_ctx\W{1,4}<limit>",
        "n_keep: 5012 >= n_ctx: 4096",
    ),
    _row(
        "llama-cpp-python",
        r"requested tokens \(<total>\) exceed context window of <limit>",
        "Requested tokens (2285) exceed context window of 2048",
    ),
    _row(
        "lm studio",
        r"keep the first <input> tokens~context length of only <limit> tokens",
        "Trying to keep the first 111490 tokens when context the overflows. However, the model is loaded with context"
        " length of only 32768 tokens, which is not enough. Try to load the model with a larger context length, or"
        " provide a shorter input. Error Data: n/a, Additional Data: n/a",
    ),
    _row(
        "ollama cloud: the rest",
        r"exceeded (?:the )?(?:max(?:imum)? )?context length by <excess> tokens",
        "prompt too long; exceeded max context length by 65590 tokens",
    ),
    _row(
        "fireworks, ollama cloud",
        r"prompt is too long: <input>, model maximum context length: <limit>",
        "The prompt is too long: 265392, model maximum context length: 262144",
    ),
    _row(
        "omlx",
        r"prompt too long: <input> tokens exceeds (?:the )?max\w* context window of <limit>",
        "Prompt too long: 41911 tokens exceeds max context window of 32768 tokens",
    ),
    _row(
        "tgi: sum",
        r"`?inputs`? tokens \+ `?max_new_tokens`? must be <= <limit>\. given: <input> `?inputs`? tokens and <output>",
        "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 8192. Given: 9000 `inputs` tokens and"
        " 512 `max_new_tokens`",
    ),
    _row(
        "tgi, tei",
        r"`?inputs`? must have less than <limit> tokens\. given: <input>",
        "Input validation error: `inputs` must have less than 4096 tokens. Given: 5000",
    ),
    _row(
        "tensorrt-llm",
        r"sum of prompt length \(<input>\), query length \([\d.]{1,20}\) should not exceed max_num_tokens \(<limit>\)",
        "The sum of prompt length (9351.0), query length (0) should not exceed max_num_tokens (8192)",
    ),
    _row(
        "tensorrt-llm, triton",
        r"prompt length(?: \+ number of draft tokens)? \(<input>(?: \+ <input2>)?\) exceeds maximum (?:input|sequence) "
        r"length \(<limit>\)",
        "Prompt length (5056) exceeds maximum input length (4096). Set log level to info and above for more details",
    ),
    _row(
        "mlc",
        r"prompt has <input> tokens in total, larger than the model input length limit <limit>",
        "Request prompt has 2354 tokens in total, larger than the model input length limit 2048.",
    ),
    _row(
        "sambanova",
        r"prompt is <input> tokens long, so generating <output> tokens requires a sequence length of <total>, but the "
        r"maximum supported sequence length is just <limit>",
        "Requested generation length 1 is not possible! The provided prompt is 4309 tokens long, so generating 1 tokens"
        " requires a sequence length of 4310, but the maximum supported sequence length is just 4096!",
    ),
    _row(
        "anthropic",
        r"prompt is too long: <input> tokens > <limit> maximum",
        "prompt is too long: 203557 tokens > 200000 maximum",
    ),
    _row(
        "anthropic: with max_tokens",
        r"context limit: <input> \+ <output> > <limit>",
        "input length and `max_tokens` exceed context limit: 198157 + 21333 > 200000, decrease input length or"
        " `max_tokens` and try again",
    ),
    _row(
        "bedrock",
        r"max input tokens: <limit>, request input token count: <input>",
        "Too many input tokens. Max input tokens: 8192, request input token count: 9163",
    ),
    _row(
        "gemini",
        r"input token count \(<input>\) exceeds the maximum number of tokens allowed \(?<limit>",
        "The input token count (1196265) exceeds the maximum number of tokens allowed (1048575).",
    ),
    _row(
        "gemini: truncation",
        r"cannot truncate to <limit>, required <input>",
        "[original: beyond::dependency::INVALID_ARGUMENT] Cannot truncate to 89998, required 355220: text:355351,"
        " control:9,  (inaccurate, last turn truncated by 141 in addition) (qos=CRITICAL_PLUS)",
    ),
    _row(
        "mistral",
        r"prompt contains <input> tokens(?: and \d{1,9} draft tokens)?, too large for model with <limit> maximum "
        r"context length",
        "Prompt contains 65673 tokens and 0 draft tokens, too large for model with 32768 maximum context length",
    ),
    _row(
        "cerebras",
        r"current length is <input> while limit is <limit>",
        "Please reduce the length of the messages or completion. Current length is 42328 while limit is 40000",
    ),
    _row(
        "xai",
        r"maximum prompt length is <limit> but the request contains <input> tokens",
        "This model's maximum prompt length is 131072 but the request contains 136973 tokens.",
    ),
    _row(
        "github copilot",
        r"prompt token count of <input> exceeds the limit of <limit>",
        "prompt token count of 93854 exceeds the limit of 90000",
    ),
    _row(
        "moonshot",
        r"exceeded model token limit: <limit> \(re ?quested: <total>\)",
        "Invalid request: Your request exceeded model token limit: 262144 (requested: 269030)",
    ),
    _row(
        "cohere",
        r"total number of tokens~cannot exceed <limit> - received <total>",
        "too many tokens: total number of tokens (prompt and prediction) cannot exceed 2048 - received 6354. Try using"
        " a shorter prompt or a smaller max_tokens value.",
    ),
    _row(
        "cohere: the rest",
        r"size limit exceeded by <excess> tokens",
        "too many tokens: size limit exceeded by 1502 tokens. Try using shorter or fewer inputs, or setting"
        " prompt_truncation='AUTO'.",
    ),
    _row(
        "siliconflow",
        r"input tokens \(<input>\) has exceeded max_prompt_tokens \(<limit>\)",
        "number of input tokens (204703) has exceeded max_prompt_tokens (202752) limit.",
    ),
    _row(
        "nvidia nim: embeddings",
        r"input length <input> exceeds (?:the )?maximum allowed (?:token size|input length of) <limit>",
        "Input length 851 exceeds maximum allowed token size 512",
    ),
    _row(
        "dashscope",
        r"range of input length should be \[\d{1,9}, ?<limit>\]",
        "Range of input length should be [1, 129024]",
    ),
    _row(
        "minimax",
        r"context window exceeds limit \(2013\)",
        "invalid params, context window exceeds limit (2013)",
    ),
    _row(
        "shepherd",
        r"would need <total> tokens but limit is <limit>",
        "Conversation would need 70000 tokens but limit is 65536 tokens",
    ),
)

# What limits the answer alone: a smaller max_tokens mends it, a shorter prompt does not.
CAPS: tuple[Pattern, ...] = (
    _row(
        "openai",
        r"tokens is too large: <output>\. ~supports at most <limit> completion tokens",
        "max_tokens is too large: 32000. This model supports at most 16384 completion tokens, whereas you provided"
        " 32000.",
    ),
    _row(
        "vllm >= 0.16",
        r"max_(?:completion_|output_)?tokens=<output> cannot be greater than max_[a-z_=]{1,40}=<limit>",
        "max_tokens=140000 cannot be greater than max_model_len=max_total_tokens=131072. Please request fewer output"
        " tokens.",
    ),
    _row(
        "groq",
        r"max_(?:completion_)?tokens\W{0,2}(?: for ~)? must be less than or equal to \W?<limit>",
        "max_tokens for `llama-3.1-8b-instant` must be less than or equal to 8000",
    ),
    _row(
        "anthropic",
        r"max_tokens: <output> > <limit>, which is the maximum allowed number of output tokens",
        "max_tokens: 100000 > 64000, which is the maximum allowed number of output tokens for claude-sonnet-4",
    ),
    _row(
        "deepseek, dashscope",
        r"range of max_(?:completion_)?tokens (?:is|should be) \[\d{1,9}, ?<limit>\]",
        "Invalid max_tokens value, the valid range of max_tokens is [1, 8192]",
    ),
    _row(
        "vertex",
        r"maxOutputTokens value of <output> but the supported range is from \d{1,9}(?: \(inclusive\))? to <limit>",
        "Unable to submit request because it has a maxOutputTokens value of 100000 but the supported range is from 1"
        " (inclusive) to 65537 (exclusive). Update the value and try again.",
    ),
    _row(
        "bedrock",
        r"maximum tokens you requested exceeds the model limit of <limit>",
        "The maximum tokens you requested exceeds the model limit of 32768",
    ),
    _row(
        "databricks",
        r"max_tokens \(<output>\) cannot exceed <limit>",
        "max_tokens (10000) cannot exceed 8192. Please reduce the length of max output tokens generated.",
    ),
    _row(
        "tgi",
        r"error: `?max_new_tokens`? must be <= <limit>",
        "Input validation error: `max_new_tokens` must be <= 192. Given: 500",
    ),
    _row("any", r"max_tokens exceeds (?:the )?limit of <limit>", "max_tokens exceeds the limit of 8192"),
)
