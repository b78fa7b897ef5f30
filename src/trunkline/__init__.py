"""Trunkline: one OpenAI-compatible endpoint in front of every model server.

Importing this package loads no server, database or command line code.
"""

__version__ = "0.1.0"

__all__ = ["__version__"]
