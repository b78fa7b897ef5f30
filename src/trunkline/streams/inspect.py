"""What an upstream's event stream says: which reader a surface has, fed with bytes as they come.

A reader answers the questions that the relay asks of every stream: which bytes may go on now, did content begin, is
it complete, did it fail, what was used. Owns the table alone; the readers are in base.py, chat.py and typed.py.
"""

from trunkline.streams.base import StreamInspector
from trunkline.streams.chat import ChatInspector
from trunkline.streams.typed import MessagesInspector, ResponsesInspector

INSPECTORS: dict[str, type[StreamInspector]] = {
    "chat": ChatInspector,
    "completions": ChatInspector,
    "responses": ResponsesInspector,
    "messages": MessagesInspector,
}
"""The reader of each surface; others get `StreamInspector`."""
