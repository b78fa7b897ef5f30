"""What a backend adds to its requests to be let in: the contract of all kinds of credentials.

Owns the contract and the masking of secrets in text that others wrote. Does not own the kinds (static.py, oauth2.py)
nor where the line goes in a request (engine).

A credential is a header line, prebuilt. A caller asks `header` first, which neither waits nor allocates; where that
has nothing, `obtain` fetches:

    line = credential.header(now)
    if line is None:
        line = await credential.obtain()      # bytes, or the Fault that the client gets

An upstream that answers 401 to `line`: `credential.invalidate(line)`, and if that is true, one retry as above.
"""

import re
from collections.abc import Iterable
from typing import Protocol

from trunkline.errors import Fault

# RFC 9110 5.6.2, and what a header value can hold without being read as two by anybody.
TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
VISIBLE = re.compile(r"[\x21-\x7e]+")

_MASK = b"***"


class Credential(Protocol):
    """A credential of one backend, on one event loop."""

    def header(self, now: float) -> bytes | None:
        """The line, with its line break, or `b""`; None: `obtain` has to be awaited. `now`: the loop's clock."""
        ...

    async def obtain(self) -> bytes | Fault:
        """The line, fetched if need be, or why there is none. A request is never sent without it."""
        ...

    def invalidate(self, line: bytes) -> bool:
        """The upstream refused this line with 401. True: asking again may give another one."""
        ...

    def mask(self, text: bytes) -> bytes:
        """Text from an upstream without the secrets of this credential, which some quote."""
        ...


def header_line(name: str, value: str) -> bytes:
    """Build a header line.

    Raises:
        ValueError: a header cannot hold this; the message does not quote the value.

    """
    if not TOKEN.fullmatch(name):
        raise ValueError(f"{name!r} is not a header name")
    if any(character < " " or character > "~" for character in value) or value != value.strip():
        raise ValueError(
            f"the value for `{name}` holds blanks at its ends, a line break or a character outside ASCII"
        )
    return f"{name.lower()}: {value}\r\n".encode("ascii")


def mask(text: bytes, secrets: Iterable[bytes]) -> bytes:
    """Replace every secret in `text` by three asterisks."""
    for secret in sorted(filter(None, secrets), key=len, reverse=True):
        text = text.replace(secret, _MASK)
    return text
