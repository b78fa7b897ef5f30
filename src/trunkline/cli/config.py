"""`trunkline config ...`: about configuration files."""

import click


@click.group()
def config() -> None:
    """About configuration files."""


@config.command()
def schema() -> None:
    """Print the JSON Schema of a configuration file."""
    import msgspec  # noqa: PLC0415 - loaded by this verb only

    from trunkline.config.schema import file_schema  # noqa: PLC0415 - likewise

    print(msgspec.json.format(msgspec.json.encode(file_schema())).decode())
