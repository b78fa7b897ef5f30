"""The way to a backend, step by step: name, egress rules, TCP, proxy, TLS.

Owns these five steps. Does not own how connections are made: each step uses the part of the net ring that does it, and
the last ones the backend's own connector, so that what they say is what a call would meet.
"""

import asyncio
import re
import ssl
import time
from typing import Any

from trunkline import errors
from trunkline.config.addresses import is_loopback
from trunkline.engine.diagnosis.case import LARGEST_LOOK, LOOK, Case
from trunkline.engine.diagnosis.finding import Finding, fail, from_message, ok, skipped, warn
from trunkline.engine.fetch import ask
from trunkline.errors import Answer, Fault
from trunkline.net.connector import Connector, is_of_this_machine
from trunkline.net.dns import ConnectFailed
from trunkline.net.egress import LOCAL, host_verdict, is_own, verdict
from trunkline.net.networks import literal
from trunkline.net.pool import Pool
from trunkline.net.tcp import open_tcp
from trunkline.net.tls import proxy_context
from trunkline.net.url import BaseUrl, parse_base_url
from trunkline.routing.backend import BackendSettings

EXPIRES_SOON = 14 * 86_400.0  # seconds; certificates that renew themselves do so a month before their end
# What servers with TLS say to a request in plain text: nginx; Go; Apache, Envoy.
_WANTS_TLS = re.compile(
    rb"plain HTTP request was sent to HTTPS|HTTP request to an HTTPS server|speaking plain HTTP to an SSL",
    re.IGNORECASE,
)


async def dns(case: Case) -> Finding:
    """The host has addresses."""
    case.refused = host_verdict(case.base.host, case.around.ground.egress)
    if case.refused:
        return skipped("not looked up: it must not be called")
    host, port, source = _first_hop(case)
    try:
        case.addresses = await case.around.ground.resolver.resolve(host, port)
    except ConnectFailed as failed:
        finding = from_message(failed.fault.message.replace("`url`", source))
        if "." not in host:
            return fail(
                finding.says,
                f"{finding.fix}; names of containers and services are known inside their own network only",
            )
        return finding
    found = ", ".join(address.ip for address in case.addresses[:4])
    through = f"; {case.base.host} is looked up by the proxy" if case.proxy is not None else ""
    if literal(host) is not None:
        return ok(f"{host} is an address{through}")
    return ok(f"{host} is {found}{through}")


async def egress(case: Case) -> Finding:
    """The rules let every address be called."""
    rules = case.around.ground.egress
    if case.refused:
        return fail(case.refused, "write the address of a model server in `url`")
    if case.proxy is not None and case.proxy.from_environment:
        rules = LOCAL
    for address in case.addresses:
        why = verdict(address.ip, rules)
        if why:
            what = case.proxy.source if case.proxy is not None else "`url`"
            return fail(why, f"write an address in {what} that may be called")
    own = [
        address
        for address in case.addresses
        if is_own(address.ip, address.port, case.around.listening, is_of_this_machine)
    ]
    if own:
        return warn(
            f"{own[0].ip} port {own[0].port} is where the gateway itself would listen",
            "give one of the two another port (`server.port`, or the server's own)",
        )
    return ok("may be called")


async def tcp(case: Case) -> Finding:
    """Something listens there."""
    host, port, source = _first_hop(case)
    name = f"{host}:{port}"
    try:
        async with asyncio.timeout(case.connect_timeout):
            sock = await open_tcp(case.addresses, name)
    except TimeoutError:
        return fail(
            f"no answer from {name} within {case.connect_timeout:g} s",
            "the host is down, the port is wrong, or a firewall drops the packets",
        )
    except ConnectFailed as failed:
        finding = from_message(failed.fault.message.replace("`url`", source))
        if failed.fault.kind is not errors.CONNECT or "refused" not in finding.says:
            return finding
        hints = await _where_else(case) if case.proxy is None else []
        return fail(
            finding.says, "; ".join([f"start the server, or correct host and port in {source}", *hints])
        )
    ip = str(sock.getpeername()[0])
    sock.close()
    return ok(f"connected to {ip} port {port}")


async def proxy(case: Case) -> Finding:
    """The proxy opens a tunnel."""
    through = case.proxy
    if through is None:
        return skipped("none")
    # To the upstream without TLS, which is the next step's.
    tunnel = Connector(
        case.base,
        None,
        case.around.ground.resolver,
        case.connect_timeout,
        egress=case.around.ground.egress,
        proxy=through,
        proxy_context=_context_to_proxy(case),
    )
    fault = await _try(tunnel)
    if fault is None:
        return ok(f"{through.address}, from {through.source}, connects to {case.base.address}")
    return from_message(fault.message)


async def tls(case: Case) -> Finding:
    """The server proves who it is."""
    if case.base.scheme == "http":
        return skipped("`url` is http://")
    try:
        transport, _ = await case.upstream.connector.connect(asyncio.Protocol)
    except ConnectFailed as failed:
        finding = from_message(failed.fault.message)
        untold = "certificate" not in finding.says  # else it was TLS that was spoken
        if untold and await _speaks_http(case):
            return fail(
                finding.says,
                "the server speaks plain HTTP on this port: use http:// in `url` or another port",
            )
        return finding
    secured: ssl.SSLObject = transport.get_extra_info("ssl_object")
    certificate: dict[str, Any] = secured.getpeercert() or {}
    version = secured.version() or "TLS"
    transport.abort()
    ends = certificate.get("notAfter")
    if ends is None:  # it was not checked, so Python does not show it
        return warn(f"{version}; the certificate is not checked", "remove `ssl_verify: false`")
    left = ssl.cert_time_to_seconds(ends) - time.time()
    if left < EXPIRES_SOON:
        return warn(
            f"{version}; the certificate ends in {left / 86_400:.0f} days", "have it renewed at the server"
        )
    return ok(f"{version}, certificate until {ends}")


def wants_tls(answer: Answer) -> bool:
    """Whether a server that was asked in plain text says that it speaks TLS."""
    return answer.status < 500 and _WANTS_TLS.search(answer.body[:4096]) is not None


async def speaks_tls(case: Case) -> bool:
    """Whether a server that was asked in plain text has TLS on that port; nothing is sent but the handshake."""
    careless = BackendSettings(name="look", url="", ssl_verify=False)
    looking = Connector(
        case.base,
        proxy_context(careless),
        case.around.ground.resolver,
        LOOK,
        egress=case.around.ground.egress,
        proxy=case.proxy,
        proxy_context=_context_to_proxy(case),
    )
    fault = await _try(looking)
    # A server that wants a client certificate has told us all the same; one that hangs up has told us nothing.
    if fault is None or fault.kind is not errors.TLS:
        return fault is None
    return "certificate" in fault.message and "closed the connection" not in fault.message


async def _speaks_http(case: Case) -> bool:
    """Whether a server that was asked for TLS answers without; it is sent no credential."""
    plain = Connector(
        case.base,
        None,
        case.around.ground.resolver,
        LOOK,
        egress=case.around.ground.egress,
        proxy=case.proxy,
        proxy_context=_context_to_proxy(case),
    )
    pool = Pool(plain, case.around.clock, 1, case.base.address)
    head = b"GET / HTTP/1.1\r\nhost: %b\r\nconnection: close\r\n\r\n" % case.base.host_header
    answer = await ask(pool, head, b"", LOOK, LARGEST_LOOK)
    pool.close()
    return isinstance(answer, Answer) and not wants_tls(answer)


def _context_to_proxy(case: Case) -> ssl.SSLContext | None:
    return proxy_context(case.settings) if case.proxy is not None and case.proxy.scheme == "https" else None


def usual_place(case: Case) -> BaseUrl | None:
    """Where servers of this kind listen if nobody says otherwise."""
    usual = case.row.base_url or case.row.url_example
    if case.row.kind not in ("server", "gateway") or not usual:
        return None
    return parse_base_url(usual)


async def _where_else(case: Case) -> list[str]:
    """What may be meant by an address where nobody listens."""
    hints: list[str] = []
    usual = usual_place(case)
    if usual is not None and usual.port != case.base.port:
        hint = f"{case.row.title} usually listens on port {usual.port}"
        if await _listens(case, usual.port):
            hint += ", where something does listen: write that port"
        hints.append(hint)
    if is_loopback(case.base.host):
        hints.append("in a container this address is the container itself")
    return hints


async def _listens(case: Case, port: int) -> bool:
    places = [type(address)(address.family, address.ip, port) for address in case.addresses]
    try:
        async with asyncio.timeout(LOOK):
            sock = await open_tcp(places, f"{case.base.host}:{port}")
    except (ConnectFailed, TimeoutError):
        return False
    sock.close()
    return True


def _first_hop(case: Case) -> tuple[str, int, str]:
    """Whom the first connection goes to, and which setting says so."""
    through = case.proxy
    if through is not None:
        return through.host, through.port, through.source
    return case.base.host, case.base.port, "`url`"


async def _try(connector: Connector) -> Fault | None:
    try:
        transport, _ = await connector.connect(asyncio.Protocol)
    except ConnectFailed as failed:
        return failed.fault
    transport.abort()
    return None
