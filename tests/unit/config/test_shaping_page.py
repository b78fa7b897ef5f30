"""docs/shaping.md: its tables are carried out."""

import re
from pathlib import Path

import msgspec
import pytest

from trunkline.config.llm_params import parse_groups
from trunkline.config.load import load
from trunkline.policy.overrides import merge

PAGE = (Path(__file__).parents[3] / "docs" / "shaping.md").read_text()


def table(head: str) -> list[list[str]]:
    """The rows of a table, what is between backticks alone."""
    rows = PAGE[PAGE.index(head) :].split("\n\n", 1)[0].splitlines()[2:]
    assert rows
    return [
        [match[1] for cell in row.strip("|").split(" | ") if (match := re.match(r" *`(.*?)`", cell))]
        for row in rows
    ]


@pytest.mark.parametrize("row", table("| settings | the client sends |"), ids=lambda row: row[0])
def test_the_backend_gets_what_the_page_says(row: list[str], tmp_path: Path) -> None:
    settings, client, backend = row
    file = tmp_path / "f.yaml"
    file.write_text(f"backends: [{{name: a, url: 'http://h', {settings}}}]")
    level = load(file, {}).settings.shaping.backends["a"]
    sent, _ = merge([level.overrides]).apply(msgspec.json.decode(client, type=dict[str, msgspec.Raw]))
    assert msgspec.json.encode(sent).decode() == backend


@pytest.mark.parametrize("row", table("| item | is sent as |"), ids=lambda row: row[0])
def test_an_item_is_sent_as_the_page_says(row: list[str]) -> None:
    item, value = row
    warnings: list[str] = []
    (group,) = parse_groups(f"model=m,{item}", warnings.append).values()
    assert [bytes(one).decode() for one in group.overrides.force.values()] == [value]
    assert bool(warnings) == (f"| `{item}` | `{value}`, with a warning" in PAGE)


def test_every_option_is_on_the_page() -> None:
    options = [row[0] for row in table("| option | |")]
    text = ",".join(f"{option}=true" for option in [*options, "think_tag_end"])
    (group,) = parse_groups(f"model=m,{text}", lambda warning: None).values()
    assert not group.overrides.force
    assert (group.upstream, group.overrides.append, group.filters) == ("true", "true", True)
    assert (group.start, group.end) == ("true", "true")
