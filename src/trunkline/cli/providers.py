"""`trunkline providers`: the table of providers that a backend can name."""

import click


@click.command()
@click.option("--json", "form", flag_value="json", help="Print one JSON array with all that is known.")
@click.option("--markdown", "form", flag_value="markdown", help="Print the page docs/providers.md.")
def providers(form: str | None) -> None:
    """List the providers: what they are called, where they are, which variable holds their key."""
    from trunkline.cli import providers_page  # noqa: PLC0415 - loaded by this verb only

    match form:
        case "json":
            print(providers_page.as_json())
        case "markdown":
            print(providers_page.as_markdown(), end="")
        case _:
            print(providers_page.as_text())
