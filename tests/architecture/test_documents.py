"""What is committed: links that lead somewhere, nothing of one machine, fragments that the changelog can read."""

import re
import tomllib
from pathlib import Path

import pytest

from tests.architecture.tree import ROOT, committed_files, name_of

LINK = re.compile(r"(?<!!)\[[^\]\n]*\]\(<?([^)\s>]+)>?\)")
CODE_BLOCK = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)

# Written in pieces, so that this file does not contain what it looks for.
FOREIGN = {
    "a path of one machine": re.compile(r"(?<![\w.$}~])/(?:wo" r"rk|ro" r"ot|fa" r"rm|tm" r"p|home)/\w"),
    "a package registry": re.compile(
        r"py" r"pi\.org|python" r"hosted\.org|registry\.np" r"mjs|deb\.deb" r"ian\.org|inde" r"x-url"
    ),
}

MARKDOWN = [path for path in committed_files() if path.suffix == ".md"]


def headings(markdown: str) -> set[str]:
    """The anchors of a page's headings, made as code hosts make them."""
    lines = [line for line in CODE_BLOCK.sub("", markdown).splitlines() if line.startswith("#")]
    titles = [line.lstrip("#").strip().lower() for line in lines]
    return {re.sub(r"[^\w\- ]", "", title).replace(" ", "-") for title in titles}


def dead_links(page: Path) -> list[str]:
    dead: list[str] = []
    for target in LINK.findall(CODE_BLOCK.sub("", page.read_text())):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        file = page.parent / path if path else page
        if not file.exists() or (
            anchor and file.suffix == ".md" and anchor not in headings(file.read_text())
        ):
            dead.append(target)
    return dead


@pytest.mark.parametrize("page", MARKDOWN, ids=name_of)
def test_links_lead_somewhere(page: Path) -> None:
    assert dead_links(page) == []


def test_a_dead_link_is_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "# One two\n[a](#one-two) [b](#three) [c](gone.md) [d](page.md) [e](https://example.com)\n"
    )
    assert dead_links(page) == ["#three", "gone.md"]


@pytest.mark.parametrize("what", FOREIGN)
def test_nothing_of_one_machine_is_committed(what: str) -> None:
    found: list[str] = []
    for path in committed_files():
        try:
            text = path.read_text()
        except UnicodeDecodeError:
            continue
        found += [f"{name_of(path)}: {hit.group()}" for hit in FOREIGN[what].finditer(text)]
    assert found == []


def test_changelog_fragments_have_names_that_towncrier_reads() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["towncrier"]
    kinds = "|".join(kind["directory"] for kind in settings["type"])
    named = re.compile(rf"(?:\d+|\+[a-z0-9-]+)\.(?:{kinds})(?:\.\d+)?\.md")
    folder = ROOT / settings["directory"]
    wrong = [
        name_of(path)
        for path in committed_files()
        if path.parent == folder and path.name != "README.md" and not named.fullmatch(path.name)
    ]
    assert wrong == []
    assert (folder / "README.md").is_file()
