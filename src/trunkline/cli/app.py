"""The table of verbs, with their names, help and order."""

from typing import Annotated

import typer

from trunkline import __version__
from trunkline.cli.check import check
from trunkline.cli.config import config
from trunkline.cli.serve import serve
from trunkline.cli.sim import sim

app = typer.Typer(
    help="One OpenAI-compatible endpoint in front of every model server.",
    no_args_is_help=True,
    add_completion=False,
    # A stack trace of ours with all local values would show keys.
    pretty_exceptions_enable=False,
)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"trunkline {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool,
        typer.Option("--version", "-V", callback=_print_version, is_eager=True, help="Print the version."),
    ] = False,
) -> None:
    """One OpenAI-compatible endpoint in front of every model server."""


def demo(
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port of the gateway; 0 picks a free one.")
    ] = 8080,
) -> None:
    """Run a small real model with the gateway in front (downloads 130 MB once)."""
    from trunkline.cli.demo import run  # noqa: PLC0415 - loads the server

    raise typer.Exit(run(port))


app.command()(serve)
app.command()(check)
app.add_typer(config, name="config")
app.command()(sim)
app.command()(demo)
