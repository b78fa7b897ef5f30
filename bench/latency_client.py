"""Open-loop latency: requests leave at a fixed rate, whatever happens to the earlier ones.

Run as `python -m bench.latency_client PORT RATE SECONDS BODY_BYTES` (0: a short body); prints one line of JSON:
`latencies` in seconds from the *intended* moment of sending to the last byte of the answer (so a stall counts for every
request it delayed), and `failed`. A blocking `select` loop without an event loop: its timers are exact to microseconds,
where those of uvloop and epoll are exact to a millisecond.
"""

import json
import re
import select
import socket
import sys
import time
from contextlib import suppress
from pathlib import Path

from bench.payload import render_head, render_request

_CONNECTIONS = 16
"""Kept open from the start; more are opened if all are busy."""

_WARM_UP = 0.2
"""Share of the run that is sent but not counted."""

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


class Connection:
    """One keep-alive connection with at most one request under way."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # Room for a whole long body: `sendall` must not wait, for other requests are due meanwhile.
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 262144)
        self.intended = 0.0
        self._answer = b""

    def fileno(self) -> int:
        """Let `select` take it."""
        return self.socket.fileno()

    def send(self, request: bytes, intended: float) -> None:
        """Start a request that should have left at `intended`."""
        self.intended = intended
        self._answer = b""
        self.socket.sendall(request)

    def receive(self) -> bool | None:
        """Read once. True: the answer is whole and 200; False: it failed; None: more is to come."""
        data = self.socket.recv(262144)
        self._answer += data
        if not data:
            return False
        head, blank, body = self._answer.partition(b"\r\n\r\n")
        if not blank:
            return None
        length = _LENGTH.search(head)
        if length is not None and len(body) < int(length[1]):
            return None
        if length is None and not body.endswith(b"0\r\n\r\n"):
            return None
        return head.startswith(b"HTTP/1.1 200")


def measure(port: int, rate: float, seconds: float, body_bytes: int) -> tuple[list[float], int]:
    """Send `rate * seconds` requests; return the latencies after the warm-up, and how many failed."""
    body = render_request(size=body_bytes)
    request = render_head(body) + body
    idle = [Connection(port) for _ in range(_CONNECTIONS)]
    busy: set[Connection] = set()
    total = int(rate * seconds)
    latencies: list[float] = []
    failed = sent = 0
    start = time.perf_counter() + 0.05
    give_up = start + seconds + 10
    while sent < total or busy:
        now = time.perf_counter()
        if now > give_up:
            return latencies, failed + len(busy) + total - sent
        while sent < total and now >= (intended := start + sent / rate):
            connection = idle.pop() if idle else Connection(port)
            connection.send(request, intended)
            busy.add(connection)
            sent += 1
        wait = start + sent / rate - time.perf_counter() if sent < total else 0.1
        ready, _, _ = select.select(list(busy), [], [], max(0.0, wait))
        for connection in ready:
            whole = connection.receive()
            if whole is None:
                continue
            busy.discard(connection)
            if not whole:
                failed += 1
                connection.socket.close()
                continue
            idle.append(connection)
            if connection.intended >= start + seconds * _WARM_UP:
                latencies.append(time.perf_counter() - connection.intended)
    return latencies, failed


def main() -> None:
    """Measure and print."""
    # By default the kernel may let a sleeper oversleep by 50 us.
    with suppress(OSError), Path("/proc/self/timerslack_ns").open("w") as slack:
        slack.write("1")
    latencies, failed = measure(int(sys.argv[1]), float(sys.argv[2]), float(sys.argv[3]), int(sys.argv[4]))
    print(json.dumps({"latencies": latencies, "failed": failed}))


if __name__ == "__main__":
    main()
