"""What one family of upstream servers is like, as data.

Owns `Profile`, the row of the provider table. Does not own the rows (`registry.py`) nor any behaviour: a provider
is a row until it needs code. A field enters the row when something reads it.
"""

import msgspec


class Profile(msgspec.Struct, frozen=True, kw_only=True):
    """One provider row.

    `base_url` is used where a backend has no `url`; None: it must be configured.
    `key_variables` are environment variables that hold its key, first one set wins; such a key goes only to
    `base_url`. `local` marks servers on the user's own machine, where loading a model delays the first token;
    `local_when_private` those that are such servers if their address is of the own network.
    `health` is the path that answers cheaply; below /v1 it is joined to the base URL, else to the server's root.
    """

    name: str
    base_url: str | None = None
    key_variables: tuple[str, ...] = ()
    local: bool = False
    local_when_private: bool = False
    health: str = "/v1/models"
