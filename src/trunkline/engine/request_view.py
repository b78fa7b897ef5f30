"""What a function of the user's sees of a request, frozen.

Owns which parts of a request such a function is shown: no credential is among them. Does not own the reading of
requests (routing/asked.py) nor what the function is for (router.py).
"""

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, cast

import msgspec

from trunkline.routing.rules import View

_CREDENTIAL = re.compile(
    r"(?:^|-)(?:authorization|cookie|token|secret|password|credentials?|jwt|assertion|apikey)(?:-|$)"
    r"|(?:api|auth|access|account|subscription)-?key$"
)
"""Names of headers that hold credentials: a header too many is left out sooner than one too few."""


class RequestView(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One request.

    `model` is the one that was asked for, `text` the last text of the user; `tools`, `images` and `json_schema` tell
    whether the request brings tools, has images and wants an answer by a schema. `headers`: names in lower case,
    without credentials. `key` and `tags`: name and tags of the key that called.
    """

    model: str
    text: str = ""
    stream: bool = False
    tools: bool = False
    images: bool = False
    json_schema: bool = False
    headers: Mapping[str, str] = MappingProxyType({})
    key: str = ""
    tags: tuple[str, ...] = ()
    fields: Mapping[str, msgspec.Raw] = MappingProxyType({})
    """The request object, its values as they came: JSON that is not decoded."""

    @classmethod
    def of(cls, model: str, view: View, fields: Mapping[str, msgspec.Raw]) -> "RequestView":
        """Make one from what the rules see."""
        headers = {
            name.decode("latin-1"): value.decode("latin-1")
            for name, value in view.headers.items()
            if not _CREDENTIAL.search(name.decode("latin-1"))
        }
        asked = view.asked
        return cls(
            model=model,
            text=asked.text,
            stream=view.stream,
            tools=asked.tools,
            images=asked.images,
            json_schema=asked.json_schema,
            headers=MappingProxyType(headers),
            key=view.key,
            tags=tuple(view.tags),
            fields=MappingProxyType(dict(fields)),
        )

    def __repr__(self) -> str:
        return f"<RequestView of {self.model!r}, {len(self.text)} characters, from {self.key or 'anybody'}>"

    @property
    def messages(self) -> tuple[dict[str, Any], ...]:
        """The conversation (`messages`, or the `input` of /v1/responses), decoded anew each time it is looked at."""
        for name in ("messages", "input"):
            found = self._decoded(name)
            if isinstance(found, list):
                items = cast("list[Any]", found)
                return tuple(cast("dict[str, Any]", item) for item in items if isinstance(item, dict))
        return ()

    def _decoded(self, name: str) -> Any:
        try:
            return msgspec.json.decode(self.fields.get(name, b"null"))
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            return None
