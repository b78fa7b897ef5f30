"""Secrets that stand in a source as they are.

Owns the note that they are better kept elsewhere. They are carried all the same: whoever imports has to see what works.
"""

from trunkline.config.expand import is_literal
from trunkline.config.importers.draft import Draft, Leaf, is_dummy


def written_down(draft: Draft, name: str, leaf: Leaf, *at: str | int) -> None:
    """Tell that a secret is written down, unless it is a reference or nobody's secret."""
    text = str(leaf.value)
    if is_literal(text) and "${" not in text and not is_dummy(text):
        draft.note(leaf.where, f"`{name}` is a secret that is written down; better `${{VARIABLE}}`", *at)
