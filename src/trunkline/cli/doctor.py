"""`trunkline doctor`: what is wrong with each backend, step by step, and what to do about it."""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from trunkline.cli.serve import config_option

if TYPE_CHECKING:
    from trunkline.config.model import Loaded
    from trunkline.engine.diagnosis.finding import Diagnosis, Step

_COLORS = {"ok": "green", "warn": "yellow", "fail": "red", "skipped": "bright_black"}
_WIDTH = len("configuration")


@click.command()
@click.argument("backend", required=False)
@config_option
@click.option("--json", is_flag=True, help="Print one JSON object.")
def doctor(backend: str | None, config: Path | None, json: bool) -> None:
    """Examine each backend, or one, step by step; exit code 1 if something failed, 2 for a wrong configuration."""
    import asyncio  # noqa: PLC0415 - loaded by this verb only

    from trunkline.config.load import discover, load  # noqa: PLC0415 - likewise
    from trunkline.engine.diagnosis.walk import Watcher, diagnose  # noqa: PLC0415 - likewise
    from trunkline.errors import ConfigError  # noqa: PLC0415 - likewise

    class Printer(Watcher):
        """Prints as it goes: a step may take a minute."""

        def begins(self, diagnosis: "Diagnosis") -> None:
            click.echo(f"\n{diagnosis.name}: {diagnosis.provider} at {diagnosis.place}")

        def found(self, step: "Step") -> None:
            _print_step(step)

    try:
        loaded = load(config or discover(Path()), os.environ)
        chosen = [item for item in loaded.settings.backends if backend in (None, item.name)]
        if not chosen:
            names = ", ".join(item.name for item in loaded.settings.backends)
            raise ConfigError(f"there is no backend {backend!r}; there are: {names}")
        if not json:
            _print_start(loaded)
        watcher = Watcher() if json else Printer()
        diagnoses = asyncio.run(diagnose(loaded.settings, chosen, os.environ, watcher))
    except ConfigError as error:
        if json:
            _print_json({"ok": False, "errors": str(error).splitlines(), "warnings": [], "backends": []})
        else:
            click.echo(str(error), err=True)
        sys.exit(2)
    well = all(diagnosis.well for diagnosis in diagnoses)
    if json:
        backends = [_as_object(diagnosis) for diagnosis in diagnoses]
        _print_json({"ok": well, "errors": [], "warnings": loaded.warnings, "backends": backends})
    else:
        _print_end(diagnoses)
    sys.exit(0 if well else 1)


def _print_start(loaded: "Loaded") -> None:
    for warning in loaded.warnings:
        click.echo(f"warning: {warning}", err=True)
    click.echo(f"configuration: {loaded.source}")


def _print_step(step: "Step") -> None:
    state = click.style(f"{step.state:7}", fg=_COLORS[step.state], bold=step.state == "fail")
    time = "" if step.state == "skipped" else f"{step.seconds * 1000:.0f} ms"
    click.echo(f"  {state} {step.name:{_WIDTH}} {time:>8}  {step.says}")
    if step.fix:
        click.echo(f"{'':{_WIDTH + 13}}fix: {step.fix}")
    if step.link and step.link not in step.fix:
        click.echo(f"{'':{_WIDTH + 13}}see: {step.link}")


def _print_end(diagnoses: "list[Diagnosis]") -> None:
    ill = [diagnosis for diagnosis in diagnoses if not diagnosis.well]
    click.echo("")
    for diagnosis in ill:
        failed = ", ".join(step.name for step in diagnosis.steps if step.state == "fail")
        click.echo(f"{diagnosis.name}: {failed} failed")
    if not ill:
        click.echo("all is well" if len(diagnoses) == 1 else f"all {len(diagnoses)} backends are well")


def _as_object(diagnosis: "Diagnosis") -> dict[str, Any]:
    import msgspec  # noqa: PLC0415 - loaded by this verb only

    steps = [msgspec.structs.asdict(step) for step in diagnosis.steps]
    for step in steps:
        step["seconds"] = round(step["seconds"], 4)
    return {
        "name": diagnosis.name,
        "ok": diagnosis.well,
        "provider": diagnosis.provider,
        "url": diagnosis.place,
        "steps": steps,
    }


def _print_json(value: dict[str, Any]) -> None:
    import msgspec  # noqa: PLC0415 - loaded by this verb only

    print(msgspec.json.format(msgspec.json.encode(value)).decode())
