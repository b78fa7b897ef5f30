"""Credentials that do not change: none, a key as bearer token or in a header of its own.

Owns how a key is sent. Does not own where it comes from (config) nor which style a provider wants (providers).
"""

from trunkline.credentials.base import header_line, mask

BEARER, NONE = "bearer", "none"
"""Styles; every other style is the name of the header that holds the bare key: `api-key` (Azure), `x-api-key`."""


class StaticCredential:
    """A key, or nothing. `key` empty, or style "none": no header is sent."""

    __slots__ = ("_key", "_line")

    def __init__(self, style: str = NONE, key: str = "") -> None:
        """Raise ValueError if a header cannot hold it; the message does not quote the key."""
        self._key = key.encode() if style != NONE else b""
        if not self._key:
            self._line = b""
        elif style == BEARER:
            self._line = header_line("authorization", f"Bearer {key}")
        else:
            self._line = header_line(style, key)

    def __repr__(self) -> str:
        return f"<StaticCredential {self._line.partition(b':')[0].decode() or NONE}>"

    def header(self, now: float) -> bytes:
        return self._line

    async def obtain(self) -> bytes:
        return self._line

    def invalidate(self, line: bytes) -> bool:
        return False

    def mask(self, text: bytes) -> bytes:
        return mask(text, (self._key,))
