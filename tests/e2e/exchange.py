"""A server under test, and plain HTTP exchanges with it, for what the openai SDK does not show."""

import json
from http.client import HTTPConnection
from typing import Any, NamedTuple, cast
from urllib.parse import urlsplit

from openai import OpenAI

TIMEOUT = 60.0
# What differs between any two answers of one server to one request.
CHANCE = {"id", "item_id", "created", "created_at", "completed_at", "timings"}


class Answer(NamedTuple):
    """A whole answer."""

    status: int
    content_type: str
    body: bytes

    @property
    def value(self) -> Any:
        """The JSON body without what is up to chance."""
        return without_chance(json.loads(self.body))

    @property
    def events(self) -> list[Any]:
        """The event stream: name (if any) and data of each event, without what is up to chance."""
        return [_event(block) for block in self.body.decode().split("\n\n") if block]


class Server(NamedTuple):
    """A base URL (without /v1) and the key it wants."""

    url: str
    key: str

    def client(self, key: str | None = None) -> OpenAI:
        """The SDK, as users have it but for retries, which would hide a fault."""
        return OpenAI(base_url=f"{self.url}/v1", api_key=key or self.key, max_retries=0, timeout=TIMEOUT)

    def get(self, path: str) -> Any:
        """The JSON at a path."""
        return json.loads(self._exchange("GET", path, None).body)

    def post(self, path: str, body: dict[str, Any]) -> Answer:
        """The answer to a JSON body."""
        return self._exchange("POST", path, json.dumps(body).encode())

    def _exchange(self, method: str, path: str, body: bytes | None) -> Answer:
        address = urlsplit(self.url)
        assert address.hostname is not None
        connection = HTTPConnection(address.hostname, address.port, timeout=TIMEOUT)
        try:
            headers = {"authorization": f"Bearer {self.key}", "content-type": "application/json"}
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            return Answer(answer.status, answer.headers.get("content-type", ""), answer.read())
        finally:
            connection.close()


def without_chance(value: Any) -> Any:
    """The value without the fields that are never the same twice; the order of the others stays visible."""
    if isinstance(value, dict):
        # A list of pairs: the order counts too.
        return [
            (name, without_chance(item))
            for name, item in cast("dict[str, Any]", value).items()
            if name not in CHANCE
        ]
    if isinstance(value, list):
        return [without_chance(item) for item in cast("list[Any]", value)]
    return value


def _event(block: str) -> tuple[str, Any]:
    fields = [line.partition(":") for line in block.split("\n") if line]
    name = "".join(value.strip() for field, _, value in fields if field == "event")
    data = "\n".join(value.removeprefix(" ") for field, _, value in fields if field == "data")
    return name, without_chance(json.loads(data)) if data.startswith("{") else data
