"""The table of verbs, with their names, help and order."""

import signal
import sys
from typing import Any

import click

from trunkline import __version__
from trunkline.cli.check import check
from trunkline.cli.config import config
from trunkline.cli.count import count
from trunkline.cli.doctor import doctor
from trunkline.cli.explain import explain
from trunkline.cli.providers import providers
from trunkline.cli.serve import serve
from trunkline.cli.sim import sim


class Verbs(click.Group):
    """Verbs in the order of this file, and the exit code that a shell expects after Ctrl-C."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:  # click would say "Aborted!" and exit with 1
            sys.exit(128 + signal.SIGINT)


@click.group(cls=Verbs, context_settings={"show_default": True})
@click.version_option(
    __version__, "--version", "-V", message="%(prog)s %(version)s", help="Print the version."
)
def app() -> None:
    """One OpenAI-compatible endpoint in front of every model server."""


@click.command()
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8080,
    help="Port of the gateway; 0 picks a free one.",
)
def demo(port: int) -> None:
    """Run a small real model with the gateway in front (downloads 130 MB once)."""
    from trunkline.cli.demo import run  # noqa: PLC0415 - loads the server

    sys.exit(run(port))


for verb in (serve, check, doctor, explain, sim, demo, providers, count, config):
    # In full: left to itself, click cuts what it lists to one line.
    verb.short_help = verb.help
    app.add_command(verb)
