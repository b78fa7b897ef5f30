"""`trunkline check`: whether a configuration is right, without starting anything."""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from trunkline.cli.serve import config_option

if TYPE_CHECKING:
    from trunkline.config.model import Settings
    from trunkline.routing.models import ModelSettings


@click.command()
@config_option
@click.option("--json", is_flag=True, help="Print one JSON object.")
def check(config: Path | None, json: bool) -> None:
    """Check the configuration; exit code 2 if it has errors."""
    from trunkline.config.addresses import may_listen  # noqa: PLC0415 - loaded by this verb only
    from trunkline.config.load import discover, load  # noqa: PLC0415 - likewise
    from trunkline.errors import ConfigError  # noqa: PLC0415 - likewise

    errors: list[str] = []
    warnings: list[str] = []
    lines: list[str] = []
    models: dict[str, ModelSettings] = {}
    try:
        loaded = load(config or discover(Path()), os.environ)
    except ConfigError as error:
        errors = str(error).splitlines()
    else:
        warnings = [
            *loaded.warnings,
            *(f"{place} is a secret written down; better ${{VARIABLE}}" for place in loaded.literal_secrets),
        ]
        try:
            may_listen(loaded.settings, insecure_open=False)
        except ConfigError as error:
            warnings.append(str(error))
        errors = [*_errors_of_ways(loaded.settings), *_errors_of_router(loaded.settings, loaded.source)]
        models = loaded.settings.models
        lines = _summary(loaded.settings, loaded.source)
    if json:
        _print_json(errors, warnings, models)
    else:
        for error in errors:
            print(error, file=sys.stderr)
        for warning in warnings:
            print(f"warning: {warning}", file=sys.stderr)
        if not errors:
            print("\n".join(lines))
    sys.exit(2 if errors else 0)


def _errors_of_router(settings: "Settings", source: str) -> list[str]:
    """What `serve` would say of the module that `router` names; it is loaded, as `serve` does."""
    from trunkline.engine.router_loading import load_router  # noqa: PLC0415 - loaded by this verb only
    from trunkline.errors import ConfigError  # noqa: PLC0415 - likewise

    if settings.router is None:
        return []
    try:
        load_router(settings.router, None if settings.config_dir is None else Path(settings.config_dir))
    except ConfigError as error:
        return [f"{source}: {error}"]
    return []


def _summary(settings: "Settings", source: str) -> list[str]:
    """What there is: the numbers, then one line per public model."""
    backends = {backend.name: backend for backend in settings.backends}
    counts = [f"{len(backends)} backends", f"{len(settings.keys)} keys"]
    if settings.models:
        counts.append(f"{len(settings.models)} models")
    if settings.rules:
        counts.append(f"{len(settings.rules)} rules")
    lines = [f"ok: {', '.join(counts)}, from {source}"]
    for name, item in settings.models.items():
        targets = list(item.targets)
        if item.strategy == "priority":
            targets.sort(key=lambda target: 99 if target.priority is None else target.priority)
        shown: list[str] = []
        for target in targets:
            weight = backends[target.backend].weight if target.weight is None else target.weight
            times = f" x {weight:g}" if item.strategy in ("weighted", "least_busy") else ""
            shown.append(f"{target.backend}/{target.model or name}{times}")
        more = "".join(
            f"; {words} {', '.join(names)}"
            for words, names in (
                ("then", item.fallbacks),
                ("too long:", [item.context_fallback] if item.context_fallback else []),
                ("also", item.aliases),
            )
            if names
        )
        lines.append(f"{name} ({item.strategy}): {', '.join(shown)}{more}")
    return lines


def _errors_of_ways(settings: "Settings") -> list[str]:
    """What is wrong with files of certificates, proxies and addresses: found as `serve` and its calls would find it."""
    from trunkline.engine.way import connector, ground  # noqa: PLC0415 - loaded by this verb only
    from trunkline.errors import ConfigError  # noqa: PLC0415 - likewise
    from trunkline.net.egress import url_verdict  # noqa: PLC0415 - likewise
    from trunkline.net.tls import server_context  # noqa: PLC0415 - likewise
    from trunkline.net.url import parse_base_url  # noqa: PLC0415 - likewise

    errors: list[str] = []
    server = settings.server
    if server.tls_cert_path is not None:
        try:
            server_context(server.tls_cert_path, server.tls_key_path or server.tls_cert_path)
        except ConfigError as error:
            errors.append(f"server: {error}")
    on = ground(settings.egress, tuple)
    for backend in settings.backends:
        try:
            connector(backend, parse_base_url(backend.url), on)
        except ConfigError as error:
            errors.append(f"backend {backend.name}: {error}")
        if why := url_verdict(backend.url, on.egress):
            errors.append(f"backend {backend.name}: url: {why}")
    on.resolver.close()
    return errors


def _print_json(errors: list[str], warnings: list[str], models: "dict[str, ModelSettings]") -> None:
    import msgspec  # noqa: PLC0415 - loaded by this verb only

    answer = {"ok": not errors, "errors": errors, "warnings": warnings, "models": models}
    print(msgspec.json.format(msgspec.json.encode(answer)).decode())
