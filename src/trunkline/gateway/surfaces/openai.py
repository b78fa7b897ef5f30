"""The routes of the data port: which path is which operation.

Owns the table and its spelling rules (DESIGN section 5: also under /api/v1, the listed ones without /v1, Azure's
deployments path, a trailing slash). Does not own what is done with a request (gateway/entry.py).
"""

import re
from urllib.parse import unquote

import msgspec


class Operation(msgspec.Struct, frozen=True, gc=False):
    """One kind of request.

    `surface` names it in records and chooses how its streams are read. `json`: its body is a JSON object; else the
    body's type decides. `methods` empty: any.
    """

    surface: str
    methods: tuple[bytes, ...] = (b"POST",)
    json: bool = True


MODELS = Operation("models", (b"GET", b"HEAD"), json=False)
HEALTH = Operation("health", (b"GET", b"HEAD"), json=False)
# Counting, batches, stored answers: only who speaks the API has them, and Anthropic's clients read Anthropic's errors.
_BELOW: tuple[tuple[bytes, Operation], ...] = (
    (b"/v1/messages/", Operation("messages/other", (), json=False)),
    (b"/v1/responses/", Operation("responses/other", (), json=False)),
)
ANY = Operation("other", (), json=False)

_LISTED: dict[bytes, Operation] = {
    b"/chat/completions": Operation("chat"),
    b"/completions": Operation("completions"),
    b"/embeddings": Operation("embeddings"),
    b"/moderations": Operation("moderations"),
    b"/rerank": Operation("rerank"),
    b"/responses": Operation("responses"),
    b"/messages": Operation("messages"),
    b"/images/generations": Operation("images"),
    b"/images/edits": Operation("images", json=False),
    b"/images/variations": Operation("images", json=False),
    b"/audio/speech": Operation("audio"),
    b"/audio/transcriptions": Operation("audio", json=False),
    b"/audio/translations": Operation("audio", json=False),
    b"/models": MODELS,
}
_HEALTH = frozenset((b"/health", b"/health/live", b"/health/ready"))
_DEPLOYMENT = re.compile(rb"/openai/deployments/([^/]+)(/.+)")
_DOTS = re.compile(rb"/(?:\.|%2e){1,2}(?:/|$)|//|%2f%2e|\\", re.IGNORECASE)
_PATH_BEGIN = re.compile(rb"[/?]")
_MODEL = b"/v1/models/"
MAX_PATH = 1024  # bytes; a model in a path is kept in records and metrics, and 512 characters are a long name

_ROUTES: dict[bytes, tuple[Operation, bytes]] = {
    spelling: (operation, b"/v1" + path)
    for path, operation in _LISTED.items()
    for prefix in (b"/v1", b"/api/v1", b"/openai/v1", b"")
    for spelling in (prefix + path, prefix + path + b"/")
} | {path: (HEALTH, path) for path in _HEALTH}


class Route(msgspec.Struct, gc=False):
    """Where a request target leads: the canonical path, the query with its `?`, the model that the path names."""

    operation: Operation
    path: bytes
    query: bytes = b""
    model: str = ""


def find(target: bytes, *, any_path: bool) -> Route | None:
    """The route of a request target; None if there is none. `any_path`: every path is passed on as it is."""
    path, mark, query = _origin_form(target).partition(b"?")
    query = mark + query
    if len(path) > MAX_PATH:
        return None
    found = _ROUTES.get(path)
    if found is not None:
        return Route(found[0], path if any_path else found[1], query)
    if (match := _DEPLOYMENT.fullmatch(path)) is not None and (listed := _LISTED.get(match[2])) is not None:
        return (
            Route(listed, path, query)
            if any_path
            else Route(listed, b"/v1" + match[2], query, _text(match[1]))
        )
    if any_path:
        return Route(ANY, path, query)
    if path.startswith(b"/api/v1/"):
        path = path[4:]
    elif path.startswith(b"/openai/v1/"):
        path = path[7:]
    elif path.startswith(b"/models/"):
        path = b"/v1" + path
    if _DOTS.search(path):
        return None
    if path.startswith(_MODEL) and len(path) > len(_MODEL):
        return Route(MODELS, path, query, _text(path[len(_MODEL) :].removesuffix(b"/")))
    if path.startswith(b"/v1/"):
        below = next((operation for prefix, operation in _BELOW if path.startswith(prefix)), ANY)
        return Route(below, path, query)
    return None


def _origin_form(target: bytes) -> bytes:
    """The path of an absolute-form target (RFC 9112 3.2.2): the host in it is not obeyed."""
    if target.startswith((b"http://", b"https://")):
        rest = target.partition(b"://")[2]
        begin = _PATH_BEGIN.search(rest)
        path = rest[begin.start() :] if begin is not None else b""
        return path if path.startswith(b"/") else b"/" + path
    return target


def _text(segment: bytes) -> str:
    return unquote(segment.decode("ascii"))
