"""`trunkline serve` and another configuration: signals and changed files, over a real process."""

import json
import os
import pty
import re
import signal
import socket
import ssl
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest
import trustme

from tests.e2e.processes import Trunkline
from tests.endurance.harness import eventually
from trunkline.simulator.app import SimulatorThread

PATIENCE = 30.0
_READY = re.compile(r"ready on https?://[^ :]+:(\d+) ")


@pytest.fixture(scope="module")
def sim() -> Generator[SimulatorThread]:
    with SimulatorThread(seed=7) as running:
        yield running


class Served:
    """A gateway from a file that tests write."""

    def __init__(self, file: Path, settings: dict[str, Any], *arguments: str) -> None:
        self.file = file
        self._settings = {
            "server": {"port": 0},
            "admin": {"port": 0},
            "discovery": {"interval": 0},
            "data_dir": str(file.parent),
        }
        self._heard: dict[str, int] = {}
        self.write(**settings)
        self.process = Trunkline("serve", "--config", str(file), *arguments)
        found = _READY.search(self.process.wait_for(lambda line: " ready on " in line))
        assert found is not None
        self.port = int(found[1])

    def write(self, **changes: Any) -> None:
        """Replace the file, as editors do."""
        self._settings |= changes
        draft = self.file.with_suffix(".draft")
        draft.write_text(json.dumps(self._settings))
        draft.rename(self.file)

    def hang_up(self) -> None:
        self.process.process.send_signal(signal.SIGHUP)

    def says(self, text: str) -> str:
        """Wait for the next line that begins with a text."""
        number = self._heard.get(text, 0)
        self._heard[text] = number + 1

        def found() -> list[str]:
            return [line for line in self.process.lines if line.startswith(text)][number:]

        eventually(lambda: bool(found()), f"no line {text!r}:\n{self.process.output}")
        return found()[0]

    def ask(self, path: str = "/v1/chat/completions", key: str = "", model: str = "sim-small") -> int:
        """The status of one call."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        body = json.dumps({"model": model, "messages": [{"role": "user", "content": "hello"}]})
        try:
            connection.request("POST", path, body, {"authorization": f"Bearer {key}"} if key else {})
            answer = connection.getresponse()
            answer.read()
            return answer.status
        finally:
            connection.close()


@contextmanager
def served(file: Path, *arguments: str, **settings: Any) -> Generator[Served]:
    running = Served(file, settings, *arguments)
    try:
        yield running
        assert running.process.stop() == 0
    finally:
        running.process.process.kill()
        running.process.wait()


def backend(name: str, sim: SimulatorThread, **fields: Any) -> dict[str, Any]:
    return {"name": name, "url": sim.url, "models": [name]} | fields


def test_who_may_use_it_is_told_with_the_port_that_it_got(sim: SimulatorThread, tmp_path: Path) -> None:
    with served(tmp_path / "t.json", backends=[backend("sim-small", sim)]) as gateway:
        words = "no keys are configured, every program on this machine may use"
        assert gateway.says("open: ") == f"open: {words} 127.0.0.1:{gateway.port}"


def test_a_signal_and_a_changed_file_reload(sim: SimulatorThread, tmp_path: Path) -> None:
    file = tmp_path / "t.json"
    with served(file, backends=[backend("sim-small", sim)]) as gateway:
        assert (gateway.ask(), gateway.ask(model="sim-large")) == (200, 404)
        gateway.hang_up()
        assert gateway.says("reloaded") == f"reloaded {file}: nothing changed"
        gateway.write(backends=[backend("sim-small", sim, weight=2), backend("sim-large", sim)])
        assert gateway.says("reloaded") == f"reloaded {file}: backends +1 ~1"
        assert (gateway.ask(), gateway.ask(model="sim-large")) == (200, 200)
        # What is wrong is told all at once, and changes nothing.
        gateway.write(backends=[backend("sim-small", sim, wieght=2)], server={"prot": 1})
        lines = {gateway.says("not reloaded") for _ in range(2)}
        assert all(line.startswith(f"not reloaded: {file}:1:") for line in lines)
        assert any("did you mean `weight`" in line for line in lines)
        assert any("did you mean `port`" in line for line in lines)
        assert (gateway.ask(), gateway.ask(model="sim-large")) == (200, 200)
        gateway.write(backends=[backend("sim-small", sim)], server={"port": 1, "max_body": 5})
        gateway.hang_up()
        assert gateway.says("warning:") == "warning: server.port: changed, but not before the next start"
        assert gateway.says("reloaded") == f"reloaded {file}: backends -1 ~1, server"
        assert gateway.ask() == 413


def test_what_the_start_was_told_stays_in_force(sim: SimulatorThread, tmp_path: Path) -> None:
    file = tmp_path / "t.json"
    keys = [{"name": "k", "key": "sk-1"}]
    with served(file, "--host", "0.0.0.0", backends=[backend("sim-small", sim)], keys=keys) as gateway:
        assert gateway.ask(key="sk-1") == 200
        gateway.write(keys=[{"name": "k", "key": "sk-2"}], server={"port": 0, "host": "127.0.0.1"})
        gateway.hang_up()
        assert gateway.says("reloaded") == f"reloaded {file}: keys ~1"
        assert (gateway.ask(key="sk-1"), gateway.ask(key="sk-2")) == (401, 200)
        gateway.write(keys=[])
        gateway.hang_up()
        assert "there are no keys" in gateway.says("not reloaded")
        assert (gateway.ask(), gateway.ask(key="sk-2")) == (401, 200)


def test_files_that_the_configuration_names_are_watched_too(sim: SimulatorThread, tmp_path: Path) -> None:
    """As Kubernetes changes a volume: a link above the files is turned."""
    for number in (1, 2):
        (tmp_path / f"v{number}").mkdir()
        (tmp_path / f"v{number}" / "key").write_text(f"sk-{number}")
    (tmp_path / "data").symlink_to("v1")
    file = tmp_path / "t.json"
    keys = [{"name": "k", "key": "${file:data/key}"}]
    with served(file, backends=[backend("sim-small", sim)], keys=keys) as gateway:
        assert (gateway.ask(key="sk-1"), gateway.ask(key="sk-2")) == (200, 401)
        (tmp_path / "next").symlink_to("v2")
        (tmp_path / "next").rename(tmp_path / "data")
        assert gateway.says("reloaded") == f"reloaded {file}: keys ~1"
        assert (gateway.ask(key="sk-1"), gateway.ask(key="sk-2")) == (401, 200)


def test_the_certificate_of_the_data_port_is_read_again(sim: SimulatorThread, tmp_path: Path) -> None:
    authorities = [trustme.CA(), trustme.CA()]
    cert = tmp_path / "cert.pem"

    def install(authority: trustme.CA) -> None:
        authority.issue_cert("localhost", "127.0.0.1").private_key_and_cert_chain_pem.write_to_path(str(cert))

    def trusted(name: str) -> list[bool]:
        """Whose clients can connect."""
        found: list[bool] = []
        for authority in authorities:
            context = ssl.create_default_context()
            context.verify_flags &= ~ssl.VERIFY_X509_STRICT
            authority.configure_trust(context)
            with socket.create_connection(("127.0.0.1", gateway.port), PATIENCE) as sock:
                try:
                    context.wrap_socket(sock, server_hostname=name).close()
                    found.append(True)
                except ssl.SSLCertVerificationError:
                    found.append(False)
        return found

    install(authorities[0])
    file = tmp_path / "t.json"
    server = {"port": 0, "tls_cert_path": str(cert)}
    with served(file, backends=[backend("sim-small", sim)], server=server) as gateway:
        # With a server name in the handshake, and without: an address is none.
        assert (trusted("localhost"), trusted("127.0.0.1")) == ([True, False], [True, False])
        install(authorities[1])
        assert gateway.says("reloaded") == f"reloaded {file}: server"
        assert (trusted("localhost"), trusted("127.0.0.1")) == ([False, True], [False, True])
        cert.write_text("half of")
        gateway.hang_up()
        assert str(cert) in gateway.says("not reloaded")
        assert trusted("localhost") == [False, True]


@pytest.mark.parametrize("what", ["a pipe", "an endless file", "a module"])
def test_what_hangs_holds_up_neither_a_reload_nor_the_end(
    sim: SimulatorThread, tmp_path: Path, what: str
) -> None:
    file, module = tmp_path / "t.json", tmp_path / "serving_router.py"
    fine = "def choose(query):\n    return None\n"
    begun = tmp_path / "begun"
    hanging = f"import pathlib, threading\npathlib.Path({str(begun)!r}).touch()\nthreading.Event().wait()\n"

    def hang() -> None:
        begun.unlink(missing_ok=True)
        module.write_text(hanging)
        gateway.hang_up()
        eventually(begun.exists, "the module is loaded")

    module.write_text(fine)
    with served(file, backends=[backend("sim-small", sim)], router="serving_router:choose") as gateway:
        if what == "a module":
            hang()
            assert gateway.ask() == 200
            module.write_text(fine + "# mended\n")
            gateway.hang_up()
            assert f"reading {file} and what it names hangs" in gateway.says("not reloaded")
        else:
            file.unlink()
            if what == "a pipe":
                os.mkfifo(file)
            else:
                file.symlink_to("/dev/zero")
            gateway.hang_up()
            assert gateway.says("not reloaded").endswith("cannot be read: not a regular file")
            gateway.write(router_timeout=2.0)
        assert gateway.says("reloaded").startswith(f"reloaded {file}: router")
        assert gateway.ask() == 200
        module.write_text("raise KeyboardInterrupt\n")
        gateway.hang_up()
        assert "failed with KeyboardInterrupt" in gateway.says("not reloaded")
        hang()
        assert gateway.ask() == 200


def test_without_a_file_a_signal_changes_nothing(
    sim: SimulatorThread, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment = {"TARGET_BASE_URL": sim.url, "TRUNKLINE__SERVER__PORT": "0", "TRUNKLINE__ADMIN__PORT": "0"}
    monkeypatch.chdir(tmp_path)
    process = Trunkline("serve", environment=environment)
    try:
        process.wait_for(lambda line: " ready on " in line)
        process.process.send_signal(signal.SIGHUP)
        process.wait_for(lambda line: line == "reloaded the environment: nothing changed")
        assert process.stop() == 0
    finally:
        process.process.kill()
        process.wait()


def test_a_terminal_that_is_closed_ends_it(sim: SimulatorThread, tmp_path: Path) -> None:
    file = tmp_path / "t.json"
    ports = {"server": {"port": 0}, "admin": {"port": 0}, "discovery": {"interval": 0}}
    file.write_text(json.dumps(ports | {"data_dir": str(tmp_path), "backends": [backend("a", sim)]}))
    terminal, end = pty.openpty()
    command = [sys.executable, "-m", "trunkline.cli.main", "serve", "--config", str(file)]
    with subprocess.Popen(command, stdin=end, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        try:
            os.close(end)
            assert process.stdout is not None
            lines = iter(process.stdout.readline, b"")
            next(line for line in lines if b" ready on " in line)
            process.send_signal(signal.SIGHUP)
            assert next(lines).startswith(b"reloaded ")
            os.close(terminal)
            process.send_signal(signal.SIGHUP)
            assert process.wait(PATIENCE) == 0
        finally:
            process.kill()
