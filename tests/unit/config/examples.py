"""Configurations that people have: those of the documents whose work this program takes over, and its own.

Each is loaded with `ENVIRON`; the expectation is a list of (name, provider, url).
"""

ENVIRON = {
    "OPENAI_API_KEY": "sk-o",
    "TOGETHER_API_KEY": "tk",
    "GROQ_API_KEY": "gsk",
    "CUSTOM_API_KEY": "ck",
    "LOCALAI_API_KEY": "lk",
    "OPENROUTER_API_KEY": "ork",
    "TEAM_A_KEY": "team-a-key",
    "LLM_CLIENT_SECRET": "cs",
}

Rows = list[tuple[str, str, str]]

LOADS: dict[str, tuple[str, Rows]] = {
    "JSON with a key": (
        """{
  "api_key": "sk-...",
  "base_url": "https://api.openai.com/v1"
}""",
        [("default", "openai_compat", "https://api.openai.com/v1")],
    ),
    "JSON without verification": (
        """{"base_url": "https://proxy.corp/v1",
  "ssl_verify": false
}""",
        [("default", "openai_compat", "https://proxy.corp/v1")],
    ),
    "llama.cpp with retries": (
        """backends:
  - provider: openai_compat
    name: llama.cpp
    url: http://localhost:8000
    priority: 1
    max_retries: 2
    backoff_base: 1.5
""",
        [("llama.cpp", "openai_compat", "http://localhost:8000")],
    ),
    "with a key of the environment": (
        """backends:
  - provider: openai_compat
    name: LocalAI
    url: http://localhost:8080
    api_key: ${LOCALAI_API_KEY}
    priority: 1
""",
        [("LocalAI", "openai_compat", "http://localhost:8080")],
    ),
    "a comment after the value, and no name": (
        """backends_enabled: true
backends:
  - provider: openai_compat
    url: http://localhost:8000  # or 5000 for TGI
  - provider: openai_compat
    url: http://localhost:5000
    timeout: 120
    latency_p95_threshold_ms: 0
    traffic_split: 0
    allowed_models: ["llama3*"]
""",
        [
            ("openai_compat", "openai_compat", "http://localhost:8000"),
            ("openai_compat-2", "openai_compat", "http://localhost:5000"),
        ],
    ),
    "three kinds": (
        """backends:
  - provider: ollama
    name: ollama-primary
    url: http://ollama:11434
    priority: 1
    max_retries: 2

  - provider: openai_compat
    name: vllm-secondary
    url: http://vllm:8000
    priority: 2
    max_retries: 2

  - provider: openrouter
    name: openrouter-fallback
    url: https://openrouter.io/api/v1
    api_key: ${OPENROUTER_API_KEY}
    priority: 3
""",
        [
            ("ollama-primary", "ollama", "http://ollama:11434"),
            ("vllm-secondary", "openai_compat", "http://vllm:8000"),
            ("openrouter-fallback", "openrouter", "https://openrouter.io/api/v1"),
        ],
    ),
    "one stanza": (
        """type: "openai_compatible"
config:
  provider: "custom"
  base_url: "https://your-api-endpoint.com/v1"
  api_key: "${CUSTOM_API_KEY}"
  default_model: "your-model-name"
""",
        [("default", "custom", "https://your-api-endpoint.com/v1")],
    ),
    "three stanzas": (
        """# OpenAI
type: "openai_compatible"
config:
  provider: "openai"
  api_key: "${OPENAI_API_KEY}"  # Can use environment variable
  default_model: "gpt-4o-mini"
---
# Together.ai
type: "openai_compatible"
config:
  provider: "together"
  api_key: "${TOGETHER_API_KEY}"
  default_model: "meta-llama/Llama-3-70b-chat-hf"
---
# Groq (Fast Inference)
type: "openai_compatible"
config:
  provider: "groq"
  api_key: "${GROQ_API_KEY}"
  default_model: "llama-3.1-70b-versatile"
""",
        [
            ("openai", "openai", "https://api.openai.com/v1"),
            ("together", "together", "https://api.together.xyz/v1"),
            ("groq", "groq", "https://api.groq.com/openai/v1"),
        ],
    ),
    "our own": (
        """server: {host: 127.0.0.1, port: 8080, workers: 1, max_body: 32MiB, max_buffered: 512MiB, cors_origins: []}
admin:  {host: 127.0.0.1, port: 8081}          # control plane
redis:  ${REDIS_URL:-}
keys:   [{name: team-a, key: "${TEAM_A_KEY}", models: ["chat"]}]

backends:                                      # one upstream server or account each
  - name: vllm-a
    provider: vllm
    url: http://vllm:8000
    api_key: ${VLLM_KEY:-}
    priority: 1
    weight: 1
    max_retries: 2
    backoff_base: 1.5
    backoff_max: 10.0
    timeouts: {connect: 5, first_token: auto, idle: 30, total: 600}
    models: ["llama3*"]
    headers: {X-Team: a}
    organization: null
    think: keep
    proxy: null
    ssl_verify: true
    ca_bundle_path: null
    max_concurrency: null
  - {name: azure, provider: azure, url: https://r.openai.azure.com, deployment_name: gpt-4, api_version: 2024-06-01,
     client_id: ..., client_secret: ..., token_url: ..., token_scope: https://cognitiveservices.azure.com/.default}

models:                                        # public names
  chat:
    targets: [{backend: vllm-a, model: llama3, weight: 3}, {backend: azure, model: gpt-4o}]
    strategy: priority                         # (order written, or the targets' own `priority`)
    fallbacks: [gpt-4o-mini]                   # other public models, tried when all targets fail
    context_fallback: big-context              # for context overflow only
    evict: false
rules:                                         # content routing, first match wins
  - {for: [auto], when: {contains_any: [code, programming]}, use: code-llama}
  - {for: [auto], when: {max_chars: 50}, use: fast-model}
  - {for: [auto], use: general-model}
""",
        [("vllm-a", "vllm", "http://vllm:8000"), ("azure", "azure", "https://r.openai.azure.com")],
    ),
    "Azure by OAuth": (
        """{
  "type": "openai",
  "base_url": "https://your-resource.openai.azure.com",
  "deployment_name": "gpt-4",
  "api_version": "2024-06-01",
  "client_id": "...",
  "client_secret": "...",
  "token_url": "..."
}""",
        [("default", "azure", "https://your-resource.openai.azure.com")],
    ),
    "Azure in the list": (
        """backends:
  - {name: azure, provider: azure, url: https://r.openai.azure.com, deployment_name: gpt-4, api_version: 2024-06-01,
     client_id: ..., client_secret: ..., token_url: ..., token_scope: https://cognitiveservices.azure.com/.default}
""",
        [("azure", "azure", "https://r.openai.azure.com")],
    ),
    "a corporate proxy with OAuth": (
        """{
  "base_url": "https://llm.corp.example/v1",
  "api_version": "2024-06-01",
  "client_id": "your-client-id",
  "client_secret": "your-client-secret",
  "token_url": "https://login.microsoftonline.com/.../oauth2/v2.0/token",
  "token_scope": "https://cognitiveservices.azure.com/.default",
  "ssl_verify": false
}""",
        [("default", "openai_compat", "https://llm.corp.example/v1")],
    ),
    "a self-hosted server without a key": (
        """base_url: http://localhost:8000/v1
api_key: ""
model_name: llama3
timeout: 30
organization: org-1
custom_headers:
  X-Team: research
""",
        [("default", "openai_compat", "http://localhost:8000/v1")],
    ),
}

REFUSED: dict[str, tuple[str, list[str]]] = {
    "client credentials without a URL": (
        """{
  "client_id": "your-client-id",
  "client_secret": "your-client-secret",
  "token_url": "https://login.microsoftonline.com/.../oauth2/v2.0/token",
  "token_scope": "https://cognitiveservices.azure.com/.default"
}""",
        ["1:1: url: is required for provider `openai_compat` (alias: base_url), like https://HOST/v1"],
    ),
    "half of the client credentials": (
        """{
  "base_url": "https://llm.corp.example/v1",
  "client_id": "your-client-id",
  "client_secret": "your-client-secret"
}""",
        [
            "3:16: client_id: is one of OAuth2's settings, which work together: `token_url` is missing",
        ],
    ),
    "Azure without a resource": (
        "backends:\n  - {provider: azure, deployment_name: gpt-4, api_version: 2024-06-01}\n",
        [
            (
                "2:5: backends[0].url: is required for provider `azure` (alias: base_url), "
                "like https://RESOURCE.openai.azure.com"
            )
        ],
    ),
    "stanzas without a line between them": (
        'type: "openai_compatible"\nconfig:\n  provider: "openai"\n\ntype: "openai_compatible"\n',
        [
            (
                "5:1: duplicate key `type`, first on line 1; several backends in one file are one stanza per "
                "document: put a line `---` between them"
            )
        ],
    ),
}
