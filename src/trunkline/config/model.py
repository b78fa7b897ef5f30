"""All settings together, and the shape of the file they come from.

Owns `Settings` (what the program runs on), `FileSettings` (what a file may say: the same, plus aliases) and the
tables of keys that are known without being settings. Does not own the settings of the parts: each is a struct beside
the code that obeys it.
"""

from typing import Annotated

import msgspec
from msgspec import Meta, Raw

from trunkline.config.levels import Levels
from trunkline.net.egress import EgressSettings
from trunkline.net.listener import ServerSettings
from trunkline.policy.keys import KeySettings
from trunkline.routing.backend import BackendSettings
from trunkline.routing.breaker import BreakerSettings
from trunkline.routing.models import ModelSettings
from trunkline.routing.rules import RuleSettings
from trunkline.streams.answer import Reasoning
from trunkline.streams.think import ThinkSettings


class AdminSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The admin port."""

    host: Annotated[
        str, Meta(description="Address to listen on; loopback only, because it has no key yet.")
    ] = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=65535, description="Port to listen on; 0 picks a free one.")] = 8081


class DiscoverySettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the backends' lists of models are kept up to date."""

    interval: Annotated[
        float,
        Meta(ge=0, description="Seconds between two questions to a backend (a tenth more or less); 0: none."),
    ] = 300.0
    timeout: Annotated[float, Meta(gt=0, description="Seconds that a backend has for its list.")] = 10.0


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What the program runs on, complete and checked.

    `passthrough`: started from TARGET_BASE_URL, so every path and method is forwarded to the one backend.
    `data_dir` None: nothing is kept over a restart. `config_dir`: where the file is, None without one.
    """

    server: ServerSettings = ServerSettings()
    admin: AdminSettings = AdminSettings()
    egress: EgressSettings = EgressSettings()
    discovery: DiscoverySettings = DiscoverySettings()
    data_dir: str | None = None
    keys: list[KeySettings] = []
    backends: list[BackendSettings] = []
    models: dict[str, ModelSettings] = {}
    rules: list[RuleSettings] = []
    router: str | None = None
    router_timeout: float = 0.5
    breaker: BreakerSettings = BreakerSettings()
    shaping: Levels = Levels()
    passthrough: bool = False
    config_dir: str | None = None


class Loaded(msgspec.Struct, frozen=True, kw_only=True):
    """Settings with what there is to say about them.

    `literal_secrets` are places (`file:line:column: field`) where a secret is written down; `source` is the file, or
    which part of the environment the settings come from.
    """

    settings: Settings
    warnings: list[str]
    literal_secrets: list[str]
    source: str


_Seconds = Annotated[float, Meta(gt=0)]

# The fields of a level stand in each entry that is one: a struct of msgspec has one base.
_Params = Annotated[
    dict[str, Raw],
    Meta(
        description="Fields of requests that are set, whatever the client wrote, to any value; null removes the field."
    ),
]
_Defaults = Annotated[
    dict[str, Raw],
    Meta(
        description="Fields that are filled in where the client left them out; null: not even with a default of a "
        "less specific level."
    ),
]
_Append = Annotated[
    str, Meta(description="Text put behind the last user message of a chat; without one it becomes one.")
]
_Think = Annotated[
    ThinkSettings | None,
    Meta(
        description="What becomes of thoughts among the text of an answer: `keep`, `strip`, `split`, or a mapping "
        "with `mode` and more. Default: keep; from TARGET_BASE_URL: strip.",
        extra={"short": "mode"},
    ),
]
_Reasoning = Annotated[
    Reasoning | None,
    Meta(
        description="What becomes of thoughts in fields of their own. keep: as they come. strip: removed. wrap: put "
        "into the text, in tags. reasoning_content, reasoning: given that name. Default: keep."
    ),
]
_Rename = Annotated[
    bool | None,
    Meta(description="true: `model` in an answer is the public name. Default: what the upstream says."),
]


class BackendEntry(BackendSettings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A backend as a file may write it: `name` and `url` can be left to the provider row, and there are aliases."""

    name: Annotated[
        str,
        Meta(
            description="How logs, headers and metrics call it: printable ASCII without space, comma, slash. "
            "Default: the provider's name."
        ),
    ] = ""
    url: Annotated[
        str, Meta(description="Base URL, with or without /v1. Default: the provider's own. Alias: base_url.")
    ] = ""
    type: Annotated[str | None, Meta(description="Alias of provider.")] = None
    base_url: Annotated[str | None, Meta(description="Alias of url.")] = None
    allowed_models: Annotated[list[str] | None, Meta(description="Alias of models.")] = None
    model_name: Annotated[str | None, Meta(description="Alias of default_model.")] = None
    custom_headers: Annotated[
        dict[str, str] | None, Meta(description="Alias of headers.", extra={"secret": True})
    ] = None
    timeout: Annotated[_Seconds | None, Meta(description="Alias of timeouts.total.")] = None
    request_timeout: Annotated[
        _Seconds | None, Meta(description="Alias of timeouts.total; with timeout too, the smaller holds.")
    ] = None
    params: _Params = {}
    defaults: _Defaults = {}
    temperature: Annotated[float | None, Meta(description="Alias of defaults.temperature.")] = None
    max_tokens: Annotated[
        Annotated[int, Meta(ge=1)] | None, Meta(description="Alias of defaults.max_tokens.")
    ] = None
    streaming: Annotated[bool | None, Meta(description="Alias of defaults.stream.")] = None
    append_to_last_user_message: _Append = ""
    think: _Think = None
    reasoning: _Reasoning = None
    rename: _Rename = None


class ModelEntry(ModelSettings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A public model as a file may write it."""

    params: _Params = {}
    defaults: _Defaults = {}
    append_to_last_user_message: _Append = ""
    think: _Think = None
    reasoning: _Reasoning = None
    rename: _Rename = None


class VariantEntry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What `model@variant` lays over a model."""

    match: Annotated[
        str, Meta(description="The models it is for: a regular expression for the whole name. Default: all.")
    ] = ""
    extends: Annotated[
        list[str], Meta(description="Variants whose settings it has too; the later wins, its own before all.")
    ] = []
    params: _Params = {}
    defaults: _Defaults = {}
    append_to_last_user_message: _Append = ""
    think: _Think = None
    reasoning: _Reasoning = None
    rename: _Rename = None


class FileSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A configuration file."""

    server: Annotated[ServerSettings, Meta(description="The data port.")] = ServerSettings()
    admin: Annotated[AdminSettings, Meta(description="The admin port.")] = AdminSettings()
    egress: Annotated[EgressSettings, Meta(description="Which addresses may be called.")] = EgressSettings()
    discovery: Annotated[
        DiscoverySettings, Meta(description="How the backends' lists of models are kept up to date.")
    ] = DiscoverySettings()
    data_dir: Annotated[
        str | None,
        Meta(
            description="Folder for what survives a restart. Default: $XDG_DATA_HOME/trunkline, "
            "else ~/.local/share/trunkline."
        ),
    ] = None
    keys: Annotated[
        list[KeySettings],
        Meta(description="Who may call; without keys the gateway is open on loopback only."),
    ] = []
    backends: Annotated[
        list[BackendEntry], Meta(description="The upstream servers, lowest priority first.")
    ] = []
    models: Annotated[
        dict[str, ModelEntry],
        Meta(
            description="The models that clients may ask for, by name or glob; other names are a 404 then. Without "
            "this block every model that a backend lists is served."
        ),
    ] = {}
    variants: Annotated[
        dict[str, VariantEntry],
        Meta(description="By name: what a request for `model@variant` is given beyond one for `model`."),
    ] = {}
    rules: Annotated[
        list[RuleSettings],
        Meta(description="Choose the model by what is in a request; the first match wins."),
    ] = []
    router: Annotated[
        str | None,
        Meta(
            description="`module:function`, a function of one's own that chooses the model before the rules are "
            "asked."
        ),
    ] = None
    router_timeout: Annotated[
        float, Meta(gt=0, description="Seconds that `router` has; then the rules decide.")
    ] = 0.5
    breaker: Annotated[
        BreakerSettings, Meta(description="When a target or backend gets no calls for a while.")
    ] = BreakerSettings()


ALIASES: dict[str, str] = {
    "type": "provider",
    "base_url": "url",
    "allowed_models": "models",
    "custom_headers": "headers",
    "model_name": "default_model",
}
"""Other names of backend keys. The two of `timeouts.total` are apart: they may stand side by side."""


DEFAULTS: dict[str, str] = {"temperature": "temperature", "max_tokens": "max_tokens", "streaming": "stream"}
"""Keys of a backend that stand for a field of its `defaults`."""


class OutsideKeys(msgspec.Struct, frozen=True):
    """Keys of one struct that are known but do nothing.

    `planned` are refused, because running without them would do something else than was asked; each comes with the
    values that ask for nothing (null always does). `no_effect` are accepted with a warning.
    """

    planned: dict[str, frozenset[str]]
    no_effect: frozenset[str] = frozenset()


def _planned(*names: str, **neutral: str) -> dict[str, frozenset[str]]:
    return dict.fromkeys(names, frozenset[str]()) | {
        name: frozenset({value}) for name, value in neutral.items()
    }


OUTSIDE: dict[type, OutsideKeys] = {
    FileSettings: OutsideKeys(_planned("store", "redis"), frozenset({"backends_enabled"})),
    ServerSettings: OutsideKeys(_planned(workers="1")),
}
