"""What one backend is: an upstream address with its credential, limits and preferences.

Owns the settings of `backends:`. Does not own connections (net/pool.py) nor the choice between
backends (routing/route.py).
"""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from trunkline.routing.health import HealthSettings


class TimeoutSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Seconds, accurate to 0.1 (one sweep every 100 ms checks them all)."""

    connect: Annotated[float, Meta(gt=0, description="TCP and TLS set-up of a new connection.")] = 5.0
    first_token: Annotated[
        Annotated[float, Meta(gt=0)] | Literal["auto"],
        Meta(
            description="Streams only: from request sent to the first event with content, and only while another "
            "backend could take over. auto: 10 s plus 1 s per 1,000 estimated prompt tokens, at least 120 s for "
            "local servers. Comments and role-only events extend it, up to three times."
        ),
    ] = "auto"  # noqa: S105 - a token of text, not a secret
    idle: Annotated[
        float,
        Meta(
            gt=0,
            description="Silence between two events of a stream that has begun; 120 s for models that reason.",
        ),
    ] = 30.0
    total: Annotated[
        float,
        Meta(
            gt=0,
            description="The whole call with all attempts (the first backend's counts); "
            "of a stream until its first content.",
        ),
    ] = 600.0


class CapabilitySettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a model can do, where its server does not say it. What is left out is unknown, and excludes nothing."""

    context_window: Annotated[
        Annotated[int, Meta(ge=1)] | None, Meta(description="Tokens, prompt and answer together.")
    ] = None
    tools: Annotated[bool | None, Meta(description="Whether it calls tools.")] = None
    vision: Annotated[bool | None, Meta(description="Whether it takes images.")] = None
    json_schema: Annotated[bool | None, Meta(description="Whether its answers follow a JSON schema.")] = None
    reasoning: Annotated[
        bool | None, Meta(description="Whether it thinks before it answers; timeouts allow for that.")
    ] = None


class BackendSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One upstream server or account. Its repr shows no url, proxy, key or header: each may hold a secret."""

    name: Annotated[
        str,
        Meta(
            description="How logs, headers and metrics call it: printable ASCII without space, comma, slash."
        ),
    ]
    url: Annotated[str, Meta(description="Base URL, with or without /v1. Alias: base_url.")]
    provider: Annotated[str, Meta(description="A row of the provider table. Alias: type.")] = "openai_compat"
    api_key: Annotated[
        str,
        Meta(
            description="Sent as `auth` says. Empty: at the provider's own host the environment's key, else none.",
            extra={"secret": True},
        ),
    ] = ""
    auth: Annotated[
        str | None,
        Meta(
            description="How the key is sent: `bearer`, `api-key`, `none` or the name of another header. "
            "Default: as the provider wants it."
        ),
    ] = None
    client_id: Annotated[
        str | None, Meta(description="OAuth2 client credentials: with client_secret and token_url, no key.")
    ] = None
    client_secret: Annotated[str | None, Meta(description="OAuth2: its secret.", extra={"secret": True})] = (
        None
    )
    token_url: Annotated[str | None, Meta(description="OAuth2: where tokens are asked for.")] = None
    token_scope: Annotated[str | None, Meta(description="OAuth2: what is asked for, if needed.")] = None
    token_refresh_margin: Annotated[
        float, Meta(ge=0, description="OAuth2: seconds before its end in which a token is renewed.")
    ] = 60.0
    deployment_name: Annotated[
        str | None, Meta(description="Azure: the deployment to call; with api_version.")
    ] = None
    api_version: Annotated[
        str | None, Meta(description="Sent as the query `api-version`, with or without a deployment.")
    ] = None
    priority: Annotated[int, Meta(description="Lower is tried first; equal ones in the order written.")] = 99
    weight: Annotated[
        float, Meta(ge=0, description="Of those targets in `models` of the file that name no weight.")
    ] = 1.0
    traffic_split: Annotated[
        float,
        Meta(
            ge=0,
            description="Share of the first picks among the backends that serve a model which `models` of the file "
            "does not name. 0 at all of them: by priority.",
        ),
    ] = 0.0
    timeouts: Annotated[
        TimeoutSettings, Meta(description="Aliases: timeout and request_timeout set `total`.")
    ] = TimeoutSettings()
    max_retries: Annotated[
        int, Meta(ge=0, le=10, description="How often a failed call is sent again to the same target.")
    ] = 2
    backoff_base: Annotated[
        float,
        Meta(
            ge=1,
            description="The pause before the n-th of these is random, up to this to the power of n, in seconds.",
        ),
    ] = 1.5
    backoff_max: Annotated[float, Meta(gt=0, description="Seconds that no such pause exceeds.")] = 10.0
    retry_404: Annotated[
        bool | None,
        Meta(
            description="true: a model that is not there is asked for again; false: it is not. "
            "Default: at `ollama` only, which may still be loading it."
        ),
    ] = None
    on_cut: Annotated[
        Literal["splice", "continue", "error"],
        Meta(
            description="When a stream breaks after its first content. splice: the next target is asked the same, and "
            "the rest is forwarded if it begins with what the client has. continue: the next target is given the text "
            "to go on from, if it can. error: the stream ends with an error."
        ),
    ] = "splice"
    prefill: Annotated[
        Literal["plain", "prefix", "continue_final_message"] | None,
        Meta(
            description="How it goes on from a text (`on_cut: continue`). plain: the text as last message of the "
            "assistant. prefix, continue_final_message: with that parameter. Default: it cannot."
        ),
    ] = None
    latency_p95_threshold_ms: Annotated[
        float,
        Meta(
            ge=0,
            description="Milliseconds: a target is asked after the others of its model while the 95th percentile of "
            "its times is above. 0: none.",
        ),
    ] = 0.0
    health: Annotated[HealthSettings, Meta(description="Questions whether it is well.")] = HealthSettings()
    models: Annotated[
        list[str] | None,
        Meta(
            description="Model names and globs (case-sensitive); omitted: those that the server lists. "
            "Alias: allowed_models."
        ),
    ] = None
    default_model: Annotated[
        str | None,
        Meta(description="For a request that names none. Default: the provider's own. Alias: model_name."),
    ] = None
    default_embedding_model: Annotated[
        str | None, Meta(description="For an embeddings request that names none, likewise.")
    ] = None
    capabilities: Annotated[
        dict[str, CapabilitySettings],
        Meta(description="By model name or glob: what its models can do. It wins over what the server says."),
    ] = {}
    strict_params: Annotated[
        bool,
        Meta(description="true: a parameter that the provider refuses is an error (400), not left out."),
    ] = False
    openai_strict: Annotated[
        bool | None,
        Meta(
            description="true: `top_k`, `repetition_penalty` and `chat_template_kwargs` are left out; false: they are "
            "sent. Default: as the provider is."
        ),
    ] = None
    native: Annotated[
        Literal["auto", "always", "never"],
        Meta(
            description="`ollama` only: whether chats are asked for at /api/chat. auto: those that ask, by `params` "
            "too, for what its /v1 passes over, like `num_ctx`, `keep_alive` and `think`. always, never: all, none."
        ),
    ] = "auto"
    max_tokens_param_name: Annotated[
        str | None,
        Meta(description="The one name of the token limit there. Default: by provider and model."),
    ] = None
    headers: Annotated[
        dict[str, str],
        Meta(
            description="Added to every request, replacing the client's. Alias: custom_headers.",
            extra={"secret": True},
        ),
    ] = {}
    organization: Annotated[str | None, Meta(description="Sent as `OpenAI-Organization`.")] = None
    proxy: Annotated[
        str | None,
        Meta(
            description="HTTP proxy, `http://[user:password@]host:port`; `none`: no proxy. "
            "Default: HTTPS_PROXY and its kin."
        ),
    ] = None
    ssl_verify: Annotated[bool, Meta(description="false: certificate and host name are not checked.")] = True
    ca_bundle_path: Annotated[
        str | None, Meta(description="PEM file of the CAs to trust instead of the system's.")
    ] = None
    client_cert_path: Annotated[str | None, Meta(description="PEM file: client certificate (and key).")] = (
        None
    )
    client_key_path: Annotated[str | None, Meta(description="PEM file: key, if not in client_cert_path.")] = (
        None
    )
    max_connections: Annotated[
        int,
        Meta(ge=1, description="Connections open to it at once; more calls go to another target, or wait."),
    ] = 1024
    max_concurrency: Annotated[
        Annotated[int, Meta(ge=1)] | None,
        Meta(description="Calls it is sent at once; more wait. Default: no limit."),
    ] = None
    max_queue: Annotated[
        int, Meta(ge=0, description="Calls that wait for one of these places; more get 503.")
    ] = 100
    forward_authorization: Annotated[
        bool, Meta(description="true: the client's own credential goes upstream (pure pass-through).")
    ] = False

    def __repr__(self) -> str:
        return f"<BackendSettings {self.name} ({self.provider}), priority {self.priority}>"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        """What rich shows in place of the repr (tracebacks with locals)."""
        return [("name", self.name)]
