"""The gateway as a process that is looked at from outside: memory, descriptors, gauges, log.

Owns starting it with settings, asking what it holds, and the life of an upstream that a test writes by hand. Does not
own load (crowd.py), nor what such an upstream does; most are the simulator's.
"""

import abc
import contextlib
import http.client
import json
import re
import socket
import ssl
import threading
import time
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any, Self

from tests.e2e.processes import Trunkline

PATIENCE = 30.0
"""Seconds after which a test is hung: far more than any wait needs."""
IDLE_EXPIRY = 4.0
"""Seconds that the gateway keeps a connection that nobody uses (DESIGN section 6)."""

_READY = re.compile(r"ready on https?://[^ :]+:(\d+) \(admin http://[^ :]+:(\d+)\)")


class GatewayProcess:
    """A running `trunkline serve`."""

    def __init__(self, directory: Path, settings: dict[str, Any]) -> None:
        config = directory / "trunkline.json"
        config.write_text(json.dumps({"admin": {"port": 0}} | settings))
        self.trunkline = Trunkline("serve", "--config", str(config))
        found = _READY.search(self.trunkline.wait_for(lambda line: " ready on " in line))
        assert found is not None, self.trunkline.output
        self.port, self._admin = int(found[1]), int(found[2])
        self._proc = Path(f"/proc/{self.trunkline.process.pid}")

    @property
    def rss(self) -> int:
        """Bytes of memory in use."""
        return self._memory("VmRSS")

    @property
    def peak(self) -> int:
        """Bytes of memory that were in use at the worst moment since the start or `forget_peak`."""
        return self._memory("VmHWM")

    def forget_peak(self) -> None:
        """Let `peak` begin anew (proc(5), clear_refs)."""
        (self._proc / "clear_refs").write_text("5")

    @property
    def descriptors(self) -> int:
        """Open file descriptors."""
        return len(list((self._proc / "fd").iterdir()))

    def gauge(self, name: str, **labels: str) -> int:
        """One number of /metrics; labels in the order of the exposition."""
        wanted = name + ("{" + ",".join(f'{k}="{v}"' for k, v in labels.items()) + "} " if labels else " ")
        status, body = get(self._admin, "/metrics")
        assert status == 200
        line = next(line for line in body.decode().splitlines() if line.startswith(wanted))
        return int(float(line.removeprefix(wanted)))

    @property
    def clients(self) -> int:
        return self.gauge("trunkline_client_connections")

    @property
    def in_flight(self) -> int:
        return self.gauge("trunkline_in_flight")

    def upstream(self, state: str) -> int:
        """Connections to the only backend: `idle` or `busy`."""
        return self.gauge("trunkline_upstream_connections", backend="sim", state=state)

    def complaints(self) -> list[str]:
        """What it printed besides notes on its start and end."""
        usual = ("open: ", "finishing ", "warning: server.max_connections ")
        lines = self.trunkline.lines
        return [line for line in lines if " ready on " not in line and not line.startswith(usual)]

    def _memory(self, field: str) -> int:
        status = (self._proc / "status").read_text()
        found = re.search(rf"{field}:\s+(\d+) kB", status)
        assert found is not None
        return int(found[1]) * 1024


@contextlib.contextmanager
def gateway(
    directory: Path, upstream: str, server: dict[str, Any] | None = None, *, code: int = 0, **backend: Any
) -> Generator[GatewayProcess]:
    """A gateway in front of one backend. It must end with `code`, at the latest when told to, without complaint."""
    settings: dict[str, Any] = {
        "server": {"port": 0} | (server or {}),
        "backends": [{"name": "sim", "url": upstream} | backend],
        "discovery": {"interval": 0},  # the requests that an upstream sees are the test's own
        "data_dir": str(directory),
    }
    running = GatewayProcess(directory, settings)
    try:
        yield running
    except BaseException:
        running.trunkline.process.kill()
        running.trunkline.wait()
        print(running.trunkline.output)
        raise
    if running.trunkline.process.poll() is None:
        running.trunkline.stop()
    assert running.complaints() == []
    assert running.trunkline.process.returncode == code


class StubServer(abc.ABC):
    """An upstream on a thread of its own, one connection after the other, until the block ends."""

    def __init__(self, context: ssl.SSLContext | None = None) -> None:
        self.listening = socket.create_server(("127.0.0.1", 0))
        port: int = self.listening.getsockname()[1]
        self.url = f"{'http' if context is None else 'https'}://127.0.0.1:{port}"
        self._context = context
        self._thread = threading.Thread(target=self._accept)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.listening.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self.listening.close()

    @abc.abstractmethod
    def serve(self, sock: socket.socket) -> None:
        """What it does with a connection, which is closed afterwards."""

    def _accept(self) -> None:
        while True:
            try:
                accepted, _ = self.listening.accept()
            except OSError:
                return
            accepted.settimeout(PATIENCE)
            if self._context is not None:
                accepted = self._context.wrap_socket(accepted, server_side=True)
            with accepted:
                self.serve(accepted)


def get(port: int, path: str) -> tuple[int, bytes]:
    """One GET on a connection of its own."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    try:
        connection.request("GET", path, headers={"connection": "close"})
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def eventually(check: Callable[[], bool], what: str) -> None:
    """Wait until the check holds."""
    deadline = time.monotonic() + PATIENCE
    while not check():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)
