"""What one backend is: an upstream address with its credential, limits and preferences.

Owns the settings of `backends:`. Does not own connections (net/pool.py) nor the choice between
backends (routing/plan.py).
"""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta


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
    idle: Annotated[float, Meta(gt=0, description="Silence between two events of a stream.")] = 30.0
    total: Annotated[
        float,
        Meta(
            gt=0,
            description="The whole call with all attempts (the first backend's counts); "
            "of a stream until its first content.",
        ),
    ] = 600.0


class BackendSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One upstream server or account. Its repr shows no url, key or header: each may hold a secret."""

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
            description="Sent as `Authorization: Bearer`; empty: no header is sent.", extra={"secret": True}
        ),
    ] = ""
    priority: Annotated[int, Meta(description="Lower is tried first; equal ones in the order written.")] = 99
    timeouts: Annotated[
        TimeoutSettings, Meta(description="Aliases: timeout and request_timeout set `total`.")
    ] = TimeoutSettings()
    models: Annotated[
        list[str] | None,
        Meta(
            description="Model names and globs (case-sensitive); omitted: any model. Alias: allowed_models."
        ),
    ] = None
    headers: Annotated[
        dict[str, str],
        Meta(
            description="Added to every request, replacing the client's. Alias: custom_headers.",
            extra={"secret": True},
        ),
    ] = {}
    organization: Annotated[str | None, Meta(description="Sent as `OpenAI-Organization`.")] = None
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
        int, Meta(ge=1, description="Connections open to it at once; more calls wait.")
    ] = 1024
    forward_authorization: Annotated[
        bool, Meta(description="true: the client's own credential goes upstream (pure pass-through).")
    ] = False

    def __repr__(self) -> str:
        return f"<BackendSettings {self.name} ({self.provider}), priority {self.priority}>"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        """What rich shows in place of the repr (tracebacks with locals)."""
        return [("name", self.name)]
