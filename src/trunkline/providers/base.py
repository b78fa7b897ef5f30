"""What one family of upstream servers is like, as data.

Owns `Profile`, the row of the provider table, and the questions that a row answers by itself: whose a host is, in
which style a key goes, what looks wrong about a key. Does not own the rows (`hosted.py`, `servers.py`), what is done
to a request's parameters (`shape.py`), nor header lines (credentials/). A provider is a row until it needs code; a
field enters the row when something reads it.
"""

from typing import Literal

import msgspec

OPENAI_STRICT = frozenset(("top_k", "repetition_penalty", "chat_template_kwargs"))
"""What servers of open models take beyond OpenAI's API; a service that checks its fields answers 400 to them."""

OPENAI_REASONING = ("gpt-5*", "o1*", "o3*", "o4-mini*")
"""Models of OpenAI that refuse `max_tokens` and want `max_completion_tokens`."""

OPENAI_CLASSIC = ("gpt-3.5*", "gpt-4*")
"""Models of OpenAI that take `max_tokens` everywhere; older versions of Azure's API know nothing else."""

EVERY = ("*",)

Surface = Literal["responses", "messages"]


class Profile(msgspec.Struct, frozen=True, kw_only=True):
    """One provider row.

    Where it is. `base_url` is used where a backend has no `url`; None: it must be configured, like `url_example`.
    `own_hosts` are the provider's too (`.x.com`: any host below x.com). `unversioned`: no `/v1` precedes its paths.
    `paths` are operations with a place of their own, as templates. `health` is the path that answers cheaply, below
    /v1 joined to the base URL, else to the server's root.

    Who asks. `key_variables` are environment variables that hold its key, the first one set wins; such a key goes
    only to the provider's own hosts. `key_prefixes`: how its keys begin, if all do. `auth` is how the key is sent:
    `bearer`, `none`, or the header that takes it as it is (`api-key`); `auth_by_path` where that differs. `headers`
    are sent where the client sends none of that name.

    Models. `default_model` and `default_embedding_model` fill a request that names none, at the provider's own hosts.
    `models_path` lists them (None: nothing does) below `models_key` ("": the answer is the list);
    `window_fields` are what such an entry calls its context window.

    Parameters. `refuses` are top-level fields that it answers with an error; `refuses_for`: those of some models, by
    globs of names, of which the first that fits counts. `refuses_in_messages` are fields of messages, with the roles
    that may have them all the same. `renames` are fields that it has another name for. `max_completion_tokens_for`:
    models (beginnings of names and a star) that want the token limit under that name; `max_tokens_for`: of the others,
    those that want it as `max_tokens`, or are served by versions that pass over the new name. `stream_options` false:
    it refuses that field; a date: it does in versions of its API before that one.

    `dialect`: the API of its own in which chats can be asked for too, and more of them (`dialects.DIALECTS`); "": none.
    `surfaces`: what it speaks beside chat completions, at `/v1/responses` and `/v1/messages` below the same base.
    `local` marks servers on the user's own machine, where loading a model delays the first token;
    `local_when_private` those that are such servers if their address is of the own network.
    `status_page`, `docs`, `good_for` and `note` are for people.
    """

    name: str
    title: str
    kind: Literal["hosted", "server", "gateway", "any"]
    base_url: str | None = None
    own_hosts: tuple[str, ...] = ()
    url_example: str = ""
    unversioned: bool = False
    paths: dict[str, str] = {}
    health: str = "/v1/models"
    key_variables: tuple[str, ...] = ()
    key_prefixes: tuple[str, ...] = ()
    auth: str = "bearer"
    auth_by_path: dict[str, str] = {}
    headers: dict[str, str] = {}
    default_model: str | None = None
    default_embedding_model: str | None = None
    models_path: str | None = "/v1/models"
    models_key: str = "data"
    window_fields: tuple[str, ...] = ()
    refuses: frozenset[str] = frozenset()
    refuses_for: tuple[tuple[str, frozenset[str]], ...] = ()
    refuses_in_messages: dict[str, tuple[str, ...]] = {}
    renames: dict[str, str] = {}
    max_completion_tokens_for: tuple[str, ...] = ()
    max_tokens_for: tuple[str, ...] = ()
    stream_options: bool | str = True
    dialect: str = ""
    surfaces: tuple[Surface, ...] = ()
    local: bool = False
    local_when_private: bool = False
    status_page: str = ""
    docs: str = ""
    good_for: str = ""
    note: str = ""

    def owns(self, host: str) -> bool:
        """Whether a host (lower case) is named in `own_hosts`."""
        return any(host.endswith(own) if own.startswith(".") else host == own for own in self.own_hosts)

    def auth_at(self, path: str, override: str | None = None) -> str:
        """The style in which a credential is sent to a path like `/v1/messages`; a configured one holds everywhere."""
        return override or self.auth_by_path.get(path, self.auth)

    def takes_stream_options(self, api_version: str | None = None) -> bool:
        """Whether streams may be asked for their usage; `api_version` is the backend's, for those that have any.

        Versions begin with their date. Where one is needed and none is configured the newest is spoken.
        """
        if isinstance(self.stream_options, str):
            return api_version is None or not api_version[:1].isdigit() or api_version >= self.stream_options
        return self.stream_options


def key_doubt(row: Profile, key: str) -> str:
    """What looks wrong about a key, in words that do not show it; "" if nothing does.

    It is a doubt and no error: vendors change their prefixes, and behind a proxy any key may be right.
    """
    if key != key.strip():
        return "begins or ends with a blank"
    if key[:1] in ("'", '"') or key[-1:] in ("'", '"'):
        return "has quotes around it"
    if key.lower().startswith("bearer "):
        return "begins with `Bearer`, which is added when it is sent"
    if not key.isascii() or not key.isprintable() or " " in key:
        return "holds a blank or a character that no key has"
    if row.key_prefixes and key and not key.startswith(row.key_prefixes):
        wanted = " or ".join(f"`{prefix}`" for prefix in row.key_prefixes)
        return f"does not begin with {wanted}, as keys of {row.title} do"
    return ""
