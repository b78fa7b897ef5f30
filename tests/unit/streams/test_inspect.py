"""streams/inspect.py: the reader of each surface."""

import pytest

from trunkline.streams.base import StreamInspector
from trunkline.streams.chat import ChatInspector
from trunkline.streams.inspect import INSPECTORS
from trunkline.streams.typed import MessagesInspector


@pytest.mark.parametrize(
    ("surface", "kind"),
    [("chat", ChatInspector), ("completions", ChatInspector), ("messages", MessagesInspector)],
)
def test_which_reader_a_surface_has(surface: str, kind: type[StreamInspector]) -> None:
    assert INSPECTORS[surface] is kind
