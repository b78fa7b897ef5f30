"""`trunkline config ...`: about configuration files."""

import sys
from pathlib import Path

import click

SYSTEMS = ("beigebox", "cot_proxy", "litellm", "openai_compatible")


@click.group()
def config() -> None:
    """About configuration files."""


@config.command()
def schema() -> None:
    """Print the JSON Schema of a configuration file."""
    import msgspec  # noqa: PLC0415 - loaded by this verb only

    from trunkline.config.schema import file_schema  # noqa: PLC0415 - likewise

    print(msgspec.json.format(msgspec.json.encode(file_schema())).decode())


@config.command(name="import")
@click.option(
    "--from", "system", type=click.Choice(SYSTEMS), required=True, help="The system that FILE configures."
)
@click.argument("file", type=click.Path(path_type=Path), metavar="FILE")
def import_(system: str, file: Path) -> None:
    """Print the configuration that is equivalent to another system's, with notes for what it cannot carry."""
    import os  # noqa: PLC0415 - loaded by this verb only
    import secrets  # noqa: PLC0415 - likewise

    from trunkline.config.importers.run import import_file  # noqa: PLC0415 - likewise
    from trunkline.errors import ConfigError  # noqa: PLC0415 - likewise

    try:
        imported = import_file(system, file, os.environ, lambda: f"sk-{secrets.token_hex(16)}")
    except ConfigError as error:
        print(error, file=sys.stderr)
        sys.exit(2)
    for note in imported.notes:
        print(f"note: {note.where}: {note.text}", file=sys.stderr)
    counts = {**imported.counts, "notes": len(imported.notes)}
    told = ", ".join(f"{number} {what if number != 1 else what[:-1]}" for what, number in counts.items())
    print(f"made of {file}: {told}", file=sys.stderr)
    print(imported.text, end="")
