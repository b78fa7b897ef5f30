"""What only the kernel knows about the other end: that it left while its socket is not read, how much it has taken.

Owns the questions to the kernel. Does not own what follows from the answers (net/http1_server.py).

With reading paused neither FIN nor reset reaches a transport. So an epoll of its own hangs in the event loop like a
socket: it is asked for hang-ups only (never for data) and holds only the sockets that are paused just now, so
thousands of them cost nothing while they stay. A FIN that waits behind more data than the kernel takes in is not
seen: it has not arrived. Where there is no epoll nothing is noticed before reading goes on.
"""

import asyncio
import select
import socket
import sys
from collections.abc import Callable

_LEFT = select.EPOLLRDHUP | select.EPOLLHUP | select.EPOLLERR if hasattr(select, "epoll") else 0
# struct tcp_info, linux/tcp.h: where tcpi_bytes_acked (u64, Linux 4.1) stands.
_ACKED, _ACKED_END = 120, 128


class Departures:
    """The paused sockets of one event loop."""

    def __init__(self) -> None:
        self._told: dict[int, Callable[[], None]] = {}
        self._epoll: select.epoll | None = None

    def __repr__(self) -> str:
        return f"<Departures {len(self._told)} watched>"

    def watch(self, transport: asyncio.BaseTransport, tell: Callable[[], None]) -> int:
        """Call `tell` once if the peer leaves; the result is what `forget` takes."""
        descriptor: int = transport.get_extra_info("socket").fileno()
        if not _LEFT or descriptor < 0:
            return -1
        if self._epoll is None:
            self._epoll = select.epoll()
            asyncio.get_running_loop().add_reader(self._epoll.fileno(), self._look)
        self._epoll.register(descriptor, _LEFT)
        self._told[descriptor] = tell
        return descriptor

    def forget(self, descriptor: int, tell: Callable[[], None]) -> None:
        """Do not call `tell` any more."""
        # A descriptor that was closed in between may be another's by now: the kernel has forgotten it by itself.
        if self._told.get(descriptor) == tell:
            del self._told[descriptor]
            self._unregister(descriptor)

    def close(self) -> None:
        """Watch nothing any more."""
        self._told.clear()
        if self._epoll is not None:
            asyncio.get_running_loop().remove_reader(self._epoll.fileno())
            self._epoll.close()
            self._epoll = None

    def _look(self) -> None:
        assert self._epoll is not None
        for descriptor, _ in self._epoll.poll(0):
            tell = self._told.pop(descriptor, None)
            self._unregister(descriptor)
            if tell is not None:
                tell()

    def _unregister(self, descriptor: int) -> None:
        try:
            if self._epoll is not None:
                self._epoll.unregister(descriptor)
        except OSError:
            pass  # it is closed


def taken(transport: asyncio.WriteTransport) -> int:
    """A number that grows while the peer takes what is sent.

    The transport's own buffer is too coarse a measure: it stands still while the megabytes in front of it, in the
    kernel, drain to a client that reads slowly but steadily.
    """
    if hasattr(socket, "TCP_INFO"):
        info = transport.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _ACKED_END)
        if len(info) == _ACKED_END:
            return int.from_bytes(info[_ACKED:], sys.byteorder)
    return -transport.get_write_buffer_size()
