"""The `trunkline` command: its verbs, and nothing of what they do.

Each verb is a function in a file of its own that imports what it needs when it is called. `--version` is answered
before even the command line library is loaded, so that scripts may ask often.

Until a verb takes signals itself Ctrl-C ends the process at once and without a word: Python's own way, an exception
wherever it happens to be, would show as a traceback out of the middle of an import.
"""

import signal
import sys

from trunkline import __version__


def main(arguments: list[str] | None = None) -> None:
    """Run the command and exit with its code. Without `arguments` it is the process' own and takes over its signals."""
    own = arguments is None
    if own:
        _on_interrupt(signal.SIG_DFL)
    arguments = sys.argv[1:] if arguments is None else arguments
    if arguments in (["--version"], ["-V"]):
        print(f"trunkline {__version__}")
        return
    from trunkline.cli.app import app  # noqa: PLC0415 - 20 ms that --version does not need

    try:
        app(arguments, prog_name="trunkline")
    finally:
        if own:
            _on_interrupt(signal.SIG_IGN)  # the end has come already


def _on_interrupt(action: signal.Handlers) -> None:
    """Unless whoever started us chose that Ctrl-C shall not reach us (nohup, a job in the background)."""
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, action)


if __name__ == "__main__":
    main()
