"""One backend under examination: what its steps share, and how they ask it.

Owns that state and the questions. Does not own the steps (written.py, way_there.py, ..._step.py) nor their order
(walk.py). Everything is made as the gateway makes it, from the same settings by the same code: what a step finds is
what a call would meet.
"""

from collections.abc import Mapping

import msgspec

from trunkline.config.levels import Levels
from trunkline.credentials.oauth2 import Tokens
from trunkline.engine.diagnosis.secrecy import Secrets
from trunkline.engine.fetch import ask, fetch
from trunkline.engine.upstream import Upstream
from trunkline.engine.way import Ground
from trunkline.errors import Answer, Fault
from trunkline.net.clock import Clock
from trunkline.net.dns import Address
from trunkline.net.egress import Listening
from trunkline.net.proxy import Proxy
from trunkline.net.url import BaseUrl
from trunkline.providers.base import Profile
from trunkline.providers.model_list import ListedModel
from trunkline.providers.registry import PROVIDERS, find
from trunkline.routing.backend import BackendSettings

CHAT = "/v1/chat/completions"
HOSTED_PATIENCE, LOCAL_PATIENCE = 60.0, 120.0
"""Seconds for one tiny answer; a local server may have to load the model first. `timeouts.total` may be shorter."""
LOOK = 3.0
"""Seconds for each look at something that is not configured: another path, port or scheme."""
LARGEST_LOOK = 4 * 1024 * 1024  # bytes: a list of models


class Surroundings(msgspec.Struct, kw_only=True):
    """What all cases of one run share. `listening`: where the gateway with these settings would listen.

    `levels`: what it would change in requests, of which the doctor heeds whether they ask for a stream.
    """

    clock: Clock
    ground: Ground
    tokens: Tokens
    secrets: Secrets
    environ: Mapping[str, str]
    listening: tuple[Listening, ...]
    list_timeout: float
    levels: Levels


class Case:
    """A backend, and what was found out about it so far."""

    def __init__(self, settings: BackendSettings, around: Surroundings) -> None:
        self.settings = settings
        self.around = around
        self.row: Profile = find(settings.provider) or PROVIDERS["openai_compat"]
        self._upstream: Upstream | None = None
        self.proxy: Proxy | None = None
        self.addresses: list[Address] = []
        self.refused = ""
        """Why the host must not even be looked up."""
        self.models: list[ListedModel] | None = None
        """Its list, None: there is none."""
        self.model = ""
        """The model that was asked."""

    def __repr__(self) -> str:
        return f"<Case {self.settings.name}>"

    @property
    def upstream(self) -> Upstream:
        """The backend as the engine has it; from the first step on."""
        assert self._upstream is not None, "the first step makes it"
        return self._upstream

    @upstream.setter
    def upstream(self, made: Upstream) -> None:
        self._upstream = made

    @property
    def base(self) -> BaseUrl:
        """Where it is."""
        return self.upstream.base

    @property
    def place(self) -> str:
        """Scheme, host and port: what may be shown of its URL."""
        return f"{self.base.scheme}://{self.base.host_header.decode()}"

    @property
    def connect_timeout(self) -> float:
        """Seconds for a connection."""
        return self.settings.timeouts.connect

    @property
    def patience(self) -> float:
        """Seconds for one tiny answer."""
        patience = LOCAL_PATIENCE if self.upstream.local else HOSTED_PATIENCE
        return min(self.settings.timeouts.total, patience)

    @property
    def has_own_credential(self) -> bool:
        """Whether requests carry a credential of the settings."""
        names = {name.lower() for name in self.settings.headers}
        return bool(self.settings.api_key or self.upstream.oauth) or bool(
            names & {"authorization", "api-key", "x-api-key"}
        )

    @property
    def always_streams(self) -> bool | None:
        """Whether the gateway asks it for streams (True) or never does (False), whatever the client wants."""
        level = self.around.levels.backends.get(self.settings.name)
        if level is None:
            return None
        forced = level.overrides.force.get("stream")
        if forced is None:
            return False if "stream" in level.overrides.remove else None
        return bytes(forced) == b"true"

    def quote(self, text: str, limit: int = 200) -> str:
        """The words of an upstream, fit to be shown."""
        if self._upstream is not None:  # it also knows tokens that were renewed meanwhile
            text = self._upstream.mask(text.encode("utf-8", "replace")).decode("utf-8", "replace")
        return self.around.secrets.quote(text, limit)

    def name(self, model: str) -> str:
        """A model's name, in backticks: names come from upstreams too."""
        return f"`{self.quote(model, 80)}`"

    async def get(self, path: str, timeout: float) -> Answer | Fault:
        """Ask as the gateway asks, with the credential."""
        return await fetch(self.upstream, path.encode(), timeout)

    async def post(self, path: str, body: bytes, timeout: float) -> Answer | Fault:
        """Likewise, with a JSON body."""
        headers = [(b"content-type", b"application/json")]
        return await fetch(self.upstream, path.encode(), timeout, method=b"POST", headers=headers, body=body)

    async def look(self, target: str) -> Answer | Fault:
        """GET another path of the same server, without any credential: behind it may be somebody else."""
        head = f"GET {target} HTTP/1.1\r\naccept: application/json\r\naccept-encoding: identity\r\n".encode()
        head += b"host: %b\r\n\r\n" % self.base.host_header
        return await ask(self.upstream.probes, head, b"", LOOK, LARGEST_LOOK)

    def close(self) -> None:
        """Close its connections."""
        if self._upstream is not None:
            self._upstream.pool.close()
            self._upstream.probes.close()
