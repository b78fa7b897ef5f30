"""LiteLLM's provider prefixes, and what each is here.

Owns the table: our provider, the address where ours has no row for it, and the variables from which LiteLLM takes key
and address. Also owns the names that LiteLLM knows without a prefix. Facts from LiteLLM's provider pages.
"""

from fnmatch import fnmatchcase

import msgspec

OPEN = "openai_compat"


class Prefix(msgspec.Struct, frozen=True):
    """One provider of LiteLLM. `row`: ours. `url`: where it is, if our row does not know. `key`, `base`: variables."""

    row: str
    url: str = ""
    key: str = ""
    base: str = ""


PREFIXES: dict[str, Prefix] = {
    "openai": Prefix("openai", key="OPENAI_API_KEY"),
    "text-completion-openai": Prefix("openai", key="OPENAI_API_KEY"),
    "azure": Prefix("azure", key="AZURE_API_KEY", base="AZURE_API_BASE"),
    "azure_text": Prefix("azure", key="AZURE_API_KEY", base="AZURE_API_BASE"),
    "azure_ai": Prefix(OPEN, key="AZURE_AI_API_KEY", base="AZURE_AI_API_BASE"),
    "groq": Prefix("groq", key="GROQ_API_KEY"),
    "mistral": Prefix("mistral", key="MISTRAL_API_KEY"),
    "codestral": Prefix(OPEN, "https://codestral.mistral.ai/v1", "CODESTRAL_API_KEY"),
    "deepseek": Prefix("deepseek", key="DEEPSEEK_API_KEY"),
    "together_ai": Prefix("together", key="TOGETHERAI_API_KEY"),
    "openrouter": Prefix("openrouter", key="OPENROUTER_API_KEY"),
    "xai": Prefix("xai", key="XAI_API_KEY"),
    "fireworks_ai": Prefix("fireworks", key="FIREWORKS_AI_API_KEY"),
    "perplexity": Prefix("perplexity", key="PERPLEXITYAI_API_KEY"),
    "anyscale": Prefix("anyscale", key="ANYSCALE_API_KEY"),
    "cerebras": Prefix("cerebras", key="CEREBRAS_API_KEY"),
    "nvidia_nim": Prefix("nvidia", key="NVIDIA_NIM_API_KEY"),
    "deepinfra": Prefix("deepinfra", key="DEEPINFRA_API_KEY"),
    "anthropic": Prefix("anthropic", key="ANTHROPIC_API_KEY"),
    "gemini": Prefix("gemini", key="GEMINI_API_KEY"),
    "cohere": Prefix("cohere", key="COHERE_API_KEY"),
    "cohere_chat": Prefix("cohere", key="COHERE_API_KEY"),
    "huggingface": Prefix("huggingface", key="HUGGINGFACE_API_KEY"),
    "ollama": Prefix("ollama", base="OLLAMA_API_BASE"),
    "ollama_chat": Prefix("ollama", base="OLLAMA_API_BASE"),
    "lm_studio": Prefix("lmstudio", key="LM_STUDIO_API_KEY", base="LM_STUDIO_API_BASE"),
    "hosted_vllm": Prefix("vllm", key="HOSTED_VLLM_API_KEY", base="HOSTED_VLLM_API_BASE"),
    "llamafile": Prefix("llama.cpp", "http://127.0.0.1:8080", "LLAMAFILE_API_KEY", "LLAMAFILE_API_BASE"),
    "litellm_proxy": Prefix("litellm", key="LITELLM_PROXY_API_KEY", base="LITELLM_PROXY_API_BASE"),
    "openai_like": Prefix(OPEN, key="OPENAI_LIKE_API_KEY", base="OPENAI_LIKE_API_BASE"),
    "custom_openai": Prefix(OPEN),
    "xinference": Prefix(OPEN, "http://127.0.0.1:9997/v1", "XINFERENCE_API_KEY", "XINFERENCE_API_BASE"),
    "docker_model_runner": Prefix(OPEN, "http://localhost:22088/engines/llama.cpp/v1"),
    "sambanova": Prefix(OPEN, "https://api.sambanova.ai/v1", "SAMBANOVA_API_KEY"),
    "moonshot": Prefix(OPEN, "https://api.moonshot.ai/v1", "MOONSHOT_API_KEY"),
    "dashscope": Prefix(OPEN, "https://dashscope-intl.aliyuncs.com/compatible-mode/v1", "DASHSCOPE_API_KEY"),
    "volcengine": Prefix(OPEN, "https://ark.cn-beijing.volces.com/api/v3", "VOLCENGINE_API_KEY"),
    "zai": Prefix(OPEN, "https://api.z.ai/api/paas/v4", "ZAI_API_KEY"),
    "minimax": Prefix(OPEN, "https://api.minimax.io/v1", "MINIMAX_API_KEY"),
    "ai21_chat": Prefix(OPEN, "https://api.ai21.com/studio/v1", "AI21_API_KEY"),
    "novita": Prefix(OPEN, "https://api.novita.ai/v3/openai", "NOVITA_API_KEY"),
    "hyperbolic": Prefix(OPEN, "https://api.hyperbolic.xyz/v1", "HYPERBOLIC_API_KEY"),
    "nebius": Prefix(OPEN, "https://api.studio.nebius.ai/v1", "NEBIUS_API_KEY"),
    "nscale": Prefix(OPEN, "https://inference.api.nscale.com/v1", "NSCALE_API_KEY"),
    "lambda_ai": Prefix(OPEN, "https://api.lambda.ai/v1", "LAMBDA_API_KEY"),
    "featherless_ai": Prefix(OPEN, "https://api.featherless.ai/v1", "FEATHERLESS_AI_API_KEY"),
    "friendliai": Prefix(OPEN, "https://api.friendli.ai/serverless/v1", "FRIENDLI_TOKEN"),
    "galadriel": Prefix(OPEN, "https://api.galadriel.com/v1", "GALADRIEL_API_KEY"),
    "meta_llama": Prefix(OPEN, "https://api.llama.com/compat/v1", "LLAMA_API_KEY"),
    "baseten": Prefix(OPEN, "https://inference.baseten.co/v1", "BASETEN_API_KEY"),
    "github": Prefix(OPEN, "https://models.inference.ai.azure.com", "GITHUB_API_KEY"),
    "vercel_ai_gateway": Prefix(OPEN, "https://ai-gateway.vercel.sh/v1", "VERCEL_AI_GATEWAY_API_KEY"),
}
OTHERS = frozenset(
    (
        "bedrock", "bedrock_converse", "sagemaker", "sagemaker_chat", "vertex_ai", "vertex_ai_beta", "palm",
        "replicate", "watsonx", "watsonx_text", "predibase", "nlp_cloud", "aleph_alpha", "petals", "cloudflare",
        "databricks", "oci", "snowflake", "github_copilot", "triton", "clarifai", "oobabooga", "maritalk",
        "voyage", "jina_ai", "infinity", "deepgram", "elevenlabs", "assemblyai", "topaz", "fal_ai", "recraft",
        "bytez", "vllm", "auto_router",
    )
)  # fmt: skip
"""Providers of LiteLLM that have another API of their own, which is not spoken here."""

_UNPREFIXED = {
    "openai": (
        "gpt-*",
        "chatgpt-*",
        "o1*",
        "o3*",
        "o4-*",
        "text-embedding-*",
        "dall-e-*",
        "whisper-*",
        "tts-*",
        "ft:gpt-*",
        "davinci-*",
        "babbage-*",
        "omni-moderation-*",
        "text-moderation-*",
        "codex-*",
    ),
    "anthropic": ("claude-*",),
    "cohere": ("command*", "embed-english-*", "embed-multilingual-*"),
    "deepseek": ("deepseek-chat", "deepseek-reasoner", "deepseek-coder"),
}


def split(model: str, custom: str) -> tuple[str, str]:
    """Prefix and the rest of a model's name; the prefix is "" where none can be told.

    `custom`: what `custom_llm_provider` says, which wins.
    """
    prefix, slash, rest = model.partition("/")
    if custom:
        return custom, rest if slash and prefix == custom else model
    if slash and (prefix in PREFIXES or prefix in OTHERS):
        return prefix, rest
    known = (name for name, globs in _UNPREFIXED.items() if any(fnmatchcase(model, glob) for glob in globs))
    return next(known, ""), model
