"""Where the server listens and what it allows one client: settings, sockets, TLS."""

from typing import Annotated

import msgspec
from msgspec import Meta

KIB = 1024
MIB = 1024 * 1024


class ServerSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The data port. Sizes are bytes (`32MiB` and the like are accepted), durations seconds."""

    host: Annotated[str, Meta(description="Address to listen on.")] = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=65535, description="Port to listen on; 0 picks a free one.")] = 8080
    max_head: Annotated[
        int, Meta(ge=KIB, description="Request line and headers; more is 431.", extra={"unit": "bytes"})
    ] = 64 * KIB
    max_headers: Annotated[int, Meta(ge=1, description="Header lines of a request; more is 431.")] = 128
    max_body: Annotated[
        int, Meta(ge=0, description="Request body; more is 413.", extra={"unit": "bytes"})
    ] = 32 * MIB
    max_buffered: Annotated[
        int,
        Meta(
            ge=0,
            description="Request bodies held over all connections; more is 503 with Retry-After.",
            extra={"unit": "bytes"},
        ),
    ] = 512 * MIB
    max_connections: Annotated[
        int, Meta(ge=1, description="Client connections at once; more are closed.")
    ] = 10_000
    keep_alive_requests: Annotated[
        int, Meta(ge=1, description="Requests on one connection before it is closed.")
    ] = 1_000_000
    keep_alive_age: Annotated[float, Meta(gt=0, description="Age after which a connection is closed.")] = (
        3600.0
    )
    keep_alive_idle: Annotated[float, Meta(gt=0, description="Silence between two requests.")] = 75.0
    head_timeout: Annotated[
        float, Meta(gt=0, description="From the first byte of a request to its blank line.")
    ] = 10.0
    body_idle: Annotated[float, Meta(gt=0, description="Silence inside a request body.")] = 30.0
    body_timeout: Annotated[
        float,
        Meta(gt=0, description="A request body in all, without the time in which the upstream held it up."),
    ] = 600.0
    slow_client: Annotated[
        float, Meta(gt=0, description="A client that reads nothing for this long is cut.")
    ] = 60.0
    drain_timeout: Annotated[
        float, Meta(ge=0, description="On SIGTERM: time that running calls get to finish.")
    ] = 30.0
    hold_head: Annotated[
        float,
        Meta(
            gt=0, description="Streams: status and headers leave with the first content, at the latest now."
        ),
    ] = 15.0
    sse_keep_alive: Annotated[
        float,
        Meta(
            ge=0,
            description="Seconds of silence towards the client after which a stream gets a comment between two events "
            "(/v1/messages: a `ping`), so that proxies in front keep it open. 0: none. It does not hide a dead "
            "upstream: `timeouts.idle` holds all the same.",
        ),
    ] = 0.0
    cors_origins: Annotated[
        list[str], Meta(description="Origins that browsers may call from; `*` for all.")
    ] = []
    allowed_hosts: Annotated[
        list[str],
        Meta(
            description="Other names in `Host` that an open gateway on loopback answers to: "
            "`host.docker.internal`, one of /etc/hosts. With keys any name will do."
        ),
    ] = []
    expose: Annotated[
        bool | None,
        Meta(description="Send x-trunkline-backend and -attempts; default: only when listening on loopback."),
    ] = None
    tls_cert_path: Annotated[str | None, Meta(description="PEM certificate chain: serve HTTPS.")] = None
    tls_key_path: Annotated[str | None, Meta(description="PEM key of tls_cert_path.")] = None
    reuse_port: Annotated[bool, Meta(description="SO_REUSEPORT: several processes on one port.")] = False
