"""The upstreams behind every gateway: two ports each, pinned to the load cores.

For whole answers a static nginx (`return 200`), for streams `stream_upstream.py`; neither may be what limits a gateway,
and `measures.py` prints what each does when asked directly.
"""

import sys
from pathlib import Path

from bench.gateways import NGINX_TEMPORARY, find_nginx, nginx_user
from bench.payload import CHAT_ANSWER
from bench.process import BenchError, Child, free_port

ROOT = Path(__file__).parent.parent
"""Where `python -m bench.…` can be started."""


def two_ports() -> tuple[int, int]:
    """Return two free ports."""
    first = free_port()
    while (second := free_port()) == first:
        continue
    return first, second


def start_static(directory: Path, ports: tuple[int, int], cores: list[int], *, ids: bool) -> Child:
    """Start the nginx that answers every request with the same chat completion.

    `ids`: with an `x-request-id` in the head that no other answer has.
    """
    binary = find_nginx()
    if binary is None:
        raise BenchError("the upstream is nginx, which is not installed: run `make bench-peers`")
    directory.mkdir(parents=True)
    listen = " ".join(f"listen 127.0.0.1:{port} backlog=4096;" for port in ports)
    own_id = "add_header x-request-id $request_id;" if ids else ""
    answer = CHAT_ANSWER.replace("'", "\\'")
    (directory / "nginx.conf").write_text(f"""
{nginx_user()} daemon off; master_process off; pid nginx.pid; error_log error.log crit; worker_rlimit_nofile 65536;
events {{ worker_connections 16384; }}
http {{
  access_log off; {NGINX_TEMPORARY}
  keepalive_requests 100000000; keepalive_timeout 600s; client_body_buffer_size 128k;
  server {{ {listen} default_type application/json; location / {{ {own_id} return 200 '{answer}'; }} }}
}}
""")
    return Child(
        [binary, "-p", f"{directory}/", "-e", "error.log", "-c", "nginx.conf"], cores, log=directory / "log"
    )


def start_streaming(ports: tuple[int, int], cores: list[int]) -> Child:
    """Start the streaming upstream and wait until it listens."""
    child = Child([sys.executable, "-m", "bench.stream_upstream", *map(str, ports)], cores, directory=ROOT)
    child.read_line()
    return child
