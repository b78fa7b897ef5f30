"""The gateways as rows: how each is found, configured and started.

Every row proxies /v1/chat/completions to the same two upstreams with keep-alive on both sides, on one core, without an
access log. A `render` writes the configuration into a directory and returns the command; `streams` tells it which of
the two kinds of traffic will come, for gateways that are set up differently for each (nginx: `proxy_buffering`).
To add a gateway, add a row.
"""

import importlib.util
import os
import pwd
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from bench.payload import KEY, MODEL

PEERS = Path(__file__).parent / "peers"
"""Where `python -m bench peers` puts the virtual environments of Python peers."""


@dataclass(frozen=True)
class Place:
    """What a `render` may use."""

    directory: Path
    port: int
    spare_port: int
    upstreams: tuple[int, ...]
    streams: bool


@dataclass(frozen=True, kw_only=True)
class Gateway:
    """One row."""

    name: str
    about: str
    find: Callable[[], str | None]
    render: Callable[[Place, str], list[str]]
    version: Callable[[str], str]
    environment: Mapping[str, str] = field(default_factory=dict[str, str])
    start_timeout: float = 20.0
    max_rate: float = 1e9
    """Requests/s it can answer on one core, if that is below the rates used here."""
    max_chunks: float = 1e9
    """Chunks/s it can relay on one core, likewise."""
    max_streams: int = 10**9
    """Open streams it is asked to hold, likewise."""
    starts: int = 5
    models: tuple[str, ...] = (MODEL,)
    """What it serves."""
    backends: int = 2
    """Each has connections of its own, which grow stale while the gateway is stopped."""

    @property
    def slow(self) -> bool:
        """Whether the usual load would only measure its queue."""
        return self.max_rate < 1000


def _run(*command: str, variables: Mapping[str, str] | None = None) -> str:
    """Return what a command prints."""
    answer = subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, **(variables or {})},
    )
    return (answer.stdout or answer.stderr).strip()


def nginx_user() -> str:
    """Return the `user` directive that lets workers of a root master use our directory; empty if not root."""
    return f"user {pwd.getpwuid(0).pw_name};" if os.getuid() == 0 else ""


NGINX_TEMPORARY = "".join(
    f"{kind}_temp_path tmp-{kind}; " for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
)
"""Directives that keep all files of nginx below its prefix."""


def find_nginx() -> str | None:
    """Return the path of nginx, which Debian puts where only root's PATH looks."""
    return shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")


def _render_nginx(place: Place, binary: str) -> list[str]:
    # No master: it could die without its worker. The loop that serves is the same.
    servers = " ".join(f"server 127.0.0.1:{port};" for port in place.upstreams)
    (place.directory / "nginx.conf").write_text(f"""
{nginx_user()} daemon off; master_process off; pid nginx.pid; error_log error.log crit; worker_rlimit_nofile 65536;
events {{ worker_connections 32768; }}
http {{
  access_log off; {NGINX_TEMPORARY}
  keepalive_requests 100000000; keepalive_timeout 600s; client_body_buffer_size 128k;
  upstream models {{ {servers} keepalive 256; keepalive_requests 100000000; keepalive_timeout 600s; }}
  server {{
    listen 127.0.0.1:{place.port} backlog=4096;
    location / {{
      proxy_pass http://models; proxy_http_version 1.1; proxy_set_header Connection "";
      proxy_read_timeout 600s; proxy_buffering {"off" if place.streams else "on"};
    }}
  }}
}}
""")
    return [binary, "-p", f"{place.directory}/", "-e", "error.log", "-c", "nginx.conf"]


def _render_haproxy(place: Place, binary: str) -> list[str]:
    # It refuses to start with a limit that needs more files than the system grants: two per connection and some.
    most = min(16000, resource.getrlimit(resource.RLIMIT_NOFILE)[1] // 2 - 100)
    servers = "\n".join(f"  server s{port} 127.0.0.1:{port}" for port in place.upstreams)
    config = place.directory / "haproxy.cfg"
    config.write_text(f"""
global
  nbthread 1
  maxconn {most}
defaults
  mode http
  option http-keep-alive
  option http-no-delay
  http-reuse always
  timeout connect 5s
  timeout client 600s
  timeout server 600s
  maxconn {most}
frontend gateway
  bind 127.0.0.1:{place.port}
  default_backend models
backend models
  balance roundrobin
{servers}
""")
    return [binary, "-db", "-f", str(config)]


def _find_in_peers(name: str) -> str | None:
    path = PEERS / name / "bin" / name
    return str(path) if path.exists() else None


def _peer_version(binary: str) -> str:
    name = Path(binary).name
    program = f"import importlib.metadata as m; print('{name}', m.version('{name}'))"
    return _run(str(Path(binary).parent / "python"), "-c", program)


def _render_vllm_router(place: Place, binary: str) -> list[str]:
    urls = [f"http://127.0.0.1:{port}" for port in place.upstreams]
    options = [
        "--host",
        "127.0.0.1",
        "--port",
        str(place.port),
        "--policy",
        "round_robin",
        "--log-level",
        "warning",
    ]
    return [binary, *options, "--prometheus-port", str(place.spare_port), "--worker-urls", *urls]


def _render_litellm(place: Place, binary: str) -> list[str]:
    config = place.directory / "litellm.yaml"
    models = "".join(
        f"  - model_name: {MODEL}\n    litellm_params: {{model: openai/{MODEL}, api_key: none,"
        f" api_base: 'http://127.0.0.1:{port}/v1'}}\n"
        for port in place.upstreams
    )
    config.write_text(f"model_list:\n{models}general_settings:\n  master_key: {KEY}\n")
    options = ["--host", "127.0.0.1", "--port", str(place.port), "--num_workers", "1", "--telemetry", "False"]
    return [binary, "--config", str(config), *options]


_PYTHON_PATH = str(Path(__file__).parent.parent / "src")


def find_trunkline() -> str | None:
    """Return the Python that can run `trunkline serve`."""
    return sys.executable if importlib.util.find_spec("trunkline.cli.main") is not None else None


def _trunkline_backend(name: str, port: int, *models: str) -> str:
    listed = f"    models: [{', '.join(models)}]\n" if models else ""
    return (
        f"  - name: {name}\n    provider: openai_compat\n    url: http://127.0.0.1:{port}\n"
        f"    priority: 1\n    max_connections: 16000\n{listed}"
    )


def _render_trunkline(place: Place, binary: str) -> list[str]:
    ports = enumerate(place.upstreams)
    return _serve_trunkline(
        place, binary, [_trunkline_backend(f"backend-{index}", port) for index, port in ports]
    )


_NO_LISTS = "discovery:\n  interval: 0\n"
"""For a thousand backends: the static upstream has no list of models, and asking again would be measured, too."""


def _serve_trunkline(place: Place, binary: str, backends: list[str], more: str = "") -> list[str]:
    config = place.directory / "trunkline.yaml"
    config.write_text(
        f"server:\n  host: 127.0.0.1\n  port: {place.port}\n  max_connections: 16000\n"
        f"admin:\n  host: 127.0.0.1\n  port: {place.spare_port}\n"
        f"keys:\n  - name: bench\n    key: {KEY}\n"
        f"backends:\n{''.join(backends)}{more}"
    )
    return [binary, "-m", "trunkline.cli.main", "serve", "--config", str(config)]


def _trunkline_version(binary: str) -> str:
    return "Trunkline " + _run(binary, "-c", "import trunkline; print(trunkline.__version__)")


GATEWAYS = (
    Gateway(
        name="nginx",
        about="one process; no key checked, body not parsed: the limit",
        find=find_nginx,
        render=_render_nginx,
        version=lambda binary: _run(binary, "-v").removeprefix("nginx version: "),
    ),
    Gateway(
        name="haproxy",
        about="nbthread 1; no key checked, body not parsed",
        find=lambda: shutil.which("haproxy") or shutil.which("haproxy", path="/usr/sbin"),
        render=_render_haproxy,
        version=lambda binary: " ".join(_run(binary, "-v").split()[:3]),
    ),
    Gateway(
        name="vllm-router",
        about="regular mode, round robin, its metrics on; no key checked",
        find=lambda: _find_in_peers("vllm-router"),
        render=_render_vllm_router,
        version=_peer_version,
        starts=3,
    ),
    Gateway(
        name="litellm",
        about="one worker, master key checked, no database",
        find=lambda: _find_in_peers("litellm"),
        render=_render_litellm,
        version=_peer_version,
        # No look-ups outside this machine.
        environment={
            "LITELLM_LOG": "ERROR",
            "LITELLM_LOCAL_MODEL_COST_MAP": "True",
            "LITELLM_MODE": "PRODUCTION",
        },
        start_timeout=120.0,
        max_rate=25.0,
        max_chunks=800.0,
        max_streams=200,
        starts=1,
    ),
    Gateway(
        name="trunkline",
        about="one worker; key checked, body parsed, every event inspected, record and metrics on",
        find=find_trunkline,
        render=_render_trunkline,
        version=_trunkline_version,
        environment={"PYTHONPATH": _PYTHON_PATH},
    ),
)

IN_BARS = ("nginx", "vllm-router", "trunkline")
"""The gateways that the bars name. The measures beside the main ones are taken of these alone, to save time."""


def splitting(gateway: Gateway) -> Gateway:
    """Return Trunkline with `think: split`; other gateways as they are."""
    if gateway.name != "trunkline":
        return gateway

    def render(place: Place, binary: str) -> list[str]:
        backends = [
            _trunkline_backend(f"backend-{index}", port) + "    think: split\n"
            for index, port in enumerate(place.upstreams)
        ]
        return _serve_trunkline(place, binary, backends)

    return replace(gateway, render=render)


def routing_row(count: int) -> Gateway:
    """Return Trunkline with that many backends, each with a model of its own, over the same upstream ports."""
    models = [f"{MODEL}-{index:04}" for index in range(count)]

    def render(place: Place, binary: str) -> list[str]:
        ports = place.upstreams
        backends = [
            # The first also serves what `ask_once` asks for.
            _trunkline_backend(model, ports[index % len(ports)], model, *([] if index else [MODEL]))
            for index, model in enumerate(models)
        ]
        return _serve_trunkline(place, binary, backends, _NO_LISTS)

    ours = next(gateway for gateway in GATEWAYS if gateway.name == "trunkline")
    return replace(ours, name=f"{count:,} backends", render=render, models=tuple(models), backends=count)


STRATEGIES = ("latency", "weighted", "round_robin")
"""Those under which the targets of one model are compared: each looks at more than the first one."""


def targets_row(count: int, strategy: str) -> Gateway:
    """Return Trunkline with one model of that many targets, each a backend of its own, over the same upstream ports."""
    names = [f"backend-{index:04}" for index in range(count)]

    def render(place: Place, binary: str) -> list[str]:
        ports = place.upstreams
        backends = [
            _trunkline_backend(name, ports[index % len(ports)], MODEL) for index, name in enumerate(names)
        ]
        # Two weights, or it would be no choice.
        targets = "".join(
            f"      - {{backend: {name}, weight: {1 + index % 2}}}\n" for index, name in enumerate(names)
        )
        models = f"models:\n  {MODEL}:\n    strategy: {strategy}\n    targets:\n{targets}"
        return _serve_trunkline(place, binary, backends, _NO_LISTS + models)

    ours = next(gateway for gateway in GATEWAYS if gateway.name == "trunkline")
    return replace(ours, name=f"{count:,} targets, {strategy}", render=render, backends=count)


def present(names: list[str]) -> list[tuple[Gateway, str]]:
    """Return the rows that are installed, with their executables, of those named (all if none is named)."""
    chosen = [gateway for gateway in GATEWAYS if not names or gateway.name in names]
    return [(gateway, binary) for gateway in chosen if (binary := gateway.find()) is not None]
