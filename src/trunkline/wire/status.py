"""Status lines of HTTP/1.1 answers, built once."""

from http import HTTPStatus


class _Lines(dict[int, bytes]):
    def __missing__(self, status: int) -> bytes:
        """An unregistered status has no phrase (RFC 9112 4)."""
        return b"HTTP/1.1 %d \r\n" % status


STATUS_LINES: dict[int, bytes] = _Lines(
    {status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in HTTPStatus}
)
"""By status: its line with the CRLF. Every status has one."""
