"""What is made from one config snapshot, and what of it is taken over from the snapshot before.

Owns the making, and the question whether a backend is still the same one. Touches nothing that is in use, so it may
fail, and may be done beside the event loop; the swap is runtime.py's.

A backend of the same name has changed in one of three ways:

| what differs | connections | calls, queue, latency, breaker, health | examples |
|---|---|---|---|
| only when it is chosen and how long it is waited for | stay | stay | priority, weight, models |
| how failures and load are dealt with (`STATE`) | stay | stay, but see below | max_retries, max_concurrency |
| anything else, or a file with certificates | new | begin anew | url, api_key |

Under other settings of `health`, `breaker` or `latency_p95_threshold_ms` the counts behind those begin anew. Calls that
are under way or wait are the backend's all the same: a limit that has changed holds for all of them together.
"""

import copy
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from time import monotonic

import msgspec
from msgspec import structs

from trunkline.config.addresses import is_loopback
from trunkline.config.model import Settings
from trunkline.credentials.oauth2 import Tokens
from trunkline.engine.choices import Choices
from trunkline.engine.fetch import fetch
from trunkline.engine.guide import Guide
from trunkline.engine.health_checks import Checked, HealthChecks
from trunkline.engine.router import Router, load_router
from trunkline.engine.upstream import Upstream
from trunkline.engine.way import Ground, ground
from trunkline.errors import ConfigError
from trunkline.net.clock import Clock
from trunkline.net.egress import Listening, Named, rules_of
from trunkline.policy.keys import Keyring
from trunkline.routing.backend import BackendSettings, CapabilitySettings
from trunkline.routing.board import Adjusted, Board
from trunkline.routing.breaker import BreakerSettings
from trunkline.routing.plan import Plan
from trunkline.routing.target import BackendState, RetryPolicy

CHOICE = frozenset(
    ("priority", "weight", "traffic_split", "timeouts", "on_cut", "prefill", "models", "capabilities")
)
"""Settings of a backend that its connections, requests and state do not depend on; of `timeouts`, connections do on
`connect`."""
STATE = frozenset(
    (
        "max_retries", "backoff_base", "backoff_max", "retry_404", "latency_p95_threshold_ms", "health",
        "max_concurrency", "max_queue",
    )
)  # fmt: skip
"""Those that only its state depends on."""
_WAY = tuple(field for field in BackendSettings.__struct_fields__ if field not in CHOICE | STATE)

Stamp = tuple[int, int, int] | None
"""By what a file is known to be the same: inode, time of change, size; None: it is not there."""


class Around(msgspec.Struct, frozen=True, kw_only=True):
    """What outlives all snapshots of an event loop."""

    clock: Clock
    listening: Callable[[], Iterable[Listening]]
    abilities: Callable[[str, str], CapabilitySettings]
    slow_above: Callable[[str], float]
    price: Callable[[str, str], float | None]
    on_checked: Callable[[str, bool], None]
    warn: Callable[[str], None]


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """All parts. `files`: the backends' certificates, as they were when they were read.

    `checks`: of each backend that is asked for its health. `same`: backends whose connections are those of before;
    their states are too, and become `adjusted` when the snapshot is taken up.
    """

    settings: Settings
    ground: Ground
    tokens: Tokens
    files: dict[str, Stamp]
    upstreams: dict[str, Upstream]
    states: dict[str, BackendState]
    adjusted: dict[str, Adjusted]
    same: frozenset[str]
    board: Board
    plan: Plan
    keyring: Keyring
    choices: Choices
    guide: Guide
    router: Router | None
    checks: dict[str, HealthChecks]
    exposes: bool

    @property
    def leads(self) -> bool:
        """Whether what is in a request may lead it to another model than it names."""
        return bool(self.settings.rules) or self.router is not None


def build(settings: Settings, around: Around, before: Snapshot | None = None) -> Snapshot:
    """Make a snapshot. Raises ConfigError if a file, URL or function of the settings cannot be used."""
    files = {path: stamp(path) for backend in settings.backends for path in certificates(backend)}
    if before is None:
        on = ground(settings.egress, around.listening)
    elif before.settings.egress == settings.egress:
        on = before.ground
    else:
        on = structs.replace(before.ground, egress=rules_of(settings.egress, Named.LOCALLY))
    tokens = Tokens(monotonic)
    # Tokens come over connections too, which must not outlive the rules or the certificates that they were made by.
    if before is not None and on is before.ground and not _differ(files, before):
        tokens = before.tokens
    same_breaker = before is not None and before.settings.breaker == settings.breaker
    upstreams: dict[str, Upstream] = {}
    states: dict[str, BackendState] = {}
    adjustments: dict[str, Adjusted] = {}
    checks: dict[str, HealthChecks] = {}
    same: set[str] = set()
    for backend in settings.backends:
        name = backend.name
        old = None if before is None or on is not before.ground else _kept(backend, files, before)
        if before is None or old is None:
            upstreams[name] = _upstream(backend, around, on, tokens)
            states[name] = backend_state(backend, settings.breaker)
        else:
            same.add(name)
            upstreams[name] = old if old.settings == backend else adjusted(old, backend)
            states[name] = before.states[name]
            if not (same_breaker and is_same_state(old.settings, backend)):
                adjustments[name] = _adjusted(old.settings, backend, settings.breaker, anew=not same_breaker)
            if old.settings.health == backend.health:
                if name in before.checks:
                    checks[name] = before.checks[name]
                continue
        if backend.health.interval > 0:
            checks[name] = _check(upstreams[name], states[name], around)
    if before is not None:
        board = before.board
    else:
        board = Board(breaker=settings.breaker, abilities=around.abilities, slow_above=around.slow_above)
    plan = Plan(settings.backends)
    expose = settings.server.expose
    exposes = is_loopback(settings.server.host) if expose is None else expose
    return Snapshot(
        settings=settings,
        ground=on,
        tokens=tokens,
        files=files,
        upstreams=upstreams,
        states=states,
        adjusted=adjustments,
        checks=checks,
        same=frozenset(same),
        board=board,
        plan=plan,
        keyring=Keyring(settings.keys),
        choices=Choices(settings, upstreams, plan, board, price=around.price, exposes=exposes),
        guide=Guide(settings.rules),
        router=_router(settings, around),
        exposes=exposes,
    )


def is_same_way(one: BackendSettings, other: BackendSettings) -> bool:
    """Whether connections and requests of the one are those of the other."""
    return one == other or (
        one.timeouts.connect == other.timeouts.connect
        and all(getattr(one, field) == getattr(other, field) for field in _WAY)
    )


def is_same_state(one: BackendSettings, other: BackendSettings) -> bool:
    """Whether what was learned of the one, which is the same way, holds for the other."""
    return all(getattr(one, field) == getattr(other, field) for field in STATE)


def adjusted(upstream: Upstream, settings: BackendSettings) -> Upstream:
    """The same way under other settings: calls under way go on with those of before, on the same connections."""
    found = copy.copy(upstream)
    found.settings = settings
    return found


def certificates(backend: BackendSettings) -> Iterator[str]:
    """The files that connections to a backend are made with."""
    for path in (backend.ca_bundle_path, backend.client_cert_path, backend.client_key_path):
        if path is not None:
            yield path


def stamp(path: str | Path) -> Stamp:
    """What tells a file from a changed one, also where a link to it was turned elsewhere."""
    try:
        found = Path(path).stat()
    except (OSError, ValueError):
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size


def backend_state(settings: BackendSettings, breaker: BreakerSettings) -> BackendState:
    """What is known at run time of a backend, at its beginning."""
    retry_404 = settings.provider == "ollama" if settings.retry_404 is None else settings.retry_404
    return BackendState(
        settings.name,
        retry=RetryPolicy(settings.max_retries, settings.backoff_base, settings.backoff_max, retry_404),
        breaker=breaker,
        health=settings.health,
        limit=settings.max_concurrency or 0,
        max_queue=settings.max_queue,
    )


def _adjusted(
    old: BackendSettings, new: BackendSettings, breaker: BreakerSettings, *, anew: bool
) -> Adjusted:
    return Adjusted(
        like=backend_state(new, breaker),
        health=old.health != new.health,
        breaker=anew,
        slow=old.latency_p95_threshold_ms != new.latency_p95_threshold_ms,
    )


def _differ(files: dict[str, Stamp], before: Snapshot) -> bool:
    """Whether a file that is still in use is not what it was."""
    return any(before.files.get(path, found) != found for path, found in files.items())


def _kept(backend: BackendSettings, files: dict[str, Stamp], before: Snapshot) -> Upstream | None:
    """The upstream of before, if it leads to the same place in the same way."""
    old = before.upstreams.get(backend.name)
    if old is None or not is_same_way(old.settings, backend):
        return None
    return None if any(before.files.get(path) != files[path] for path in certificates(backend)) else old


def _upstream(settings: BackendSettings, around: Around, on: Ground, tokens: Tokens) -> Upstream:
    try:
        return Upstream(settings, around.clock, on, tokens)
    except ConfigError as error:
        raise ConfigError(f"backend {settings.name}: {error}") from error


def _check(upstream: Upstream, state: BackendState, around: Around) -> HealthChecks:
    checked = Checked(upstream.settings, partial(fetch, upstream), state)
    return HealthChecks([checked], monotonic, on_change=around.on_checked, warn=around.warn)


def _router(settings: Settings, around: Around) -> Router | None:
    spec = settings.router
    if spec is None:
        return None
    directory = settings.config_dir
    function = load_router(spec, None if directory is None else Path(directory))
    return Router(function, settings.router_timeout, warn=around.warn, name=spec)
