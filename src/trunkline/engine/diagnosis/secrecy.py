"""What a diagnosis must not show: every secret that the settings hold, in whatever form somebody quotes it back.

Owns taking secrets out of text. Does not own the text, nor which settings of a backend are secret
(engine/secrets.py); but here the login of a proxy is one too, and so is what looks like a key in a URL's path.

An upstream that refuses a key may quote it whole, cut off, in other case, percent-encoded or escaped. So a secret is
not looked for as it is: whatever shares `RUN` characters in a row with one is masked, as far as it does. Shorter
secrets are masked as whole words, and only in the words of others: `ollama` and `none` are popular as keys of servers
that want none, and are words of our own as well. Below `MIN` characters nothing can be told from ordinary text.
"""

import base64
import json
import re
from collections.abc import Iterable, Iterator
from urllib.parse import quote, quote_plus, unquote, urlsplit

from trunkline.config.model import Settings
from trunkline.engine.secrets import written
from trunkline.net.proxy import Proxy
from trunkline.routing.backend import BackendSettings

RUN = 8  # characters: longer than any word that keys begin with for all (`sk-or-`, `gsk_`, `nvapi-`)
MIN = 4
_LONG_SEGMENT = 16  # characters of one part of a URL's path; some services have the key there
MASK = "***"


class Secrets:
    """Grows while a diagnosis runs: tokens are secrets too."""

    def __init__(self) -> None:
        self._runs: set[str] = set()
        self._words: set[str] = set()

    def __repr__(self) -> str:
        return f"<Secrets of {len(self._runs)} runs, {len(self._words)} words>"

    def add(self, secret: str) -> None:
        """From now on it is not shown, in any of its usual forms."""
        forms = {
            secret,
            quote(secret, safe=""),
            quote_plus(secret),
            unquote(secret),
            json.dumps(secret)[1:-1],
        }
        forms.add(base64.b64encode(secret.encode("utf-8", "replace")).decode().rstrip("="))
        for form in forms:
            folded = _folded(form)
            if len(folded) >= RUN:
                self._runs.update(_windows(folded))
            elif len(folded) >= MIN:
                self._words.add(form)

    def conceal(self, text: str) -> str:
        """Text of our own, with the long secrets masked."""
        folded = _folded(text)
        hidden = bytearray(len(text))
        for at, window in enumerate(_windows(folded)):
            if window in self._runs:
                hidden[at : at + RUN] = b"\x01" * RUN
        if not any(hidden):
            return text
        out: list[str] = []
        for at, character in enumerate(text):
            if not hidden[at]:
                out.append(character)
            elif at == 0 or not hidden[at - 1]:
                out.append(MASK)
        return "".join(out)

    def quote(self, text: str, limit: int = 200) -> str:
        """The words of somebody else: secrets masked, on one line, at most `limit` characters."""
        text = self.conceal(text)
        if self._words:
            words = sorted(self._words, key=len, reverse=True)
            pattern = "|".join(re.escape(word) for word in words)
            text = re.sub(rf"(?<![A-Za-z0-9])(?:{pattern})(?![A-Za-z0-9])", MASK, text)
        text = " ".join("".join(c if c.isprintable() else " " for c in text).split())
        return text if len(text) <= limit else f"{text[: limit - 3].rstrip()}..."


def secrets_of(settings: Settings) -> Secrets:
    """All that the settings hold: of every backend, and the keys of the gateway's own clients."""
    secrets = Secrets()
    for key in settings.keys:
        secrets.add(key.key)
    for backend in settings.backends:
        for secret in _of_backend(backend):
            secrets.add(secret)
    return secrets


def secrets_of_proxy(proxy: Proxy) -> Iterator[str]:
    """What a proxy is logged in to with."""
    encoded = proxy.authorization.removeprefix(b"Basic ")
    if encoded:
        yield encoded.decode()
        pair = base64.b64decode(encoded).decode("utf-8", "replace")
        yield pair
        yield pair.partition(":")[2]


def _of_backend(backend: BackendSettings) -> Iterator[str]:
    yield from written(backend)
    for url in (backend.url, backend.token_url or "", backend.proxy or ""):
        yield from _of_url(url)


def _of_url(url: str) -> Iterator[str]:
    try:
        parts = urlsplit(url if "://" in url else f"//{url}")
    except ValueError:
        return
    credentials = parts.netloc.rpartition("@")[0]
    if credentials:
        yield unquote(credentials)
        yield credentials.partition(":")[2]
    yield from (part for part in parts.path.split("/") if len(part) >= _LONG_SEGMENT)


def _folded(text: str) -> str:
    """In lower case, character by character: a few have a lower case of two, and would move the rest."""
    return "".join(low if len(low := character.lower()) == 1 else character for character in text)


def _windows(text: str) -> Iterable[str]:
    return (text[at : at + RUN] for at in range(len(text) - RUN + 1))
