"""One real server after the other, directly and behind a gateway."""

import json
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.e2e.exchange import Answer, Server
from tests.e2e.processes import Trunkline, free_port
from tests.e2e.servers.kinds import KINDS, Kind
from tests.e2e.servers.meaning import whole
from tests.e2e.servers.requests import SAMPLE
from trunkline.cli import leash

GATEWAY_KEY = "sk-gateway"
LAUNCH = Path(__file__).with_name("launch.py")
CHOSEN = os.environ.get("TRUNKLINE_TEST_SERVERS", "xllamacpp llama-server").split()


class Pair(NamedTuple):
    """A server, the gateway in front of it, and what tests have to know of both.

    Public models: `plain`, and those that begin with `strip` or `split`, which have these thoughts filtered:
    `strip` and `split` between <think> and </think>, `strip-cut` and `split-cut` between two `cuts`, pieces of the
    text that the server answers SAMPLE with.
    """

    kind: Kind
    direct: Server
    gateway: Server
    cuts: tuple[str, str]
    known: dict[str, Answer]
    """Direct answers; each is asked for once."""

    def ask(self, path: str, body: dict[str, Any], model: str = "plain") -> tuple[Answer, Answer]:
        """The same request, directly and through the gateway."""
        body = self.kind.fixed | body | (self.kind.several if "n" in body else {})
        name = path + json.dumps(body)
        if name not in self.known:
            self.known[name] = self.direct.post(path, body | {"model": self.kind.model})
        return self.known[name], self.gateway.post(path, body | {"model": model})


@pytest.fixture(scope="session", params=CHOSEN)
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    kind = KINDS[request.param]
    if kind.command is None:
        direct = request.getfixturevalue("chat_upstream")
        with_gateway = _before(kind, direct, tmp_path_factory.mktemp(kind.name))
        yield from with_gateway
        return
    port = free_port()
    command, environment = kind.command(port)
    log = tmp_path_factory.mktemp(kind.name) / "server.log"
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        child = leash.start(Path(sys.executable), [str(LAUNCH), str(port), *command], log=log)
    try:
        assert child.stdout is not None
        url = child.stdout.readline().decode().strip()
        assert url, f"{kind.name} did not start:\n{log.read_text()}"
        yield from _before(kind, Server(url, kind.key), log.parent)
    finally:
        leash.stop(child)


def _before(kind: Kind, direct: Server, folder: Path) -> Iterator[Pair]:
    path, body = SAMPLE
    answer = direct.post(path, kind.fixed | body | {"model": kind.model})
    assert answer.status == 200, answer
    text = whole(answer).text
    third = len(text) // 3
    cuts = (text[third : third + 4], text[2 * third : 2 * third + 3])
    tags = {"": None, "-cut": [list(cuts)]}
    port = free_port()
    target = {"targets": [{"backend": kind.name, "model": kind.model}]}
    config: dict[str, Any] = {
        "server": {"port": port},
        "admin": {"port": 0},
        "data_dir": str(folder),
        "keys": [{"name": "e2e", "key": GATEWAY_KEY}],
        "backends": [
            {
                "name": kind.name,
                "provider": kind.provider,
                "url": direct.url,
                "api_key": direct.key,
                # What the server refuses is to be seen once, as it is.
                "max_retries": 0,
            }
        ],
        "models": {"plain": target}
        | {
            f"{mode}{name}": target | {"think": {"mode": mode} | ({"tags": pairs} if pairs else {})}
            for mode in ("strip", "split")
            for name, pairs in tags.items()
        },
    }
    file = folder / "trunkline.yaml"
    file.write_text(json.dumps(config))
    process = Trunkline("serve", "--config", str(file))
    try:
        process.wait_for(lambda line: f"127.0.0.1:{port}" in line)
        yield Pair(kind, direct, Server(f"http://127.0.0.1:{port}", GATEWAY_KEY), cuts, {})
    finally:
        code = process.stop(signal.SIGTERM)
    assert code == 0, process.output
    assert "Traceback" not in process.output
