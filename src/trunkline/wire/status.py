"""Status lines of HTTP/1.1 answers, built once."""

from http import HTTPStatus

_LINES = {status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in HTTPStatus}


def status_line(status: int) -> bytes:
    """The status line with its CRLF; an unregistered status has no phrase (RFC 9112 4)."""
    return _LINES.get(status) or b"HTTP/1.1 %d \r\n" % status
