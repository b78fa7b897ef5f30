"""A client of raw bytes: it sends what it is told, when it is told, and reports what came back and how it ended."""

import re
import select
import socket
from types import TracebackType
from typing import Self

import msgspec

from tests.endurance.harness import PATIENCE


class Answer(msgspec.Struct, frozen=True):
    """An answer, its body as framed on the wire."""

    status: int
    head: bytes
    body: bytes

    def field(self, name: bytes) -> bytes | None:
        """The value of a header, by its lower-case name."""
        found = re.search(rb"^%b: (.*)\r$" % name, self.head + b"\r\n", re.IGNORECASE | re.MULTILINE)
        return found[1] if found is not None else None


class RawClient:
    """One connection to a port."""

    def __init__(self, port: int, receive_buffer: int = 0) -> None:
        self.sock = socket.socket()
        self.sock.settimeout(PATIENCE)
        if receive_buffer:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.sock.connect(("127.0.0.1", port))
        self._got = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.sock.close()

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)

    def answers_within(self, seconds: float) -> bool:
        """Whether there is something to read, waiting so long for it."""
        return bool(select.select([self.sock], [], [], seconds)[0])

    def until(self, ending: bytes) -> bytes:
        """Everything up to and with some bytes; fails if the connection ends before."""
        while ending not in self._got:
            more = self.sock.recv(65536)
            assert more, f"the connection ended after {self._got!r}"
            self._got += more
        data, found, self._got = self._got.partition(ending)
        return data + found

    def answer(self) -> Answer:
        """The next answer, to the end that its framing gives it."""
        head = self.until(b"\r\n\r\n")[:-2]
        answer = Answer(int(head.split(b" ", 2)[1]), head, b"")
        length = answer.field(b"content-length")
        if length is None:
            return msgspec.structs.replace(answer, body=self.until(b"\r\n0\r\n\r\n"))
        while len(self._got) < int(length):
            self._got += self.sock.recv(65536)
        body, self._got = self._got[: int(length)], self._got[int(length) :]
        return msgspec.structs.replace(answer, body=body)

    def rest(self) -> bytes:
        """Everything until the other side closes; a reset is an end too."""
        while True:
            try:
                more = self.sock.recv(65536)
            except ConnectionResetError:
                return self._got
            if not more:
                return self._got
            self._got += more
