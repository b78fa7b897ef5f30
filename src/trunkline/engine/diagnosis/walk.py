"""The walk: every backend through all steps, in the order in which each needs the one before it.

Owns that order and its table, times, and what the steps share. Does not own the steps.

| step | asks | after a failure |
|---|---|---|
| configuration | are its files there, does its key look like one | ends |
| url | is it a base URL | ends |
| dns | has the host addresses | ends |
| egress | may they be called | ends |
| tcp | does something listen | ends |
| proxy | does it open a tunnel | ends |
| tls | does the server prove who it is | ends |
| credentials | is there one where one is needed; of OAuth2, a token | ends |
| models | does it list models, and those of the settings | goes on if the list alone is missing |
| completion | does it answer one tiny question | ends |
| streaming | does it stream the same answer | |

Everything is bounded in time by the steps themselves, and backends are walked one after the other, so that what one of
them does with its processor does not show in the times of the next.
"""

import asyncio
import math
from collections.abc import Awaitable, Callable, Mapping, Sequence
from time import monotonic

from trunkline.config.model import Settings
from trunkline.credentials.oauth2 import Tokens
from trunkline.engine.diagnosis import way_there, written
from trunkline.engine.diagnosis.case import Case, Surroundings
from trunkline.engine.diagnosis.completion_steps import completion, streaming
from trunkline.engine.diagnosis.credentials_step import credentials
from trunkline.engine.diagnosis.finding import Diagnosis, Finding, Step, fail
from trunkline.engine.diagnosis.models_step import models
from trunkline.engine.diagnosis.secrecy import Secrets, secrets_of, secrets_of_proxy
from trunkline.engine.way import Ground
from trunkline.net.clock import Clock
from trunkline.net.dns import Resolver
from trunkline.net.egress import LOOPBACK, Listening, Named, rules_of
from trunkline.net.networks import is_localhost
from trunkline.net.url import redact
from trunkline.routing.backend import BackendSettings

STEPS: tuple[tuple[str, Callable[[Case], Awaitable[Finding]]], ...] = (
    ("configuration", written.configuration),
    ("url", written.url),
    ("dns", way_there.dns),
    ("egress", way_there.egress),
    ("tcp", way_there.tcp),
    ("proxy", way_there.proxy),
    ("tls", way_there.tls),
    ("credentials", credentials),
    ("models", models),
    ("completion", completion),
    ("streaming", streaming),
)


class Watcher:
    """Is told of everything as it happens; this one does nothing with it."""

    def begins(self, diagnosis: Diagnosis) -> None:
        """A backend is next; nothing is known of it yet."""

    def found(self, step: Step) -> None:
        """A step was taken. Those that a failure left out are in the diagnosis only."""


class _Closing(Clock):
    """A clock that can close what is idle, in pools that nobody else holds too (those of identity providers)."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop)
        self._joined: list[Callable[[float], None]] = []

    def join(self, sweep: Callable[[float], None]) -> None:
        super().join(sweep)
        self._joined.append(sweep)

    async def close(self) -> None:
        """It is later than anything lasts."""
        self.stop()
        for sweep in self._joined:
            sweep(math.inf)
        await asyncio.sleep(0)  # transports close in the next round


async def diagnose(
    settings: Settings, backends: Sequence[BackendSettings], environ: Mapping[str, str], watcher: Watcher
) -> list[Diagnosis]:
    """Walk these backends of the settings. Raises ConfigError for an egress rule that is none."""
    clock = _Closing(asyncio.get_running_loop())
    resolver = Resolver()
    tokens = Tokens(monotonic)
    around = Surroundings(
        clock=clock,
        ground=Ground(
            resolver=resolver,
            egress=rules_of(settings.egress, Named.LOCALLY),
            listening=tuple,  # what would be a loop under `serve` is none from here; the egress step tells of it
            environ=environ,
        ),
        tokens=tokens,
        secrets=secrets_of(settings),
        environ=environ,
        listening=_listening(settings),
        list_timeout=settings.discovery.timeout,
        levels=settings.shaping,
    )
    try:
        return [await _examine(backend, around, watcher) for backend in backends]
    finally:
        tokens.close()
        resolver.close()
        await clock.close()


async def _examine(settings: BackendSettings, around: Surroundings, watcher: Watcher) -> Diagnosis:
    case = Case(settings, around)
    blank = Diagnosis(settings.name, settings.provider, redact(settings.url), ())
    watcher.begins(blank)
    steps: list[Step] = []
    stopped_by = ""
    try:
        for name, step in STEPS:
            if stopped_by:
                steps.append(Step(name, "skipped", 0.0, f"because of {stopped_by}"))
                continue
            began = monotonic()
            finding = await _take(step, case)
            if name == "configuration" and case.proxy is not None:
                for secret in secrets_of_proxy(case.proxy):
                    around.secrets.add(secret)
            seconds = 0.0 if finding.state == "skipped" else monotonic() - began
            steps.append(_told(name, finding, seconds, around.secrets))
            watcher.found(steps[-1])
            if finding.ends:
                stopped_by = name
    finally:
        case.close()
    return Diagnosis(blank.name, blank.provider, blank.place, tuple(steps))


async def _take(step: Callable[[Case], Awaitable[Finding]], case: Case) -> Finding:
    try:
        return await step(case)
    except Exception as error:  # noqa: BLE001 # the other backends are to be examined all the same
        return fail(
            f"internal error: {type(error).__name__}", "this is a defect of trunkline: please report it"
        )


def _told(name: str, finding: Finding, seconds: float, secrets: Secrets) -> Step:
    """The step as it may be shown: whatever wrote its words, there is no secret in them."""
    says, fix = secrets.conceal(finding.says), secrets.conceal(finding.fix)
    return Step(name, finding.state, seconds, says, fix, finding.link)


def _listening(settings: Settings) -> tuple[Listening, ...]:
    hosts = (settings.server.host, settings.server.port), (settings.admin.host, settings.admin.port)
    return tuple((LOOPBACK if is_localhost(host) else host, port) for host, port in hosts if port)
