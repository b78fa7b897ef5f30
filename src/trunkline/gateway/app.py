"""Running the gateway: an event loop with the data port and the admin port, until a signal says stop.

Owns start, the ready line, signals, the swap of the configuration and the graceful end. Does not own requests
(application.py), nor when there is another configuration (reload.py).
"""

import asyncio
import gc
import os
import signal
import ssl
import sys
from collections.abc import Callable

from trunkline import __version__
from trunkline.config.addresses import may_listen
from trunkline.config.model import Settings
from trunkline.engine.runtime import Runtime
from trunkline.engine.snapshot import Stamp, stamp
from trunkline.gateway.application import DataApplication
from trunkline.gateway.descriptors import raise_limit
from trunkline.gateway.reload import Prepared, Reloader, Source
from trunkline.gateway.surfaces.admin import AdminApplication
from trunkline.net.listener import ServerSettings
from trunkline.net.server import Server
from trunkline.net.tls import server_context
from trunkline.wire.head import RequestHeads

FIRST_LISTS = 0.25
"""Seconds that the ready line waits for the backends' lists of models."""

SHOWN = 8
"""Names of models in the ready line; more are counted."""


class Gateway:
    """One running gateway on the present event loop: `start`, then `stop`."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.runtime = runtime = Runtime(settings, asyncio.get_running_loop())
        server = settings.server
        self._certificate = _stamps(server)
        self._tls = _context(server)
        self._app = DataApplication(runtime)
        self.server = Server(self._app, server, runtime.clock, self._tls)
        admin = AdminApplication(runtime, lambda: self.server.open_count)
        admin_settings = ServerSettings(host=settings.admin.host, port=settings.admin.port)
        self.admin = Server(admin, admin_settings, runtime.clock, None, "admin.port")

    async def start(self) -> None:
        """Listen on both ports; ConfigError if one cannot be had."""
        await self.server.start()
        await self.admin.start()
        self.runtime.listening = [*self.server.addresses, *self.admin.addresses]
        # Servers nearby have told their models when the ready line is printed; nobody waits for the others.
        self.runtime.start()
        await self.runtime.discovery.settled(FIRST_LISTS)

    def prepare(self, settings: Settings) -> Prepared:
        """Make what another configuration needs; a thread may do it. Raises ConfigError, and has changed nothing.

        Where it listens and the data directory stay (changes.py says what else).
        """
        certificate = _stamps(settings.server)
        tls = None if certificate == self._certificate else _context(settings.server)
        return Prepared(snapshot=self.runtime.prepare(settings), tls=tls, certificate=certificate)

    def adopt(self, prepared: Prepared) -> None:
        """Go on with a configuration that was prepared. Calls under way end as they began."""
        self.settings = settings = prepared.snapshot.settings
        self.runtime.adopt(prepared.snapshot)
        self._app.reload()
        shared = self.server.shared
        if shared.settings.max_headers != settings.server.max_headers:
            shared.heads = RequestHeads(settings.server.max_headers)
        shared.settings = settings.server
        shared.max_buffered = settings.server.max_buffered
        if prepared.tls is not None and self._tls is not None:
            self._certificate = prepared.certificate
            # Unlike a certificate that is loaded into the old context, this leaves none of the old ones in it.
            self._tls.sni_callback = _turned_to(prepared.tls)

    async def stop(self) -> None:
        """Let running calls finish for `drain_timeout`, then cut them; close everything."""
        self.runtime.draining = True
        await self.server.drain(self.settings.server.drain_timeout)
        await self.admin.close()
        self._app.stop()
        self.runtime.shut_down()
        await asyncio.sleep(0)

    def ready_line(self) -> str:
        """Version, addresses, backends and models, in one line."""
        settings = self.settings
        scheme = "https" if settings.server.tls_cert_path is not None else "http"
        backends = ", ".join(upstream.name for upstream in self.runtime.upstreams)
        return (
            f"trunkline {__version__} ready on {scheme}://{_host(settings.server.host)}:{self.server.port} "
            f"(admin http://{_host(settings.admin.host)}:{self.admin.port}), "
            f"backends: {backends}, models: {self._models()}"
        )

    def farewell(self) -> str:
        """What is being waited for before the end; "" if nothing is."""
        count = len(self.runtime.live)
        if not count:
            return ""
        calls = "1 call" if count == 1 else f"{count} calls"
        timeout = self.settings.server.drain_timeout
        return f"finishing {calls}, up to {timeout:g} s; Ctrl-C again to cut {'it' if count == 1 else 'them'}"

    def _models(self) -> str:
        """Names and globs as they are configured, in the order in which backends are asked, then what these list."""
        backends = sorted(self.settings.backends, key=lambda backend: backend.priority)
        plan = self.runtime.plan
        configured = [name for backend in backends for name in backend.models or ()]
        public = list(self.settings.models)
        names = public or list(dict.fromkeys([*configured, *plan.all_names()]))
        if len(names) > SHOWN:
            names[SHOWN:] = [f"{len(names) - SHOWN} more"]
        if plan.takes_any and not public:
            names.append("any other" if names else "any")
        return " and ".join(filter(None, (", ".join(names[:-1]), *names[-1:])))


def serve(settings: Settings, *, announce: Callable[[str], None], source: Source | None = None) -> int:
    """Run until SIGINT or SIGTERM; a second signal stops at once. Gives the exit code; raises ConfigError.

    `source`: where the settings came from; it is read again on SIGHUP and when its files change.
    """
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        return runner.run(_serve(settings, announce, source))


async def _serve(settings: Settings, announce: Callable[[str], None], source: Source | None) -> int:
    loop = asyncio.get_running_loop()
    stopping = asyncio.Event()
    hurry = asyncio.Event()

    def on_signal() -> None:
        if stopping.is_set():
            hurry.set()
        stopping.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, on_signal)
    if warning := raise_limit(settings.server.max_connections):
        _tell(f"warning: {warning}")
    gateway = Gateway(settings)
    await gateway.start()
    reloading = None
    if source is not None:
        opened = may_listen(settings, source.insecure_open, gateway.server.port)
        if opened is not None:
            _tell(opened)
        reloader = Reloader(gateway, source, _tell)
        reloading = loop.create_task(reloader.run())
        loop.add_signal_handler(signal.SIGHUP, _on_hangup(on_signal, reloader.ask))
    # What exists now lives as long as the process: the collector need not look at it again.
    gc.collect()
    gc.freeze()
    announce(gateway.ready_line())
    await stopping.wait()
    if reloading is not None:
        reloading.cancel()
    if line := gateway.farewell():
        _tell(line)
    stop = loop.create_task(gateway.stop())
    waiter = loop.create_task(hurry.wait())
    await asyncio.wait((stop, waiter), return_when=asyncio.FIRST_COMPLETED)
    waiter.cancel()
    if not stop.done():
        stop.cancel()
        gateway.runtime.shut_down()
        return 1
    stop.result()
    return 0


def _on_hangup(stop: Callable[[], None], reload: Callable[[], None]) -> Callable[[], None]:
    """What SIGHUP means: reload; but of a gateway in a terminal that is closed, the end."""
    terminals = [descriptor for descriptor in (0, 1, 2) if os.isatty(descriptor)]

    def decide() -> None:
        if not all(map(os.isatty, terminals)):
            stop()
        else:
            reload()

    return decide


def _context(server: ServerSettings) -> ssl.SSLContext | None:
    if server.tls_cert_path is None:
        return None
    return server_context(server.tls_cert_path, server.tls_key_path or server.tls_cert_path)


def _stamps(server: ServerSettings) -> list[tuple[str, Stamp]]:
    """The certificate of the data port, as it is now."""
    return [(path, stamp(path)) for path in (server.tls_cert_path, server.tls_key_path) if path is not None]


def _turned_to(
    context: ssl.SSLContext,
) -> Callable[[ssl.SSLSocket | ssl.SSLObject, str, ssl.SSLContext], None]:
    """What makes the handshakes of one context go on with another; it is called without a server name too."""

    def turn(handshake: ssl.SSLSocket | ssl.SSLObject, name: str, before: ssl.SSLContext) -> None:
        del name, before
        handshake.context = context

    return turn


def _tell(line: str) -> None:
    """A word to the operator, apart from the ready line that scripts wait for."""
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop  # noqa: PLC0415 # missing where it has no build; plain asyncio works too
    except ImportError:
        return None
    return uvloop.new_event_loop


def _host(host: str) -> str:
    return f"[{host}]" if ":" in host else host
