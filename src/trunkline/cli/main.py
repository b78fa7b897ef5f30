"""The `trunkline` command: its verbs, and nothing of what they do.

Each verb is a function in a file of its own that imports what it needs when it is called. `--version` is answered
before even the command line library is loaded, so that scripts may ask often.
"""

import sys

from trunkline import __version__


def main(arguments: list[str] | None = None) -> None:
    """Run the command and exit with its code."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if arguments in (["--version"], ["-V"]):
        print(f"trunkline {__version__}")
        return
    from trunkline.cli.app import app  # noqa: PLC0415 - 20 ms that --version does not need

    app(arguments, prog_name="trunkline")


if __name__ == "__main__":
    main()
