"""What the tests of importers share: sources as people have them, and one way to import text."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from trunkline.config.importers.run import Imported, import_file
from trunkline.config.load import load
from trunkline.config.model import Settings

NEW_KEY = "sk-nobody-knows-it"


class Made:
    """An import of text: what was printed, and the settings that come of it where no variable is set."""

    def __init__(
        self,
        folder: Path,
        system: str,
        text: str,
        environ: Mapping[str, str] | None = None,
        name: str = "source.yaml",
    ) -> None:
        environ = environ or {}
        path = folder / name
        path.write_text(text)
        self.imported: Imported = import_file(system, path, environ, lambda: NEW_KEY)
        self.text = self.imported.text
        self.notes = [note.text for note in self.imported.notes]
        written = folder / "made" / "trunkline.yaml"
        written.parent.mkdir(exist_ok=True)
        written.write_text(self.text)
        self.settings: Settings = load(written, environ).settings

    def backend(self, name: str) -> Any:
        return next(one for one in self.settings.backends if one.name == name)

    def rows(self) -> list[tuple[str, str, str]]:
        return [(one.name, one.provider, one.url) for one in self.settings.backends]


BEIGEBOX = """\
server: {host: 127.0.0.1, port: 8001, log_level: INFO}
backend: {default_model: llama2, url: "http://localhost:11434", timeout: 60}
backends_enabled: true
backends:
  - provider: ollama
    name: ollama-primary
    url: http://ollama:11434
    priority: 1
    max_retries: 2
    timeout_ms: 120000
    timeout: 90
  - provider: openai_compat
    name: vllm-secondary
    url: http://vllm:8000/v1
    api_key: ${LOCALAI_API_KEY}
    priority: 2
    backoff_base: 1.5
    backoff_max: 10.0
    latency_p95_threshold_ms: 3000
    traffic_split: 30
    allowed_models: ["llama3*"]
  - provider: openrouter
    url: https://openrouter.ai/api/v1
    api_key: ${OPENROUTER_API_KEY:-none}
    priority: ${ROUTER_PRIORITY}
storage: {type: sqlite, path: ./data.db}
auth:
  api_key: ""
  keys:
    - {name: ci-runner, allowed_models: [llama3.2], rate_limit_rpm: 60}
"""

LITELLM = """\
model_list:
  - model_name: gpt-4o
    litellm_params:
      model: azure/gpt-4o-eu
      api_base: https://eu.openai.azure.com/
      api_version: 2024-06-01
      api_key: os.environ/AZURE_API_KEY_EU
      rpm: 6
    model_info: {mode: chat, max_input_tokens: 128000, supports_vision: yes}
  - model_name: gpt-4o
    litellm_params:
      model: azure/gpt-4o-ca
      api_base: os.environ/AZURE_API_BASE
      api_version: 2024-06-01
      api_key: os.environ/AZURE_API_KEY_CA
      rpm: 18
  - model_name: local
    litellm_params:
      model: hosted_vllm/facebook/opt-125m
      api_base: http://0.0.0.0:8000/v1
      api_key: none
      temperature: 0.2
      max_tokens: 20
      additional_drop_params: [user]
      extra_headers: {X-Team: a}
  - model_name: small
    litellm_params: {model: gpt-4o-mini, api_key: os.environ/OPENAI_API_KEY, timeout: 30, stream_timeout: 10}
  - model_name: claude
    litellm_params: {model: claude-3-5-sonnet-latest, order: 1, max_retries: 12}
  - model_name: claude
    litellm_params: {model: bedrock/anthropic.claude-3, order: 2, aws_region_name: us-east-1}
litellm_settings:
  num_retries: 3
  request_timeout: 60
  drop_params: True
  fallbacks: [{small: [claude, gone]}]
  context_window_fallbacks: [{small: [gpt-4o, local]}]
  success_callback: [langfuse]
router_settings:
  routing_strategy: simple-shuffle
  model_group_alias: {gpt-4: gpt-4o}
  allowed_fails: 3
  cooldown_time: 30
general_settings:
  master_key: os.environ/LITELLM_MASTER_KEY
  database_url: os.environ/DATABASE_URL
"""

OPENAI_COMPATIBLE = """\
type: "openai_compatible"
config:
  provider: "openai"
  api_key: "${OPENAI_API_KEY}"
  default_model: "gpt-4o-mini"
---
type: "openai_compatible"
config:
  provider: "custom"
  base_url: "https://your-api-endpoint.com/v1"
  api_key: "${CUSTOM_API_KEY}"
  default_model: "your-model-name"
  requests_per_minute: 60
"""

COT_ENV = r"""# settings
export TARGET_BASE_URL="http://your-model-server:8080/"
API_REQUEST_TIMEOUT=3000
HOST_PORT=3000
LLM_PARAMS=model=Qwen3-No,upstream_model_name=Qwen3,temperature=0.7,top_k=20,min_p=0.05,append_to_last_user_message=\n\n/no_think;model=plain,enable_think_tag_filtering=false
THINK_TAG=<t>
THINK_END_TAG=</t>
"""

COT_COMPOSE = """\
version: '3.8'
services:
  cot-proxy:
    build: .
    ports: ["${HOST_PORT:-3000}:5000"]
    environment:
      - TARGET_BASE_URL=${TARGET_BASE_URL:-http://your-model-server:8080/}
      - API_REQUEST_TIMEOUT=${API_REQUEST_TIMEOUT:-3000}
      - LLM_PARAMS=${LLM_PARAMS:-model=default,temperature=0.7}
    restart: unless-stopped
"""

COT_FORK = r"""api_request_timeout: 1250
split_token_model_name_label: "@"
log_level: debug
variants:
  do-think-qwen3:
    label: "do-think"
    model_regex: "^(?=.*[Qq]wen3)(?!.*-it-).*"
    inject_at_end: "\n\n/think"
    weak_defaults: {min_p: 0.01, top_k: 30}
    thinking: {do_strip: true, tags: ["<seed:think>", "</seed:think>"]}
  silent:
    base_off: "do-think-qwen3"
    label: "@silent"
    weak_defaults: {top_k: 5}
    thinking: {do_strip: false, do_split: true}
  less:
    label: "less"
    model_regex: "QwQ-32B|qwq"
    weak_logit_bias:
      - [151668, 13.5]
"""

SOURCES: dict[str, tuple[str, str]] = {
    "BeigeBox": ("beigebox", BEIGEBOX),
    "LiteLLM": ("litellm", LITELLM),
    "OpenAICompatibleAPI": ("openai_compatible", OPENAI_COMPATIBLE),
    "cot_proxy, variables": ("cot_proxy", COT_ENV),
    "cot_proxy, compose": ("cot_proxy", COT_COMPOSE),
    "cot_proxy, fork": ("cot_proxy", COT_FORK),
}
