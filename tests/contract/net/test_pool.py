"""The pool: which connection is given, who waits, what is counted."""

import asyncio

import pytest

from tests.contract.net.serving import until
from tests.contract.net.upstreams import Accepted, Receiver, upstream
from tests.contract.simulator.raw import on_both_loops
from trunkline.errors import CONNECT, RESET, Fault
from trunkline.net.dns import ConnectFailed
from trunkline.net.http1_client import ClientConnection
from trunkline.net.pool import IDLE_EXPIRY, Pool

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n%b\r\n"


def task(pool: Pool, *, fresh: bool = False) -> "asyncio.Task[ClientConnection]":
    return asyncio.get_running_loop().create_task(pool.open(fresh=fresh))


async def turns(count: int = 5) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def gone(pool: Pool, count: int = 0) -> None:
    await until(lambda: pool.open_count == count)


@on_both_loops
async def test_the_most_recently_used_is_given_first() -> None:
    async with upstream() as up:
        first, second = await up.pool.open(), await up.pool.open()
        up.pool.released(first)
        up.pool.released(second)
        assert up.pool.take() is second
        assert await up.pool.open() is first
        assert up.pool.take() is None
        assert (up.pool.idle, up.pool.open_count) == (0, 2)


@pytest.mark.parametrize(
    ("header", "keep"),
    [
        (b"", IDLE_EXPIRY),
        (b"keep-alive: timeout=20\r\n", 19.0),
        (b"Keep-Alive: max=5, Timeout=3\r\n", 2.0),
        (b"keep-alive: timeout=1\r\n", 0.0),
        (b"keep-alive: timeout=0\r\n", 0.0),
        (b"keep-alive: timeout=x\r\n", IDLE_EXPIRY),
        (b"keep-alive: timeout=9999999\r\n", IDLE_EXPIRY),
        (b"keep-alive: max=5\r\n", IDLE_EXPIRY),
    ],
)
@on_both_loops
async def test_an_idle_connection_expires(header: bytes, keep: float) -> None:
    async with upstream() as up:
        for by_sweep in (False, True):
            receiver, connection, peer = await up.ask()
            peer.send(OK % header)
            await receiver.ended()
            assert up.pool.idle == 1
            assert connection.fresh_until - up.clock.now == pytest.approx(keep, abs=0.5)
            if keep:
                up.clock.now = connection.fresh_until - 0.01
                up.pool.expire(up.clock.now)
                assert up.pool.take() is connection
                up.pool.released(connection)
            up.clock.now = connection.fresh_until
            if by_sweep:
                up.pool.expire(up.clock.now)
                assert up.pool.idle == 0
            assert up.pool.take() is None
            await gone(up.pool)


@on_both_loops
async def test_a_connection_lost_while_idle_is_forgotten() -> None:
    async with upstream() as up:
        receiver, _, peer = await up.ask()
        peer.send(OK % b"")
        await receiver.ended()
        peer.close()
        await gone(up.pool)
        assert (up.pool.idle, up.pool.take()) == (0, None)


# the queue


@on_both_loops
async def test_waiters_are_served_in_the_order_they_came() -> None:
    async with upstream(limit=2) as up:
        open_now = [await up.pool.open(), await up.pool.open()]
        waiting = [task(up.pool) for _ in range(3)]
        await turns()
        assert repr(up.pool) == "<Pool 2 open, 0 idle, 3 waiting>"
        up.pool.released(open_now[0])
        assert await waiting[0] is open_now[0]
        assert not waiting[1].done()
        open_now[1].abort()  # a slot instead of a connection
        fresh = await waiting[1]
        assert fresh not in open_now
        up.pool.released(fresh)
        assert await waiting[2] is fresh
        assert up.pool.open_count == 2


@pytest.mark.parametrize("freed_first", [False, True])
@on_both_loops
async def test_a_waiter_that_is_cancelled_leaves_its_turn_to_the_next(freed_first: bool) -> None:
    async with upstream(limit=1) as up:
        connection = await up.pool.open()
        first, second = task(up.pool), task(up.pool)
        await turns()
        if freed_first:
            up.pool.released(connection)
            first.cancel()
        else:
            first.cancel()
            up.pool.released(connection)
        with pytest.raises(asyncio.CancelledError):
            await first
        assert await second is connection
        assert up.pool.open_count == 1


@on_both_loops
async def test_a_slot_given_to_a_waiter_that_is_cancelled_is_not_lost() -> None:
    async with upstream(limit=1) as up:
        connection = await up.pool.open()
        first, second = task(up.pool), task(up.pool)
        await turns()
        connection.abort()
        up.pool.lost(connection)  # what the loop says a turn later: too late for what is tested
        connection.counted = False
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        assert (await second).closed is False
        assert up.pool.open_count == 1


@on_both_loops
async def test_a_connection_that_is_lost_on_its_way_to_a_waiter_is_not_given() -> None:
    async with upstream(limit=1) as up:
        connection = await up.pool.open()
        first, second = task(up.pool), task(up.pool)
        await turns()
        up.pool.released(connection)
        connection.abort()
        given = await first
        assert given is not connection
        assert not given.closed
        up.pool.released(given)
        assert await second is given
        assert up.pool.open_count == 1


@on_both_loops
async def test_a_waiter_for_a_fresh_connection_is_given_no_used_one() -> None:
    async with upstream(limit=1) as up:
        connection = await up.pool.open()
        waiting = task(up.pool, fresh=True)
        await turns()
        up.pool.released(connection)
        given = await waiting
        assert given is not connection
        assert given.used == 0
        await gone(up.pool, 1)


@on_both_loops
async def test_fresh_replaces_the_oldest_idle_one_when_the_pool_is_full() -> None:
    async with upstream(limit=2) as up:
        first, second = await up.pool.open(), await up.pool.open()
        up.pool.released(first)
        up.pool.released(second)
        fresh = await up.pool.open(fresh=True)
        assert fresh not in (first, second)
        assert first.closed
        assert not second.closed
        await gone(up.pool, 2)


@on_both_loops
async def test_the_one_over_the_limit_is_not_handed_on() -> None:
    async with upstream(limit=1) as up:
        up.pool.released(await up.pool.open())
        fresh = task(up.pool, fresh=True)
        await asyncio.sleep(0)
        waiting = task(up.pool)
        connection = await fresh
        await gone(up.pool, 1)
        await turns()
        assert not waiting.done()
        up.pool.released(connection)
        assert await waiting is connection


# connecting


@on_both_loops
async def test_a_connection_that_cannot_be_made_leaves_its_slot_to_the_next() -> None:
    async with upstream(limit=1) as up:
        connection = await up.pool.open()
        first, second = task(up.pool), task(up.pool)
        await turns()
        connector = up.pool._connector
        up.pool._connector = Refusing()
        connection.abort()
        with pytest.raises(ConnectFailed) as caught:
            await first
        assert caught.value.fault.kind is CONNECT
        up.pool._connector = connector
        with pytest.raises(ConnectFailed):
            await second  # it began when the first had failed
        assert up.pool.open_count == 0
        assert not (await up.pool.open()).closed


class Refusing:
    async def connect(self, protocol_factory: object) -> tuple[asyncio.Transport, ClientConnection]:
        raise ConnectFailed(Fault(CONNECT, "refused"))


@pytest.mark.parametrize("after", range(8))
@on_both_loops
async def test_connecting_may_be_cancelled_at_any_moment(after: int) -> None:
    async with upstream(limit=1) as up:
        connecting = task(up.pool)
        await turns(after)
        connecting.cancel()
        try:
            (await connecting).abort()  # it was quicker
        except asyncio.CancelledError:
            pass
        await gone(up.pool)
        assert not (await asyncio.wait_for(up.pool.open(), 10)).closed
        assert up.pool.open_count == 1


@on_both_loops
async def test_an_upstream_that_hangs_up_at_once() -> None:
    async with upstream(limit=1) as up:
        up.greeting = Accepted.reset
        for _ in range(5):
            receiver = Receiver()
            try:
                connection = await up.pool.open()
                connection.send(b"GET / HTTP/1.1\r\n\r\n", b"", receiver)
            except ConnectFailed as failed:
                receiver.on_fault(failed.fault)
            await receiver.ended()
            assert receiver.fault.kind in (CONNECT, RESET)
            await gone(up.pool)


# the end


@on_both_loops
async def test_a_closed_pool_keeps_nothing() -> None:
    async with upstream() as up:
        used, idle = await up.pool.open(), await up.pool.open()
        up.pool.released(idle)
        up.pool.close()
        assert idle.closed
        assert not used.closed
        up.pool.released(used)
        assert used.closed
        await gone(up.pool)
