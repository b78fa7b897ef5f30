import asyncio
import socket
import threading
from collections.abc import Callable, Coroutine, Iterator, Sequence
from typing import Any

import pytest
import uvloop

from trunkline import errors
from trunkline.net.dns import MAX_STALE, RETRY_AFTER_FAILURE, Address, AddressInfo, ConnectFailed, Resolver

V4, V6 = int(socket.AF_INET), int(socket.AF_INET6)
Run = Callable[[Coroutine[Any, Any, None]], None]


@pytest.fixture(params=["uvloop", "asyncio"])
def run(request: pytest.FixtureRequest) -> Iterator[Run]:
    factory = uvloop.new_event_loop if request.param == "uvloop" else asyncio.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        yield runner.run


class NameServer:
    """A getaddrinfo that answers from `ips`, raises `error`, and waits at `gate` while that is closed."""

    def __init__(self, *ips: str) -> None:
        self.ips = ips
        self.error: Exception | None = None
        self.gate = threading.Event()
        self.gate.set()
        self.asked: list[str] = []
        self.busy = 0
        self.most_busy = 0
        self._lock = threading.Lock()

    def __call__(self, host: str, port: int, *, type: int) -> Sequence[AddressInfo]:
        with self._lock:
            self.asked.append(host)
            self.busy += 1
            self.most_busy = max(self.busy, self.most_busy)
        self.gate.wait(30)
        with self._lock:
            self.busy -= 1
        if self.error is not None:
            raise self.error
        return [(V6 if ":" in ip else V4, type, 6, "", (ip, port)) for ip in self.ips]


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


async def failure(resolver: Resolver, host: str = "h.example") -> str:
    with pytest.raises(ConnectFailed) as caught:
        await resolver.resolve(host, 80)
    assert caught.value.fault.kind is errors.DNS
    assert str(caught.value) == caught.value.fault.message
    return caught.value.fault.message


def test_the_system_resolver_finds_localhost(run: Run) -> None:
    async def main() -> None:
        addresses = await Resolver().resolve("localhost", 8000)
        assert {address.ip for address in addresses} <= {"127.0.0.1", "::1"}
        assert {address.port for address in addresses} == {8000}

    run(main())


def test_literals_are_not_looked_up(run: Run) -> None:
    async def main() -> None:
        server = NameServer()
        resolver = Resolver(getaddrinfo=server)
        assert await resolver.resolve("127.0.0.1", 1) == [Address(V4, "127.0.0.1", 1)]
        assert await resolver.resolve("::1", 2) == [Address(V6, "::1", 2)]
        assert server.asked == []

    run(main())


def test_the_order_is_kept_and_doubles_are_dropped(run: Run) -> None:
    async def main() -> None:
        resolver = Resolver(getaddrinfo=NameServer("2001:db8::1", "192.0.2.1", "2001:db8::1"))
        assert await resolver.resolve("h", 9) == [Address(V6, "2001:db8::1", 9), Address(V4, "192.0.2.1", 9)]

    run(main())


def test_an_answer_is_kept_for_30_seconds_and_serves_every_port(run: Run) -> None:
    async def main() -> None:
        server, clock = NameServer("192.0.2.1"), Clock()
        resolver = Resolver(getaddrinfo=server, clock=clock)
        assert await resolver.resolve("h", 1) == [Address(V4, "192.0.2.1", 1)]
        clock.now += 29.9
        assert await resolver.resolve("h", 2) == [Address(V4, "192.0.2.1", 2)]
        assert server.asked == ["h"]
        clock.now += 0.1
        server.ips = ("192.0.2.2",)
        assert await resolver.resolve("h", 1) == [Address(V4, "192.0.2.2", 1)]
        assert server.asked == ["h", "h"]

    run(main())


def test_callers_of_one_name_share_one_lookup(run: Run) -> None:
    async def main() -> None:
        server = NameServer("192.0.2.1")
        server.gate.clear()
        resolver = Resolver(getaddrinfo=server)
        calls = [asyncio.ensure_future(resolver.resolve(host, 1)) for host in ["a"] * 20 + ["b"] * 20]
        await asyncio.sleep(0)
        assert repr(resolver) == "<Resolver 0 names known, 2 being looked up>"
        server.gate.set()
        assert all(result == [Address(V4, "192.0.2.1", 1)] for result in await asyncio.gather(*calls))
        assert sorted(server.asked) == ["a", "b"]
        assert repr(resolver) == "<Resolver 2 names known, 0 being looked up>"

    run(main())


def test_a_caller_that_leaves_does_not_take_the_lookup_along(run: Run) -> None:
    async def main() -> None:
        server = NameServer("192.0.2.1")
        server.gate.clear()
        resolver = Resolver(getaddrinfo=server)
        leaving = asyncio.ensure_future(resolver.resolve("h", 1))
        staying = asyncio.ensure_future(resolver.resolve("h", 1))
        await asyncio.sleep(0)
        leaving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await leaving
        server.gate.set()
        assert await staying == [Address(V4, "192.0.2.1", 1)]
        assert server.asked == ["h"]

    run(main())


def test_only_a_few_lookups_run_at_once(run: Run) -> None:
    async def main() -> None:
        server = NameServer("192.0.2.1")
        resolver = Resolver(getaddrinfo=server, threads=2)
        hosts = [f"h{number}" for number in range(20)]
        await asyncio.gather(*(resolver.resolve(host, 1) for host in hosts))
        assert sorted(server.asked) == sorted(hosts)
        assert server.most_busy <= 2

    run(main())


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (
            socket.gaierror(socket.EAI_NONAME, "Name or service not known"),
            ["not known", "host name in `url`"],
        ),
        (socket.gaierror(socket.EAI_AGAIN, "Try again"), ["temporary failure", "name servers"]),
        (OSError("no"), ["failed: no;"]),
        (UnicodeError("label too long"), ["label too long"]),
        (None, ["the name has no address"]),
    ],
)
def test_a_failure_says_what_failed_and_what_to_do(
    run: Run, error: Exception | None, words: list[str]
) -> None:
    async def main() -> None:
        server = NameServer()
        server.error = error
        message = await failure(Resolver(getaddrinfo=server))
        assert message.startswith("DNS lookup of h.example failed: ")
        assert all(word in message for word in words)

    run(main())


def test_a_failure_is_not_kept(run: Run) -> None:
    async def main() -> None:
        server = NameServer("192.0.2.1")
        server.error = socket.gaierror(socket.EAI_AGAIN, "Try again")
        resolver = Resolver(getaddrinfo=server)
        await failure(resolver, "h")
        server.error = None
        assert await resolver.resolve("h", 1) == [Address(V4, "192.0.2.1", 1)]

    run(main())


def test_a_lookup_that_takes_too_long_fails_but_its_answer_is_kept(run: Run) -> None:
    async def main() -> None:
        server = NameServer("192.0.2.1")
        server.gate.clear()
        resolver = Resolver(getaddrinfo=server, timeout=0.01)
        assert "no answer within 0.01 s" in await failure(resolver)
        # The thread is still at it: nobody asks a second time.
        assert "no answer within 0.01 s" in await failure(resolver)
        assert server.asked == ["h.example"]
        server.gate.set()
        while "1 names known" not in repr(resolver):
            await asyncio.sleep(0)
        assert await resolver.resolve("h.example", 1) == [Address(V4, "192.0.2.1", 1)]
        assert server.asked == ["h.example"]

    run(main())


def test_the_last_good_answer_serves_while_the_name_server_fails(run: Run) -> None:
    async def main() -> None:
        server, clock = NameServer("192.0.2.1"), Clock()
        resolver = Resolver(getaddrinfo=server, clock=clock)
        good = await resolver.resolve("h", 1)
        server.error = socket.gaierror(socket.EAI_AGAIN, "Try again")
        clock.now += 31
        assert await resolver.resolve("h", 1) == good
        assert await resolver.resolve("h", 1) == good
        assert len(server.asked) == 2
        clock.now += RETRY_AFTER_FAILURE
        assert await resolver.resolve("h", 1) == good
        assert len(server.asked) == 3
        clock.now += MAX_STALE
        assert "temporary failure" in await failure(resolver, "h")
        server.error = None
        assert await resolver.resolve("h", 1) == good

    run(main())


def test_the_last_good_answer_serves_while_the_name_server_is_silent(run: Run) -> None:
    async def main() -> None:
        server, clock = NameServer("192.0.2.1"), Clock()
        resolver = Resolver(getaddrinfo=server, clock=clock, timeout=0.01)
        good = await resolver.resolve("h", 1)
        server.gate.clear()
        clock.now += 31
        assert await resolver.resolve("h", 1) == good
        server.ips = ("192.0.2.2",)
        server.gate.set()
        # The late answer replaces the old one.
        while (await resolver.resolve("h", 1)) == good:
            await asyncio.sleep(0)
        assert len(server.asked) == 2

    run(main())


def test_closing_ends_the_waiting(run: Run) -> None:
    async def main() -> None:
        server = NameServer("192.0.2.1")
        server.gate.clear()
        resolver = Resolver(getaddrinfo=server)
        waiting = asyncio.ensure_future(failure(resolver))
        await asyncio.sleep(0)
        resolver.close()
        assert "the resolver was closed" in await waiting
        assert repr(resolver) == "<Resolver 0 names known, 0 being looked up>"
        server.gate.set()

    run(main())


def test_a_lookup_may_outlive_its_loop(run: Run) -> None:
    server = NameServer("192.0.2.1")
    server.gate.clear()

    async def main() -> None:
        await failure(Resolver(getaddrinfo=server, timeout=0.01), "late.example")

    with asyncio.Runner() as runner:
        runner.run(main())
    late = [thread for thread in threading.enumerate() if thread.name == "dns late.example"]
    server.gate.set()
    for thread in late:
        thread.join(30)
    # An exception in the thread would be a warning, and warnings are errors.
    assert [thread.is_alive() for thread in late] == [False]
    assert all(thread.daemon for thread in late)
